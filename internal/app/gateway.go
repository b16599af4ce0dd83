package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"github.com/holdfast-iam/holdfast/internal/gateway"
)

// openGateway makes the gateway, nil where the tenant has none. It is a client of the issuer and shows it the
// certificate that it also shows to APIs, so that the tokens it gets are good on that way alone.
func (t *tenant) openGateway(ctx context.Context, issuer http.Handler) (http.Handler, error) {
	c := &t.Gateway
	if len(c.URLs) == 0 {
		return nil, nil
	}
	roots, err := poolOf("gateway.upstream_ca_files", c.UpstreamCAFiles)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("gateway: certificate %s with key %s: %w", c.Certificate, c.Key, err)
	}
	upstream := gateway.NewUpstream(roots)
	context.AfterFunc(ctx, upstream.Close)
	if err := upstream.Use(pair); err != nil {
		return nil, err
	}
	h, err := (&gateway.Endpoints{
		Issuer: t.Issuer, IssuerURL: t.MTLSIssuer, ClientID: c.ClientID, Origins: c.URLs, DB: t.db, Sessions: t.appSessions(),
		Registry: t.registry, Feed: t.app.feed, Nonces: t.nonces, Upstream: upstream,
		Transport: &Local{Handler: issuer, Certificate: upstream.Leaf}, Now: t.app.Clock.Now,
	}).Handler(ctx)
	if err != nil {
		return nil, err
	}
	return t.noted(h), nil
}

// poolOf reads roots; nil, for the system's, where no file is named.
func poolOf(key string, files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no PEM certificate", key, name)
		}
	}
	return pool, nil
}
