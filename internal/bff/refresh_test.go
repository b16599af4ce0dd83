package bff_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
)

const refreshRequest = "/token refresh_token"

func (b *browser) refresh() *answer { return b.fetch("POST", "/refresh", url.Values{}, nil) }

func TestRefresh(t *testing.T) {
	for name, rotate := range map[string]bool{"a bound refresh token stays": false, "a foreign issuer rotates": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.issuer.rotate = rotate
			b := w.browser("demo")
			b.login("alice")
			first := b.opened()
			cookie := b.sessionCookie()
			for range 3 {
				w.sleep(4 * time.Minute)
				if a := b.refresh().ok(t); a.body != `{"access_token_expires_in":300}` {
					t.Errorf("got %s", a.body)
				}
			}
			last := b.opened()
			if last.AccessToken == first.AccessToken || (last.RefreshToken != first.RefreshToken) != rotate || last.Record.ID != first.Record.ID ||
				last.IDClaims == nil || last.Scope != "openid read" || b.who() != "alice" {
				t.Errorf("%+v, then %+v", first.Record, last.Record)
			}
			if b.sessionCookie() == cookie {
				t.Error("the cookie was not issued anew")
			}
			if !last.Record.IdleUntil.Equal(w.clock().Add(8 * time.Hour)) {
				t.Errorf("idle until %v", last.Record.IdleUntil)
			}
			w.audited("app_session.refresh", 3)
		})
	}
}

// TestFiftyRefreshesMakeOne has two nodes, fifty calls at the same moment, and an issuer that takes a second use of a
// refresh token for theft.
func TestFiftyRefreshesMakeOne(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := worldOn(t, url, 2)
		w.issuer.rotate = true
		b := w.browser("demo")
		b.login("alice")
		old := b.opened()
		w.sleep(4 * time.Minute)
		w.issuer.set(func() {
			w.issuer.before = func(path string) {
				if path == "/token" {
					time.Sleep(50 * time.Millisecond) // let the others come
				}
			}
		})
		before := w.issuer.count(refreshRequest)
		var wg sync.WaitGroup
		for i := range 50 {
			tab := b.twin()
			tab.node = i % 2
			wg.Go(func() {
				if a := tab.refresh(); a.StatusCode != 200 || a.body != `{"access_token_expires_in":300}` {
					t.Errorf("got %d %s", a.StatusCode, a.body)
				}
				if tab.who() != "alice" {
					t.Error("a tab is logged out")
				}
			})
		}
		wg.Wait()
		// One refresh, whose proof had a nonce that is too old by now.
		if n := w.issuer.count(refreshRequest) - before; n != 2 {
			t.Errorf("the issuer was asked %d times", n)
		}
		if now := b.opened(); now.AccessToken == old.AccessToken || now.RefreshToken == old.RefreshToken {
			t.Error("nothing was refreshed")
		}
		w.audited("app_session.refresh", 1)
	})
}

func TestGrace(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	b.refresh().ok(t)
	asked := func(want int, what string) {
		t.Helper()
		if n := w.issuer.count(refreshRequest); n != want {
			t.Errorf("%s: asked %d times, want %d", what, n, want)
		}
	}
	asked(1, "first")
	w.sleep(29 * time.Second)
	if a := b.refresh().ok(t); a.json["access_token_expires_in"] != 271.0 {
		t.Errorf("got %s", a.body)
	}
	asked(1, "within the grace")
	b.fetch("POST", "/refresh", url.Values{"scope": {"openid"}}, nil).ok(t)
	asked(2, "with other parameters")
	b.fetch("POST", "/refresh", url.Values{"scope": {"openid"}}, nil).ok(t)
	asked(2, "with the same again")
	w.sleep(30 * time.Second)
	b.fetch("POST", "/refresh", url.Values{"scope": {"openid"}}, nil).ok(t)
	asked(3, "after the grace")
	w.issuer.set(func() { w.issuer.expiresIn = 5 })
	b.refresh().ok(t)
	w.sleep(5 * time.Second)
	b.refresh().ok(t)
	asked(5, "an expired token has no grace")
}

