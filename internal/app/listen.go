package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-iam/holdfast/internal/admin"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// Times of an orderly stop.
const (
	notReady = 5 * time.Second  // between "not ready" and closing the door, for load balancers to notice
	drain    = 25 * time.Second // for running requests
)

// listening is one address that is served, or about to be.
type listening struct {
	name        string
	network     string
	address     string
	server      *http.Server
	certificate *certificate // nil where TLS ends elsewhere
	request     bool         // asks for client certificates
	listener    net.Listener
}

// prepareListeners routes every configured host, without opening anything.
func (a *App) prepareListeners() error {
	hosts, err := a.routes()
	if err != nil {
		return err
	}
	for i := range a.Config.Listeners {
		l, err := a.prepareListener(&a.Config.Listeners[i], hosts)
		if err != nil {
			return err
		}
		a.listening = append(a.listening, l)
	}
	if a.Config.Admin.Socket != "" {
		a.listening = append(a.listening, a.adminSocket())
	}
	return nil
}

// routes maps each host to what is served there. Several issuers may share a host by their paths.
func (a *App) routes() (map[string]*web.Mux, error) {
	hosts := map[string]*web.Mux{}
	at := func(raw string) (*http.ServeMux, string) {
		u, err := url.Parse(raw)
		if err != nil {
			return http.NewServeMux(), "" // validated before
		}
		if hosts[u.Hostname()] == nil {
			hosts[u.Hostname()] = web.NewMux(web.OAuthDoor)
		}
		return hosts[u.Hostname()].ServeMux, u.EscapedPath()
	}
	for _, t := range a.tenants {
		both, protocol, err := t.handler()
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		mux, path := at(t.Issuer)
		mux.Handle(path+"/", http.StripPrefix(path, both))
		t.discovery.MountHost(mux)
		if t.MTLSIssuer != "" {
			mux, path := at(t.MTLSIssuer)
			mux.Handle(path+"/", http.StripPrefix(path, protocol))
		}
		if t.AdminURL != "" {
			mux, path := at(t.AdminURL)
			t.admin.Mount(mux)
			if path == "" {
				a.mountHealth(mux)
			}
		}
	}
	return hosts, nil
}

func (a *App) prepareListener(c *ListenerConfig, hosts map[string]*web.Mux) (l *listening, err error) {
	byHost := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if mux := hosts[host]; mux != nil {
			mux.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	o := web.Options{Log: a.log, Now: a.Clock.Now, Hosts: c.Hosts, Refused: a.refused}
	l = &listening{name: c.Name, network: "tcp", address: c.Address, request: c.ClientCertificate == "request"}
	if c.TLS.Mode == "terminated" {
		o.TrustedHops, o.AllowPlainHTTP = c.TLS.TrustedHops, true
		if l.request {
			o.CertificateHeader, o.ParseCertificate = c.TLS.ClientCertificateHeader, ca.ParseForwarded
		}
	} else if l.certificate, err = loadCertificate(c.TLS.Certificate, c.TLS.Key); err != nil {
		return nil, fmt.Errorf("listener %s: %w", c.Name, err)
	}
	l.server = web.NewServer(web.Wrap(byHost, o), a.log)
	if l.certificate != nil {
		l.server.TLSConfig = web.TLSConfig(l.certificate.get, l.request)
	}
	return l, nil
}

// adminSocket serves the command line of this machine.
func (a *App) adminSocket() *listening {
	mux := web.NewMux(web.ProblemDoor)
	for _, t := range a.tenants {
		t.admin.MountLocal(mux.ServeMux, "/"+t.Name)
	}
	a.mountHealth(mux.ServeMux)
	o := web.Options{Log: a.log, Now: a.Clock.Now, Hosts: []string{"localhost"}, AllowPlainHTTP: true, Refused: a.refused}
	return &listening{name: "admin socket", network: "unix", address: a.Config.Admin.Socket, server: web.NewServer(web.Wrap(mux, o), a.log)}
}

// refused is the one place where every refusal becomes an audit record.
func (a *App) refused(r *http.Request, e *web.Event, status int) {
	outcome := audit.Refused
	if status >= http.StatusInternalServerError {
		outcome = audit.Failure
	}
	a.metrics.refusals.WithLabelValues(string(e.Code())).Inc()
	a.trail.Observe(audit.Record{Tenant: e.Tenant(), AuditRecord: store.AuditRecord{
		ID: store.NewID(), At: a.Clock.Now(), RequestID: e.RequestID, ActorKind: audit.ActorClient, ActorID: e.Client(),
		Action: "request.refuse", ObjectKind: "route", ObjectID: r.Method + " " + r.URL.Path, Client: e.Client(),
		Outcome: outcome, Code: string(e.Code()), Reason: e.Reason(), AddressPrefix: e.Peer.Prefix,
	}})
}

// listen opens every address, or none.
func (a *App) listen() error {
	for _, l := range a.listening {
		if err := l.open(); err != nil {
			for _, opened := range a.listening {
				if opened.listener != nil {
					_ = opened.listener.Close() // the first error says what matters
				}
			}
			return err
		}
	}
	return nil
}

func (l *listening) open() (err error) {
	if l.network == "unix" {
		l.listener, err = admin.Listen(l.address)
		return err
	}
	l.listener, err = net.Listen(l.network, l.address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listener %s: %s is in use by another program: end it, or choose another address", l.name, l.address)
	}
	if err != nil {
		return fmt.Errorf("listener %s: %w", l.name, err)
	}
	if l.certificate != nil {
		l.listener = tls.NewListener(l.listener, l.server.TLSConfig)
	}
	return nil
}

// serve answers until ctx ends or a listener fails, and then stops in order.
func (a *App) serve(ctx context.Context, ready func()) error {
	failed := make(chan error, len(a.listening))
	for _, l := range a.listening {
		go func() {
			if err := l.server.Serve(l.listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("listener %s: %w", l.name, err)
			}
		}()
		a.log.Info("listening", "listener", l.name, "address", l.listener.Addr().String())
	}
	if err := a.waitReady(ctx); err == nil && ready != nil {
		ready()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.stop()
	return err
}

// waitReady waits until the feed has loaded what is revoked.
func (a *App) waitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !a.feed.Ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (a *App) stop() {
	a.draining.Store(true)
	a.log.Info("stopping: not ready any more, running requests are finished")
	if a.Config.Environment == "production" {
		time.Sleep(notReady) // load balancers look at readyz
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range a.listening {
		wg.Go(func() {
			if err := l.server.Shutdown(ctx); err != nil {
				_ = l.server.Close() // what has not ended by now is cut off
			}
		})
	}
	wg.Wait()
}
