package feed

import (
	"context"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// NewOver makes a feed over any source of events.
func NewOver(events func(context.Context, time.Time) ([]store.Event, error), now func() time.Time) *Feed {
	return newFeed(events, now)
}

// Live is how many revocations are remembered.
func (f *Feed) Live() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.live)
}

// Seen is how many ids are remembered; only while nothing polls.
func (f *Feed) Seen() int { return len(f.seen) }