func TestRefreshTakesNoOtherParameter(t *testing.T) {
	b := newWorld(t).browser("demo")
	b.login("alice")
	for _, name := range []string{"grant_type", "refresh_token", "client_id", "client_assertion", "resource", "code", "x"} {
		b.fetch("POST", "/refresh", url.Values{name: {"x"}}, nil).want(t, 400, "invalid_request")
	}
	if n := b.w.issuer.count(refreshRequest); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestDeadRefreshTokenEndsTheSession(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	w.issuer.set(func() { clear(w.issuer.refresh) })
	b.start(nil)
	tab := b.twin()
	b.refresh().want(t, 401, "session_expired")
	if b.sessionCookie() != "" || tab.who() != "" || len(b.logins()) != 1 {
		t.Errorf("cookies %v", b.cookies)
	}
	tab.refresh().want(t, 401, "session_expired")
	if tab.sessionCookie() == "" {
		t.Error("who has ended nothing takes no cookie away")
	}
	w.audited("app_session.end", 1)
}

func TestRefreshThatFailsForAWhile(t *testing.T) {
	w := newWorld(t)
	w.issuer.rotate = true
	b := w.browser("demo")
	b.login("alice")
	for name, change := range map[string]func(){
		"down":           func() { w.issuer.fail["/token"] = 503 },
		"nonsense":       func() { w.issuer.fail["/token"] = 400 },
		"a redirect":     func() { w.issuer.fail["/token"] = 302 },
		"client unknown": func() { w.issuer.refuse["/token"] = oauth.InvalidClient },
		"busy":           func() { w.issuer.refuse["/token"] = oauth.TemporarilyUnavailable },
	} {
		w.issuer.set(change)
		if a := b.refresh(); a.StatusCode != 502 || a.code() != "authorization_server_error" || b.who() != "alice" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		w.issuer.set(func() { clear(w.issuer.fail); clear(w.issuer.refuse) })
		b.refresh().ok(t)
		w.sleep(time.Minute)
	}
	w.issuer.set(func() { w.issuer.refuse["/token"] = oauth.InvalidScope })
	b.fetch("POST", "/refresh", url.Values{"scope": {"more"}}, nil).want(t, 400, "authorization_error")
	if b.who() != "alice" {
		t.Error("a scope too many has ended the session")
	}
}

// TestWaitersShareTheFailure has an issuer that is down: the one who asks it learns that, and the others do not each
// find out for themselves.
func TestWaitersShareTheFailure(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	entered := make(chan struct{}, 100)
	hold := make(chan struct{})
	w.issuer.set(func() {
		w.issuer.fail["/token"] = 503
		w.issuer.before = func(path string) { entered <- struct{}{}; <-hold }
	})
	before := w.issuer.count(refreshRequest)
	var wg sync.WaitGroup
	refresh := func(tab *browser) {
		tab.refresh().want(t, 502, "authorization_server_error")
	}
	first := b.twin()
	wg.Go(func() { refresh(first) })
	<-entered
	for range 10 {
		tab := b.twin()
		wg.Go(func() { refresh(tab) })
	}
	time.Sleep(200 * time.Millisecond) // they wait
	close(hold)
	wg.Wait()
	if n := w.issuer.count(refreshRequest) - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
	if b.who() != "alice" {
		t.Error("the session is gone")
	}
}

// TestLostRaceEndsNothing has a node that comes back after its lease, when another one has used the refresh token.
func TestLostRaceEndsNothing(t *testing.T) {
	w := newWorld(t)
	w.issuer.rotate = true
	b := w.browser("demo")
	b.login("alice")
	entered, hold := make(chan struct{}), make(chan struct{})
	var came atomic.Bool
	w.issuer.set(func() {
		w.issuer.before = func(path string) {
			if path == "/token" && came.CompareAndSwap(false, true) {
				close(entered)
				<-hold
			}
		}
	})
	slow := b.twin()
	done := make(chan *answer)
	go func() { done <- slow.refresh() }()
	<-entered
	w.sleep(30 * time.Second) // the lease is over
	b.refresh().ok(t)
	w.sleep(time.Second)
	close(hold)
	a := <-done
	if a.StatusCode != 200 || slow.sessionCookie() == "" || slow.who() != "alice" || b.who() != "alice" {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	w.sleep(time.Minute)
	slow.refresh().ok(t)
}

// TestPageThatLeaves breaks a refresh off when the issuer has already rotated.
func TestPageThatLeaves(t *testing.T) {
	w := newWorld(t)
	w.issuer.rotate = true
	b := w.browser("demo")
	b.login("alice")
	ctx, leave := context.WithCancel(t.Context())
	w.issuer.set(func() {
		w.issuer.before = func(path string) {
			if path == "/token" {
				leave()
			}
		}
	})
	r := httptest.NewRequest("POST", backend+"/apps/demo/refresh", nil).WithContext(ctx)
	r.Header.Set("Token-Handler-Version", "1")
	r.Header.Set("Origin", origin)
	r.AddCookie(&http.Cookie{Name: "__Host-Http-hf-demo-s", Value: b.sessionCookie()})
	w.nodes[0].ServeHTTP(httptest.NewRecorder(), r)
	w.sleep(time.Minute)
	b.refresh().ok(t)
	if b.who() != "alice" {
		t.Error("the session is gone")
	}
}

func TestLogoutDuringRefresh(t *testing.T) {
	w := newWorld(t)
	w.issuer.rotate = true
	b := w.browser("demo")
	b.login("alice")
	entered, hold := make(chan struct{}), make(chan struct{})
	w.issuer.set(func() {
		w.issuer.before = func(path string) {
			if path == "/token" {
				close(entered)
				<-hold
			}
		}
	})
	tab := b.twin()
	done := make(chan *answer)
	go func() { done <- tab.refresh() }()
	<-entered
	b.fetch("POST", "/logout", nil, nil).ok(t)
	close(hold)
	(<-done).want(t, 401, "session_expired")
	w.issuer.mu.Lock()
	defer w.issuer.mu.Unlock()
	if len(w.issuer.refresh) != 0 {
		t.Error("the new refresh token lives on")
	}
}

func TestSessionWithoutRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.issuer.noRefresh = true
	b := w.browser("demo")
	if a := b.login("alice"); a.json["session_expires_in"] != 300.0 {
		t.Errorf("got %s", a.body)
	}
	w.sleep(100 * time.Second)
	if a := b.refresh().ok(t); a.json["access_token_expires_in"] != 200.0 {
		t.Errorf("got %s", a.body)
	}
	w.sleep(200 * time.Second)
	b.refresh().want(t, 401, "session_expired")
	if w.issuer.count(refreshRequest) != 0 {
		t.Error("the issuer was asked")
	}
}

func TestOIDC_Core_12_2_RefreshedIDToken(t *testing.T) {
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	for name, tc := range map[string]struct {
		claims func(map[string]any)
		good   bool
	}{
		"right":             {nil, true},
		"a new sid":         {set("sid", "another"), true},
		"another sub":       {set("sub", "mallory"), false},
		"another iss":       {set("iss", "https://x.example"), false},
		"another aud":       {set("aud", "spa-back"), false},
		"another nonce":     {set("nonce", strings.Repeat("x", 43)), false},
		"another auth_time": {set("auth_time", 1893553446), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser("demo")
			b.login("alice")
			w.issuer.set(func() { w.issuer.claims = tc.claims })
			w.sleep(time.Minute)
			if tc.good {
				b.refresh().ok(t)
				return
			}
			b.refresh().want(t, 401, "session_expired")
			if b.who() != "" || len(w.issuer.revoked) == 0 {
				t.Error("the session goes on")
			}
		})
	}
}

// TestSessionDoesNotSlideByItself asks for the session all day.
func TestSessionDoesNotSlideByItself(t *testing.T) {
	w := newWorld(t)
	b, c := w.browser("demo"), w.browser("demo")
	b.login("alice")
	c.login("bob")
	for range 9 {
		w.sleep(time.Hour)
		b.who()
		c.fetch("GET", "/session?slide=true", nil, nil)
	}
	if b.who() != "" || c.who() != "bob" {
		t.Errorf("%q and %q", b.who(), c.who())
	}
	b.refresh().want(t, 401, "session_expired")
	w.sleep(15 * time.Hour)
	if c.who() != "" {
		t.Error("longer than a day")
	}
}
