// Package gateway stands between the world and the APIs: a reverse proxy that lets a request through only on a route, only
// with the credential that the route takes, and only with a token that is good for nothing else behind it.
//
// Routes are objects (objects.Route). Credentials are the session cookie of a browser application
// (draft-ietf-oauth-browser-based-apps §6.1), an access token bound to a DPoP key (RFC 9449) or to a client certificate
// (RFC 8705), and bearer tokens (RFC 6750) only where a route says so. The token of the request never goes further: it is
// exchanged (RFC 8693) for one that is bound to the gateway's own certificate, which it shows to the API. Verdicts and
// exchanged tokens are cached together, never longer than the token lives, and end with the feed.
//
// The gateway is a client of the issuer and knows of it only what its endpoints answer. It is not for rate limits, for
// authorization that looks into requests, or for signing people in: that is package bff.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/resource"
)

// Endpoints is the gateway of one tenant.
type Endpoints struct {
	Issuer    string   // issuer identifier: whose tokens are taken
	IssuerURL string   // where the gateway asks it, its mutual-TLS alias (RFC 8705 §5); Issuer if empty
	ClientID  string   // that the gateway is at the issuer; it authenticates with the upstream certificate
	Origins   []string // it answers for, as routes and DPoP proofs name them

	DB       *store.DB            // where spent proofs are remembered
	Sessions *appsession.Sessions // of browser applications; nil where no route takes cookies
	Registry *objects.Registry
	Feed     *feed.Feed
	Nonces   *dpop.Nonces
	Upstream *Upstream
	// Transport is the way to the issuer, with the certificate of Upstream; Upstream itself if nil.
	Transport http.RoundTripper
	Now       func() time.Time
	// CacheFor is how long at most a verdict is kept, 5 minutes if 0.
	CacheFor time.Duration
}

const defaultCacheFor = 5 * time.Minute

// gateway is Endpoints at work.
type gateway struct {
	*Endpoints
	verifier *resource.Verifier // for no audience in particular
	issuer   *issuer
	tickets  *tickets
	sessions *sessions
	streams  *streams
	buffers  buffers
	table    atomic.Pointer[table]
}

// Handler makes the handler of the gateway, to stand behind web.Wrap. ctx ends what goes on behind it.
func (e *Endpoints) Handler(ctx context.Context) (http.Handler, error) {
	switch {
	case e.Issuer == "" || e.ClientID == "" || len(e.Origins) == 0:
		return nil, errors.New("gateway: issuer, client id or origins are missing")
	case e.DB == nil || e.Registry == nil || e.Feed == nil || e.Nonces == nil || e.Upstream == nil || e.Now == nil:
		return nil, errors.New("gateway: a part is missing")
	}
	own := *e
	if own.IssuerURL == "" {
		own.IssuerURL = own.Issuer
	}
	if own.Transport == nil {
		own.Transport = own.Upstream
	}
	if own.CacheFor == 0 {
		own.CacheFor = defaultCacheFor
	}
	g := &gateway{Endpoints: &own, issuer: newIssuer(&own), tickets: newTickets(), sessions: newSessions(), streams: newStreams()}
	var err error
	g.verifier, err = resource.New(ctx, resource.Config{
		Issuers: []string{own.Issuer}, Audience: own.Origins[0], Origins: own.Origins,
		JWKS: map[string]string{own.Issuer: strings.TrimSuffix(own.IssuerURL, "/") + "/jwks"},
		// Whether a route takes a token that nothing binds is asked in checkKind.
		AllowBearerTokens: true,
		Replay:            proofs{own.DB}, Nonces: own.Nonces, Revoked: g.revoked, Transport: own.Transport, Now: own.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	context.AfterFunc(ctx, own.Feed.Subscribe(g.heard))
	return g, nil
}

// revoked asks the feed about a token; while that is too old, the issuer was asked instead.
func (g *gateway) revoked(p *resource.Principal) bool {
	return !g.Feed.Stale() && g.Feed.Revoked(g.DB.Tenant(), subjectOf(p.Token))
}

// subjectOf names everything whose revocation ends a token.
func subjectOf(t *resource.Token) feed.Subject {
	return feed.Subject{
		JTI: t.ID, Grant: t.GrantID, Session: t.SessionID, Client: t.ClientID,
		JKT: t.Confirmation.JKT, X5T: t.Confirmation.X5T, IssuedAt: t.IssuedAt,
	}
}

// heard ends what is open and no longer may be.
func (g *gateway) heard(e store.Event) {
	if e.Tenant == g.DB.Tenant() {
		g.streams.heard(e)
	}
}

// proofs remembers DPoP proofs in the store, for all nodes, in the inserts that those of other requests share.
type proofs struct{ db *store.DB }

// Claim implements resource.Replay.
func (p proofs) Claim(ctx context.Context, key string, until time.Time) (bool, error) {
	err := p.db.Spend(ctx, store.Spend{Kind: "dpop", Key: key, Until: until})
	if errors.Is(err, store.ErrTaken) {
		return false, nil
	}
	return err == nil, err
}
