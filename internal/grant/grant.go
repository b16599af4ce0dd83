// Package grant is the token endpoint: it turns a code, a refresh token, another token or a client's own credentials
// into tokens (RFC 6749 §3.2, OAuth 2.1, OpenID Connect Core §3.1.3, RFC 8693, RFC 8707, RFC 9396,
// RFC 9449 §5).
//
// Everything every grant must do is in the pipeline of this file: authenticate the client, ask whether the grant is
// allowed, check the DPoP proof, decide the binding, spend what works once, write once, mint, answer. A grant adds
// only what is its own, in one file of its name, and one line in the table. How tokens are made and read is
// internal/tokens; how clients authenticate is internal/clients.
package grant

import (
	"context"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Endpoints is the token endpoint of one issuer.
type Endpoints struct {
	Issuer     string // issuer identifier
	MTLSIssuer string // base URL of the mutual-TLS aliases (RFC 8705 §5); "" where there is no such listener
	DB         *store.DB
	Registry   *objects.Registry
	Clients    *clients.Authenticator
	Tokens     *tokens.Minter
	Nonces     *dpop.Nonces
	Trail      *audit.Trail // hears of tokens issued without an act; may be nil
	Now        func() time.Time
}

// grantType is one grant. It has exactly one of plan and redeem.
type grantType struct {
	name string
	// plan is for a grant that finds everything in the request; only what is to be spent, and an opaque token, is written.
	plan func(*Endpoints, context.Context, *attempt) (*issue, error)
	// redeem runs inside the one write, after the spends, and may run twice. A returned *oauth.Error is a result: what
	// was written is committed. Any other error rolls back.
	redeem func(*Endpoints, *store.Tx, *attempt) (*issue, error)
}

// table lists the grants that are on.
var table = []grantType{
	{name: oauth.GrantAuthorizationCode, redeem: (*Endpoints).redeemCode},
	{name: oauth.GrantRefreshToken, redeem: (*Endpoints).redeemRefresh},
	{name: oauth.GrantClientCredentials, plan: (*Endpoints).planClient},
	{name: oauth.GrantTokenExchange, plan: (*Endpoints).planExchange},
}

// Types are the names of the grants in the table, for the metadata.
func Types() []string {
	names := make([]string, len(table))
	for i, g := range table {
		names[i] = g.name
	}
	return names
}

// attempt is one request with what the pipeline has found out about it.
type attempt struct {
	*request
	now     time.Time
	grant   grantType
	client  *objects.Client
	authn   clients.Authn
	proof   *dpop.Proof // nil: no DPoP header
	binding oauth.Confirmation
	apis    []*objects.API // those the client may ask for
	asked   details.List   // authorization details of the request; nil: it names none
	claims  claims
}

// token is the pipeline.
func (e *Endpoints) token(ctx context.Context, q *request) (*oauth.TokenResponse, error) {
	client, authn, err := e.Clients.Authenticate(ctx, q.credentials)
	if err != nil {
		return nil, err
	}
	q.event.SetClient(client.ID)
	a := &attempt{request: q, now: e.Now(), client: client, authn: authn}
	if err := e.check(ctx, a); err != nil {
		return nil, e.refuse(ctx, a, err)
	}
	i, err := e.write(ctx, a)
	if err != nil {
		return nil, err
	}
	q.event.SetSubject(i.account)
	answer, err := e.mint(ctx, a, i)
	if err == nil && a.grant.plan != nil {
		e.observe(a, i)
	}
	return answer, err
}

// check is everything that is asked before the write, in order.
func (e *Endpoints) check(ctx context.Context, a *attempt) (err error) {
	if err := a.checkGrant(); err != nil {
		return err
	}
	if err := e.checkProof(a); err != nil {
		return err
	}
	if err := a.bind(); err != nil {
		return err
	}
	// Before the transaction: inside it nothing of the objects is read.
	if a.apis, err = e.Registry.APIs(ctx, a.client.Resources); err != nil {
		return err
	}
	if err := a.parseDetails(); err != nil {
		return err
	}
	return e.loadClaims(ctx, a)
}

// checkGrant asks whether the grant exists and whether the client may use it (RFC 6749 §5.2).
func (a *attempt) checkGrant() error {
	for _, g := range table {
		if g.name != a.grantType {
			continue
		}
		if !a.client.AllowsGrant(g.name) {
			return oauth.Refuse(oauth.UnauthorizedClient, "this client may not use this grant")
		}
		a.grant = g
		return nil
	}
	return oauth.Refuse(oauth.UnsupportedGrantType, "this grant is not available")
}
