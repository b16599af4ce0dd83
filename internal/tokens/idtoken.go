package tokens

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
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
	Account  *store.Account // of the grant, for what was asked for by name, and for mapped claims
	Mappings *objects.ClaimMappings
	// Encrypter is IDTokenEncrypter of the client, which is asked for before anything is spent.
	Encrypter *jose.Encrypter
}

// IDTokenEncrypter encrypts to a client that has registered for encrypted ID tokens; nil: it has not.
func (m *Minter) IDTokenEncrypter(ctx context.Context, c *objects.Client) (*jose.Encrypter, error) {
	return m.encrypter(ctx, c, c.IDTokenEncryptedAlg, c.IDTokenEncryptedEnc)
}

// IDToken signs an ID token (OpenID Connect Core §2) with the algorithm of the client, and encrypts it where the client
// has registered that (§10.2).
func (m *Minter) IDToken(ctx context.Context, p IDPlan) (string, error) {
	if p.Client.IDTokenEncryptedAlg != "" && p.Encrypter == nil {
		return "", errors.New("tokens: an ID token that was to be encrypted")
	}
	claims, err := m.IDClaims(ctx, p)
	if err != nil {
		return "", err
	}
	return m.seal("JWT", p.Client.IDTokenAlg(), p.Encrypter, claims)
}

// IDClaims are the claims of an ID token. What comes of mappings and of the parameter claims never takes the place of
// what the token is about.
func (m *Minter) IDClaims(ctx context.Context, p IDPlan) (map[string]any, error) {
	c := make(map[string]any, 12)
	asked, err := m.requested(ctx, inIDToken, p.Client, p.Grant, p.Account)
	if err != nil {
		return nil, err
	}
	for name, value := range asked {
		c[name] = value
	}
	if has(p.Mappings) {
		for name, value := range mapped(p.Mappings, objects.IntoIDToken, nil, factsOf(p.Client, p.Grant, p.Account)) {
			c[name] = value
		}
	}
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
		c["at_hash"] = halfHash(p.Client.IDTokenAlg(), p.Access)
	}
	return c, nil
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
