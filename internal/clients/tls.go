package clients

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// checkTLS is tls_client_auth: a certificate of a trusted authority with the registered subject (RFC 8705 §2.1).
func (a *Authenticator) checkTLS(_ context.Context, client *objects.Client, c *Credentials) ([]store.Spend, error) {
	if a.Roots == nil {
		return nil, reason("no client certificate authority is configured")
	}
	now := a.Now()
	if now.After(c.Peer.Certificate.NotAfter) || now.Before(c.Peer.Certificate.NotBefore) {
		return nil, reason("the certificate has expired or is not valid yet")
	}
	err := a.verdicts.of(client, c.Peer, now, func() error {
		if err := ca.VerifyClient(c.Peer.Certificate, c.Peer.Chain, a.Roots, now); err != nil {
			return err
		}
		return ca.MatchSubject(c.Peer.Certificate, &client.ClientMetadata)
	})
	if err != nil {
		return nil, reason(err.Error())
	}
	return nil, nil
}

// verdicts remembers which certificates were good for which clients: building the path costs several signature
// verifications, and comparing names a part of one. Whether the certificate itself is still in its time is asked for
// every request. A client that was changed is another one: the registry reads it anew.
type verdicts struct {
	mu   sync.Mutex
	good map[verdict]time.Time // until when it holds
}

type verdict struct {
	client *objects.Client
	x5t    string
}

const (
	verdictLife = 5 * time.Minute
	maxVerdicts = 10_000
)

func (v *verdicts) of(client *objects.Client, p web.Peer, now time.Time, verify func() error) error {
	key := verdict{client, ca.Thumbprint(p.Certificate)}
	v.mu.Lock()
	until, ok := v.good[key]
	v.mu.Unlock()
	if ok && now.Before(until) {
		return nil
	}
	if err := verify(); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.good == nil || len(v.good) >= maxVerdicts {
		v.good = map[verdict]time.Time{}
	}
	v.good[key] = validUntil(p, now.Add(verdictLife))
	return nil
}

// validUntil is when the first certificate that came with the request expires, at most until.
func validUntil(p web.Peer, until time.Time) time.Time {
	for _, c := range p.Chain {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return until
}
