package gateway_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/gateway"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// A token that is not exchanged goes on with what it is bound to, and the API checks it as if the client had come to it:
// for the address outside, against the certificate of the client that the gateway vouches for.
func TestRFC9440_2_WithoutExchange(t *testing.T) {
	r := landscape(t)
	ours := ca.Thumbprint(r.up.Leaf())
	r.checks(t, resource.Config{Audience: r.origin, Origins: []string{r.origin, r.mtls}, TrustClientCert: func(q resource.Request) bool {
		return q.TLS != nil && ca.Thumbprint(q.TLS.PeerCertificates[0]) == ours
	}})
	for name, way := range r.ways(t) {
		if strings.HasSuffix(name, "opaque") {
			continue // the API of this test reads JWTs only
		}
		t.Run(name, func(t *testing.T) {
			for range 2 {
				client, q := way("POST", "/asis/7?x=1", "hello")
				if a := send(t, client, q); a.StatusCode != 200 || a.Header.Get("X-Api-Subject") != "alice" {
					t.Fatalf("%d %s %v", a.StatusCode, a.body, a.Header)
				}
				if sent := q.Header.Get("Authorization"); sent != "" && !strings.EqualFold(r.last(t).Header.Get("Authorization"), sent) {
					t.Errorf("the API got another token")
				}
			}
		})
	}
	if r.traded.Load() != 0 {
		t.Error("something was exchanged")
	}
	partner := r.client(t, &r.partner.KeyPair)
	if a := send(t, partner, r.certified(t, "GET", "/asisloose", pass{client: "loose"})); a.StatusCode != 401 || r.last(t).Header.Get("Client-Cert") != "" {
		t.Errorf("a bearer token, with a certificate that has nothing to do with it: %d", a.StatusCode)
	}
}

// foreignSession is a session of an application that signs people in elsewhere.
func (r *rig) foreignSession(t *testing.T, kind string) *http.Cookie {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	r.apply(t, []objects.Document{document("application", m{"name": "demo", "client_id": "spa", "key": key, "origins": []string{spa},
		"redirect_uri": spa + "/callback", "issuer": "https://elsewhere.example", "allow_bearer_tokens": true})})
	app, err := r.reg.Application(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	var s *appsession.Session
	r.write(t, func(tx *store.Tx) (err error) {
		s, err = r.session.New(tx, app, store.AppSession{Issuer: "https://elsewhere.example", Subject: "alice"}, appsession.Tokens{
			AccessToken: "of-elsewhere", TokenType: kind, Scope: "read", AccessExpiresAt: r.now().Add(time.Minute), Key: key,
		})
		return err
	})
	w := httptest.NewRecorder()
	r.session.SetCookie(w, app, s)
	c := w.Result().Cookies()[0]
	return &http.Cookie{Name: c.Name, Value: c.Value}
}

// The token of another issuer is never shown to ours; it goes on as it is where the route says so, bound as it is.
func TestForeignIssuer(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	for kind, status := range map[string]int{oauth.TypeDPoP: 200, oauth.TypeBearer: 500} {
		cookie := r.foreignSession(t, kind)
		a := send(t, client, fromPage(newRequest(t, "GET", r.origin+"/asis", ""), cookie))
		if a.StatusCode != status {
			t.Errorf("%s: %d %s", kind, a.StatusCode, a.body)
		}
		if status == 200 {
			if got := r.last(t).Header; got.Get("Authorization") != "DPoP of-elsewhere" || got.Get("DPoP") == "" {
				t.Errorf("%s: the API got %v", kind, got)
			}
		}
		if a := send(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie)); a.StatusCode != 500 {
			t.Errorf("%s, exchanged: %d %s", kind, a.StatusCode, a.body)
		}
	}
	if r.asked.Load()+r.traded.Load() != 0 {
		t.Error("our issuer was shown the token of another")
	}
}

