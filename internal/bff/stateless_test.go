package bff_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// stateless makes a world whose application demo has its sessions carried by browsers, with so many nodes.
func stateless(t *testing.T, nodes int) *world { return statelessOn(t, storetest.SQLiteURL(t), nodes) }

func statelessOn(t *testing.T, database string, nodes int) *world {
	t.Helper()
	w := worldOn(t, database, nodes)
	w.feed = feed.New(w.db.For(""), w.clock)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { w.feed.Run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	for i := range w.nodes {
		w.nodes[i] = w.node(w.db) // each has a memory of its own
	}
	w.store("demo", "stateless")
	w.eventually("the feed is ready", w.feed.Ready)
	return w
}

// store says where the sessions of an application are from now on.
func (w *world) store(app, where string) {
	w.t.Helper()
	w.apply(app, func(m map[string]any) { m["session_storage"] = where })
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// pass lets time go by, and the feed follow.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.sleep(d)
	w.eventually("the feed follows", func() bool { return !w.feed.Stale() })
}

const (
	firstCookie  = "__Host-Http-hf-demo-s"
	secondCookie = "__Host-Http-hf-demo-a"
)

// carried is the session of the browser as another node would open it.
func (b *browser) carried() *appsession.Session {
	b.w.t.Helper()
	app, err := objects.New(b.w.db).Application(b.w.t.Context(), b.app)
	if err != nil {
		b.w.t.Fatal(err)
	}
	sessions := &appsession.Sessions{DB: b.w.db, Ring: b.w.ring, Now: b.w.clock, Feed: b.w.feed}
	s, err := sessions.Open(b.w.t.Context(), app, b.cookies[firstCookie]+"."+b.cookies[secondCookie])
	if err != nil {
		b.w.t.Fatal(err)
	}
	return s
}

// over waits until the browser is nobody's.
func (b *browser) over() {
	b.w.t.Helper()
	b.w.eventually("the session is over", func() bool { return b.who() == "" })
}

func TestStatelessSession(t *testing.T) {
	for name, rotate := range map[string]bool{"a bound refresh token stays": false, "a foreign issuer rotates": true} {
		t.Run(name, func(t *testing.T) {
			w := stateless(t, 1)
			w.issuer.rotate = rotate
			b := w.browser("demo")
			if a := b.login("alice"); a.json["session_expires_in"] != 28800.0 || a.json["access_token_expires_in"] != 300.0 {
				t.Errorf("got %s", a.body)
			}
			first := b.carried()
			if len(b.cookies) != 2 || b.cookies[secondCookie] == "" || !first.Key.IsPrivate() || first.TokenType != "DPoP" {
				t.Errorf("cookies %v", b.cookies)
			}
			err := w.db.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.AppSession(first.Record.ID); return err })
			if err == nil {
				t.Error("the store has the session")
			}
			for range 3 {
				w.pass(4 * time.Minute)
				if a := b.refresh().ok(t); a.body != `{"access_token_expires_in":300}` {
					t.Errorf("got %s", a.body)
				}
			}
			last := b.carried()
			if last.AccessToken == first.AccessToken || (last.RefreshToken != first.RefreshToken) != rotate || last.Record.ID != first.Record.ID ||
				string(last.IDClaims) == "" || last.Scope != "openid read" || b.who() != "alice" || last.Key.Thumbprint() != first.Key.Thumbprint() {
				t.Errorf("%+v, then %+v", first.Record, last.Record)
			}
			if !last.Record.IdleUntil.Equal(w.clock().Add(8 * time.Hour)) {
				t.Errorf("idle until %v", last.Record.IdleUntil)
			}
			w.audited("app_session.begin", 1)
			w.audited("app_session.refresh", 3)
		})
	}
}

