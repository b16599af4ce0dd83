package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

// lookEvery is how often files are looked at. A change is taken over once they have stayed the same from one look to
// the next: whoever writes them may be in the middle of it.
const lookEvery = 5 * time.Second

// watch takes over on SIGHUP, and when files have changed, what can change while the process runs: certificates, key
// ring, and what Config.under says of the configuration.
func (a *App) watch(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(a.lookEvery)
	defer tick.Stop()
	taken := a.looked
	last := taken
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			asked, last = true, a.current.Load().config.look()
		case <-tick.C:
			seen := a.current.Load().config.look()
			settled := seen == last
			last = seen
			if seen == taken || !settled {
				continue
			}
		}
		taken = last // and not as they are afterwards: what changes while they are read is for the next look
		a.reload(ctx, asked)
	}
}

// look changes when the files do that the configuration names, and its own. It reads none of them.
func (c *Config) look() string {
	var b strings.Builder
	for _, name := range c.files() {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", name, info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

// reload takes over what has changed; what cannot be read is logged, and what was there before stays in use.
// It says so if somebody has asked, or if anything has changed.
func (a *App) reload(ctx context.Context, asked bool) {
	news := a.reloadRing(ctx)
	before := a.current.Load()
	next, err := a.nextConfig(before.config)
	if err == nil {
		var e *edition
		if e, err = a.edit(ctx, next, before); err == nil {
			a.replace(ctx, before, e)
			news = append(news, e.news(before)...)
		}
	}
	if err != nil {
		a.refuse(err)
	}
	news = append(news, a.reloadCertificates()...)
	if asked || len(news) > 0 {
		a.log.Info("reloaded", attributes(news)...)
	}
}

// change is one thing that a reload has made different.
type change struct{ what, name string }

// attributes lists for each sort of change its names.
func attributes(news []change) (attrs []any) {
	for _, what := range []string{"key_ring", "tenants_added", "tenants_changed", "tenants_removed", "certificates"} {
		var names []string
		for _, n := range news {
			if n.what == what {
				names = append(names, n.name)
			}
		}
		if len(names) > 0 {
			attrs = append(attrs, what, strings.Join(names, " "))
		}
	}
	return attrs
}

// refuse says why the configuration is not taken over: each mistake on a line of its own.
func (a *App) refuse(err error) {
	const nothing = "holdfast.yaml was not taken over: nothing has changed"
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		a.log.Error(nothing, "cause", err)
	}
	for _, p := range problems {
		a.log.Error(nothing, "cause", p.String())
	}
}

// nextConfig reads the configuration again, and keeps of the one before what only a restart can change.
func (a *App) nextConfig(before *Config) (*Config, error) {
	next, err := LoadConfig(before.file)
	if err != nil {
		return nil, err
	}
	late := next.under(before)
	if len(late) == 0 {
		return next, nil
	}
	for _, name := range late {
		a.log.Warn("restart needed", "setting", name)
	}
	if problems := next.Validate(); len(problems) > 0 {
		for i := range problems {
			problems[i].File = before.file
			problems[i].What += ", until the restart that other changes need"
		}
		return nil, Problems(problems)
	}
	return next, nil
}

// replace serves e from now on, and ends what the tenants did by themselves that are not in it.
func (a *App) replace(ctx context.Context, before, e *edition) {
	a.current.Store(e)
	if a.level != nil {
		_ = a.level.UnmarshalText([]byte(e.config.Log.Level)) // validated before
	}
	for _, t := range before.without(e) {
		t.stop()
		a.retire(t, drain)
	}
	for _, t := range e.without(before) {
		t.start(ctx)
	}
}

// reloadCertificates takes over those of the listeners.
func (a *App) reloadCertificates() (news []change) {
	c := a.current.Load().config
	for i, l := range a.listening {
		if l.certificate == nil {
			continue
		}
		changed, err := l.certificate.reload(c.Listeners[i].TLS.Certificate, c.Listeners[i].TLS.Key)
		if err != nil {
			a.log.Error("reload certificate: the one before stays in use", "listener", l.name, "cause", err)
		}
		if changed {
			news = append(news, change{"certificates", l.name})
		}
	}
	return news
}

// reloadRing takes over the key ring.
func (a *App) reloadRing(ctx context.Context) (news []change) {
	ring, err := keys.LoadRing(a.Config.KeyRing)
	if err == nil {
		err = a.checkRing(ctx, ring)
	}
	if err != nil {
		a.log.Error("reload key ring: the one before stays in use", "cause", err)
		return nil
	}
	same := ring.ActiveID() == a.Ring.ActiveID() && slices.Equal(ring.IDs(), a.Ring.IDs())
	if same {
		return nil
	}
	a.Ring.Replace(ring)
	return []change{{"key_ring", strings.Join(ring.IDs(), " ")}}
}

// news says which tenants are different from those before.
func (e *edition) news(before *edition) (news []change) {
	for _, t := range e.without(before) {
		if before.tenant(t.Name) == nil {
			news = append(news, change{"tenants_added", t.Name})
		} else {
			news = append(news, change{"tenants_changed", t.Name})
		}
	}
	for _, t := range before.without(e) {
		if e.tenant(t.Name) == nil {
			news = append(news, change{"tenants_removed", t.Name})
		}
	}
	return news
}
