package holdfasttest_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/ca"
)

// evil serves pages of others: one at a sibling host of the app, and one at another site. The browser trusts both.
type evil struct{ sibling, foreign string }

const (
	siblingHost = "evil.holdfast.localhost"
	foreignHost = "other.localhost"
)

func newEvil(t *testing.T, s *holdfasttest.Server) *evil {
	t.Helper()
	foreign := filepath.Join(t.TempDir(), "ca")
	pairs := map[string]tls.Certificate{
		siblingHost: serverCertificate(t, filepath.Join(s.Data, "ca"), "holdfast.localhost", siblingHost),
		foreignHost: serverCertificate(t, foreign, foreignHost, foreignHost),
	}
	store := filepath.Join(os.Getenv("HOME"), ".pki", "nssdb") // of the browser under test
	said, err := exec.CommandContext(t.Context(), "certutil", "-A", "-d", "sql:"+store, "-t", "C,,", "-n", foreign, "-i", filepath.Join(foreign, "root.pem")).CombinedOutput()
	if err != nil {
		t.Fatalf("certutil: %v %s", err, said)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Evil</title><p id=evil>Evil")) // a browser that is gone does not matter
	}))
	server.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair := pairs[h.ServerName]
		return &pair, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return &evil{"https://" + siblingHost + ":" + port, "https://" + foreignHost + ":" + port}
}

