package bff_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/limit"
)

// While the issuer is down, those who are logged in stay so; what needs the issuer says so, in words that give nothing away.
func TestIssuerDown(t *testing.T) {
	w := newWorld(t)
	alice, leaving, coming, late := w.browser("demo"), w.browser("demo"), w.browser("demo"), w.browser("demo")
	alice.login("alice")
	leaving.login("bob")
	page := w.issuer.authorize(coming.start(nil), "carol")
	before := alice.opened()
	w.issuer.server.Close()
	w.sleep(time.Minute)

	down := func(a *answer) {
		t.Helper()
		a.want(t, 502, "authorization_server_error")
		if !strings.Contains(a.json["message"].(string), "authorization server failed") {
			t.Errorf("it does not say so: %s", a.body)
		}
		a.silent(t, "127.0.0.1", "refused", "dial", w.issuer.id(), page.Get("code"), before.RefreshToken.Reveal())
	}
	if alice.who() != "alice" {
		t.Error("the session is gone")
	}
	down(alice.refresh())
	if now := alice.opened(); alice.who() != "alice" || now.AccessToken != before.AccessToken || now.RefreshToken != before.RefreshToken {
		t.Error("the refresh that failed has changed the session")
	}
	down(late.fetch("POST", "/login/start", url.Values{}, nil))
	if len(late.cookies) != 0 {
		t.Errorf("cookies of a login that has not begun: %v", late.cookies)
	}
	down(coming.fetch("POST", "/login/end", page, nil))
	if coming.sessionCookie() != "" || coming.who() != "" {
		t.Error("somebody is logged in without a token")
	}
	coming.fetch("POST", "/login/end", page, nil).want(t, 400, "login_expired") // its code may be gone
	if leaving.fetch("POST", "/logout", nil, nil).ok(t); leaving.who() != "" {
		t.Error("nobody can leave")
	}
	w.sleep(2 * time.Hour) // what is known of the issuer is too old
	down(late.fetch("POST", "/login/start", url.Values{}, nil))
	down(alice.refresh())
	if alice.who() != "alice" {
		t.Error("the session has not outlasted the issuer")
	}
}

// A network that begins too many logins waits; others do not.
func TestTooManyLogins(t *testing.T) {
	w := newWorld(t)
	w.logins = &limit.Rate{Every: time.Second, Burst: 2, Now: w.clock}
	w.nodes[0] = w.node(w.db)
	b := w.browser("demo")
	for range 2 {
		b.start(nil)
	}
	pushed := w.issuer.count("/par ")
	a := b.fetch("POST", "/login/start", url.Values{}, nil)
	a.want(t, 429, "too_many_requests")
	if a.Header.Get("Retry-After") == "" || w.issuer.count("/par ") != pushed {
		t.Errorf("%v, and the issuer was asked", a.Header)
	}
	w.sleep(time.Second)
	b.start(nil)
}

// Who waits for another's refresh for too long is told to come again, and the session stays.
func TestRefreshThatTakesTooLong(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	entered, hold := make(chan struct{}, 10), make(chan struct{})
	w.issuer.set(func() {
		w.issuer.before = func(path string) {
			if path == "/token" {
				entered <- struct{}{}
				<-hold
			}
		}
	})
	first, second := b.twin(), b.twin()
	done := make(chan *answer, 1)
	go func() { done <- first.refresh() }()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := httptest.NewRequest("POST", backend+"/apps/demo/refresh", nil).WithContext(ctx)
	r.Header.Set("Token-Handler-Version", "1")
	r.Header.Set("Origin", origin)
	r.AddCookie(&http.Cookie{Name: sessionName, Value: second.sessionCookie()})
	rec := httptest.NewRecorder()
	w.nodes[0].ServeHTTP(rec, r)
	a := second.take(rec)
	a.want(t, 503, "temporarily_unavailable")
	if a.Header.Get("Retry-After") != "1" || second.sessionCookie() == "" {
		t.Errorf("%v", a.Header)
	}
	close(hold)
	if (<-done).ok(t); b.who() != "alice" {
		t.Error("the session is gone")
	}
}
