package bff_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
)

const (
	sessionName = "__Host-Http-hf-demo-s"
	accessName  = "__Host-Http-hf-demo-a"
)

// forgery makes cookies from a good one: cut, changed, or sealed for somewhere else.
func (w *world) forgery(name, good string) map[string]string {
	w.t.Helper()
	app, err := objects.New(w.db).Application(w.t.Context(), "demo")
	if err != nil {
		w.t.Fatal(err)
	}
	back := *app
	back.Name = "back"
	own := &appsession.Sessions{DB: w.db, Ring: w.ring, Now: w.clock}
	stranger := &appsession.Sessions{DB: w.db, Ring: keys.NewRing(), Now: w.clock}
	neighbour := &appsession.Sessions{DB: w.db.For("beta"), Ring: w.ring, Now: w.clock}
	plain, ok := own.OpenCookie(app, name, good)
	if !ok {
		w.t.Fatal("the cookie does not open")
	}
	half := len(good) / 2
	return map[string]string{
		"without its end":         good[:len(good)-1],
		"half":                    good[:half],
		"its beginning":           good[:8],
		"changed":                 good[:half] + string(good[half]^1) + good[half+1:],
		"longer":                  good + "AAAA",
		"longer than any cookie":  good + strings.Repeat("A", 5000),
		"in clear":                url.QueryEscape(string(plain)),
		"of another installation": stranger.SealCookie(app, name, plain),
		"of another tenant":       neighbour.SealCookie(app, name, plain),
		"of another application":  own.SealCookie(&back, name, plain),
		"of another name":         own.SealCookie(app, name+"x", plain),
		"of the other cookie":     own.SealCookie(app, accessName, plain),
		"of nothing we know":      own.SealCookie(app, name, []byte("nothing")),
	}
}

// silent requires that an answer holds nothing of what must not be seen.
func (a *answer) silent(t *testing.T, secrets ...string) {
	t.Helper()
	var seen strings.Builder
	_ = a.Header.Write(&seen) // into memory
	seen.WriteString(a.body)
	for _, secret := range secrets {
		if secret != "" && strings.Contains(seen.String(), secret) {
			t.Errorf("%q is in %s", secret, &seen)
		}
	}
}

// A session cookie that is not whole, not ours or not in its place is that of nobody. Asking takes it from nobody either:
// meanwhile another tab may have got a new one; logging out does.
func TestWorthlessSessionCookies(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	s := b.opened()
	forged := w.forgery(sessionName, b.sessionCookie())
	b.start(nil)
	forged["of a login"] = b.cookies[b.logins()[0]]
	app, err := objects.New(w.db).Application(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	handle := keys.Handle(s.Record.ID, keys.NewSecret())
	forged["with another secret"] = (&appsession.Sessions{DB: w.db, Ring: w.ring, Now: w.clock}).SealCookie(app, sessionName, []byte(handle))
	for name, value := range forged {
		t.Run(name, func(t *testing.T) {
			thief := w.browser("demo")
			thief.cookies[sessionName] = value
			secrets := []string{value, b.sessionCookie(), s.Record.ID, s.AccessToken, s.RefreshToken.Reveal(), "alice"}
			if thief.who() != "" || thief.sessionCookie() != value {
				t.Error("somebody is logged in, or the cookie is gone")
			}
			a := thief.refresh()
			a.want(t, 401, "session_expired")
			a.silent(t, secrets...)
			if thief.sessionCookie() != value {
				t.Error("the cookie is gone")
			}
			a = thief.fetch("POST", "/logout", nil, nil)
			a.want(t, 401, "session_expired")
			a.silent(t, secrets...)
			if thief.sessionCookie() != "" {
				t.Error("the cookie stays")
			}
		})
	}
	if b.who() != "alice" {
		t.Error("the right one opens no more")
	}
}

// A login cookie of that sort answers no login, and the issuer is not asked.
func TestWorthlessLoginCookies(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	page := w.issuer.authorize(b.start(nil), "alice")
	name := b.logins()[0]
	good := b.cookies[name]
	forged := w.forgery(name, good)
	signedIn := w.browser("demo")
	signedIn.login("bob")
	forged["of a session"] = signedIn.sessionCookie()
	other := w.browser("demo")
	other.start(nil)
	forged["of another login"] = other.cookies[other.logins()[0]]
	asked := w.issuer.count("/token authorization_code")
	for what, value := range forged {
		t.Run(what, func(t *testing.T) {
			thief := w.browser("demo")
			thief.cookies[name] = value
			a := thief.fetch("POST", "/login/end", page, nil)
			a.want(t, 400, "invalid_state")
			a.silent(t, value, good, page.Get("code"), page.Get("state"))
			if len(thief.cookies) != 0 {
				t.Errorf("cookies %v", thief.cookies)
			}
		})
	}
	if w.issuer.count("/token authorization_code") != asked {
		t.Error("the issuer was asked")
	}
	b.fetch("POST", "/login/end", page, nil).ok(t)
}

// Cookies of before a logout, and of before another login, are over.
func TestStaleCookies(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	before := b.twin()
	b.login("alice")
	between := b.twin()
	b.fetch("POST", "/logout", nil, nil).ok(t)
	for name, tab := range map[string]*browser{"before the other login": before, "before the logout": between} {
		if tab.who() != "" {
			t.Errorf("%s: %s is logged in", name, tab.who())
		}
		tab.refresh().want(t, 401, "session_expired")
	}
	// A cookie twice is none: which one is meant, nobody knows.
	b.login("alice")
	b.fetch("POST", "/refresh", nil, http.Header{"Cookie": {sessionName + "=" + b.sessionCookie()}}).want(t, 401, "session_expired")
}

// RFC 6585 §5: who sends too much is told what to do, in words that pages can read.
func TestRFC6585_5_LargeHeaders(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	for _, q := range []struct{ method, path string }{{"POST", "/login/start"}, {"POST", "/login/end"}, {"GET", "/session"}, {"POST", "/refresh"}, {"POST", "/logout"}} {
		tab := b.twin()
		tab.cookies["other"] = strings.Repeat("x", 29<<10)
		a := tab.fetch(q.method, q.path, nil, nil)
		a.want(t, 431, "cookie_too_large")
		if !strings.Contains(a.json["message"].(string), "delete those of this host") || a.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%s: %s %v", q.path, a.body, a.Header)
		}
		if tab.cookies["other"] = strings.Repeat("x", 20<<10); q.method == "GET" && tab.who() != "alice" {
			t.Error("less is too much as well")
		}
	}
	if b.who() != "alice" {
		t.Error("the session is gone")
	}
	w.browser("demo").fetch("GET", "/session", nil, http.Header{"X-Large": {strings.Repeat("x", 29<<10)}}).want(t, 431, "invalid_request")
}
