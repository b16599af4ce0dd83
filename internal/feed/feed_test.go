package feed_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// source plays the table of events.
type source struct {
	mu     sync.Mutex
	events []store.Event
	broken error
	since  []time.Time
	hidden map[string]bool // written, not committed
}

func (s *source) list(_ context.Context, since time.Time) (list []store.Event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = append(s.since, since)
	for _, e := range s.events {
		if !e.At.Before(since) && e.ExpiresAt.After(time.Now()) && !s.hidden[e.ID] {
			list = append(list, e)
		}
	}
	return list, s.broken
}

func (s *source) add(kind, key string, life time.Duration) store.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e := store.Event{ID: strconv.Itoa(len(s.events)), Kind: kind, Key: key, Tenant: "acme", At: now, NotBefore: now, ExpiresAt: now.Add(life)}
	s.events = append(s.events, e)
	return e
}

func (s *source) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// bubble runs a feed over a source under a fake clock.
func bubble(t *testing.T, fn func(t *testing.T, s *source, f *feed.Feed)) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{hidden: map[string]bool{}}
		f := feed.NewOver(s.list, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		fn(t, s, f)
		cancel()
		<-done
	})
}

func TestRevokedUntilTheEventExpires(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		old := feed.Subject{Grant: "g", IssuedAt: time.Now()}
		time.Sleep(time.Second)
		s.add(store.EventGrant, "g", time.Minute)
		time.Sleep(time.Second)
		if !f.Revoked("acme", old) {
			t.Error("a grant revoked a second ago is not known")
		}
		if f.Revoked("other", old) {
			t.Error("a revocation crossed tenants")
		}
		if f.Revoked("acme", feed.Subject{Grant: "g", IssuedAt: time.Now()}) {
			t.Error("a token issued after the event is revoked")
		}
		if f.Revoked("acme", feed.Subject{Session: "g", IssuedAt: old.IssuedAt}) {
			t.Error("a revocation crossed kinds")
		}
		time.Sleep(2 * time.Minute)
		if n := f.Live(); n != 0 {
			t.Errorf("%d revocations are remembered after they expired", n)
		}
	})
}

func TestEveryKindOfRevocation(t *testing.T) {
	subjects := map[string]feed.Subject{
		store.EventJTI: {JTI: "k"}, store.EventGrant: {Grant: "k"}, store.EventSession: {Session: "k"},
		store.EventClient: {Client: "k"}, store.EventKey: {JKT: "k"}, store.EventCertificate: {X5T: "k"},
	}
	for kind, subject := range subjects {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
				s.add(kind, "k", time.Minute)
				time.Sleep(time.Second)
				subject.IssuedAt = time.Now().Add(-time.Minute)
				if !f.Revoked("acme", subject) {
					t.Error("not revoked")
				}
				for other, s := range subjects {
					if s.IssuedAt = subject.IssuedAt; other != kind && f.Revoked("acme", s) {
						t.Errorf("%s is revoked too", other)
					}
				}
			})
		})
	}
}

func TestWithoutNotBeforeEverythingIsRevoked(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		s.add(store.EventJTI, "t", time.Minute)
		s.change(func() { s.events[0].NotBefore = time.Time{} })
		time.Sleep(time.Second)
		if !f.Revoked("acme", feed.Subject{JTI: "t", IssuedAt: time.Now().Add(time.Hour)}) {
			t.Error("not revoked")
		}
	})
}

func TestReadyAfterLoadingWhatIsLive(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		s.change(func() { s.broken = errors.New("away") })
		time.Sleep(time.Second)
		if f.Ready() || !f.Stale() {
			t.Error("ready without having loaded anything")
		}
		s.add(store.EventSession, "s", 24*time.Hour)
		time.Sleep(23 * time.Hour)
		s.change(func() { s.broken = nil })
		time.Sleep(time.Second)
		if !f.Ready() || f.Stale() || !f.Revoked("acme", feed.Subject{Session: "s"}) {
			t.Error("a day-old event that is still live was not loaded")
		}
	})
}

func TestStaleAfterFiveSeconds(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		time.Sleep(time.Second)
		s.change(func() { s.broken = errors.New("away") })
		time.Sleep(4 * time.Second)
		if f.Stale() {
			t.Error("stale after four seconds")
		}
		time.Sleep(2 * time.Second)
		if !f.Stale() || !f.Ready() {
			t.Error("not stale after six seconds, or no longer ready")
		}
		s.change(func() { s.broken = nil })
		time.Sleep(time.Second)
		if f.Stale() {
			t.Error("still stale when the database is back")
		}
	})
}

func TestLateCommitIsHeardOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		var mu sync.Mutex
		heard := map[string]int{}
		f.Subscribe(func(e store.Event) { mu.Lock(); heard[e.Key]++; mu.Unlock() })
		time.Sleep(time.Minute)
		late := s.add(store.EventObject, "client/late", time.Hour)
		s.change(func() { s.hidden[late.ID] = true })
		time.Sleep(20 * time.Second)
		s.change(func() { s.hidden = map[string]bool{} })
		time.Sleep(2 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if heard["client/late"] != 1 {
			t.Errorf("heard %d times", heard["client/late"])
		}
	})
}

func TestWhoHasEndedIsNotTold(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		var one, two atomic.Int32
		end := f.Subscribe(func(store.Event) { one.Add(1) })
		f.Subscribe(func(store.Event) { two.Add(1) })
		s.add(store.EventGrant, "a", time.Minute)
		time.Sleep(time.Second)
		end()
		end()
		s.add(store.EventGrant, "b", time.Minute)
		time.Sleep(time.Second)
		if one.Load() != 1 || two.Load() != 2 {
			t.Errorf("told %d and %d times", one.Load(), two.Load())
		}
	})
}

func TestMemoryIsBoundedByWhatIsLive(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		for i := range 300 {
			s.add(store.EventGrant, "g"+strconv.Itoa(i), time.Minute)
			time.Sleep(time.Second)
		}
		if n := f.Live(); n > 70 {
			t.Errorf("%d revocations for a minute of one a second", n)
		}
		synctest.Wait() // until nothing polls
		if n := f.Seen(); n > 35 {
			t.Errorf("%d ids for half a minute of one a second", n)
		}
	})
}

func TestWakePollsAtOnceButNotAlways(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		synctest.Wait()
		s.add(store.EventGrant, "g", time.Minute)
		f.Wake()
		synctest.Wait() // no time passes
		if !f.Revoked("acme", feed.Subject{Grant: "g"}) {
			t.Error("not heard at once")
		}
		s.change(func() { s.since = nil })
		for range 1000 {
			f.Wake()
			time.Sleep(time.Millisecond)
		}
		s.change(func() {
			if n := len(s.since); n > 10 {
				t.Errorf("%d polls in a second of wakes", n)
			}
		})
	})
}

func TestLongSilenceMayHaveHiddenChanges(t *testing.T) {
	bubble(t, func(t *testing.T, s *source, f *feed.Feed) {
		var mu sync.Mutex
		all := 0
		f.Subscribe(func(e store.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == store.EventObject && e.Key == "" {
				all++
			}
		})
		time.Sleep(time.Second)
		s.change(func() { s.broken = errors.New("away") })
		time.Sleep(2 * time.Hour)
		s.change(func() { s.broken = nil })
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if all != 1 {
			t.Errorf("told %d times that everything may have changed", all)
		}
	})
}

func TestClockGoingBackwardsLoadsEverythingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var offset time.Duration
		s := &source{hidden: map[string]bool{}}
		f := feed.NewOver(s.list, func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(offset) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		mu.Lock()
		offset = time.Hour
		mu.Unlock()
		go func() { f.Run(ctx); close(done) }()
		time.Sleep(time.Second)
		mu.Lock()
		offset = 0
		mu.Unlock()
		s.add(store.EventGrant, "g", time.Minute)
		time.Sleep(time.Second)
		if !f.Revoked("acme", feed.Subject{Grant: "g"}) {
			t.Error("an event that is older than the last poll by the clock was missed")
		}
		cancel()
		<-done
	})
}

func TestRevokedAllocatesNothing(t *testing.T) {
	now := time.Now()
	f := feed.NewOver(func(context.Context, time.Time) ([]store.Event, error) {
		return []store.Event{{ID: "1", Kind: store.EventGrant, Key: "g", Tenant: "acme", At: now, NotBefore: now, ExpiresAt: now.Add(time.Hour)}}, nil
	}, func() time.Time { return now })
	ctx, cancel := context.WithCancel(t.Context())
	f.Subscribe(func(store.Event) { cancel() })
	f.Run(ctx)
	s := feed.Subject{JTI: "a", Grant: "b", Session: "c", Client: "d", JKT: "e", X5T: "f", IssuedAt: now}
	if n := testing.AllocsPerRun(100, func() { f.Revoked("acme", s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
