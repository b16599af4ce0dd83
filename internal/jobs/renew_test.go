package jobs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-iam/holdfast/internal/jobs"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestLeaseIsRenewedUntilItIsLost(t *testing.T) {
	url := storetest.SQLiteURL(t)
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64 // how far the clock is moved
		clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		db, err := store.Open(t.Context(), url, store.Options{Now: clock, Synchronous: "NORMAL"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		takeOver := func() (ok bool) {
			err := db.Write(t.Context(), func(tx *store.Tx) (err error) {
				_, ok, err = tx.TakeLease("job/long", "another node", tx.Now.Add(time.Hour))
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return ok
		}
		ended := make(chan error, 1)
		r := &jobs.Runner{DB: db, Now: clock}
		r.Add("long", time.Hour, true, func(ctx context.Context) error {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return ctx.Err()
		})
		defer start(r)()
		time.Sleep(5 * time.Minute)
		if takeOver() {
			t.Error("the lease of a running job lapsed")
		}
		ahead.Store(int64(time.Minute)) // as if the node had been paused
		if !takeOver() {
			t.Error("the lapsed lease could not be taken")
		}
		if err := <-ended; !errors.Is(err, jobs.ErrLost) {
			t.Errorf("the job was ended by %v", err)
		}
	})
}