// TestStatelessLogout leaves a copy of the cookies with somebody.
func TestStatelessLogout(t *testing.T) {
	w := stateless(t, 1)
	b := w.browser("demo")
	b.login("alice")
	b.start(nil)
	token, copied := b.carried().RefreshToken.Reveal(), b.twin()
	if a := b.fetch("POST", "/logout", nil, nil).ok(t); a.json["logout_url"] == "" || len(b.cookies) != 0 {
		t.Errorf("%s, cookies %v", a.body, b.cookies)
	}
	if !slices.Equal(w.issuer.revoked, []string{token}) {
		t.Errorf("revoked %v", w.issuer.revoked)
	}
	early := copied.twin()
	early.refresh().want(t, 401, "session_expired") // of the issuer, if the news is not here yet
	copied.over()
	copied.refresh().want(t, 401, "session_expired")
	copied.fetch("POST", "/logout", nil, nil).want(t, 401, "session_expired")
	if len(copied.cookies) != 0 {
		t.Errorf("cookies %v", copied.cookies)
	}
	w.audited("app_session.end", 1)
}

// TestStatelessFixation has a browser hold cookies before somebody signs in.
func TestStatelessFixation(t *testing.T) {
	w := stateless(t, 1)
	attacker, victim := w.browser("demo"), w.browser("demo")
	attacker.login("mallory")
	victim.cookies = attacker.twin().cookies
	before := attacker.carried()
	victim.login("alice")
	if now := victim.carried(); now.Record.ID == before.Record.ID || victim.who() != "alice" {
		t.Error("the session goes on")
	}
	attacker.over()
	if !slices.Contains(w.issuer.revoked, before.RefreshToken.Reveal()) {
		t.Error("the tokens of the session before live on")
	}
	// Of the cookies of two sessions none is made.
	mixed := victim.twin()
	mixed.cookies[secondCookie] = attacker.cookies[secondCookie]
	if mixed.who() != "" {
		t.Error("the cookies of two sessions are one")
	}
}

func TestStatelessSessionRunsOut(t *testing.T) {
	w := stateless(t, 1)
	b, c := w.browser("demo"), w.browser("demo")
	b.login("alice")
	c.login("bob")
	for range 9 {
		w.pass(time.Hour)
		b.who()
		first := c.cookies[firstCookie]
		if c.fetch("GET", "/session?slide=true", nil, nil); c.cookies[firstCookie] != first {
			t.Error("the first cookie was replaced: a refresh token could come back")
		}
	}
	if b.who() != "" || c.who() != "bob" {
		t.Errorf("%q and %q", b.who(), c.who())
	}
	b.refresh().want(t, 401, "session_expired")
	w.pass(15 * time.Hour)
	if c.who() != "" {
		t.Error("longer than a day")
	}
}

