package tokens

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// introspection is an answer about a token as a JWT. It has neither sub nor exp, which together with its type keeps it
// from being taken for an access token (RFC 9701 §5, §8.1).
type introspection struct {
	Issuer   string               `json:"iss"`
	Audience string               `json:"aud"` // who has asked
	IssuedAt int64                `json:"iat"` // the answer, not the token
	Token    *oauth.Introspection `json:"token_introspection"`
}

const typIntrospection = "token-introspection+jwt"

// SealIntrospection makes the answer to a client about a token a JWT: signed with the client's algorithm, and encrypted
// where it has registered that (RFC 9701 §5, §6).
func (m *Minter) SealIntrospection(ctx context.Context, c *objects.Client, about *oauth.Introspection) (string, error) {
	to, err := m.encrypter(ctx, c, c.IntrospectionEncAlg, c.IntrospectionEncEnc)
	if err != nil {
		return "", err
	}
	return m.seal(typIntrospection, c.IntrospectionAlg(), to, introspection{m.Issuer, c.ID, m.Now().Unix(), about})
}

// Phantom is the JWT that stands behind an opaque access token, for these of its audiences only. It is the same token in
// another form: it ends with it, and whatever revokes the one revokes the other.
func (m *Minter) Phantom(about *Claims, audience []string) (string, error) {
	c := *about
	c.Audience = jose.Audience(audience)
	return m.Mint(&Access{Claims: c})
}
