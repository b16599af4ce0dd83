package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-iam/holdfast/internal/admin"
	"github.com/holdfast-iam/holdfast/internal/audit"
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
	listener    net.Listener
}

// prepareListeners makes the servers, without opening anything. What they serve is up to the current edition.
func (a *App) prepareListeners() error {
	for i := range a.Config.Listeners {
		l, err := a.prepareListener(i)
		if err != nil {
			return err
		}
		a.listening = append(a.listening, l)
	}
	if a.Config.Admin.Socket != "" {
		local := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.current.Load().local.ServeHTTP(w, r) })
		server := web.NewServer(local, a.log)
		server.ReadTimeout, server.WriteTimeout = 0, 0 // the operator is waited for, and may bring many people in
		a.listening = append(a.listening, &listening{
			name: "admin socket", network: "unix", address: a.Config.Admin.Socket, server: server,
		})
	}
	return nil
}

func (a *App) prepareListener(i int) (l *listening, err error) {
	c := &a.Config.Listeners[i]
	l = &listening{name: c.Name, network: "tcp", address: c.Address}
	if c.TLS.Mode == "own" {
		if l.certificate, err = loadCertificate(c.TLS.Certificate, c.TLS.Key); err != nil {
			return nil, fmt.Errorf("listener %s: %w", c.Name, err)
		}
	}
	current := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.current.Load().listeners[i].ServeHTTP(w, r) })
	l.server = web.NewServer(current, a.log)
	if l.certificate != nil {
		l.server.TLSConfig = web.TLSConfig(l.certificate.get, c.ClientCertificate == "request")
	}
	return l, nil
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
