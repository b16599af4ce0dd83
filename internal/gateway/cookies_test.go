package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// silent requires that neither an answer nor the record of it holds what is nobody's business.
func (r *rig) silent(t *testing.T, a reply, secrets ...string) {
	t.Helper()
	var seen strings.Builder
	_ = a.Header.Write(&seen) // into memory
	fmt.Fprintf(&seen, "%s\n%+v", a.body, r.refusal(t))
	for _, secret := range secrets {
		if secret != "" && strings.Contains(seen.String(), secret) {
			t.Errorf("%q is in %s", secret, &seen)
		}
	}
}

// A cookie that is not whole, not ours, not of now or not in its place opens nothing, and says nothing.
func TestWorthlessCookies(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	cookie, s := r.cookie(t, "demo", "alice", false)
	ended, gone := r.cookie(t, "demo", "alice", false)
	r.write(t, func(tx *store.Tx) error { _, err := tx.EndAppSession(gone.Record.ID); return err })
	foreign, _ := r.cookie(t, "backoffice", "alice", false)
	app, err := r.reg.Application(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	handle, ok := r.session.OpenCookie(app, cookie.Name, cookie.Value)
	if !ok {
		t.Fatal("the cookie does not open")
	}
	stranger := &appsession.Sessions{DB: r.db, Ring: keys.NewRing(), Now: r.now}
	neighbour := &appsession.Sessions{DB: open(t, r.url).For("beta"), Ring: r.ring, Now: r.now}
	half := len(cookie.Value) / 2
	for name, value := range map[string]string{
		"without its end":             cookie.Value[:len(cookie.Value)-1],
		"half":                        cookie.Value[:half],
		"its beginning":               cookie.Value[:8],
		"changed":                     cookie.Value[:half] + string(cookie.Value[half]^1) + cookie.Value[half+1:],
		"longer":                      cookie.Value + "AAAA",
		"longer than any cookie":      cookie.Value + strings.Repeat("A", 5000),
		"in clear":                    string(handle),
		"of another installation":     stranger.SealCookie(app, cookie.Name, handle),
		"of another tenant":           neighbour.SealCookie(app, cookie.Name, handle),
		"of another application":      foreign.Value,
		"of a login":                  r.session.SealCookie(app, appsession.LoginCookiePrefix(app)+"12345678", handle),
		"of the other name":           r.session.SealCookie(app, appsession.AccessCookieName(app), handle),
		"with another secret":         r.session.SealCookie(app, cookie.Name, []byte(keys.Handle(s.Record.ID, keys.NewSecret()))),
		"of a session that never was": r.session.SealCookie(app, cookie.Name, []byte(keys.Handle(store.NewID(), keys.NewSecret()))),
		"of a session that has ended": ended.Value,
	} {
		t.Run(name, func(t *testing.T) {
			before := r.count()
			a := send(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), &http.Cookie{Name: cookie.Name, Value: value}))
			if got := r.refusal(t); a.StatusCode != 401 || !strings.Contains(a.body, `"code":"session_expired"`) || got.code != "session_expired" || r.count() != before {
				t.Errorf("%d %s, recorded %+v, the API has seen %d", a.StatusCode, a.body, got, r.count()-before)
			}
			if len(a.Cookies()) > 0 {
				t.Errorf("set %v", a.Cookies()) // meanwhile another tab may have got a new one
			}
			r.silent(t, a, value, string(handle), s.Record.ID, s.AccessToken)
		})
	}
	if a := send(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie)); a.StatusCode != 200 {
		t.Errorf("the right one: %d %s", a.StatusCode, a.body)
	}
}

// A session outlives its access token, which its page can get anew; and it ends when nobody uses it.
func TestStaleCookies(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	cookie, s := r.cookie(t, "demo", "alice", false)
	revoked, _ := r.cookie(t, "demo", "alice", false)
	ask := func(c *http.Cookie, status int, code string) {
		t.Helper()
		eventually(t, "the feed follows", func() bool { return !r.feed.Stale() })
		r.wantPage(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), c), status, code)
	}
	ask(cookie, 200, "")
	r.write(t, func(tx *store.Tx) error {
		return tx.AddEvent(store.Event{Kind: store.EventClient, Key: "spa", NotBefore: r.now(), ExpiresAt: r.now().Add(time.Hour)})
	})
	eventually(t, "the revocation is heard", func() bool {
		return send(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), revoked)).StatusCode == 401
	})
	ask(revoked, 401, "token_expired")
	r.pass(6 * time.Minute)
	ask(cookie, 401, "token_expired")
	r.silent(t, send(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie)), s.AccessToken, s.Record.ID, cookie.Value)
	r.pass(8 * time.Hour)
	ask(cookie, 401, "session_expired")
}

// RFC 6585 §5: headers that nearly are too large are refused with advice, that pages can read; the server refuses the rest.
func TestRFC6585_5_LargeHeaders(t *testing.T) {
	r := landscape(t)
	cookie, _ := r.cookie(t, "demo", "alice", false)
	other := func(size int) *http.Cookie { return &http.Cookie{Name: "other", Value: strings.Repeat("x", size)} }
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			outside, partner := r.client(t, nil), r.client(t, &r.partner.KeyPair)
			outside.Transport.(*http.Transport).ForceAttemptHTTP2 = version == "HTTP/2.0"
			partner.Transport.(*http.Transport).ForceAttemptHTTP2 = version == "HTTP/2.0"
			page := func(size int) *http.Request {
				q := fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie)
				q.AddCookie(other(size))
				return q
			}
			r.wantPage(t, outside, page(20<<10), 200, "")
			r.wantPage(t, outside, page(29<<10), 431, "cookie_too_large")
			a := send(t, outside, page(29<<10))
			if !strings.Contains(a.body, "delete those of this host") || a.Header.Get("Access-Control-Allow-Origin") != spa || a.Proto != version {
				t.Errorf("%s %s %v", a.Proto, a.body, a.Header)
			}
			q := r.certified(t, "GET", "/orders", pass{})
			q.Header.Set("X-Large", strings.Repeat("x", 29<<10))
			r.wantRefusal(t, partner, q, refusal{431, "invalid_request", nil})
			if version == "HTTP/2.0" {
				return // the client knows the limit, and does not even ask
			}
			before := r.count()
			q.Header.Set("X-Large", strings.Repeat("x", 60<<10))
			if a := send(t, partner, q); a.StatusCode != 431 || r.count() != before || len(a.body) > 200 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
}