// What goes wrong behind is told as such, in JSON and without what it was.
func TestWhatGoesWrongBehind(t *testing.T) {
	r := landscape(t)
	partner, outside := r.client(t, &r.partner.KeyPair), r.client(t, nil)
	cookie, _ := r.cookie(t, "demo", "alice", false)
	page := func(path, body string) *http.Request {
		return fromPage(newRequest(t, "POST", r.origin+path, body), cookie)
	}
	expect := func(name string, a reply, status int, code string) {
		t.Helper()
		if a.StatusCode != status || !strings.Contains(a.body, `"`+code+`"`) || a.Header.Get("Cache-Control") != "no-store" || strings.Contains(a.body, "127.0.0.1") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		if got := r.refusal(t); got.code != code || got.status != status || got.reason == "" && code != "invalid_request" {
			t.Errorf("%s: recorded %+v", name, got)
		}
	}
	expect("nobody listens", send(t, partner, r.certified(t, "GET", "/away", pass{})), 502, "upstream_unavailable")
	r.does(func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	expect("too late", send(t, outside, page("/spa", "")), 504, "upstream_timeout")
	r.does(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	expect("broken off", send(t, outside, page("/spa", "x")), 502, "upstream_unavailable")
	r.does(func(_ http.ResponseWriter, q *http.Request) { _, _ = io.Copy(io.Discard, q.Body) })
	expect("too large", send(t, outside, page("/orders", strings.Repeat("x", 1<<16+1))), 413, "invalid_request")
	q := page("/orders", "")
	q.Body, q.ContentLength, q.GetBody = io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<18))), -1, nil
	expect("too large, of no said length", send(t, outside, q), 413, "invalid_request")
	if a := send(t, outside, page("/orders", strings.Repeat("x", 1<<16))); a.StatusCode != 200 {
		t.Errorf("just as large as it may be: %d %s", a.StatusCode, a.body)
	}
	r.broken.Store(true)
	expect("no issuer to exchange", send(t, partner, r.certified(t, "GET", "/orders", pass{})), 502, "authorization_server_error")
	expect("no issuer to ask", send(t, partner, r.certified(t, "GET", "/orders", pass{opaque: true, client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}})), 503, "temporarily_unavailable")
}

