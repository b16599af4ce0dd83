package app

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// behind is an API behind the gateway of a running server.
type behind struct {
	*httptest.Server
	waiting chan struct{} // a request of /orders/slow has come
	answer  chan struct{} // and may be answered
	news    chan string   // for the stream of /orders/events
	left    chan struct{} // a stream has ended

	mu   sync.Mutex
	cert string // that the last request came with
}

func (b *behind) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b.mu.Lock()
	b.cert = string(q.TLS.PeerCertificates[0].Raw)
	b.mu.Unlock()
	switch q.URL.Path {
	case "/orders/slow":
		b.waiting <- struct{}{}
		<-b.answer
	case "/orders/events":
		w.Header().Set("Content-Type", "text/event-stream")
		defer func() { b.left <- struct{}{} }()
		for news := "begin"; ; {
			fmt.Fprintf(w, "data: %s\n\n", news)
			_ = http.NewResponseController(w).Flush()
			select {
			case news = <-b.news:
			case <-q.Context().Done():
				return
			}
		}
	}
	fmt.Fprint(w, "whole")
}

func (b *behind) saw(c tls.Certificate) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cert == string(c.Certificate[0])
}

// gated is a running server with a gateway at https://api.test, and the API behind it.
type gated struct {
	*running
	api    *behind
	folder string // of the gateway's certificate
	config string
}

