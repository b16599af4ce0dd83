package app

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// edition is what one reading of the configuration has made: who there is and what is served where. A reload makes
// another and puts it in its place as a whole.
type edition struct {
	config    *Config
	tenants   []*tenant
	hosts     hosts
	listeners []http.Handler // of each of config.Listeners
	local     http.Handler   // of the admin socket
}

// edit makes the edition of a configuration. Tenants of the one before, if any, for whom nothing has changed are in
// the new one as they are. An error leaves nothing behind.
func (a *App) edit(ctx context.Context, c *Config, before *edition) (_ *edition, err error) {
	e := &edition{config: c}
	defer func() {
		if err != nil {
			for _, t := range e.without(before) {
				a.forget(t)
			}
		}
	}()
	client, err := newFetch(c)
	if err != nil {
		return nil, err
	}
	fetch := &fetch.Keys{Client: client, Now: a.Clock.Now}
	for i := range c.Tenants {
		t, err := a.editTenant(ctx, c, &c.Tenants[i], fetch, before)
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", c.Tenants[i].Name, err)
		}
		e.tenants = append(e.tenants, t)
	}
	e.hosts = e.routes(a)
	for i := range c.Listeners {
		e.listeners = append(e.listeners, a.listenerHandler(&c.Listeners[i], e.hosts))
	}
	e.local = a.localHandler(e.tenants)
	return e, nil
}

func (a *App) editTenant(ctx context.Context, c *Config, tc *TenantConfig, f *fetch.Keys, before *edition) (*tenant, error) {
	print, err := a.print(c, tc)
	if err != nil {
		return nil, err
	}
	if t := before.tenant(tc.Name); t != nil && t.print == print {
		return t, nil
	}
	t, err := a.openTenant(ctx, c, tc, f)
	if err != nil {
		return nil, err
	}
	t.print = print
	return t, nil
}

// print changes with everything that a tenant is made of: its part of the configuration, the parts that all share,
// the content of the files they name, and the key of the ring from which keys are derived.
func (a *App) print(c *Config, t *TenantConfig) (string, error) {
	h := sha256.New()
	err := json.NewEncoder(h).Encode(struct {
		Tenant   *TenantConfig
		Admin    AdminConfig
		Mail     MailConfig
		Outbound OutboundConfig
		RingKey  string
	}{t, c.Admin, c.Mail, c.Outbound, a.Ring.IDs()[0]})
	for _, name := range append(t.files(), c.Outbound.CAFiles...) {
		if err != nil {
			break
		}
		var data []byte
		data, err = os.ReadFile(name)
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)), err
}

// tenant finds a tenant; nil: there is none, or no edition.
func (e *edition) tenant(name string) *tenant {
	if e == nil {
		return nil
	}
	for _, t := range e.tenants {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// without lists the tenants of e that are not, or not as they are, in the other.
func (e *edition) without(other *edition) (list []*tenant) {
	for _, t := range e.tenants {
		if other.tenant(t.Name) != t {
			list = append(list, t)
		}
	}
	return list
}

// hosts are what is served, by host name without port.
type hosts map[string]http.Handler

func (h hosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if next := h[strings.ToLower(host)]; next != nil {
		next.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// mux is the mux of a URL's host, and the URL's path.
func (h hosts) mux(raw string) (*http.ServeMux, string) {
	u, err := url.Parse(raw)
	if err != nil {
		return http.NewServeMux(), "" // validated before
	}
	m, ok := h[u.Hostname()].(*web.Mux)
	if !ok {
		m = web.NewMux(web.OAuthDoor)
		h[u.Hostname()] = m
	}
	return m.ServeMux, u.EscapedPath()
}

// mountIssuer adds an issuer, which may share its host with others by its path.
func (t *tenant) mountIssuer(all hosts) {
	mux, path := all.mux(t.Issuer)
	mux.Handle(path+"/", http.StripPrefix(path, t.both))
	t.discovery.MountHost(mux)
	if t.MTLSIssuer != "" {
		mux, path := all.mux(t.MTLSIssuer)
		mux.Handle(path+"/", http.StripPrefix(path, t.protocol))
	}
}

// routes maps each host to what is served there.
func (e *edition) routes(a *App) hosts {
	all := hosts{}
	for _, t := range e.tenants {
		t.mountIssuer(all)
		if t.AdminURL != "" {
			mux, path := all.mux(t.AdminURL)
			t.admin.Mount(mux)
			if path == "" {
				a.mountHealth(mux)
			}
		}
	}
	for _, t := range e.tenants {
		maps.Copy(all, t.apis)
	}
	maps.Copy(all, a.extra)
	return all
}

// listenerHandler serves the hosts of one listener.
func (a *App) listenerHandler(c *ListenerConfig, byHost hosts) http.Handler {
	o := web.Options{Log: a.log, Now: a.Clock.Now, Hosts: c.Hosts, Refused: a.refused}
	if c.TLS.Mode == "terminated" {
		o.TrustedHops, o.AllowPlainHTTP = c.TLS.TrustedHops, true
		if c.ClientCertificate == "request" {
			o.CertificateHeader, o.ParseCertificate = c.TLS.ClientCertificateHeader, new(ca.Forwarded).Parse
		}
	}
	return web.Wrap(byHost, o)
}

// localHandler serves the command line of this machine.
func (a *App) localHandler(tenants []*tenant) http.Handler {
	mux := web.NewMux(web.ProblemDoor)
	for _, t := range tenants {
		if t.admin != nil {
			t.admin.MountLocal(mux.ServeMux, "/"+t.Name)
		}
	}
	a.mountHealth(mux.ServeMux)
	return web.Wrap(mux, web.Options{Log: a.log, Now: a.Clock.Now, Hosts: []string{"localhost"}, AllowPlainHTTP: true, Refused: a.refused})
}

// listenTo has a tenant told of what changes.
func (a *App) listenTo(t *tenant) {
	a.hearing.Lock()
	defer a.hearing.Unlock()
	a.hearers[t] = true
}

// forget ends that, and all that goes on behind a tenant.
func (a *App) forget(t *tenant) {
	a.hearing.Lock()
	defer a.hearing.Unlock()
	delete(a.hearers, t)
	t.end()
}

// retire forgets a tenant that is replaced once it serves nothing any more: until then it has to hear what is revoked.
// A request that is about to begin with it has the wait to do so.
func (a *App) retire(t *tenant, wait time.Duration) {
	time.AfterFunc(wait, func() {
		if t.serving.Load() > 0 {
			a.retire(t, wait)
			return
		}
		a.forget(t)
	})
}

// heard tells all tenants what other nodes, and this one, have changed.
func (a *App) heard(e store.Event) {
	a.hearing.Lock()
	hearers := maps.Clone(a.hearers)
	a.hearing.Unlock()
	for t := range hearers {
		t.heard(e)
	}
}