// An issuer that answers something else than what was asked for is not believed.
func TestExchangeIsChecked(t *testing.T) {
	r := landscape(t)
	good := r.issuer
	partner := r.client(t, &r.partner.KeyPair)
	own, _ := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}})
	for name, c := range map[string]struct {
		answer string
		status int
	}{
		"no JSON":                 {"<html>", 502},
		"no token":                {`{}`, 502},
		"a token for us":          {`{"access_token": "` + own + `", "token_type": "Bearer", "expires_in": 60}`, 502},
		"two tokens":              {`{"access_token": "a", "access_token": "b", "token_type": "Bearer"}`, 502},
		"an opaque one":           {`{"access_token": "abc.def", "token_type": "Bearer", "expires_in": 60}`, 502},
		"an answer without end":   {`{"access_token": "` + strings.Repeat("x", 1<<17) + `"}`, 502},
		"a redirect":              {"302", 502},
		"a refusal of the client": {"401", 502},
		"bound to somebody else":  {"stale", 503},
	} {
		t.Run(name, func(t *testing.T) {
			r.issuer = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				switch {
				case q.URL.Path != "/token":
					good.ServeHTTP(w, q)
				case c.answer == "302":
					http.Redirect(w, q, "/jwks", http.StatusFound)
				case c.answer == "401":
					http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
				case c.answer == "stale":
					q.TLS.PeerCertificates[0] = r.phone.Leaf
					fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 60}`, r.exchangedFor(t, r.phone.X5T()))
				default:
					_, _ = io.WriteString(w, c.answer)
				}
			})
			before := r.count()
			if a := send(t, partner, r.certified(t, "GET", "/orders", pass{})); a.StatusCode != c.status || r.count() != before {
				t.Errorf("%d %s, the API has seen %d", a.StatusCode, a.body, r.count()-before)
			}
		})
	}
	r.issuer = good
}

// exchangedFor is a token for the API behind that is bound to somebody's certificate.
func (r *rig) exchangedFor(t *testing.T, x5t string) string {
	t.Helper()
	own, _ := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: x5t}})
	key, err := r.signing.Signer(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	seen, err := jose.Peek(own)
	if err != nil || seen.Claims(&claims) != nil {
		t.Fatal(err)
	}
	claims["aud"] = r.api
	token, err := key.Sign("at+jwt", claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// FAPI 1.0 part 1 §6.2.1 (11): the id of an interaction comes back, and nothing else that stands there does.
func TestInteractionID(t *testing.T) {
	r := landscape(t)
	partner := r.client(t, &r.partner.KeyPair)
	q := r.certified(t, "GET", "/orders", pass{})
	for id, want := range map[string]string{
		"c770aef3-6784-41f7-8e0e-ff5f97bddb3a": "c770aef3-6784-41f7-8e0e-ff5f97bddb3a",
		"not a uuid":                           "", "c770aef3-6784-41f7-8e0e-ff5f97bddb3": "", "": "",
	} {
		q.Header.Set("X-Fapi-Interaction-Id", id)
		a := send(t, partner, q)
		if got := a.Header.Get("X-Fapi-Interaction-Id"); a.StatusCode != 200 || got != want || r.last(t).Header.Get("X-Fapi-Interaction-Id") != want {
			t.Errorf("%q: %d, %q came back, the API got %q", id, a.StatusCode, got, r.last(t).Header.Get("X-Fapi-Interaction-Id"))
		}
	}
	q.Header.Set("X-Fapi-Interaction-Id", "c770aef3-6784-41f7-8e0e-ff5f97bddb3a")
	q.URL.Path = "/nowhere"
	if a := send(t, partner, q); a.StatusCode != 404 || a.Header.Get("X-Fapi-Interaction-Id") == "" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// A session that is used stays open, without a write for every request, and is read again once a minute.
func TestUseKeepsASessionOpen(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	cookie, s := r.cookie(t, "demo", "alice", false)
	idle := func() (v store.AppSession) {
		r.write(t, func(tx *store.Tx) (err error) { v, err = tx.AppSession(s.Record.ID); return err })
		return v
	}
	first := idle().IdleUntil
	var used []time.Time
	for range 4 {
		r.pass(40 * time.Second)
		eventually(t, "the feed follows", func() bool { return !r.feed.Stale() })
		if a := send(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie)); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		used = append(used, idle().IdleUntil)
	}
	if !used[3].After(first) || len(slices.Compact(used)) > 3 {
		t.Errorf("idle until %v, then %v", first, used)
	}
}

// HEAD has the headers of an answer and no body; an answer of an API that is an error is its own business.
func TestAnswersPassAsTheyAre(t *testing.T) {
	r := landscape(t)
	partner := r.client(t, &r.partner.KeyPair)
	r.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"title":"no"}`)
	})
	for method, body := range map[string]string{"GET": `{"title":"no"}`, "HEAD": ""} {
		a := send(t, partner, r.certified(t, method, "/orders", pass{}))
		if a.StatusCode != 409 || a.body != body || a.Header.Get("Etag") != `"1"` || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %q %v", method, a.StatusCode, a.body, a.Header)
		}
	}
	if len(r.refusals) != 0 {
		t.Errorf("recorded %+v", r.refusals)
	}
}

// Handler says what it lacks.
func TestHandlerNeedsItsParts(t *testing.T) {
	r := landscape(t)
	for name, lose := range map[string]func(e *gateway.Endpoints){
		"issuer":  func(e *gateway.Endpoints) { e.Issuer = "" },
		"origins": func(e *gateway.Endpoints) { e.Origins = nil },
		"feed":    func(e *gateway.Endpoints) { e.Feed = nil },
		"way out": func(e *gateway.Endpoints) { e.Upstream = nil },
		"https":   func(e *gateway.Endpoints) { e.Issuer = "http://login.example" },
	} {
		e := *r.ends
		lose(&e)
		if _, err := e.Handler(t.Context()); err == nil {
			t.Errorf("without %s there is a gateway", name)
		}
	}
	if r.up.Use(tls.Certificate{}) == nil {
		t.Error("an empty certificate was taken")
	}
}