func serverCertificate(t *testing.T, folder, root, host string) tls.Certificate {
	t.Helper()
	authority, err := ca.Development(folder, root, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Server("evil", []string{host}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// attacks are what a page can make the browser do. Each says "nothing" where the page has got nothing to read.
var attacks = map[string]string{
	"fetch":           `fetch(API, { credentials: "include" }).then((r) => "read " + r.status, () => "nothing")`,
	"fetch, header":   `fetch(API, { credentials: "include", headers: { "token-handler-version": "1" } }).then((r) => "read " + r.status, () => "nothing")`,
	"fetch, blind":    `fetch(API, { method: "POST", mode: "no-cors", credentials: "include", body: "{}" }).then((r) => r.type === "opaque" ? "nothing" : "read", () => "nothing")`,
	"sign out, blind": `fetch(HANDLER + "/logout", { method: "POST", mode: "no-cors", credentials: "include" }).then((r) => r.type === "opaque" ? "nothing" : "read", () => "nothing")`,
	"session":         `fetch(HANDLER + "/session", { credentials: "include" }).then((r) => "read " + r.status, () => "nothing")`,
	"beacon":          `Promise.resolve(navigator.sendBeacon(HANDLER + "/logout", "") ? "nothing" : "not sent")`,
	"image":           `new Promise((done) => { const i = new Image(); i.onload = () => done("loaded"); i.onerror = () => done("nothing"); i.src = API; })`,
	"image, sign out": `new Promise((done) => { const i = new Image(); i.onload = () => done("loaded"); i.onerror = () => done("nothing"); i.src = HANDLER + "/logout"; })`,
	"WebSocket":       `new Promise((done) => { const w = new WebSocket(API.replace("https:", "wss:") + "/ws"); w.onopen = () => done("open"); w.onclose = () => done("nothing"); })`,
	"form, sign out":  formTo(`HANDLER + "/logout"`),
	"form, order":     formTo(`API`),
	"form, begin":     formTo(`HANDLER + "/login/start"`),
}

// formTo posts a form into a frame of the page. What comes there is for the browser alone to know.
func formTo(address string) string {
	return `new Promise((done) => {
	const frame = document.createElement("iframe"), form = document.createElement("form");
	frame.name = form.target = "f" + Math.random();
	form.method = "POST";
	form.action = ` + address + `;
	document.body.append(frame, form);
	frame.onload = () => done("nothing");
	form.submit();
})`
}

// everything is tried from both pages, in a tab beside the app. Nothing of it may be served, end the session or place an order.
func (e *evil) everything(t *testing.T, v *visit) {
	orders := `fetch(document.documentElement.dataset.api, { credentials: "include", headers: { "token-handler-version": "1" } }).then((r) => r.json()).then((told) => told.orders.length)`
	before := look[int](v.tab, t, orders)
	for name, page := range map[string]string{"of a sibling host": e.sibling, "of another site": e.foreign} {
		t.Run(name, func(t *testing.T) {
			w := v.another(t)
			run(w.tab, t, "open it", chromedp.Navigate(page+"/"), chromedp.WaitVisible("#evil"))
			wire := listen(w.tab, t, v.GatewayURL)
			for attack, script := range attacks {
				script = strings.NewReplacer("API", `"`+v.GatewayURL+`/orders"`, "HANDLER", `"`+v.Handler+`"`).Replace(script)
				if got := look[string](w.tab, t, script); got != "nothing" {
					t.Errorf("%s: %s", attack, got)
				}
			}
			wire.check(t, page == e.sibling)
			framing(t, w)
		})
	}
	if after := look[int](v.tab, t, orders); after != before {
		t.Errorf("there were %d orders, and are %d", before, after)
	}
}

// wire is what the browser has sent to a host, and got.
type wire struct {
	base     string
	mu       sync.Mutex
	urls     map[network.RequestID]string
	statuses map[network.RequestID]int64
	sent     map[network.RequestID]bool // with the cookie of the session
}

func listen(ctx context.Context, t *testing.T, base string) *wire {
	t.Helper()
	w := &wire{base: base, urls: map[network.RequestID]string{}, statuses: map[network.RequestID]int64{}, sent: map[network.RequestID]bool{}}
	if err := chromedp.Listen(ctx, w.note); err != nil {
		t.Fatal(err)
	}
	call(ctx, t, network.Enable, network.EnableParams{})
	return w
}

func (w *wire) note(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		w.urls[e.RequestID] = e.Request.Method + " " + e.Request.URL
	case *network.EventRequestWillBeSentExtraInfo:
		for _, c := range e.AssociatedCookies {
			if len(c.BlockedReasons) == 0 && strings.HasSuffix(c.Cookie.Name, "-demo-s") {
				w.sent[e.RequestID] = true
			}
		}
	case *network.EventResponseReceivedExtraInfo:
		w.statuses[e.RequestID] = e.StatusCode
	}
}

// check wants every answer to be a refusal, and the cookie to have been sent where the browser does so: then it was not the
// browser that has refused.
func (w *wire) check(t *testing.T, cookies bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	answers, sent := 0, 0
	for id, to := range w.urls {
		if !strings.Contains(to, " "+w.base+"/") || w.statuses[id] == 0 {
			continue
		}
		answers++
		if w.statuses[id] < 400 {
			t.Errorf("%s was answered %d", to, w.statuses[id])
		}
		if w.sent[id] {
			sent++
		}
	}
	if answers < 6 {
		t.Errorf("only %d requests were answered: %v", answers, w.urls)
	}
	if cookies && sent < 6 || !cookies && sent > 0 {
		t.Errorf("the browser has sent its cookie with %d requests", sent)
	}
}

// framing puts pages of ours into a frame of the evil page, for somebody to click on (RFC 7034, CSP frame-ancestors).
func framing(t *testing.T, v *visit) {
	t.Helper()
	for _, address := range []string{v.AppURL + "/", v.Issuer + "/account", v.Issuer + "/end-session"} {
		show := chromedp.Evaluate[chromedp.Void](`document.body.append(Object.assign(document.createElement("iframe"), { src: "` + address + `" }))`)
		within, stop := context.WithTimeout(v.tab, 10*time.Second)
		refused := func(e network.EventLoadingFailed) bool { return e.ErrorText == "net::ERR_BLOCKED_BY_RESPONSE" }
		_, err := chromedp.Run(within, chromedp.WaitEvent(network.LoadingFailed, refused, show))
		stop()
		if err != nil {
			t.Errorf("%s is shown in a frame: %v", address, err)
		}
	}
}
