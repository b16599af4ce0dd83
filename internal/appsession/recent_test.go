package appsession_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// lease is one of 25 seconds, nil where it is somebody else's.
func (r *rig) lease(t *testing.T, at *appsession.Sessions, shown, holder string) *appsession.Session {
	t.Helper()
	app := stateless("demo")
	v, err := at.Open(t.Context(), app, shown)
	if err != nil {
		t.Fatal(err)
	}
	leased, err := at.Lease(t.Context(), app, v, holder, r.clock().Add(25*time.Second))
	if err != nil && !errors.Is(err, store.ErrTaken) {
		t.Fatal(err)
	}
	return leased
}

// node is another one of the same rig.
func (r *rig) node() *appsession.Sessions {
	return &appsession.Sessions{DB: r.DB, Ring: r.Ring, Now: r.clock, Feed: r.Feed}
}

func TestCarriedSessionIsRefreshed(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	_, shown := r.carry(t, app, "alice", "sid")
	there := r.node()
	v := r.lease(t, r.Sessions, shown, "me")
	if v == nil || r.lease(t, r.Sessions, shown, "another here") != nil || r.lease(t, there, shown, "another there") != nil {
		t.Fatal("not one has the lease")
	}
	if now, err := r.Reload(t.Context(), app, v); err != nil || now.Record.Refresher != "me" {
		t.Errorf("%v, %+v", err, now)
	}
	v.AccessToken, v.RefreshToken, v.Record.SID = "second", "rotated", "next"
	done := 0
	if err := r.Put(t.Context(), app, v, func(*store.Tx) error { done++; return nil }); err != nil || done != 1 {
		t.Fatal(err)
	}
	got, err := r.Open(t.Context(), app, shown) // who shows what was before is given what has become of it
	if err != nil || got.AccessToken != "second" || got.RefreshToken != "rotated" || got.Record.Version != 2 || got.Record.Refresher != "" || !got.Record.RefreshedAt.Equal(r.clock()) {
		t.Fatalf("%v, %+v", err, got)
	}
	next := r.show(t, app, got)
	if err := r.Put(t.Context(), app, v, nothing); !errors.Is(err, store.ErrConflict) {
		t.Errorf("put twice: %v", err)
	}
	r.pass(t, appsession.Grace)
	for name, sessions := range map[string]*appsession.Sessions{"here": r.Sessions, "there": there} {
		if got, err := sessions.Open(t.Context(), app, next); err != nil || got.AccessToken != "second" || got.Record.SID != "next" {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
		if got, err := sessions.Open(t.Context(), app, shown); err != nil || got.AccessToken == "second" {
			t.Errorf("%s, after the grace: %v, %+v", name, err, got)
		}
	}
	// The other node goes on from there, and the first one does not take its own memory for newer.
	there2 := r.lease(t, there, next, "there")
	there2.AccessToken = "third"
	if err := there.Put(t.Context(), app, there2, nothing); err != nil {
		t.Fatal(err)
	}
	third, err := there.Reload(t.Context(), app, there2)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Open(t.Context(), app, r.show(t, app, third)); err != nil || got.AccessToken != "third" {
		t.Errorf("%v, %+v", err, got)
	}
}

// TestCarriedLeaseIsGivenUp has a refresh fail: the next one may begin at once on the same node, and within two turns on
// another.
func TestCarriedLeaseIsGivenUp(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	_, shown := r.carry(t, app, "alice", "sid")
	there := r.node()
	v := r.lease(t, r.Sessions, shown, "me")
	if err := r.Release(t.Context(), app, v); err != nil {
		t.Fatal(err)
	}
	if now, err := r.Reload(t.Context(), app, v); err != nil || now.Record.Refresher != "" || now.Record.Version != v.Record.Version+1 || now.AccessToken != v.AccessToken {
		t.Errorf("%v, %+v", err, now)
	}
	if r.lease(t, there, shown, "there") != nil {
		t.Error("the other node begins at once")
	}
	again := r.lease(t, r.Sessions, shown, "me again")
	if again == nil {
		t.Fatal("the same node does not begin again")
	}
	if err := r.Put(t.Context(), app, v, nothing); !errors.Is(err, store.ErrConflict) {
		t.Errorf("put after release: %v", err)
	}
	r.pass(t, time.Minute)
	if r.lease(t, there, shown, "there") == nil {
		t.Error("the other node does not begin after a minute")
	}
	// A lease that has run out is nobody's.
	if err := r.Put(t.Context(), app, again, nothing); !errors.Is(err, store.ErrConflict) {
		t.Errorf("put after the lease: %v", err)
	}
	held := false
	if err := r.DB.Read(t.Context(), func(tx *store.Tx) (err error) { held, err = r.Holds(tx, app, again); return err }); err != nil || held {
		t.Errorf("held %v, %v", held, err)
	}
}

// TestCarriedLeaseIsAlone has many nodes try at once, before and after a turn ends, over each engine.
func TestCarriedLeaseIsAlone(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		r := newCarryingOn(t, url)
		_, shown := r.carry(t, stateless("demo"), "alice", "sid")
		contend := func() (won int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					if r.lease(t, r.node(), shown, store.NewID()) != nil {
						mu.Lock()
						won++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			return won
		}
		if n := contend(); n != 1 {
			t.Errorf("%d have won", n)
		}
		for range 7 { // in all 28 seconds, more than one lease
			r.pass(t, 4*time.Second)
			if n := contend(); n != 0 {
				t.Errorf("%d have won %v later", n, r.clock())
			}
		}
		r.pass(t, 32*time.Second)
		if n := contend(); n != 1 {
			t.Errorf("%d have won when the turns are over", n)
		}
	})
}

func newCarryingOn(t *testing.T, url string) *rig {
	t.Helper()
	r := newRig(t)
	db, err := store.Open(t.Context(), url, store.Options{Now: r.clock, Synchronous: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing is written any more
	r.DB = db.For("acme")
	r.Feed = follow(t, feed.New(db, r.clock))
	return r
}

// TestRefreshOfACarriedSessionThatEnded ends a session while it is refreshed.
func TestRefreshOfACarriedSessionThatEnded(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	s, shown := r.carry(t, app, "alice", "sid")
	v := r.lease(t, r.Sessions, shown, "me")
	if err := r.DB.Write(t.Context(), func(tx *store.Tx) error { _, err := r.End(tx, app, &s.Record); return err }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is over", func() bool { return !r.opens(t, app, shown) })
	if err := r.Put(t.Context(), app, v, nothing); !errors.Is(err, store.ErrConflict) {
		t.Errorf("put: %v", err)
	}
	if _, err := r.Reload(t.Context(), app, v); !errors.Is(err, appsession.ErrNone) {
		t.Errorf("reload: %v", err)
	}
}

func TestRefreshThatOutgrowsTheCookies(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	_, shown := r.carry(t, app, "alice", "sid")
	v := r.lease(t, r.Sessions, shown, "me")
	v.AccessToken = string(make([]byte, 4000))
	err := r.Put(t.Context(), app, v, func(*store.Tx) error { t.Error("written"); return nil })
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != web.CookieTooLarge {
		t.Errorf("got %v", err)
	}
}
