package gateway_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// An API that redirects, redirects the caller: nobody follows in its place. An address that is the API's own is told as what
// it is outside.
func TestRFC9110_15_4_RedirectsAreForCallers(t *testing.T) {
	r := landscape(t)
	partner, outside := r.client(t, &r.partner.KeyPair), r.client(t, nil)
	token, _ := r.issue(t, pass{client: "phone", bound: oauth.Confirmation{JKT: r.phone.JKT()}})
	to := ""
	r.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	for given, want := range map[string]string{
		r.api + "/orders/8?x=1#y":   r.mtls + "/orders/8?x=1#y",
		r.api:                       r.mtls,
		r.api + "?x":                r.mtls + "?x",
		r.api + "0/orders":          r.api + "0/orders",
		r.api + "@evil.example/":    r.api + "@evil.example/",
		"/orders/8":                 "/orders/8",
		"8":                         "8",
		"https://elsewhere.example": "https://elsewhere.example",
	} {
		to = given
		before := r.count()
		a := send(t, partner, r.certified(t, "POST", "/orders/7", pass{}))
		if got := a.Header.Get("Location"); a.StatusCode != 307 || got != want || r.count() != before+1 {
			t.Errorf("%s: %d %s, want %s; the API has seen %d", given, a.StatusCode, got, want, r.count()-before)
		}
	}
	to = r.api + "/8"
	if got := send(t, outside, r.withProof(newRequest(t, "GET", r.origin+"/proof/7", ""), token)).Header.Get("Location"); got != r.origin+"/proof/8" {
		t.Errorf("where a prefix is stripped: %s", got)
	}
}

// While the issuer is down, sessions and tokens that are alive go on; those that have to be asked about say so, and work as
// soon as it is back.
func TestIssuerDown(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		known := r.ways(t)
		for name, way := range known {
			if client, q := way("GET", "/orders", ""); send(t, client, q).StatusCode != 200 {
				t.Fatal(name)
			}
		}
		r.broken.Store(true)
		for name, way := range known {
			for range 3 {
				client, q := way("GET", "/orders", "")
				if a := send(t, client, q); a.StatusCode != 200 {
					t.Errorf("known, %s: %d %s", name, a.StatusCode, a.body)
				}
			}
		}
		fresh := r.ways(t)
		for name, way := range fresh {
			client, q := way("GET", "/orders", "")
			a := send(t, client, q)
			status, code := 502, "authorization_server_error" // the keys of the issuer are known, but it exchanges nothing
			if strings.HasSuffix(name, "opaque") {
				status, code = 503, "temporarily_unavailable"
			}
			member := map[bool]string{true: `"code":"`, false: `"error":"`}[strings.HasPrefix(name, "cookie")]
			if got := r.refusal(t); a.StatusCode != status || !strings.Contains(a.body, member+code+`"`) || got.code != code || got.reason == "" {
				t.Errorf("new, %s: %d %s, recorded %+v", name, a.StatusCode, a.body, got)
			}
			if (a.Header.Get("Retry-After") != "") != (status == 503) || a.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("new, %s: %v", name, a.Header)
			}
			if strings.Contains(a.body, "EOF") || strings.Contains(a.body, "login.holdfast") {
				t.Errorf("new, %s: %s", name, a.body)
			}
		}
		r.broken.Store(false)
		for name, way := range fresh {
			if client, q := way("GET", "/orders", ""); send(t, client, q).StatusCode != 200 {
				t.Errorf("%s: not after the issuer is back", name)
			}
		}
	})
}

// A gateway that begins while the issuer is down checks nothing, and says so.
func TestIssuerDownFromTheBeginning(t *testing.T) {
	r := landscape(t)
	r.broken.Store(true)
	h, err := r.ends.Handler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h = web.Wrap(h, web.Options{Now: r.now, Hosts: []string{"mtls.api.holdfast.localhost"}})
	q := r.certified(t, "GET", "/orders", pass{})
	q.TLS = &tls.ConnectionState{ServerName: "mtls.api.holdfast.localhost"}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"error":"temporarily_unavailable"`) || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// An API that is not the one it should be gets nothing, one that is slow or breaks off is told as such.
func TestAPIsThatFail(t *testing.T) {
	r := landscape(t)
	reached := false
	impostor := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer impostor.Close()
	u, err := url.Parse(impostor.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]m{"impostor": {"upstream": "https://orders.holdfast.localhost:" + u.Port()}, "slow": {"timeout": 1}} {
		body := m{"name": name, "hosts": []string{r.mtls}, "path": "/" + name, "upstream": r.api, "credentials": []string{"certificate"}, "audience": r.origin,
			"upstream_audience": r.api}
		for k, v := range more {
			body[k] = v
		}
		r.apply(t, []objects.Document{document("route", body)})
	}
	partner := r.client(t, &r.partner.KeyPair)
	r.does(func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	for path, want := range map[string]refusal{
		"/impostor": {502, "upstream_unavailable", nil}, "/away": {502, "upstream_unavailable", nil}, "/slow": {504, "upstream_timeout", nil},
	} {
		a := send(t, partner, r.certified(t, "GET", path, pass{}))
		if got := r.refusal(t); a.StatusCode != want.status || !strings.Contains(a.body, `"error":"`+want.code+`"`) || got.code != want.code || got.reason == "" {
			t.Errorf("%s: %d %s, recorded %+v", path, a.StatusCode, a.body, got)
		}
		for _, inside := range []string{"orders.", "127.0.0.1", "localhost", "x509", "dial", "context"} {
			if strings.Contains(a.body, inside) {
				t.Errorf("%s: %q is in %s", path, inside, a.body)
			}
		}
	}
	if reached {
		t.Error("somebody else got the request")
	}
	r.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half of it")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	a, err := partner.Do(r.certified(t, "GET", "/orders", pass{}))
	if err == nil {
		_, err = io.ReadAll(a.Body)
		_ = a.Body.Close()
	}
	if err == nil {
		t.Error("half an answer came as if it were whole")
	}
}
