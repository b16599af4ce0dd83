package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/fetch"
)

// Upstream is the way to the APIs: over mutual TLS with one client certificate at a time. The tokens that are forwarded are
// bound to it, so connections, certificate and tokens change together, as one generation. It is safe for concurrent use.
type Upstream struct {
	roots *x509.CertPool

	mu      sync.RWMutex
	current *generation
}

// generation is a certificate with the connections it was shown on. Tokens bound to it are cached under its number.
type generation struct {
	number     uint64
	leaf       *x509.Certificate
	thumbprint string
	transport  *http.Transport
}

// NewUpstream trusts the servers that chain to roots; the system's if nil. It reaches nobody before Use.
func NewUpstream(roots *x509.CertPool) *Upstream { return &Upstream{roots: roots} }

// Use makes certificate the one that is shown from now on. Requests under way keep the one they have.
func (u *Upstream) Use(certificate tls.Certificate) error {
	if len(certificate.Certificate) == 0 {
		return errors.New("gateway: no upstream certificate")
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return fmt.Errorf("gateway: upstream certificate: %w", err)
	}
	next := &generation{leaf: leaf, thumbprint: ca.Thumbprint(leaf), transport: u.dial(certificate)}
	u.mu.Lock()
	old := u.current
	if old != nil {
		next.number = old.number + 1
	}
	u.current = next
	u.mu.Unlock()
	if old != nil {
		old.transport.CloseIdleConnections()
	}
	return nil
}

// Bounds on connections to APIs and to the issuer.
const (
	dialTimeout  = 10 * time.Second
	idleTimeout  = 90 * time.Second
	idlePerHost  = 64
	maxHeaders   = 64 << 10 // bytes of an answer's
	expectPeriod = time.Second
)

func (u *Upstream) dial(certificate tls.Certificate) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		// No proxy: the environment does not decide where tokens go.
		DialContext: fetch.LocalhostDialer(dialer.DialContext),
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: u.roots,
			// Shown whichever authorities the server names: for whom it is good, the token decides.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil },
		},
		ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: idlePerHost,
		MaxResponseHeaderBytes: maxHeaders, ExpectContinueTimeout: expectPeriod,
	}
}

func (u *Upstream) generation() (*generation, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.current == nil {
		return nil, errors.New("gateway: there is no upstream certificate yet")
	}
	return u.current, nil
}

// Leaf is the certificate that is shown now, nil for none; the issuer registers it for the gateway as a client.
func (u *Upstream) Leaf() *x509.Certificate {
	g, err := u.generation()
	if err != nil {
		return nil
	}
	return g.leaf
}

// RoundTrip implements http.RoundTripper with the certificate of now.
func (u *Upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	g, err := u.generation()
	if err != nil {
		return nil, err
	}
	return g.transport.RoundTrip(r)
}

// Close closes the connections that are kept for later.
func (u *Upstream) Close() {
	if g, err := u.generation(); err == nil {
		g.transport.CloseIdleConnections()
	}
}
