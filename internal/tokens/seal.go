package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

// encrypter makes the encrypter of an answer; nil where the client has registered no algorithm.
func (m *Minter) encrypter(ctx context.Context, c *objects.Client, alg, enc string) (*jose.Encrypter, error) {
	switch {
	case alg == "":
		return nil, nil
	case m.Encrypter == nil:
		return nil, errors.New("tokens: nothing is encrypted here")
	}
	return m.Encrypter(ctx, c, alg, enc)
}

// seal signs claims in a token of this typ, and encrypts what was signed unless the encrypter is nil (RFC 7519 §11.2).
func (m *Minter) seal(typ string, alg jose.Alg, to *jose.Encrypter, claims any) (string, error) {
	s, err := m.Signing.Signer(alg)
	if err != nil {
		return "", fmt.Errorf("find signing key: %w", err)
	}
	var token string
	if to == nil {
		token, err = s.Sign(typ, claims)
	} else {
		token, err = to.Nest(s, typ, claims)
	}
	if err != nil {
		return "", fmt.Errorf("seal claims: %w", err)
	}
	return token, nil
}

// SealUserinfo makes of an answer of userinfo the JWT that its client has registered for: signed, encrypted, or signed and
// then encrypted (OpenID Connect Core §5.3.2). With nothing registered it is "", and the answer is JSON.
func (m *Minter) SealUserinfo(ctx context.Context, c *objects.Client, claims map[string]json.RawMessage) (string, error) {
	to, err := m.encrypter(ctx, c, c.UserinfoEncryptedAlg, c.UserinfoEncryptedEnc)
	if err != nil || to == nil && c.UserinfoSignedAlg == "" {
		return "", err
	}
	claims["iss"], claims["aud"] = text(m.Issuer), text(c.ID)
	if c.UserinfoSignedAlg != "" {
		return m.seal("JWT", jose.Alg(c.UserinfoSignedAlg), to, claims)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	return to.Encrypt("JWT", body)
}
