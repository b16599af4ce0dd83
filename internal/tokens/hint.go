package tokens

import (
	"errors"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

// Hint verifies an ID token that a client shows to say whom it means (OpenID Connect Core §3.1.2.1, id_token_hint), and
// returns its sub. It has to be one of this issuer's for this client, and may have expired; as long as its key is
// published it can be verified.
func (m *Minter) Hint(c *objects.Client, token string) (subject string, err error) {
	t, err := jose.Verify(token, accessAlgs, m.Signing.PublicKeys()...)
	if err != nil {
		return "", err
	}
	var said struct {
		Issuer    string           `json:"iss"`
		Subject   string           `json:"sub"`
		Audience  jose.Audience    `json:"aud"`
		IssuedAt  jose.NumericDate `json:"iat"`
		ExpiresAt jose.NumericDate `json:"exp"`
	}
	if err := t.Claims(&said); err != nil {
		return "", err
	}
	switch {
	case t.Type != "" && t.Type != "jwt": // one of the other kinds of token says which one it is (RFC 8725 §3.11)
		return "", errors.New("tokens: not an ID token but " + t.Type)
	case said.Issuer != m.Issuer || said.Subject == "" || said.IssuedAt.IsZero() || said.ExpiresAt.IsZero():
		return "", errors.New("tokens: not an ID token of this issuer")
	case !slices.Contains(said.Audience, c.ID):
		return "", errors.New("tokens: an ID token for another client")
	}
	return said.Subject, nil
}