// TestStatelessRefreshesMakeOne has fifty calls at the same moment, all with the same cookies, and an issuer that takes a
// second use of a refresh token for theft. Calls on another node come back later: the browser has the result then.
func TestStatelessRefreshesMakeOne(t *testing.T) {
	for name, nodes := range map[string]int{"one node": 1, "two nodes": 2} {
		t.Run(name, func(t *testing.T) {
			storetest.EachURL(t, func(t *testing.T, database string) {
				w := statelessOn(t, database, nodes)
				w.issuer.rotate = true
				b := w.browser("demo")
				b.login("alice")
				w.pass(4 * time.Minute)
				w.issuer.set(func() {
					w.issuer.before = func(path string) {
						if path == "/token" {
							time.Sleep(50 * time.Millisecond) // let the others come
						}
					}
				})
				before := w.issuer.count(refreshRequest)
				var wg sync.WaitGroup
				var winner atomic.Pointer[browser]
				for i := range 50 {
					tab := b.twin()
					tab.node = i % nodes
					wg.Go(func() {
						switch a := tab.refresh(); {
						case a.StatusCode == 200 && a.body == `{"access_token_expires_in":300}`:
							winner.Store(tab)
						case nodes == 2 && a.code() == "temporarily_unavailable" && a.Header.Get("Retry-After") == "1" && len(a.Cookies()) == 0:
						default:
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
				w.audited("app_session.refresh", 1)
				for node := range nodes {
					tab := winner.Load().twin()
					tab.node = node
					tab.refresh().ok(t)
				}
				if n := w.issuer.count(refreshRequest) - before; n != 2 {
					t.Errorf("then the issuer was asked %d times", n)
				}
			})
		})
	}
}

func TestStatelessGrace(t *testing.T) {
	w := stateless(t, 1)
	w.issuer.rotate = true
	b := w.browser("demo")
	b.login("alice")
	late := b.twin()
	b.refresh().ok(t)
	w.pass(29 * time.Second)
	if a := late.refresh().ok(t); a.json["access_token_expires_in"] != 271.0 || late.carried().RefreshToken != b.carried().RefreshToken {
		t.Errorf("got %s", a.body)
	}
	if n := w.issuer.count("/token refresh_token"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	b.fetch("POST", "/refresh", url.Values{"scope": {"openid"}}, nil).ok(t)
	if n := w.issuer.count("/token refresh_token"); n != 2 {
		t.Errorf("asked %d times with other parameters", n)
	}
}

// TestStatelessPageThatLeaves never gets the cookies of a refresh, with which an issuer has rotated.
func TestStatelessPageThatLeaves(t *testing.T) {
	w := stateless(t, 1)
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
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w.nodes[0].ServeHTTP(httptest.NewRecorder(), r)
	w.pass(20 * time.Second)
	b.refresh().ok(t)
	w.pass(time.Minute)
	b.refresh().ok(t)
	if b.who() != "alice" {
		t.Error("the session is gone")
	}
}

func TestStatelessWaitersShareTheFailure(t *testing.T) {
	w := stateless(t, 1)
	b := w.browser("demo")
	b.login("alice")
	entered, hold := make(chan struct{}, 100), make(chan struct{})
	w.issuer.set(func() {
		w.issuer.fail["/token"] = 503
		w.issuer.before = func(string) { entered <- struct{}{}; <-hold }
	})
	before := w.issuer.count(refreshRequest)
	var wg sync.WaitGroup
	refresh := func(tab *browser) { tab.refresh().want(t, 502, "authorization_server_error") }
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
	w.issuer.set(func() { clear(w.issuer.fail); w.issuer.before = nil })
	b.refresh().ok(t) // at once, on the same node
}

func TestStatelessDeadRefreshToken(t *testing.T) {
	w := stateless(t, 1)
	b := w.browser("demo")
	b.login("alice")
	w.issuer.set(func() { clear(w.issuer.refresh) })
	tab := b.twin()
	b.refresh().want(t, 401, "session_expired")
	if len(b.cookies) != 0 {
		t.Errorf("cookies %v", b.cookies)
	}
	tab.over()
	w.audited("app_session.end", 1)
}

// TestStatelessLostRace has a node that comes back after its lease, when another one has used the refresh token.
func TestStatelessLostRace(t *testing.T) {
	w := stateless(t, 2)
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
	slow.node = 1
	done := make(chan *answer)
	go func() { done <- slow.refresh() }()
	<-entered
	w.pass(56 * time.Second) // the lease is over, and its turns are
	b.refresh().ok(t)
	close(hold)
	if a := <-done; a.code() != "temporarily_unavailable" || len(a.Cookies()) != 0 {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	w.pass(time.Second)
	if b.who() != "alice" {
		t.Error("the session is gone")
	}
}

func TestStatelessLogoutDuringRefresh(t *testing.T) {
	w := stateless(t, 1)
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
	tab, watcher := b.twin(), b.twin()
	done := make(chan *answer)
	go func() { done <- tab.refresh() }()
	<-entered
	b.fetch("POST", "/logout", nil, nil).ok(t)
	watcher.over()
	close(hold)
	(<-done).want(t, 401, "session_expired")
	w.issuer.mu.Lock()
	defer w.issuer.mu.Unlock()
	if len(w.issuer.refresh) != 0 {
		t.Error("the new refresh token lives on")
	}
}
