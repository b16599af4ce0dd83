package audit

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	flushEvery = 500 * time.Millisecond // with the write itself below one second
	flushLimit = 5 * time.Second        // of one flush, and of the last one
	queueSize  = 2048                   // records waiting
	batchSize  = 256                    // records in one transaction
	// single is how many records about the same thing are kept one by one between two flushes; more of
	// them only raise a count.
	single = 5
)

// Trail takes observations and writes them in batches. The zero value with DB and Now works; a nil *Trail
// drops everything. Its methods are safe for concurrent use.
type Trail struct {
	DB  *store.DB // any view: records go to the tenants they name
	Now func() time.Time
	Log *slog.Logger // nil: silent

	mu      sync.Mutex
	queue   []Record
	flood   map[same]*burst
	dropped uint64
}

// same is what records under a flood have in common.
type same struct{ tenant, client, prefix, code string }

// burst counts the records of one kind since the last flush.
type burst struct {
	count int
	at    int // place in the queue of the record that stands for the uncounted ones
}

// Observe takes a record without waiting. Where too many wait already it is dropped and counted.
func (t *Trail) Observe(r Record) {
	if t == nil {
		return
	}
	clean(&r.AuditRecord)
	if r.At.IsZero() {
		r.At = t.Now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := same{r.Tenant, r.Client, r.AddressPrefix, r.Code}
	if b := t.flood[k]; b != nil {
		b.count++
		if b.count > single+1 {
			return // its place in the queue stands for it
		}
	}
	if len(t.queue) >= queueSize {
		t.dropped++
		return
	}
	if t.flood == nil {
		t.flood = map[same]*burst{}
	}
	b := t.flood[k]
	if b == nil {
		b = &burst{count: 1}
		t.flood[k] = b
	}
	b.at = len(t.queue)
	t.queue = append(t.queue, r)
}

// Dropped is how many observations have been lost since the start.
func (t *Trail) Dropped() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Run writes what is observed until ctx ends, and then what is left.
func (t *Trail) Run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			t.flush(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			t.flush(ctx)
		}
	}
}

// flush writes everything that waits. What cannot be written is dropped and counted: keeping it would fill
// the memory of a node whose database is away.
func (t *Trail) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	for tenant, records := range t.take() {
		for len(records) > 0 {
			n := min(len(records), batchSize)
			err := t.DB.For(tenant).Write(ctx, func(tx *store.Tx) error { return tx.AddAudit(records[:n]...) })
			if err != nil {
				t.lose(ctx, n, err)
			}
			records = records[n:]
		}
	}
}

func (t *Trail) lose(ctx context.Context, n int, err error) {
	t.mu.Lock()
	t.dropped += uint64(n)
	t.mu.Unlock()
	if t.Log != nil {
		t.Log.ErrorContext(ctx, "audit records were lost", "count", n, "error", err)
	}
}

// take empties the queue, by tenant. A record that stands for several says so in its detail.
func (t *Trail) take() map[string][]store.AuditRecord {
	t.mu.Lock()
	queue, flood := t.queue, t.flood
	t.queue, t.flood = nil, nil
	t.mu.Unlock()
	for _, b := range flood {
		if more := b.count - single; more > 1 {
			queue[b.at].Detail = counted(more)
		}
	}
	byTenant := map[string][]store.AuditRecord{}
	for _, r := range queue {
		byTenant[r.Tenant] = append(byTenant[r.Tenant], r.AuditRecord)
	}
	return byTenant
}

// counted is the detail of a record that stands for several.
func counted(n int) json.RawMessage {
	b, err := json.Marshal(struct {
		Count int `json:"count"`
	}{n})
	if err != nil {
		return nil
	}
	return b
}
