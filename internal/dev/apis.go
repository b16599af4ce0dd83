package dev

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/holdfast-iam/holdfast/internal/dev/orders"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

const appScope = "openid profile email " + scopeRead + " " + scopeWrite

// applications are the browser applications, with the keys by which the token handler authenticates in their names.
func (l *landscape) applications() ([]m, error) {
	var all []m
	for _, app := range []struct{ name, client, key, origin string }{
		{"demo", "spa", "spa", l.app()},
		{"backoffice", "spa-backoffice", "spa_backoffice", l.backoffice()},
	} {
		key, err := os.ReadFile(l.path("clients", app.key+".jwk"))
		if err != nil {
			return nil, fmt.Errorf("read key of application: %w", err)
		}
		all = append(all, m{
			"kind": "application", "name": app.name, "client_id": app.client, "key": json.RawMessage(key), "origins": []string{app.origin},
			"redirect_uri": app.origin + "/callback", "post_logout_redirect_uri": app.origin + "/", "scope": appScope,
			"resources": []string{l.api()}, "detailed_errors": true,
		})
	}
	return all, nil
}

// routes are the ways to the orders: one for the demo app, partners and other clients, and one for the back office, whose
// sessions are others.
func (l *landscape) routes() []m {
	var all []m
	add := func(name, path, app string, credentials ...string) {
		for _, to := range []struct {
			name, scope string
			methods     []string
		}{{name, scopeRead, []string{"GET", "HEAD"}}, {name + "-write", scopeWrite, []string{"POST"}}} {
			all = append(all, m{
				"kind": "route", "name": to.name, "hosts": []string{l.api(), l.mtlsAPI()}, "path": path, "strip_prefix": true, "upstream": l.orders() + "/orders",
				"methods": to.methods, "credentials": credentials, "application": app, "websocket": to.scope == scopeRead,
				"audience": l.api(), "scopes": []string{to.scope}, "upstream_audience": l.orders(),
			})
		}
	}
	add("orders", "/orders", "demo", "cookie", "dpop", "certificate")
	add("backoffice", "/backoffice/orders", "backoffice", "cookie")
	return all
}

// startOrders serves the demo API to the gateway, and to nobody else.
func (l *landscape) startOrders(ctx context.Context, now func() time.Time, log *slog.Logger) (*http.Server, error) {
	roots, err := poolOf(l.roots.servers.RootFile())
	if err != nil {
		return nil, err
	}
	partners, err := poolOf(l.roots.partners.RootFile())
	if err != nil {
		return nil, err
	}
	verifier, err := resource.New(ctx, resource.Config{
		Issuers: []string{l.issuer()}, Audience: l.orders(), Now: now, Transport: l.transport(roots),
		Refused: func(r *http.Request, err error) {
			web.EventOf(r.Context()).Cause(err)
			web.EventOf(r.Context()).SetCode(oauth.InvalidToken)
		},
	})
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(l.path("ca", "server.pem"), l.path("ca", "server.key"))
	if err != nil {
		return nil, fmt.Errorf("certificate of the demo API: %w", err)
	}
	ln, err := listen(l.address(portOrders))
	if err != nil {
		return nil, err
	}
	api := orders.New(now).Handler(verifier)
	server := web.NewServer(web.Wrap(api, web.Options{Log: log, Now: now, Hosts: []string{"orders." + l.Host}}), log)
	server.TLSConfig = orders.TLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }, partners, gatewayName)
	go func() { _ = server.ServeTLS(ln, "", "") }() // ends with Close
	return server, nil
}

// transport finds the hosts of the landscape, trusts its authority, and shows the certificates.
func (l *landscape) transport(roots *x509.CertPool, certificates ...tls.Certificate) *http.Transport {
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}, DialContext: fetch.LocalhostDialer(nil),
		ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
	}
}

func poolOf(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read root: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate")
	}
	return pool, nil
}
