package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	contenders = 32
	handles    = 4
)

// contend has many callers on several handles do the same thing at once, and checks that it goes well for
// exactly as many as it should, and is lost for the others.
func contend(t *testing.T, name string, dbs []*store.DB, winners int, try func(context.Context, *store.DB) error) {
	t.Helper()
	var won, lost atomic.Int32
	start, wg := make(chan struct{}), sync.WaitGroup{}
	for i := range contenders {
		wg.Go(func() {
			<-start
			switch err := try(t.Context(), dbs[i%len(dbs)]); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrTaken), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
				lost.Add(1)
			default:
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	close(start)
	wg.Wait()
	if int(won.Load()) != winners || int(won.Load()+lost.Load()) != contenders {
		t.Errorf("%s: %d won and %d lost; want %d of %d to win", name, won.Load(), lost.Load(), winners, contenders)
	}
}

// writing is a contender that writes.
func writing(fn func(*store.Tx) error) func(context.Context, *store.DB) error {
	return func(ctx context.Context, db *store.DB) error { return db.Write(ctx, fn) }
}

func nodes(t *testing.T, b *bench) []*store.DB {
	dbs := []*store.DB{b.DB}
	for len(dbs) < handles {
		dbs = append(dbs, b.again(t))
	}
	return dbs
}

func testContention(t *testing.T, b *bench) {
	dbs := nodes(t, b)
	write(t, b.DB, fill(b, "x", time.Hour))
	write(t, b.DB, addAccount(account(b, "x", "x")))
	spend := store.Spend{Kind: "dpop", Key: "proof", Until: b.in(time.Hour)}
	mint := func(tx *store.Tx) error { // as a code is redeemed: parent, spend, children
		return errors.Join(tx.Spend(store.Spend{Kind: "dpop", Key: store.NewID(), Until: b.in(time.Hour)}), tx.SpendCode("x"),
			tx.AddGrant(grant(b, "minted")), tx.AddRefresh(store.Refresh{GrantID: "minted"}))
	}
	renew := func(tx *store.Tx) error { // as a bearer token is rotated
		if _, err := tx.TouchGrant("x"); err != nil {
			return err
		}
		if err := tx.SpendRefresh("x", ""); err != nil {
			return err
		}
		return tx.AddRefresh(store.Refresh{GrantID: "x", SecretHash: store.NewID()})
	}
	contend(t, "one code", dbs, 1, writing(mint))
	contend(t, "one refresh token", dbs, 1, writing(renew))
	contend(t, "one pushed request", dbs, 1, writing(func(tx *store.Tx) error { return tx.SpendPushedRequest("x") }))
	contend(t, "one mailed code", dbs, 1, writing(func(tx *store.Tx) error { return tx.SpendMailedCode("x", "") }))
	contend(t, "one proof", dbs, 1, func(ctx context.Context, db *store.DB) error { return db.Spend(ctx, spend) })
	spend.Key = "in a transaction"
	contend(t, "one proof in a transaction", dbs, 1, writing(func(tx *store.Tx) error { return tx.Spend(spend) }))
	contend(t, "one name", dbs, 1, writing(func(tx *store.Tx) error {
		return tx.AddAccount(store.Account{ID: store.NewID(), Username: "wanted"})
	}))
	contend(t, "one version", dbs, 1, writing(func(tx *store.Tx) error { return tx.PutAccount(account(b, "x", "x")) }))
	contend(t, "one revision", dbs, 1, writing(putObject(object("x", "1"), store.NoRevision)))
	contend(t, "one lease", dbs, 1, writing(func(tx *store.Tx) error {
		_, ok, err := tx.TakeLease("x", store.NewID(), b.in(time.Hour))
		if err == nil && !ok {
			err = store.ErrTaken
		}
		return err
	}))
	contend(t, "one mail", dbs, 1, writing(func(tx *store.Tx) error {
		mails, err := tx.ClaimMail(9, b.in(time.Minute))
		if err == nil && len(mails) == 0 {
			err = store.ErrTaken
		}
		return err
	}))
	contend(t, "counting", dbs, contenders, writing(func(tx *store.Tx) error {
		_, err := tx.AddFailure("x", b.in(time.Hour))
		return err
	}))
	f := load(t, b.DB, func(tx *store.Tx) ([]store.Failure, error) { return tx.Failures("x") })
	if len(f) != 1 || f[0].Count != contenders+1 {
		t.Errorf("counted %+v, want %d", f, contenders+1)
	}
}

// testManySpenders has every caller spend one thing of its own and one that two want.
func testManySpenders(t *testing.T, b *bench) {
	dbs := nodes(t, b)
	const callers = 256
	var taken [callers / 2]atomic.Int32
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			err := dbs[i%handles].Spend(t.Context(),
				store.Spend{Kind: "assertion", Key: fmt.Sprint("own", i), Until: b.in(time.Hour)},
				store.Spend{Kind: "dpop", Key: fmt.Sprint("shared", i/2), Until: b.in(time.Hour)})
			if errors.Is(err, store.ErrTaken) {
				taken[i/2].Add(1)
			} else if err != nil {
				t.Errorf("spend: %v", err)
			}
		})
	}
	wg.Wait()
	for i := range taken {
		if n := taken[i].Load(); n != 1 {
			t.Errorf("%d of two callers found thing %d taken", n, i)
		}
	}
	for i := range callers {
		if err := b.Spend(t.Context(), store.Spend{Kind: "assertion", Key: fmt.Sprint("own", i)}); !errors.Is(err, store.ErrTaken) {
			t.Errorf("own thing of caller %d: %v", i, err)
		}
	}
}

// testSpendersWhoLeave has callers hang up while others share their insert.
func testSpendersWhoLeave(t *testing.T, b *bench) {
	var wg sync.WaitGroup
	for i := range 128 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if i%2 == 0 {
				wg.Go(cancel)
			} else {
				defer cancel()
			}
			err := b.Spend(ctx, store.Spend{Key: fmt.Sprint(i), Until: b.in(time.Hour)})
			if err != nil && (i%2 == 1 || !errors.Is(err, context.Canceled)) {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if err := b.Spend(t.Context(), store.Spend{Key: "after"}); err != nil {
		t.Errorf("after the others: %v", err)
	}
}
