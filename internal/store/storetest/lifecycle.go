package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// life is a state machine that does what a caller may do to one record, in any order, and predicts each outcome.
type life struct {
	*bench
	t  *testing.T
	id string
}

// expect writes and compares the outcome with the prediction.
func (l *life) expect(rt *rapid.T, what string, want error, fn func(*store.Tx) error) {
	rt.Helper()
	if err := l.Write(l.t.Context(), fn); !errors.Is(err, want) {
		rt.Fatalf("%s: error %v, want %v", what, err, want)
	}
}

func (l *life) pass(rt *rapid.T) {
	l.sleep(time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second)
}

func (l *life) purge(rt *rapid.T) {
	if _, err := l.Purge(l.t.Context(), 1000); err != nil {
		rt.Fatal(err)
	}
}

// lives runs a machine made anew for each of rapid's rounds, all on one database.
func lives(t *testing.T, b *bench, machine func(l life) map[string]func(*rapid.T)) {
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		rt.Repeat(machine(life{b, t, fmt.Sprint("round", round)}))
	})
}

// codeLife predicts an authorization code that lives a minute.
type codeLife struct {
	life
	there, spent bool
	expires      time.Time
}

func testCodeLife(t *testing.T, b *bench) {
	lives(t, b, func(l life) map[string]func(*rapid.T) {
		c := &codeLife{life: l}
		return map[string]func(*rapid.T){"add": c.add, "spend": c.spend, "pass": c.pass, "purge": c.purge, "": c.check}
	})
}

func (c *codeLife) add(rt *rapid.T) {
	var want error
	if c.there {
		want = store.ErrTaken
	}
	code := store.Code{GrantID: c.id, SecretHash: "h", IssuedAt: c.in(0), ExpiresAt: c.in(time.Minute)}
	c.expect(rt, "add", want, func(tx *store.Tx) error { return tx.AddCode(code) })
	if !c.there {
		c.there, c.spent, c.expires = true, false, code.ExpiresAt
	}
}

func (c *codeLife) spend(rt *rapid.T) {
	var want error
	if !c.there {
		want = store.ErrNotFound
	} else if c.spent {
		want = store.ErrTaken
	}
	c.expect(rt, "spend", want, func(tx *store.Tx) error { return tx.SpendCode(c.id) })
	c.spent = c.there
}

func (c *codeLife) purge(rt *rapid.T) {
	c.life.purge(rt)
	c.there = c.there && c.expires.After(c.in(0))
	c.spent = c.spent && c.there
}

func (c *codeLife) check(rt *rapid.T) {
	var want error
	if !c.there {
		want = store.ErrNotFound
	}
	c.expect(rt, "load", want, func(tx *store.Tx) error {
		got, err := tx.Code(c.id)
		if err == nil && got.SpentAt.IsZero() == c.spent {
			rt.Fatalf("code %+v, want spent %v", got, c.spent)
		}
		return err
	})
}

// refreshLife predicts the family of an unbound refresh token: rotated with each use, gone with any replay.
type refreshLife struct {
	life
	tokens  []string // all but the last are spent
	revoked bool
	expires time.Time
}

func testRefreshLife(t *testing.T, b *bench) {
	lives(t, b, func(l life) map[string]func(*rapid.T) {
		f := &refreshLife{life: l, expires: l.in(2 * time.Minute)}
		err := f.Write(t.Context(), func(tx *store.Tx) error {
			g := grant(b, f.id)
			g.ExpiresAt = f.expires
			return errors.Join(tx.AddGrant(g), f.mint(tx))
		})
		if err != nil {
			t.Fatal(err)
		}
		return map[string]func(*rapid.T){
			"use": f.use, "replay": f.replay, "revoke": f.revoke, "pass": f.pass, "purge": f.purge, "": f.check,
		}
	})
}

func (f *refreshLife) mint(tx *store.Tx) error {
	token := store.NewID()
	f.tokens = append(f.tokens, token)
	return tx.AddRefresh(store.Refresh{
		GrantID: f.id, SecretHash: token, IssuedAt: tx.Now, IdleUntil: f.expires.Add(time.Hour), ExpiresAt: f.expires.Add(time.Hour),
	})
}

// dead predicts what touching the grant says.
func (f *refreshLife) dead() error {
	if f.revoked || !f.expires.After(f.in(0)) {
		return store.ErrNotFound
	}
	return nil
}

// redeem is what the token endpoint does: a replay is remembered, not refused.
func (f *refreshLife) redeem(tx *store.Tx, token string) (replayed bool, err error) {
	if _, err := tx.TouchGrant(f.id); err != nil {
		return false, err
	}
	err = tx.SpendRefresh(f.id, token)
	if errors.Is(err, store.ErrTaken) {
		return true, tx.RevokeGrant(f.id, f.expires)
	}
	return false, err
}

func (f *refreshLife) use(rt *rapid.T) {
	want, last := f.dead(), f.tokens[len(f.tokens)-1]
	f.expect(rt, "use", want, func(tx *store.Tx) error {
		replayed, err := f.redeem(tx, last)
		if err != nil {
			return err
		}
		if replayed {
			rt.Fatal("the newest token was spent")
		}
		return f.mint(tx)
	})
}

func (f *refreshLife) replay(rt *rapid.T) {
	if len(f.tokens) < 2 {
		rt.Skip("nothing to replay")
	}
	old := rapid.SampledFrom(f.tokens[:len(f.tokens)-1]).Draw(rt, "old")
	want := f.dead()
	f.expect(rt, "replay", want, func(tx *store.Tx) error {
		replayed, err := f.redeem(tx, old)
		if err == nil && !replayed {
			rt.Fatal("a spent token was accepted")
		}
		return err
	})
	f.revoked = f.revoked || want == nil
}

func (f *refreshLife) revoke(rt *rapid.T) {
	f.expect(rt, "revoke", nil, func(tx *store.Tx) error { return tx.RevokeGrant(f.id, f.expires) })
	f.revoked = true
}

func (f *refreshLife) check(rt *rapid.T) {
	f.expect(rt, "load", nil, func(tx *store.Tx) error {
		g, err := tx.Grant(f.id)
		if err == nil && g.RevokedAt.IsZero() == f.revoked {
			rt.Fatalf("grant %+v, want revoked %v", g, f.revoked)
		}
		list, err2 := tx.Refreshes(f.id)
		unspent := 0
		for _, r := range list {
			if r.SpentAt.IsZero() {
				unspent++
			}
		}
		if err2 == nil && (unspent != 1 || len(list) != len(f.tokens)) {
			rt.Fatalf("%d tokens, %d of them unspent; want %d and 1", len(list), unspent, len(f.tokens))
		}
		return errors.Join(err, err2)
	})
}
