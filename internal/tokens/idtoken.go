package tokens

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

func hasOpenID(scope []string) bool { return slices.Contains(scope, oauth.ScopeOpenID) }

// IDPlan is what an ID token says.
type IDPlan struct {
	Client   *objects.Client
	Grant    *store.Grant
	Subject  string
	Nonce    string // of the authorization request; "" at refresh (OpenID Connect Core §12.2)
	Access   string // the access token of the same answer, for at_hash
	OmitSID  bool   // leave the session out, as in Plan
	IssuedAt time.Time
}

// IDToken signs an ID token (OpenID Connect Core §2) with the algorithm of the client.
func (m *Minter) IDToken(p IDPlan) (string, error) {
	alg := p.Client.IDTokenAlg()
	s, err := m.Signing.Signer(alg)
	if err != nil {
		return "", fmt.Errorf("find signing key: %w", err)
	}
	token, err := s.Sign("JWT", m.idClaims(p, alg))
	if err != nil {
		return "", fmt.Errorf("sign ID token: %w", err)
	}
	return token, nil
}

func (m *Minter) idClaims(p IDPlan, alg jose.Alg) map[string]any {
	c := make(map[string]any, 12)
	add := func(name, value string) {
		if value != "" {
			c[name] = value
		}
	}
	c["iss"], c["sub"], c["aud"] = m.Issuer, p.Subject, p.Client.ID
	c["iat"], c["exp"] = p.IssuedAt.Unix(), p.IssuedAt.Add(m.Lifetimes.IDToken).Unix()
	if t := p.Grant.Auth.AuthTime; !t.IsZero() {
		c["auth_time"] = t.Unix()
	}
	add("nonce", p.Nonce)
	add("acr", p.Grant.Auth.ACR)
	if len(p.Grant.Auth.AMR) > 0 {
		c["amr"] = p.Grant.Auth.AMR
	}
	if !p.OmitSID {
		add("sid", p.Grant.Auth.SessionID)
	}
	if p.Access != "" {
		c["at_hash"] = halfHash(alg, p.Access)
	}
	return c
}

// halfHash is the left half of the token's hash, by the hash of the algorithm (OpenID Connect Core §3.1.3.6).
// EdDSA means SHA-512, that of Ed25519; the others on the list are SHA-256.
func halfHash(alg jose.Alg, token string) string {
	if alg == jose.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
