package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

func appSession(b *bench, id string) store.AppSession {
	return store.AppSession{
		ID: id, Application: "demo", Issuer: "https://login.example", ClientID: "spa", Subject: "alice", SID: "sid-" + id,
		Sealed: []byte{1, 2, 3}, CreatedAt: b.in(0), LastUsedAt: b.in(0), IdleUntil: b.in(8 * time.Hour),
		ExpiresAt: b.in(24 * time.Hour), Version: 1,
	}
}

func testAppSessions(t *testing.T, b *bench) {
	v := appSession(b, "a1")
	one := func(tx *store.Tx) (store.AppSession, error) { return tx.AppSession("a1") }
	missing(t, b.DB, one)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddAppSession(v) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddAppSession(v) })
	same(t, load(t, b.DB, one), v)
	missing(t, b.For("other"), one)

	b.sleep(time.Minute)
	v.IdleUntil, v.LastUsedAt = b.in(time.Hour), b.in(0)
	write(t, b.DB, func(tx *store.Tx) error { return tx.TouchAppSession("a1", v.IdleUntil) })
	same(t, load(t, b.DB, one), v)

	ended := b.in(0)
	for _, first := range []bool{true, false} { // the second time changes nothing
		var did bool
		write(t, b.DB, func(tx *store.Tx) (err error) {
			did, err = tx.EndAppSession("a1")
			return err
		})
		if did != first {
			t.Errorf("ended %v, want %v", did, first)
		}
		b.sleep(time.Second)
	}
	v.EndedAt, v.Sealed, v.Version = ended, nil, 2
	same(t, load(t, b.DB, one), v)
	announced(t, b, store.EventSession, "a1", time.Time{})
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.TouchAppSession("a1", b.in(time.Hour)) })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error {
		_, err := tx.EndAppSession("none")
		return err
	})
}

// lease takes the lease of a session for ten seconds; ErrTaken comes back, any other error fails the test.
func (b *bench) lease(t testing.TB, db *store.DB, id, holder string) (v store.AppSession, err error) {
	t.Helper()
	err = db.Write(t.Context(), func(tx *store.Tx) (err error) {
		v, err = tx.LeaseAppSession(id, holder, tx.Now.Add(10*time.Second))
		return err
	})
	if err != nil && !errors.Is(err, store.ErrTaken) {
		t.Fatal(err)
	}
	return v, err
}

func testAppSessionLeases(t *testing.T, b *bench) {
	v := appSession(b, "a1")
	one := func(tx *store.Tx) (store.AppSession, error) { return tx.AppSession("a1") }
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddAppSession(v) })
	taken := func(what, holder string) {
		t.Helper()
		if _, err := b.lease(t, b.DB, "a1", holder); err == nil {
			t.Errorf("%s: leased", what)
		}
	}
	v.Refresher, v.RefreshingUntil, v.Version = "x", b.in(10*time.Second), 2
	got, err := b.lease(t, b.DB, "a1", "x")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, v)
	taken("while x refreshes", "y")
	if _, err := b.lease(t, b.For("other"), "a1", "y"); err == nil {
		t.Error("another tenant leased it")
	}

	b.sleep(time.Second)
	v.Sealed, v.SID, v.IdleUntil = []byte{4}, "sid2", b.in(8*time.Hour)
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutAppSession(v) })
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutAppSession(v) })
	v.Refresher, v.RefreshingUntil, v.RefreshedAt, v.LastUsedAt, v.Version = "", time.Time{}, b.in(0), b.in(0), 3
	same(t, load(t, b.DB, one), v)

	// Who does not come back loses the lease, and what it brings later is refused.
	if v, err = b.lease(t, b.DB, "a1", "slow"); err != nil {
		t.Fatal(err)
	}
	b.sleep(10 * time.Second)
	if _, err := b.lease(t, b.DB, "a1", "next"); err != nil {
		t.Fatal(err)
	}
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutAppSession(v) })
	write(t, b.DB, func(tx *store.Tx) error { return tx.ReleaseAppSession("a1", "slow") })
	taken("after the release of an old holder", "y")
	write(t, b.DB, func(tx *store.Tx) error { return tx.ReleaseAppSession("a1", "next") })
	if _, err := b.lease(t, b.DB, "a1", "y"); err != nil {
		t.Errorf("after the release: %v", err)
	}

	write(t, b.DB, func(tx *store.Tx) error {
		_, err := tx.EndAppSession("a1")
		return err
	})
	v.Refresher = "y"
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutAppSession(v) })
	taken("ended", "z")
	idle := appSession(b, "a2")
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddAppSession(idle) })
	b.sleep(8 * time.Hour)
	if _, err := b.lease(t, b.DB, "a2", "z"); err == nil {
		t.Error("a session that was idle too long was leased")
	}
}

func testAppSessionsOf(t *testing.T, b *bench) {
	for i, v := range []struct{ id, application, issuer, subject, sid string }{
		{"1", "demo", "i", "alice", "s1"},
		{"2", "demo", "i", "alice", "s2"},
		{"3", "demo", "i", "bob", "s1"},
		{"4", "demo", "j", "alice", "s1"},
		{"5", "back", "i", "alice", "s1"},
		{"6", "demo", "i", "alice", "s1"},
		{"7", "demo", "i", "", ""},
	} {
		s := appSession(b, v.id)
		s.Application, s.Issuer, s.Subject, s.SID = v.application, v.issuer, v.subject, v.sid
		s.CreatedAt = b.in(time.Duration(i) * time.Second)
		write(t, b.DB, func(tx *store.Tx) error { return tx.AddAppSession(s) })
	}
	write(t, b.DB, func(tx *store.Tx) error {
		_, err := tx.EndAppSession("6")
		return err
	})
	for _, c := range []struct{ subject, sid, want string }{
		{"", "", "[]"}, {"alice", "", "[1 2]"}, {"", "s1", "[1 3]"}, {"alice", "s1", "[1]"}, {"bob", "s2", "[]"}, {"eve", "", "[]"},
	} {
		ids := []string{}
		for _, v := range load(t, b.DB, func(tx *store.Tx) ([]store.AppSession, error) {
			return tx.AppSessionsOf("demo", "i", c.subject, c.sid)
		}) {
			ids = append(ids, v.ID)
		}
		if got := fmt.Sprint(ids); got != c.want {
			t.Errorf("of %q and %q: %s, want %s", c.subject, c.sid, got, c.want)
		}
	}
}

// testOneRefresher has many callers on two nodes want the same lease.
func testOneRefresher(t *testing.T, b *bench) {
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddAppSession(appSession(b, "a1")) })
	nodes := []*store.DB{b.DB, b.again(t)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 32 {
		wg.Go(func() {
			if _, err := b.lease(t, nodes[i%2], "a1", fmt.Sprint(i)); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d of 32 hold the lease", won)
	}
}
