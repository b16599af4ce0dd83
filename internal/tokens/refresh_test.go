package tokens_test

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

func (r *rig) addRefresh(t testing.TB, g *store.Grant) (handle string) {
	t.Helper()
	r.write(t, func(tx *store.Tx) (err error) {
		handle, err = r.minter.AddRefresh(tx, g)
		return err
	})
	return handle
}

// use presents a refresh token as the grant does: a second use is committed.
func (r *rig) use(t testing.TB, handle string) (next string, err error) {
	t.Helper()
	r.write(t, func(tx *store.Tx) error {
		found, ferr := r.minter.OpenRefresh(tx, handle)
		if err = ferr; err != nil {
			return nil
		}
		next, err = r.minter.UseRefresh(tx, found)
		return nil
	})
	return next, err
}

func (r *rig) rows(t testing.TB, g *store.Grant) (rows []store.Refresh) {
	t.Helper()
	r.write(t, func(tx *store.Tx) (err error) {
		rows, err = tx.Refreshes(g.ID)
		return err
	})
	return rows
}

func TestBoundRefreshTokenStays(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g := r.grant(t, false)
	handle := r.addRefresh(t, g)
	idle := r.rows(t, g)[0].IdleUntil
	for range 3 {
		r.pass(30 * time.Minute)
		if next, err := r.use(t, handle); err != nil || next != "" {
			t.Fatalf("next %q, %v", next, err)
		}
	}
	rows := r.rows(t, g)
	if len(rows) != 1 || !rows[0].SpentAt.IsZero() {
		t.Fatalf("rows %+v", rows)
	}
	if got := rows[0].IdleUntil.Sub(idle); got != time.Hour {
		t.Errorf("the idle limit moved by %v: it slides, and is written once an hour", got)
	}
}

func TestBoundRefreshTokenEnds(t *testing.T) {
	l := tokens.Lifetimes{RefreshIdle: 14 * 24 * time.Hour, RefreshAbsolute: 30 * 24 * time.Hour}
	r := newRig(t, l)
	idle, used := r.addRefresh(t, r.grant(t, false)), r.addRefresh(t, r.grant(t, false))
	for day := range 30 {
		if _, err := r.use(t, used); err != nil {
			t.Fatalf("used every day, day %d: %v", day, err)
		}
		if day == 13 {
			if _, err := r.use(t, idle); err != nil {
				t.Fatalf("unused for 13 days: %v", err)
			}
		}
		if day == 27 {
			if _, err := r.use(t, idle); !errors.Is(err, tokens.ErrInactive) {
				t.Errorf("unused for 14 days: %v", err)
			}
		}
		r.pass(24 * time.Hour)
	}
	if _, err := r.use(t, used); !errors.Is(err, tokens.ErrInactive) {
		t.Errorf("after the absolute limit: %v", err)
	}
}

func TestOAuth21_4_3_1_UnboundRefreshTokenRotates(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g := r.grant(t, true)
	first := r.addRefresh(t, g)
	second, err := r.use(t, first)
	if err != nil || second == "" || second == first {
		t.Fatalf("second %q, %v", second, err)
	}
	third, err := r.use(t, second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.use(t, first); !errors.Is(err, tokens.ErrReused) {
		t.Fatalf("second use: %v", err)
	}
	if _, err := r.use(t, third); !errors.Is(err, tokens.ErrInactive) {
		t.Errorf("the newest token still works: %v", err)
	}
	if _, err := r.use(t, first); !errors.Is(err, tokens.ErrInactive) {
		t.Errorf("third use: %v", err)
	}
}

func TestRefreshRetryWindow(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{RefreshRetryWindow: 30 * time.Second})
	g := r.grant(t, true)
	first := r.addRefresh(t, g)
	lost, err := r.use(t, first)
	if err != nil {
		t.Fatal(err)
	}
	r.pass(20 * time.Second)
	again, err := r.use(t, first)
	if err != nil || again == lost {
		t.Fatalf("within the window: %v", err)
	}
	r.pass(20 * time.Second)
	if _, err := r.use(t, first); !errors.Is(err, tokens.ErrReused) {
		t.Errorf("after the window: %v", err)
	}
	if _, err := r.use(t, again); !errors.Is(err, tokens.ErrInactive) {
		t.Errorf("the family lives: %v", err)
	}
}

func TestRevokedGrantNeverRefreshes(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g := r.grant(t, false)
	handle := r.addRefresh(t, g)
	r.write(t, func(tx *store.Tx) error { return tokens.RevokeGrant(tx, g) })
	r.write(t, func(tx *store.Tx) error { return tokens.RevokeGrant(tx, g) }) // again: no error
	if _, err := r.use(t, handle); !errors.Is(err, tokens.ErrInactive) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestUnknownRefreshTokens(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g := r.grant(t, false)
	handle := r.addRefresh(t, g)
	for _, wrong := range []string{"", ".", "a.b.c", handle[:len(handle)-1], handle + "A", g.ID + ".AAAA", "AAAA" + handle[22:]} {
		if _, err := r.use(t, wrong); !errors.Is(err, tokens.ErrInactive) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
