package feed_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// Two nodes are two handles on one database: what one revokes, the other knows within a second.
func TestTheOtherNodeKnowsWithinASecond(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		here, there := open(t, url), open(t, url)
		f := start(t, there)
		issued := time.Now()
		err := here.For("acme").Write(t.Context(), func(tx *store.Tx) error {
			return tx.AddEvent(store.Event{Kind: store.EventClient, Key: "shop", NotBefore: tx.Now, ExpiresAt: tx.Now.Add(time.Hour)})
		})
		if err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, func() bool { return f.Revoked("acme", feed.Subject{Client: "shop", IssuedAt: issued}) })
		if f.Revoked("beta", feed.Subject{Client: "shop", IssuedAt: issued}) {
			t.Error("a revocation crossed tenants")
		}
	})
}

func TestOwnCommitsWakeTheFeed(t *testing.T) {
	db := storetest.Open(t)
	f := start(t, db)
	heard := make(chan store.Event, 8)
	f.Subscribe(func(e store.Event) { heard <- e })
	err := db.For("acme").Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.PutObject(store.Object{Kind: "client", Name: "shop", ManagedBy: "file", Body: []byte(`{}`)}, store.AnyRevision)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-heard:
		if e.Kind != store.EventObject || e.Key != "client/shop" || e.Tenant != "acme" {
			t.Errorf("heard %+v", e)
		}
	case <-time.After(time.Second):
		t.Error("nothing was heard")
	}
}

// What is written in another database is heard like what is written in the first, and is missed like it.
func TestFeedOfTwoDatabases(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		first, second := storetest.Open(t), open(t, url)
		var ahead atomic.Int64
		f := startAt(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, first, second)
		for key, db := range map[string]*store.DB{"one": first, "two": second} {
			err := db.For("acme").Write(t.Context(), func(tx *store.Tx) error {
				return tx.AddEvent(store.Event{Kind: store.EventSession, Key: key, ExpiresAt: tx.Now.Add(time.Hour)})
			})
			if err != nil {
				t.Fatal(err)
			}
			within(t, time.Second, func() bool { return f.Revoked("acme", feed.Subject{Session: key}) })
		}
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		ahead.Store(int64(6 * time.Second))
		time.Sleep(300 * time.Millisecond) // in which it would poll
		if !f.Stale() {
			t.Error("the feed makes do with one")
		}
	})
}

func start(t *testing.T, db *store.DB) *feed.Feed { return startAt(t, time.Now, db) }

func startAt(t *testing.T, now func() time.Time, db *store.DB, others ...*store.DB) *feed.Feed {
	t.Helper()
	f := feed.New(db, now, others...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	within(t, 5*time.Second, f.Ready)
	return f
}

func open(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{Synchronous: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func within(t *testing.T, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen within %s", limit)
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
