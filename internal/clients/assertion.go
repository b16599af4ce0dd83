package clients

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// Bounds of an assertion's times.
const (
	assertionLife = 5 * time.Minute  // from now to exp
	ahead         = 10 * time.Second // iat and nbf may be this far in the future
	maxID         = 256              // bytes of jti, and of a client id
)

// assertionAlgs are taken where the client has not registered one; all profiles have them. RS256 needs registration.
var assertionAlgs = []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256}

// assertion is a client assertion's claims (RFC 7523 §3).
type assertion struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  json.RawMessage  `json:"aud"`
	ID        string           `json:"jti"`
	ExpiresAt jose.NumericDate `json:"exp"`
	IssuedAt  jose.NumericDate `json:"iat"`
	NotBefore jose.NumericDate `json:"nbf"`
}

// assertedClient is the client that an unverified assertion names, "" for none.
func assertedClient(t *jose.Token) string {
	var c assertion
	if t == nil || t.Claims(&c) != nil || c.Issuer != c.Subject {
		return ""
	}
	return c.Subject
}

// checkAssertion is private_key_jwt (OIDC Core §9, RFC 7523 §3).
func (a *Authenticator) checkAssertion(ctx context.Context, client *objects.Client, c *Credentials) ([]store.Spend, error) {
	if c.asserted == nil {
		return nil, reason("the assertion cannot be read")
	}
	token, err := a.Verify(ctx, client, c.Assertion, c.asserted.KeyID, algsOf(client))
	if err != nil {
		return nil, reason("the assertion does not verify: " + err.Error())
	}
	return a.checkClaims(token, client)
}

// algsOf are the algorithms of a client's assertions: the one it has registered, or those that need no registration.
func algsOf(client *objects.Client) []jose.Alg {
	switch registered := jose.Alg(client.TokenAuthSigningAlg); {
	case registered.Supported():
		return []jose.Alg{registered}
	case client.Profile == objects.ProfileOIDC: // any there is (OIDC Registration §2)
		return client.Algs()
	}
	return assertionAlgs
}

// checkClaims checks what a verified assertion says (RFC 7523 §3), and returns what is used up by it.
func (a *Authenticator) checkClaims(token *jose.Token, client *objects.Client) ([]store.Spend, error) {
	var claims assertion
	if err := token.Claims(&claims); err != nil {
		return nil, reason("the claims cannot be read: " + err.Error())
	}
	for _, err := range []error{
		checkParties(&claims, client.ID),
		a.checkAudience(&claims, client),
		checkTimes(&claims, a.Now()),
		checkID(&claims),
	} {
		if err != nil {
			return nil, reason(err.Error())
		}
	}
	return []store.Spend{{Kind: "assertion", Key: client.ID + "\x00" + claims.ID, Until: claims.ExpiresAt.Add(ahead)}}, nil
}

// RFC 7523 §3 (1), (2).
func checkParties(c *assertion, id string) error {
	if c.Issuer != id || c.Subject != id {
		return errors.New("iss and sub are not the client id")
	}
	return nil
}

// RFC 7523 §3 (3) as FAPI 2.0 §5.3.2.1 narrows it: the issuer identifier as one string. The old forms need a setting.
func (a *Authenticator) checkAudience(c *assertion, client *objects.Client) error {
	var one string
	if jose.Unmarshal(c.Audience, &one) == nil && one == a.Issuer {
		return nil
	}
	if !client.AllowTokenEndpointAudience {
		return errors.New("aud is not the issuer identifier as a single string")
	}
	var many jose.Audience
	if err := jose.Unmarshal(c.Audience, &many); err != nil {
		return err
	}
	for _, aud := range many {
		if aud == a.Issuer || slices.Contains(a.Aliases, aud) {
			return nil
		}
	}
	return errors.New("aud is neither the issuer identifier nor a token endpoint")
}

// RFC 7523 §3 (4), (5), (6).
func checkTimes(c *assertion, now time.Time) error {
	switch {
	case c.ExpiresAt.IsZero() || !now.Before(c.ExpiresAt.Time):
		return errors.New("exp is missing or past")
	case c.ExpiresAt.After(now.Add(assertionLife + ahead)):
		return errors.New("exp is more than five minutes ahead")
	case c.IssuedAt.After(now.Add(ahead)):
		return errors.New("iat is in the future")
	case c.NotBefore.After(now.Add(ahead)):
		return errors.New("nbf is in the future")
	}
	return nil
}

// RFC 7523 §3 (7); required here, for an assertion works once.
func checkID(c *assertion) error {
	if c.ID == "" || len(c.ID) > maxID {
		return errors.New("jti is missing or too long")
	}
	return nil
}

// AssertionAlgs are the algorithms that an assertion of some client may have, for the metadata.
func AssertionAlgs() []string {
	var names []string
	for _, a := range slices.Concat(assertionAlgs, []jose.Alg{jose.RS256}) {
		names = append(names, string(a))
	}
	for _, m := range assertionMACs {
		names = append(names, string(m))
	}
	return names
}
