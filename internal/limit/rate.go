package limit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate bounds how often something is done for a key, on this node alone and only while it runs. Safe for concurrent use.
type Rate struct {
	Every time.Duration // one more is allowed after this
	Burst int           // so many at once
	Now   func() time.Time

	mu      sync.Mutex
	buckets map[Key]*rate.Limiter
}

// Allow takes one of what the key has left; false if that is nothing.
func (r *Rate) Allow(k Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	b := r.buckets[k]
	if b == nil {
		r.makeRoom(now)
		b = rate.NewLimiter(rate.Every(r.Every), r.Burst)
		r.buckets[k] = b
	}
	return b.AllowN(now, 1)
}

// makeRoom forgets keys that have everything left, which a new bucket says as well, and others only if all memory is
// taken.
func (r *Rate) makeRoom(now time.Time) {
	if len(r.buckets) < maxKeys && r.buckets != nil {
		return
	}
	kept := map[Key]*rate.Limiter{}
	for k, b := range r.buckets {
		if b.TokensAt(now) < float64(r.Burst) && len(kept) < maxKeys/2 {
			kept[k] = b
		}
	}
	r.buckets = kept
}
