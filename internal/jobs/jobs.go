// Package jobs runs what happens again and again: purging, key rotation, mail. Jobs that one node should do
// at a time hold a lease in the store; a lease is fenced, so that a holder that was paused cannot write after
// another has taken over.
//
// It is not a queue of work: what must happen once is a row that is claimed.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// ErrLost says that another node holds the lease now.
var ErrLost = errors.New("jobs: the lease was lost")

const (
	leaseFor   = 30 * time.Second
	renewEvery = leaseFor / 3
)

// Runner runs jobs. Add them before Run.
type Runner struct {
	DB  *store.DB // where leases are
	Now func() time.Time
	Log *slog.Logger // nil: silent

	jobs []job
}

type job struct {
	name  string
	every time.Duration
	lease bool
	run   func(context.Context, Lease) error
}

// Lease is the right to do a job, for now.
type Lease struct {
	name, holder string
	fence        int64
}

// Check fails the transaction with ErrLost where the lease has gone to somebody else, and renews it where not.
// A leased job that must not write twice calls it in its transaction.
func (l Lease) Check(tx *store.Tx) error {
	fence, ok, err := tx.TakeLease(l.name, l.holder, tx.Now.Add(leaseFor))
	switch {
	case err != nil:
		return fmt.Errorf("renew lease: %w", err)
	case !ok || fence != l.fence:
		return ErrLost
	}
	return nil
}

// Add adds a job that runs soon after the start and then every so often, a tenth more or less. With leased
// one node runs it at a time; its context ends when the lease is lost.
func (r *Runner) Add(name string, every time.Duration, leased bool, fn func(ctx context.Context) error) {
	r.jobs = append(r.jobs, job{name, every, leased, func(ctx context.Context, _ Lease) error { return fn(ctx) }})
}

// AddFenced adds a leased job that checks its lease in the transactions it writes.
func (r *Runner) AddFenced(name string, every time.Duration, fn func(ctx context.Context, l Lease) error) {
	r.jobs = append(r.jobs, job{name, every, true, fn})
}

// Run runs all jobs until ctx ends and waits for those that are running.
func (r *Runner) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, j := range r.jobs {
		wg.Go(func() { r.loop(ctx, j) })
	}
	wg.Wait()
}

func (r *Runner) loop(ctx context.Context, j job) {
	// Nodes that start together shall not work together.
	timer := time.NewTimer(rand.N(min(j.every, time.Second) + 1))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := r.once(ctx, j); err != nil && ctx.Err() == nil {
			r.log(ctx, j, err)
		}
		timer.Reset(jitter(j.every))
	}
}

// jitter is a time within a tenth of d.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

func (r *Runner) log(ctx context.Context, j job, err error) {
	if r.Log != nil {
		r.Log.ErrorContext(ctx, "a job failed", "job", j.name, "error", err)
	}
}

// once runs a job, under its lease where it needs one and gets it.
func (r *Runner) once(ctx context.Context, j job) error {
	if !j.lease {
		return contain(ctx, j, Lease{})
	}
	l := Lease{name: "job/" + j.name, holder: store.NewID()}
	ok, err := r.take(ctx, &l)
	if err != nil || !ok {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { r.renew(ctx, l, cancel) })
	err = contain(ctx, j, l)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrLost) {
		err = cause
	}
	cancel(nil)
	renewing.Wait()
	return errors.Join(err, r.give(context.WithoutCancel(ctx), l))
}

// contain turns a panic into an error: one broken job shall not end the process.
func contain(ctx context.Context, j job, l Lease) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("job panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return j.run(ctx, l)
}

func (r *Runner) take(ctx context.Context, l *Lease) (ok bool, err error) {
	err = r.DB.Write(ctx, func(tx *store.Tx) (err error) {
		l.fence, ok, err = tx.TakeLease(l.name, l.holder, tx.Now.Add(leaseFor))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("take lease: %w", err)
	}
	return ok, nil
}

// renew keeps the lease until the job is done, and ends the job when it could not be kept in time.
func (r *Runner) renew(ctx context.Context, l Lease, lost context.CancelCauseFunc) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	held := r.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := r.DB.Write(ctx, l.Check)
		switch {
		case err == nil:
			held = r.Now()
		case errors.Is(err, ErrLost), r.Now().Sub(held) > leaseFor-renewEvery:
			lost(ErrLost)
			return
		}
	}
}

// give lets the next node have the lease at once.
func (r *Runner) give(ctx context.Context, l Lease) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	err := r.DB.Write(ctx, func(tx *store.Tx) error {
		_, _, err := tx.TakeLease(l.name, l.holder, tx.Now)
		return err
	})
	if err != nil {
		return fmt.Errorf("give lease up: %w", err)
	}
	return nil
}
