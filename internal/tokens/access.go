package tokens

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Plan is what a grant has decided about one access token.
type Plan struct {
	Client   *objects.Client
	API      *objects.API // the one resource of the token; nil when it is for the issuer alone
	Subject  string       // sub: Minter.Subject of the account, or the client's own id
	Scope    []string
	Details  json.RawMessage    // authorization details for the API
	Binding  oauth.Confirmation // zero: a bearer token
	Grant    *store.Grant       // nil: no person behind it
	Account  *store.Account     // of the grant, for mapped claims
	Mappings *objects.ClaimMappings
	OmitSID  bool // the token outlives the browser session it came from
	IssuedAt time.Time
}

// Access is a planned access token: everything about it is fixed, nothing is stored or signed yet.
type Access struct {
	Claims Claims
	secret keys.Secret // of an opaque token; empty for a JWT
}

const typAccess = "at+jwt" // RFC 9068 §2.1

// Access fixes identifier, times, audience and form of the token. It does no I/O, so it may be called inside a
// transaction, and again when the transaction is tried again.
func (m *Minter) Access(p Plan) *Access {
	a := &Access{Claims: Claims{
		Issuer:   m.Issuer,
		Subject:  p.Subject,
		Audience: m.audience(p),
		IssuedAt: p.IssuedAt.Unix(),
		ID:       store.NewID(),
		ClientID: p.Client.ID,
		Scope:    strings.Join(p.Scope, " "),
		Details:  p.Details,
	}}
	c := &a.Claims
	if bound := p.Binding; !bound.IsZero() {
		c.Confirmation = &bound
	}
	ends := p.IssuedAt.Add(m.accessLifetime(p.API))
	if p.Grant != nil {
		c.describe(p.Grant, p.OmitSID)
		if p.Grant.ExpiresAt.Before(ends) {
			ends = p.Grant.ExpiresAt
		}
	}
	c.ExpiresAt = ends.Unix()
	if has(p.Mappings) {
		c.Mapped = mapped(p.Mappings, objects.IntoAccessToken, p.API, factsOf(p.Client, p.Grant, p.Account))
	}
	if opaque(p) {
		a.secret = keys.NewSecret()
	}
	return a
}

func (c *Claims) describe(g *store.Grant, omitSID bool) {
	c.GrantID, c.ACR, c.AMR = g.ID, g.Auth.ACR, g.Auth.AMR
	if !g.Auth.AuthTime.IsZero() {
		c.AuthTime = g.Auth.AuthTime.Unix()
	}
	if !omitSID {
		c.SessionID = g.Auth.SessionID
	}
}

func opaque(p Plan) bool {
	switch {
	case p.Client.AccessTokenFormat != "":
		return p.Client.AccessTokenFormat == objects.FormatOpaque
	case p.API != nil:
		return p.API.TokenFormat == objects.FormatOpaque
	}
	return false
}

// audience is the resource asked for, and the issuer where userinfo must accept the token: with the scope openid,
// and where there is no resource at all (RFC 9068 §3, RFC 8707 §2).
func (m *Minter) audience(p Plan) jose.Audience {
	a := make(jose.Audience, 0, 2)
	if p.API != nil {
		a = append(a, p.API.Resource)
	}
	if p.API == nil || hasOpenID(p.Scope) {
		a = append(a, m.Issuer)
	}
	return a
}

// GrantLifetime is how long a grant lives: as long as its refresh token may, or its one access token.
func (m *Minter) GrantLifetime(api *objects.API, refreshable bool) time.Duration {
	if refreshable {
		return m.Lifetimes.RefreshAbsolute
	}
	return m.accessLifetime(api)
}

// maxAccess is the longest life of an access token; what revokes is remembered for as long.
const maxAccess = 24 * time.Hour

func (m *Minter) accessLifetime(api *objects.API) time.Duration {
	if api != nil && api.AccessTokenLifetime > 0 {
		return time.Duration(api.AccessTokenLifetime) * time.Second
	}
	return m.Lifetimes.Access
}

// ExpiresIn is the expires_in of the answer, in seconds.
func (a *Access) ExpiresIn() int64 { return a.Claims.ExpiresAt - a.Claims.IssuedAt }

// Stored reports whether the token needs a row, so that the caller can leave out the transaction where it does not.
func (a *Access) Stored() bool { return a.secret != "" }

// Add stores the row of an opaque token. It does nothing for a JWT.
func (m *Minter) Add(tx *store.Tx, a *Access) error {
	if !a.Stored() {
		return nil
	}
	body, err := a.Claims.JSON()
	if err != nil {
		return err
	}
	return tx.AddAccessToken(store.AccessToken{
		ID: a.handleID(), SecretHash: m.Ring.Hash(a.secret.Reveal()), GrantID: a.Claims.GrantID, ClientID: a.Claims.ClientID,
		Claims: body, IssuedAt: time.Unix(a.Claims.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(a.Claims.ExpiresAt, 0).UTC(),
	})
}

// handleID is the readable half of an opaque handle: the grant, so that the row lies beside it, or a random id.
func (a *Access) handleID() string {
	if a.Claims.GrantID != "" {
		return a.Claims.GrantID
	}
	return a.Claims.ID
}

// Mint gives the token its final form. It signs, so it must not be called inside a transaction.
func (m *Minter) Mint(a *Access) (string, error) {
	if a.Stored() {
		return keys.Handle(a.handleID(), a.secret), nil
	}
	s, err := m.Signing.Signer(m.AccessAlg)
	if err != nil {
		return "", fmt.Errorf("find signing key: %w", err)
	}
	body, err := a.Claims.body()
	if err != nil {
		return "", err
	}
	token, err := s.Sign(typAccess, body)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	return token, nil
}
