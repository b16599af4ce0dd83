// Package feed carries revocations and changes to every node within a second. Events are rows that the
// transaction writes which revokes or changes something; every node polls them, remembers the revocations
// that are still alive, and tells its subscribers of changes.
//
// It is for decisions made without a database read: is this token revoked, is this cached object still the
// one. It is not a queue (an event may be heard again after a restart) and not for other systems (RFC 8936
// polling is another matter).
package feed

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	pollEvery = 250 * time.Millisecond
	// overlap is how far back each poll looks again: an event bears the time its transaction began, by the
	// clock of its node, and is seen only after the commit.
	overlap = 30 * time.Second
	// staleAfter is how old the last good poll may be while cached decisions are still made.
	staleAfter = 5 * time.Second
	// forgotten is how long a poll may have failed before events about objects, which live an hour, may have
	// come and gone unheard.
	forgotten  = 30 * time.Minute
	pollLimit  = 5 * time.Second
	sweepAfter = 5 * time.Second
)

// Feed is one node's memory of what has been revoked. Its methods are safe for concurrent use.
type Feed struct {
	Log *slog.Logger // nil: silent

	now    func() time.Time
	events func(ctx context.Context, since time.Time) ([]store.Event, error)
	wake   chan struct{}
	polled atomic.Int64 // when the last good poll began, microseconds since 1970; 0: never

	mu   sync.RWMutex
	live map[what]revocation

	subscribing sync.Mutex
	subscribers []*func(store.Event)

	// Of the goroutine that polls.
	seen  map[string]time.Time // ids heard, and when they were written
	last  time.Time            // when the last good poll began
	swept time.Time
}

// what is revoked.
type what struct{ tenant, kind, key string }

// revocation is since when, and how long it needs to be known.
type revocation struct {
	before  int64 // microseconds since 1970: what was issued until then is revoked
	expires int64
}

// New makes the feed of a node over the root view of its database, and of others in which events are written. It
// knows nothing until Run has loaded what is live, and a poll is a good one if all of them have answered.
func New(db *store.DB, now func() time.Time, others ...*store.DB) *Feed {
	all := append([]*store.DB{db}, others...)
	f := newFeed(func(ctx context.Context, since time.Time) (list []store.Event, err error) {
		for _, db := range all {
			events, err := db.Events(ctx, since)
			if err != nil {
				return nil, err
			}
			list = append(list, events...)
		}
		return list, nil
	}, now)
	for _, db := range all {
		db.OnEvent(f.Wake)
	}
	return f
}

func newFeed(events func(context.Context, time.Time) ([]store.Event, error), now func() time.Time) *Feed {
	return &Feed{now: now, events: events, wake: make(chan struct{}, 1), live: map[what]revocation{}, seen: map[string]time.Time{}}
}

// Ready says that the live events have been loaded.
func (f *Feed) Ready() bool { return f.polled.Load() != 0 }

// Stale says that news may be more than five seconds late: decisions from memory must stop.
func (f *Feed) Stale() bool {
	at := f.polled.Load()
	return at == 0 || f.now().UnixMicro()-at > staleAfter.Microseconds()
}

// Wake has the next poll happen at once.
func (f *Feed) Wake() {
	select {
	case f.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Subscribe has fn called for every event this node hears, in the goroutine that polls; fn must be quick.
// An event of kind store.EventObject without a key says that any object of any tenant may have changed.
// end takes it back; a call that is under way may still come.
func (f *Feed) Subscribe(fn func(store.Event)) (end func()) {
	f.subscribing.Lock()
	defer f.subscribing.Unlock()
	s := &fn
	f.subscribers = append(f.subscribers[:len(f.subscribers):len(f.subscribers)], s)
	return func() {
		f.subscribing.Lock()
		defer f.subscribing.Unlock()
		// A copy, for tell reads the old list.
		f.subscribers = slices.DeleteFunc(slices.Clone(f.subscribers), func(o *func(store.Event)) bool { return o == s })
	}
}

// Run polls until ctx ends: at every tick, and at most once between two ticks when it is woken.
func (f *Feed) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	wake := f.wake
	for {
		if err := f.poll(ctx); err != nil && ctx.Err() == nil && f.Log != nil {
			f.Log.WarnContext(ctx, "the feed could not be read", "error", err, "stale", f.Stale())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			wake = f.wake
		case <-wake:
			wake = nil // many commits shall not mean many polls
		}
	}
}

// poll hears what was written since shortly before the last good poll. A clock that went backwards makes it
// read everything again.
func (f *Feed) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	began := f.now()
	var since time.Time
	if !f.last.IsZero() && !began.Before(f.last) {
		since = f.last.Add(-overlap)
	}
	events, err := f.events(ctx, since)
	if err != nil {
		return err
	}
	news := f.fresh(events)
	f.remember(news, began)
	if !f.last.IsZero() && began.Sub(f.last) > forgotten {
		news = append(news, store.Event{Kind: store.EventObject, At: began})
	}
	f.tell(news)
	f.last = began
	f.polled.Store(began.UnixMicro())
	return nil
}

// fresh leaves out what was heard before. An id is forgotten once no poll can bring it again.
func (f *Feed) fresh(events []store.Event) []store.Event {
	var news []store.Event
	again := make(map[string]time.Time, len(events))
	for _, e := range events {
		if _, ok := f.seen[e.ID]; !ok {
			news = append(news, e)
		}
		again[e.ID] = e.At
	}
	f.seen = again
	return news
}

func (f *Feed) tell(news []store.Event) {
	f.subscribing.Lock()
	subscribers := f.subscribers
	f.subscribing.Unlock()
	for _, e := range news {
		for _, fn := range subscribers {
			(*fn)(e)
		}
	}
}
