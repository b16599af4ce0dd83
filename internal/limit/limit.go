// Package limit slows down whoever guesses: failures are counted per account, per client and per address, and each
// more makes the next try wait twice as long.
//
// Counts live in the store, so that all nodes share them, and in memory, so that a flood at one node costs no reads.
// Rate bounds how often something may be done at all, on one node. What counts as a failure is for the caller to say.
package limit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	free    = 5                // failures that cost nothing: people mistype
	first   = time.Second      // delay after one more
	longest = 15 * time.Minute // delays stop growing here
	memory  = 24 * time.Hour   // a count without a further failure is forgotten after this
	maxKeys = 100_000          // keys in the memory of one node
)

// Key is what failures are counted for.
type Key string

// Account counts for a user name, whether or not anybody has it. Its case does not matter, as it does not to the
// store: every other spelling would give another five guesses.
func Account(name string) Key { return Key("account " + strings.ToLower(strings.ToUpper(name))) }

// Address counts for the network a request came from. Many people may share one, so it is given more room.
func Address(prefix string) Key { return Key(address + prefix) }

// Passkeys counts failed ceremonies for a network, apart from its passwords: whoever guesses passwords there must not
// keep others from their passkeys.
func Passkeys(prefix string) Key { return Key(address + "passkey " + prefix) }

// Client counts for a client id.
func Client(id string) Key { return Key("client " + id) }

const address = "address "

// allowance is how many failures of a key cost nothing.
func (k Key) allowance() int {
	if strings.HasPrefix(string(k), address) {
		return 10 * free
	}
	return free
}

// Failures counts failures of one tenant.
type Failures struct {
	DB  *store.DB
	Now func() time.Time

	mu      sync.Mutex
	blocked map[Key]time.Time // what this node knows to be blocked
}

// Wait says how long to wait before the next try; 0: none. It reads the memory of this node and, where the caller is
// about to read the store anyway, its counts.
func (f *Failures) Wait(ctx context.Context, keys ...Key) (time.Duration, error) {
	if d := f.WaitHere(keys...); d > 0 {
		return d, nil
	}
	var wait time.Duration
	err := f.DB.Read(ctx, func(tx *store.Tx) error {
		found, err := tx.Failures(texts(keys)...)
		for _, one := range found {
			wait = max(wait, one.BlockedUntil.Sub(tx.Now))
			f.remember(Key(one.Key), one.BlockedUntil)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("load failures: %w", err)
	}
	return wait, nil
}

// WaitHere is Wait by the memory of this node alone, for requests that must not cost a read. A node learns of blocks
// that others have set with its next failure.
func (f *Failures) WaitHere(keys ...Key) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, wait := f.Now(), time.Duration(0)
	for _, k := range keys {
		wait = max(wait, f.blocked[k].Sub(now))
	}
	return wait
}

// Fail counts a failure for each key, inside the caller's write. What this node remembers of it stays if the write does
// not: a block too many for a moment, never one too few.
func (f *Failures) Fail(tx *store.Tx, keys ...Key) error {
	for _, k := range keys {
		n, err := tx.AddFailure(string(k), tx.Now.Add(memory))
		if err != nil {
			return fmt.Errorf("count failure: %w", err)
		}
		d := delay(n - k.allowance())
		if d == 0 {
			continue
		}
		until := tx.Now.Add(d)
		if err := tx.BlockFailure(string(k), until); err != nil {
			return fmt.Errorf("block: %w", err)
		}
		f.remember(k, until)
	}
	return nil
}

// FailNow counts in a write of its own.
func (f *Failures) FailNow(ctx context.Context, keys ...Key) error {
	return f.DB.Write(ctx, func(tx *store.Tx) error { return f.Fail(tx, keys...) })
}

// Clear forgets the failures of a key, after a success.
func (f *Failures) Clear(tx *store.Tx, keys ...Key) error {
	for _, k := range keys {
		if err := tx.ClearFailure(string(k)); err != nil {
			return fmt.Errorf("clear failures: %w", err)
		}
	}
	f.mu.Lock()
	for _, k := range keys {
		delete(f.blocked, k)
	}
	f.mu.Unlock()
	return nil
}

func (f *Failures) remember(k Key, until time.Time) {
	now := f.Now()
	if !until.After(now) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocked == nil || len(f.blocked) >= maxKeys {
		fresh := map[Key]time.Time{}
		for key, t := range f.blocked {
			if t.After(now) && len(fresh) < maxKeys/2 {
				fresh[key] = t
			}
		}
		f.blocked = fresh
	}
	f.blocked[k] = until
}

// delay doubles with each failure over the allowance.
func delay(over int) time.Duration {
	if over <= 0 {
		return 0
	}
	if over > 20 {
		return longest
	}
	return min(first<<(over-1), longest)
}

func texts(keys []Key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = string(k)
	}
	return out
}