// startGateway runs it. The gateway may come with any of the certificates; it begins with the first.
func startGateway(t *testing.T, certificates ...tls.Certificate) *gated {
	t.Helper()
	b := &behind{waiting: make(chan struct{}, 1), answer: make(chan struct{}), news: make(chan string), left: make(chan struct{}, 10)}
	b.Server = httptest.NewUnstartedServer(b)
	b.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	b.StartTLS()
	g := &gated{api: b, folder: t.TempDir()}
	writePair(t, g.folder, certificates[0])
	g.config = strings.NewReplacer("[login.test]", "[login.test, api.test]", `"https://login.test"}`, fmt.Sprintf(
		`"https://login.test", gateway: {urls: ["https://api.test"], client_id: gateway, certificate: %q, key: %q, upstream_ca_files: [roots.pem]}}`,
		g.folder+"/cert.pem", g.folder+"/key.pem",
	)).Replace(config)
	g.running = prepare(t, g.config)
	g.write("roots.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw})))
	g.write("objects.yaml", objectsOf(t, b.URL, certificates))
	g.serve()
	t.Cleanup(b.Close) // before the server is stopped: it has streams that nobody ends
	g.bring("main")
	return g
}

func objectsOf(t *testing.T, upstream string, certificates []tls.Certificate) string {
	t.Helper()
	var set jose.Set
	for i, c := range certificates {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		key, err := jose.FromPublic(leaf.PublicKey, jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, key.WithID(fmt.Sprint(i)))
	}
	text := strings.Replace(things, "introspectors: [tool]", "introspectors: [tool, gateway]\nexchangers: [gateway]", 1)
	for _, o := range []map[string]any{
		{"kind": "api", "resource": upstream, "scopes": []string{"orders.read"}},
		{
			"kind": "client", "client_id": "gateway", "token_endpoint_auth_method": oauth.AuthSelfSignedTLS, "jwks": set,
			"grant_types": []string{oauth.GrantTokenExchange}, "resources": []string{upstream}, "tls_client_certificate_bound_access_tokens": true,
		},
		{
			"kind": "route", "name": "orders", "hosts": []string{"https://api.test"}, "path": "/orders", "upstream": upstream, "credentials": []string{"bearer"},
			"allow_bearer_tokens": true, "audience": "https://api.test", "scopes": []string{"orders.read"}, "upstream_audience": upstream,
		},
	} {
		doc, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		text += "---\n" + string(doc) + "\n"
	}
	return text
}

// order asks the API with a token.
func (g *gated) order(c *http.Client, path, token string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(g.t.Context(), "GET", "https://api.test"+path, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", "Bearer "+token)
	return c.Do(q)
}

// ordered is the answer, read whole.
func (g *gated) ordered(c *http.Client, path, token string) error {
	a, err := g.order(c, path, token)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if text, err := io.ReadAll(a.Body); err != nil || a.StatusCode != 200 || string(text) != "whole" {
		return fmt.Errorf("%d %q, %w", a.StatusCode, text, err)
	}
	return nil
}

// follow opens a stream and gives its lines; the last one is why it has ended.
func (g *gated) follow(token string) <-chan string {
	g.t.Helper()
	a, err := g.order(g.client(), "/orders/events", token)
	if err != nil {
		g.t.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		defer a.Body.Close()
		in := bufio.NewScanner(a.Body)
		for in.Scan() {
			if in.Text() != "" {
				lines <- in.Text()
			}
		}
		lines <- fmt.Sprint("ended: ", in.Err())
	}()
	return lines
}

// again has the tenant made anew, with another name.
func (g *gated) again(name string) {
	g.t.Helper()
	g.write("holdfast.yaml", strings.Replace(g.config, "gateway: {urls", "display_name: "+name+", gateway: {urls", 1))
	if got := g.hangUp(); got["tenants_changed"] != "main" {
		g.t.Errorf("logged %v", got)
	}
}

// A reload takes no request and no stream away: what has begun goes on with the gateway that it began with, and ends within
// a second of its revocation; what comes is served by the new one, on the same connections.
func TestReloadKeepsTheGateway(t *testing.T) {
	g := startGateway(t, selfSigned(t, "gateway"))
	token, _ := g.token("https://login.test").json(t)["access_token"].(string)
	if err := g.ordered(g.client(), "/orders", token); err != nil { // its decision is remembered
		t.Fatal(err)
	}
	lines := g.follow(token)
	if got := <-lines; got != "data: begin" {
		t.Fatal(got)
	}
	slow := make(chan error, 1)
	go func() { slow <- g.ordered(g.client(), "/orders/slow", token) }()
	<-g.api.waiting

	stop := make(chan struct{})
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for c := g.client(); ; {
				if err := g.ordered(c, "/orders/7", token); err != nil {
					t.Errorf("while reloading: %v", err)
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	before := g.app.current.Load().tenants[0]
	for _, name := range []string{"One", "Two", "Three"} {
		g.again(name)
	}
	close(stop)
	busy.Wait()

	g.api.news <- "after"
	if got := <-lines; got != "data: after" {
		t.Errorf("the stream has %q", got)
	}
	close(g.api.answer)
	if err := <-slow; err != nil {
		t.Errorf("the request that was under way: %v", err)
	}
	if before.serving.Load() != 1 || !g.app.hears(before) {
		t.Errorf("the gateway before serves %d and hears %v", before.serving.Load(), g.app.hears(before))
	}
	if a := g.post(g.client(), "https://login.test/revoke", with(tool, "token", token)); a.status != 200 {
		t.Fatalf("revoke: %d %s", a.status, a.text)
	}
	revoked := time.Now()
	got := <-lines
	if took := time.Since(revoked); !strings.HasPrefix(got, "ended: ") || got == "ended: <nil>" || took > time.Second {
		t.Errorf("%q after %v", got, took)
	}
	<-g.api.left
	if a, err := g.order(g.client(), "/orders", token); err != nil || a.StatusCode != 401 {
		t.Errorf("the new gateway takes what is revoked: %v, %v", a, err)
	} else {
		_ = a.Body.Close()
	}
}

// A new certificate of the gateway is taken over with the tokens that are bound to it; what has begun keeps the old one.
func TestReloadTakesTheCertificateOfTheGateway(t *testing.T) {
	first, second := selfSigned(t, "gateway"), selfSigned(t, "gateway")
	g := startGateway(t, first, second)
	token, _ := g.token("https://login.test").json(t)["access_token"].(string)
	c := g.client()
	if err := g.ordered(c, "/orders", token); err != nil || !g.api.saw(first) {
		t.Fatalf("before: %v", err)
	}
	lines := g.follow(token)
	<-lines
	writePair(t, g.folder, second)
	if got := g.hangUp(); got["tenants_changed"] != "main" {
		t.Errorf("logged %v", got)
	}
	if err := g.ordered(c, "/orders", token); err != nil || !g.api.saw(second) {
		t.Errorf("after: %v, the new certificate was shown: %v", err, g.api.saw(second))
	}
	g.api.news <- "after"
	if got := <-lines; got != "data: after" {
		t.Errorf("the stream has %q", got)
	}
}
