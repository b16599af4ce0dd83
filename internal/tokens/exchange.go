package tokens

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Exchange is what the grant of token exchange has decided about one access token.
type Exchange struct {
	From     *Claims         // of the token that was shown
	API      *objects.API    // the one audience
	Actor    string          // the client that exchanges
	Scope    []string        // of From
	Details  json.RawMessage // of From
	Binding  oauth.Confirmation
	IssuedAt time.Time
	// Client, Grant and Account are those of From, for mapped claims; with a client of its own the last two are zero.
	Client   *objects.Client
	Grant    *store.Grant
	Account  *store.Account
	Mappings *objects.ClaimMappings
}

// Exchange plans a token that carries what another one says on to another API (RFC 8693): subject, client, session and
// grant stay, so whatever ends the one ends the other; it lives no longer; and it says who acts with it. Mapped claims do
// not stay: they were for another API, and those for this one are made anew. It is a JWT in any case: the APIs behind a
// gateway ask nobody.
func (m *Minter) Exchange(x Exchange) *Access {
	c := *x.From
	c.Issuer, c.Audience, c.ID = m.Issuer, jose.Audience{x.API.Resource}, store.NewID()
	c.Scope, c.IssuedAt = strings.Join(x.Scope, " "), x.IssuedAt.Unix()
	c.Details = x.Details
	c.ExpiresAt = min(c.ExpiresAt, x.IssuedAt.Add(m.accessLifetime(x.API)).Unix())
	c.Actor = &oauth.Actor{Subject: x.Actor, Actor: x.From.Actor}
	c.Confirmation = nil
	if bound := x.Binding; !bound.IsZero() {
		c.Confirmation = &bound
	}
	c.Mapped = nil
	if has(x.Mappings) {
		c.Mapped = mapped(x.Mappings, objects.IntoAccessToken, x.API, factsOf(x.Client, x.Grant, x.Account))
	}
	return &Access{Claims: c}
}
