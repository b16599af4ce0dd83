package resource

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// Replay remembers which DPoP proofs were used (RFC 9449 §11.1).
type Replay interface {
	// Claim records the key until then and says whether it was new, in one atomic step: of two requests with the same
	// proof, one is fresh. An error refuses the request as ErrUnavailable.
	Claim(ctx context.Context, key string, until time.Time) (fresh bool, err error)
}

// Memory is a Replay in the memory of one process. Processes that serve the same API do not share it: between them a
// stolen proof works once each, within its minute, for the same method and URL. Use nonces or a shared Replay where that
// is too much.
type Memory struct {
	limit int
	now   func() time.Time

	mu  sync.Mutex
	new generation
	old generation // what came before; dropped whole once everything in it has expired
}

type generation struct {
	seen  map[[sha256.Size]byte]time.Time
	until time.Time // the latest in seen
}

// ErrFull says that a Memory holds as many proofs as it may, so that new ones cannot be told from old ones.
var ErrFull = errors.New("resource: the memory of proofs is full")

// NewMemory makes a memory of at most limit proofs, 0 being a million (about 100 MB). now is a clock.
func NewMemory(limit int, now func() time.Time) *Memory {
	if limit <= 0 {
		limit = 1_000_000
	}
	return &Memory{limit: limit, now: now}
}

// Claim is that of Replay; its error is ErrFull.
func (m *Memory) Claim(_ context.Context, key string, until time.Time) (bool, error) {
	id := sha256.Sum256([]byte(key))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if now.After(m.old.until) {
		m.old, m.new = m.new, generation{seen: map[[sha256.Size]byte]time.Time{}}
	}
	for _, g := range []generation{m.new, m.old} {
		if end, ok := g.seen[id]; ok && !now.After(end) {
			return false, nil
		}
	}
	if len(m.new.seen)+len(m.old.seen) >= m.limit {
		return false, ErrFull
	}
	m.new.seen[id] = until
	if until.After(m.new.until) {
		m.new.until = until
	}
	return true, nil
}
