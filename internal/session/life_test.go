package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
)

func ctx() context.Context { return context.Background() }

// browser is one browser and what we expect of it.
type browser struct {
	handles []string // every handle it ever had; the last one counts
	account string   // who should be signed in with it; "" nobody
	idle    time.Time
	expires time.Time
	factors []store.Factor
}

func (b *browser) live(now time.Time) bool {
	return b.account != "" && now.Before(b.idle) && now.Before(b.expires)
}

func (b *browser) handle() string {
	if len(b.handles) == 0 {
		return ""
	}
	return b.handles[len(b.handles)-1]
}

// life is the state of a run.
type life struct {
	s        *session.Sessions
	clock    *clock
	browsers []*browser
}

func (l *life) signIn(t *rapid.T) {
	b := rapid.SampledFrom(l.browsers).Draw(t, "browser")
	account := rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "account")
	f := rapid.SampledFrom([]store.Factor{password, synced, bound}).Draw(t, "factor")
	old, err := l.s.Open(ctx(), b.handle())
	if err != nil && !errors.Is(err, session.ErrNone) {
		t.Fatal(err)
	}
	_, handle := signIn(t, l.s, account, f, old)
	for _, other := range l.browsers {
		for _, h := range other.handles {
			if h == handle {
				t.Fatal("a handle was given twice")
			}
		}
	}
	b.handles = append(b.handles, handle)
	b.account, b.factors = account, []store.Factor{f}
	b.idle, b.expires = l.clock.at.Add(l.s.Idle), l.clock.at.Add(l.s.Absolute)
}

func (l *life) stepUp(t *rapid.T) {
	b := rapid.SampledFrom(l.browsers).Draw(t, "browser")
	f := rapid.SampledFrom([]store.Factor{password, synced, bound, mailed}).Draw(t, "factor")
	v, err := l.s.Open(ctx(), b.handle())
	if errors.Is(err, session.ErrNone) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := step(l.s, v.ID, f); err != nil {
		t.Fatal(err)
	}
	b.idle = l.clock.at.Add(l.s.Idle)
	b.factors = append(b.factors, f)
}

func (l *life) signOut(t *rapid.T) {
	b := rapid.SampledFrom(l.browsers).Draw(t, "browser")
	v, err := l.s.Open(ctx(), b.handle())
	if errors.Is(err, session.ErrNone) {
		return
	}
	if err == nil {
		err = l.s.DB.Write(ctx(), func(tx *store.Tx) error { return tx.EndSession(v.ID) })
	}
	if err != nil {
		t.Fatal(err)
	}
	b.account = ""
}

func (l *life) wait(t *rapid.T) {
	l.clock.at = l.clock.at.Add(time.Duration(rapid.IntRange(1, 9*60).Draw(t, "minutes")) * time.Minute)
}

// check compares the store with what is expected: the newest handle of a live browser opens its session, with the worth
// of its strongest factor, and no other handle opens anything.
func (l *life) check(t *rapid.T) {
	for _, b := range l.browsers {
		for n, h := range b.handles {
			v, err := l.s.Open(ctx(), h)
			if n < len(b.handles)-1 || !b.live(l.clock.at) {
				if !errors.Is(err, session.ErrNone) {
					t.Fatalf("a dead handle opens: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("a live handle does not open: %v", err)
			}
			if v.AccountID != b.account || v.ACR != strongest(b.factors) {
				t.Fatalf("%s with %s, want %s with %s", v.AccountID, v.ACR, b.account, strongest(b.factors))
			}
			if v.AuthTime.After(l.clock.at) || v.AuthTime.IsZero() || v.IdleUntil.After(v.ExpiresAt) {
				t.Fatalf("auth_time %v, idle until %v, expires at %v", v.AuthTime, v.IdleUntil, v.ExpiresAt)
			}
		}
	}
}

func strongest(factors []store.Factor) string {
	best := "1"
	for _, f := range factors {
		switch {
		case f.DeviceBound:
			return "phrh"
		case f.Kind == session.Passkey:
			best = "phr"
		}
	}
	return best
}

func TestLifeOfSessions(t *testing.T) {
	c := begin()
	s := open(t, c)
	rapid.Check(t, func(t *rapid.T) {
		l := &life{s: s, clock: c, browsers: []*browser{{}, {}}}
		t.Repeat(map[string]func(*rapid.T){
			"sign in": l.signIn, "step up": l.stepUp, "sign out": l.signOut, "wait": l.wait, "": l.check,
		})
	})
}
