package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Spend is something that works once: the jti of an assertion or a proof, a challenge, an interaction.
type Spend struct {
	Kind  string    // assertion, dpop, challenge, interaction, mail
	Key   string    // of any length; stored as a hash
	Until time.Time // forgotten after; must not be before the thing itself expires
}

// maxSpends is the largest number of rows one insert carries.
const maxSpends = 128

// spendRow is a Spend as it is stored.
type spendRow struct {
	tenant string
	shard  int64
	id     []byte
	until  int64
}

// spendKey is a spendRow as a map key.
type spendKey struct{ tenant, id string }

func (r spendRow) key() spendKey { return spendKey{r.tenant, string(r.id)} }

func newSpendRow(tenant string, s Spend) spendRow {
	id := digest(s.Kind, s.Key)
	return spendRow{tenant, shard(string(id)), id, micros(s.Until)}
}

// Spend spends everything given, in one insert shared with whoever else is spending just now. ErrTaken:
// something was spent before; the rest is spent all the same.
func (db *DB) Spend(ctx context.Context, spends ...Spend) error {
	if len(spends) == 0 {
		return nil
	}
	rows := make([]spendRow, len(spends))
	for i, s := range spends {
		rows[i] = newSpendRow(db.tenant, s)
	}
	return db.spender.spend(ctx, rows)
}

// Spend spends everything given, within this transaction. ErrTaken: something was spent before; the rest is
// spent all the same, provided that the transaction commits.
func (tx *Tx) Spend(spends ...Spend) error {
	rows := make([]spendRow, len(spends))
	for i, s := range spends {
		rows[i] = newSpendRow(tx.tenant, s)
	}
	won, err := tx.insertSpends(rows)
	if err != nil {
		return err
	}
	return won.take(rows)
}

// winners are the rows an insert has added, each to be taken by one spender.
type winners map[spendKey]bool

// take takes rows and returns ErrTaken if one of them is not there, or no longer.
func (w winners) take(rows []spendRow) error {
	var err error
	for _, r := range rows {
		if !w[r.key()] {
			err = ErrTaken
		}
		delete(w, r.key())
	}
	return err
}

// insertSpends inserts rows in a fixed order, so that two nodes never wait for each other, and returns which
// of them are new.
func (tx *Tx) insertSpends(rows []spendRow) (winners, error) {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b spendRow) int { return bytes.Compare(a.id, b.id) })
	won := make(winners, len(rows))
	for chunk := range slices.Chunk(rows, maxSpends) {
		size := 1
		for size < len(chunk) {
			size *= 2
		}
		args := make([]any, 0, 4*size)
		for i := range size { // the last row again and again, which conflicts with itself, keeps the texts few
			r := chunk[min(i, len(chunk)-1)]
			args = append(args, r.tenant, r.shard, r.id, r.until)
		}
		added, err := all(tx, scanSpend, spendTexts[size], args...)
		if err != nil {
			return nil, err
		}
		for _, k := range added {
			won[k] = true
		}
	}
	return won, nil
}

func scanSpend(s scanner) (k spendKey, err error) {
	var id []byte
	err = s.Scan(&k.tenant, &id)
	k.id = string(id)
	return k, err
}

// spendTexts holds the inserts for 1, 2, 4 … maxSpends rows.
var spendTexts = func() map[int]string {
	texts := map[int]string{}
	for size := 1; size <= maxSpends; size *= 2 {
		values := make([]string, size)
		for i := range values {
			values[i] = fmt.Sprintf("($%d, $%d, $%d, $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
		}
		texts[size] = "INSERT INTO spends (tenant, shard, id, purge_at) VALUES " + strings.Join(values, ", ") +
			" ON CONFLICT DO NOTHING RETURNING tenant, id"
	}
	return texts
}()

// spender gathers the spends of concurrent callers: while inserts are under way, the next one fills up.
type spender struct {
	run func(ctx context.Context, rows []spendRow) (winners, error)

	mu      sync.Mutex
	running int
	waiting []*spending
}

// spending is one caller of Spend.
type spending struct {
	rows []spendRow
	told chan told
}

// told is what a waiting caller hears: how it went, or which callers it is to insert for, itself first.
type told struct {
	lead []*spending
	err  error
}

// maxInserts is how many inserts run at a time: one can be prepared while another waits for the disk.
const maxInserts = 2

// spend inserts rows, alone or as part of somebody's insert.
func (s *spender) spend(ctx context.Context, rows []spendRow) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &spending{rows: rows, told: make(chan told, 1)}
	s.mu.Lock()
	if s.running < maxInserts {
		s.running++
		s.mu.Unlock()
		return s.insert(ctx, []*spending{c})
	}
	s.waiting = append(s.waiting, c)
	s.mu.Unlock()
	select {
	case t := <-c.told:
		return s.obey(ctx, t)
	case <-ctx.Done():
		if s.forget(c) {
			return ctx.Err()
		}
		return s.obey(ctx, <-c.told)
	}
}

func (s *spender) obey(ctx context.Context, t told) error {
	if t.lead != nil {
		return s.insert(ctx, t.lead)
	}
	return t.err
}

// forget removes a caller that nobody inserts for yet.
func (s *spender) forget(c *spending) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, c)
	if i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	return i >= 0
}

// insert inserts for all callers given, tells the others how it went, and has the next insert begin.
func (s *spender) insert(ctx context.Context, callers []*spending) error {
	var rows []spendRow
	for _, c := range callers {
		rows = append(rows, c.rows...)
	}
	// The others must not suffer from the first one hanging up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	won, err := s.run(ctx, rows)
	s.pass()
	results := make([]error, len(callers))
	for i, c := range callers {
		if results[i] = err; err == nil {
			results[i] = won.take(c.rows)
		}
	}
	for i, c := range callers[1:] {
		c.told <- told{err: results[i+1]}
	}
	return results[0]
}

const insertTimeout = 30 * time.Second

// pass has the next waiting callers inserted for, by the first of them.
func (s *spender) pass() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.running--
		return
	}
	n, rows := 1, len(s.waiting[0].rows)
	for n < len(s.waiting) && rows+len(s.waiting[n].rows) <= maxSpends {
		rows += len(s.waiting[n].rows)
		n++
	}
	lead := slices.Clone(s.waiting[:n])
	s.waiting = slices.Delete(s.waiting, 0, n)
	lead[0].told <- told{lead: lead}
}

// insertSpends is the insert of a spender.
func (s *shared) insertSpends(ctx context.Context, rows []spendRow) (won winners, err error) {
	run := s.engine.once
	if len(rows) > maxSpends {
		run = s.engine.write
	}
	err = run(ctx, func(ctx context.Context, q queryer) (err error) {
		won, err = (&Tx{ctx: ctx, q: q}).insertSpends(rows)
		return err
	})
	return won, err
}
