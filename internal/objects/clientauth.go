package objects

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// AuthMigration is for a client that changes over from one authentication method to another while it runs in many
// places: until then the old method works too.
type AuthMigration struct {
	From  string    `json:"from"`
	Until time.Time `json:"until"`
}

const (
	memberMethod    = "token_endpoint_auth_method"
	memberMigration = "token_endpoint_auth_migration"
)

// authMethods are all there are, with how hard the proof is to steal: what never leaves the client counts most, then
// what is shared but not sent, then what is sent.
var authMethods = map[string]int{
	oauth.AuthPrivateKeyJWT: 3, oauth.AuthTLSClient: 3, oauth.AuthSelfSignedTLS: 3,
	oauth.AuthSecretJWT:   2,
	oauth.AuthSecretBasic: 1, oauth.AuthSecretPost: 1,
	oauth.AuthNone: 0,
}

// AuthenticatesBy says whether the client may authenticate by a method now.
func (c *Client) AuthenticatesBy(method string, now time.Time) bool {
	m := c.AuthMigration
	return method == c.TokenAuthMethod || m != nil && method == m.From && now.Before(m.Until)
}

// WeakerMethod is the method by which a thief could be the client more easily than by the other of its two; "" where it
// has one, or two that are equal.
func (c *Client) WeakerMethod(now time.Time) string {
	m := c.AuthMigration
	if m == nil || !now.Before(m.Until) {
		return ""
	}
	switch from, to := authMethods[m.From], authMethods[c.TokenAuthMethod]; {
	case from < to:
		return m.From
	case to < from:
		return c.TokenAuthMethod
	}
	return ""
}

// registered is a method of a client and the member that names it.
type registered struct{ name, member string }

// methods are those it may ever authenticate by.
func (c *Client) methods() []registered {
	list := []registered{{c.TokenAuthMethod, memberMethod}}
	if c.AuthMigration != nil {
		list = append(list, registered{c.AuthMigration.From, memberMigration + ".from"})
	}
	return list
}

func (c *Client) mayUse(names ...string) bool {
	return slices.ContainsFunc(c.methods(), func(m registered) bool { return slices.Contains(names, m.name) })
}

func usesCertificate(method string) bool {
	return method == oauth.AuthTLSClient || method == oauth.AuthSelfSignedTLS
}

// changesBinding says that one of its methods has a certificate to bind tokens to, and the other has none.
func (c *Client) changesBinding() bool {
	return c.AuthMigration != nil && usesCertificate(c.AuthMigration.From) != usesCertificate(c.TokenAuthMethod)
}

func (c *Client) usesSecret() bool {
	return c.mayUse(oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthSecretJWT)
}

func checkAuthMethod(p *preparation, c *Client) {
	hasKeys := len(c.JWKS) > 0 || c.JWKSURI != ""
	for _, m := range c.methods() {
		switch _, known := authMethods[m.name]; {
		case !known:
			p.report(m.member, "is not available", "use private_key_jwt, tls_client_auth, self_signed_tls_client_auth, client_secret_jwt, client_secret_basic, client_secret_post or none")
		case m.name == oauth.AuthPrivateKeyJWT && !hasKeys:
			p.report(m.member, "needs the client's public keys", "give jwks or jwks_uri")
		case m.name == oauth.AuthSelfSignedTLS && !hasKeys:
			p.report(m.member, "needs the client's certificates", "give them as x5c in jwks or jwks_uri (RFC 8705 §2.2.2)")
		}
	}
	switch {
	case c.usesSecret() && len(c.Secrets) == 0:
		p.report(memberMethod, "needs a secret", "give client_secret, or set generate_client_secret")
	case !c.usesSecret() && len(c.Secrets) > 0:
		p.report(memberMethod, "does not use a secret, yet the client has one", "remove client_secret, or choose client_secret_basic")
	}
	checkMigration(p, c)
}

func checkMigration(p *preparation, c *Client) {
	m := c.AuthMigration
	if m == nil {
		return
	}
	switch {
	case m.From == c.TokenAuthMethod:
		p.report(memberMigration+".from", "is the method that the client has anyway", "name the one it had before, or remove "+memberMigration)
	case m.From == oauth.AuthNone || c.TokenAuthMethod == oauth.AuthNone:
		p.report(memberMigration, "would let anybody be the client, for one of its methods proves nothing", "remove it")
	}
	if m.Until.IsZero() {
		p.report(memberMigration+".until", "is missing", "write when the old method ends, like 2030-01-31T00:00:00Z")
	}
}

// checkAssertionAlg asks for an algorithm of the kind that the client's method has: signatures and keyed hashes are
// never taken for each other (RFC 8725 §3.1).
func checkAssertionAlg(p *preparation, c *Client) {
	const member = "token_endpoint_auth_signing_alg"
	alg := c.TokenAuthSigningAlg
	switch {
	case alg == "":
	case c.TokenAuthMethod == oauth.AuthSecretJWT && !jose.MAC(alg).Supported():
		p.report(member, "is no algorithm of client_secret_jwt", "use HS256, HS384 or HS512")
	case c.TokenAuthMethod != oauth.AuthSecretJWT:
		p.checkAlg(member, alg, c)
	}
}

// checkSecrets looks at what the client has, wherever it came from.
func checkSecrets(p *preparation, c *Client) {
	for i, s := range c.Secrets {
		switch {
		case s.Weak && !c.AllowWeakSecret:
			// Also when a client that was once allowed one no longer says so.
			p.reportOnce(at("secrets", i), "has fewer than 32 characters", "make a new secret, or set allow_weak_secret")
		case c.signsWithSecret() && s.length > 0 && s.length < c.minSigningSecret():
			p.report(at("secrets", i), fmt.Sprintf("has fewer than the %d bytes that its algorithm needs", c.minSigningSecret()), "make a new secret (RFC 7518 §3.2)")
		}
	}
}

// reportOnce leaves out what has been said of the secret in clear.
func (p *preparation) reportOnce(path, what, remedy string) {
	for _, said := range p.problems {
		if said.What == what {
			return
		}
	}
	p.report(path, what, remedy)
}
