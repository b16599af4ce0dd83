package app

import (
	"context"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

const lookEvery = 10 * time.Second

// watch reads certificates and the key ring again on SIGHUP and when their files change.
func (a *App) watch(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	seen, _ := newestOf(a.Config.KeyRing)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			a.reload(time.Time{})
		case <-tick.C:
			a.reload(seen)
		}
		seen, _ = newestOf(a.Config.KeyRing)
	}
}

// reload takes over what has changed; what cannot be read is logged, and what was there before stays in use.
func (a *App) reload(ringSeen time.Time) {
	for _, l := range a.listening {
		if l.certificate == nil {
			continue
		}
		if err := l.certificate.reload(); err != nil {
			a.log.Error("reload certificate: the one before stays in use", "listener", l.name, "cause", err)
		}
	}
	if ringSeen.IsZero() {
		a.compareConfig()
	}
	changed, err := newestOf(a.Config.KeyRing)
	if err == nil && !changed.After(ringSeen) {
		return
	}
	ring, err := keys.LoadRing(a.Config.KeyRing)
	if err == nil {
		err = ring.CheckCanary(context.Background(), a.DB)
	}
	if err != nil {
		a.log.Error("reload key ring: the one before stays in use", "cause", err)
		return
	}
	a.Ring.Replace(ring)
	a.log.Info("reloaded", "key_ring", strings.Join(ring.IDs(), " "))
}

// compareConfig answers a SIGHUP after changes of holdfast.yaml: which of its parts only a restart brings in.
func (a *App) compareConfig() {
	next, err := LoadConfig(a.Config.file)
	if err != nil {
		a.log.Error("holdfast.yaml has mistakes: what was read at the start stays in use", "cause", err)
		return
	}
	was, is := reflect.ValueOf(*a.Config), reflect.ValueOf(*next)
	for f := range was.Type().Fields() {
		if f.IsExported() && !reflect.DeepEqual(was.FieldByIndex(f.Index).Interface(), is.FieldByIndex(f.Index).Interface()) {
			a.log.Warn("restart needed", "setting", f.Tag.Get("yaml"))
		}
	}
}
