// Package app assembles Holdfast by hand: configuration, store, keys, one set of rooms per tenant, listeners, jobs and
// shutdown. It is the only place that knows all parts; it holds no rule of a protocol.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/jobs"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Console is where a command speaks.
type Console struct{ Out, Err io.Writer }

// App is an assembled process. Open makes it, Run serves until its context ends, Close gives everything back.
type App struct {
	Config   *Config // of the start; what reloads have made of it is that of current
	Clock    *Clock
	DB       *store.DB
	Sessions *store.DB // of browser applications; DB, where the configuration names no other
	Ring     *keys.Ring

	log       *slog.Logger
	level     *slog.LevelVar // of log; nil where it stays
	feed      *feed.Feed
	trail     *audit.Trail
	runner    *jobs.Runner
	passwords *authn.Passwords
	metrics   *metrics
	draining  atomic.Bool
	listening []*listening
	lookEvery time.Duration // at files that may change
	looked    string        // what Config.look said at the start
	current   atomic.Pointer[edition]
	extra     hosts // those of Serve

	hearing sync.Mutex
	hearers map[*tenant]bool // those that are told of the feed's events
}

// Open does everything that comes before listening: each step's error says what is wrong and what to do.
func Open(ctx context.Context, c *Config, log *slog.Logger) (_ *App, err error) {
	tuneMemory()
	a := &App{Config: c, Clock: new(Clock), log: log, lookEvery: lookEvery, looked: c.look(), hearers: map[*tenant]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.Ring, err = keys.LoadRing(c.KeyRing); err != nil {
		return nil, err
	}
	if err := a.openStore(ctx); err != nil {
		return nil, err
	}
	if err := a.checkRing(ctx, a.Ring); err != nil {
		return nil, err
	}
	if c.Environment == "test" {
		if err := a.Clock.load(ctx, a.DB); err != nil {
			return nil, err
		}
	}
	if err := a.openShared(); err != nil {
		return nil, err
	}
	a.addJobs()
	if err := a.prepareListeners(); err != nil {
		return nil, err
	}
	first, err := a.edit(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	a.current.Store(first)
	return a, nil
}

// openShared makes what all tenants use.
func (a *App) openShared() (err error) {
	a.feed = feed.New(a.DB, a.Clock.Now, a.databases()[1:]...)
	a.feed.Subscribe(a.heard)
	a.trail = &audit.Trail{DB: a.DB, Now: a.Clock.Now, Log: a.log}
	a.runner = &jobs.Runner{DB: a.DB.For(""), Now: a.Clock.Now, Log: a.log}
	a.metrics = newMetrics(a)
	a.passwords, err = authn.NewPasswords()
	return err
}

// addJobs lists what happens by itself, besides what tenants do.
func (a *App) addJobs() {
	// Every node purges, with jitter: batches are small and nobody waits for a lock.
	a.runner.Add("purge", time.Minute, false, a.purge)
	if a.Config.Environment == "test" {
		a.runner.Add("clock", time.Second, false, func(ctx context.Context) error { return a.Clock.load(ctx, a.DB) })
	}
}

// Run serves until ctx ends, then stops in order: not ready, no new connections, running requests, jobs.
func (a *App) Run(ctx context.Context, ready func()) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	for _, run := range []func(context.Context){a.feed.Run, a.trail.Run, a.runner.Run, a.watch, settle} {
		wg.Go(func() { run(background) })
	}
	for _, t := range a.current.Load().tenants {
		t.start(background)
	}
	err := a.listen()
	if err == nil {
		err = a.serve(ctx, ready)
	}
	stop()
	wg.Wait() // the one that reloads among them
	for _, t := range a.current.Load().tenants {
		t.stop()
		a.forget(t)
	}
	return err
}

// Close gives the databases back.
func (a *App) Close() (err error) {
	for _, db := range a.databases() {
		err = errors.Join(err, db.Close())
	}
	return err
}

// tenantNamed finds a tenant; "" is the only one.
func (c *Config) tenantNamed(name string) (*TenantConfig, error) {
	var names []string
	for i := range c.Tenants {
		if c.Tenants[i].Name == name || name == "" && len(c.Tenants) == 1 {
			return &c.Tenants[i], nil
		}
		names = append(names, c.Tenants[i].Name)
	}
	if name == "" {
		return nil, fmt.Errorf("there are several tenants: say which with --tenant (%s)", strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("there is no tenant %s: the configuration has %s", name, strings.Join(names, ", "))
}
