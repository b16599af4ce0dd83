package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-iam/holdfast/internal/jobs"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// start runs a runner and returns what ends it and waits.
func start(r *jobs.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func TestJobsRunAgainAndAgain(t *testing.T) {
	r := &jobs.Runner{DB: storetest.Open(t), Now: time.Now}
	ran := make(chan struct{})
	for _, leased := range []bool{false, true} {
		r.Add("tick", time.Millisecond, leased, func(ctx context.Context) error {
			select {
			case ran <- struct{}{}:
			case <-ctx.Done():
			}
			return nil
		})
	}
	defer start(r)()
	for range 6 {
		select {
		case <-ran:
		case <-time.After(5 * time.Second):
			t.Fatal("it did not run again")
		}
	}
}

func TestOneNodeAtATime(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		var running, most, runs atomic.Int32
		enough := make(chan struct{})
		var once sync.Once
		for range 3 {
			db, err := store.Open(t.Context(), url, store.Options{Synchronous: "NORMAL"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			r := &jobs.Runner{DB: db, Now: time.Now}
			r.Add("rotate", time.Millisecond, true, func(context.Context) error {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(2 * time.Millisecond)
				running.Add(-1)
				if runs.Add(1) > 20 {
					once.Do(func() { close(enough) })
				}
				return nil
			})
			t.Cleanup(start(r))
		}
		select {
		case <-enough:
		case <-time.After(20 * time.Second):
			t.Fatalf("only %d runs", runs.Load())
		}
		if most.Load() != 1 {
			t.Errorf("%d nodes ran the job at once", most.Load())
		}
	})
}

func TestPausedHolderCannotWrite(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	db := storetest.Open(t, store.Options{Now: clock})
	r := &jobs.Runner{DB: db, Now: clock}
	result := make(chan error, 1)
	r.AddFenced("seal", time.Hour, func(ctx context.Context, l jobs.Lease) error {
		if err := db.Write(ctx, l.Check); err != nil {
			t.Errorf("the holder may not write: %v", err)
		}
		mu.Lock()
		now = now.Add(time.Minute) // it is paused for longer than the lease
		mu.Unlock()
		err := db.Write(ctx, func(tx *store.Tx) error {
			_, ok, err := tx.TakeLease("job/seal", "another node", tx.Now.Add(time.Minute))
			if !ok {
				t.Error("the lapsed lease could not be taken")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		result <- db.Write(ctx, l.Check)
		return nil
	})
	defer start(r)()
	if err := <-result; !errors.Is(err, jobs.ErrLost) {
		t.Errorf("the late holder was not stopped: %v", err)
	}
}

func TestPanicsAndErrorsAreContained(t *testing.T) {
	var out lockedBuffer
	r := &jobs.Runner{DB: storetest.Open(t), Now: time.Now, Log: slog.New(slog.NewTextHandler(&out, nil))}
	var ranAgain []chan struct{} // closed when a job runs after its panic
	for _, leased := range []bool{false, true} {
		first, again := true, make(chan struct{})
		var once sync.Once
		ranAgain = append(ranAgain, again)
		r.Add("broken", time.Millisecond, leased, func(context.Context) error {
			if first {
				first = false
				panic("a bug")
			}
			once.Do(func() { close(again) })
			return errors.New("an error")
		})
	}
	stop := start(r)
	for _, again := range ranAgain {
		<-again
	}
	stop()
	if text := out.String(); strings.Count(text, "a bug") < 2 || !strings.Contains(text, "an error") || !strings.Contains(text, "job=broken") {
		t.Errorf("log: %s", text)
	}
}

func TestRunWaitsForRunningJobs(t *testing.T) {
	r := &jobs.Runner{DB: storetest.Open(t), Now: time.Now}
	running, finish := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	r.Add("slow", time.Millisecond, true, func(context.Context) error {
		close(running)
		<-finish
		finished.Store(true)
		return nil
	})
	stop := start(r)
	<-running
	go func() { time.Sleep(20 * time.Millisecond); close(finish) }()
	stop()
	if !finished.Load() {
		t.Error("Run returned before the job was done")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
