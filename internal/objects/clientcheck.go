package objects

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// clientChecks are all rules of a client, defaults filled in.
var clientChecks = []func(*preparation, *Client){
	checkGrants,               // RFC 7591 §2.1, RFC 6749 §4.4
	checkRedirects,            // RFC 6749 §3.1.2, RFC 8252 §7
	checkAuthMethod,           // RFC 7591 §2, OIDC Core §9
	checkProfile,              // FAPI 2.0
	checkSubject,              // RFC 8705 §2.1.2
	checkKeys,                 // RFC 7591 §2
	checkSecrets,              // RFC 6749 §2.3.1
	checkBinding,              // OAuth 2.1 §4.3.1, RFC 9449 §5.2, RFC 8705 §3.4
	checkAlgs,                 // OIDC Registration §2
	checkAnswers,              // OIDC Registration §2
	checkRequests,             // OIDC Registration §2, RFC 9101 §10.5
	checkAuthorizationAnswers, // JARM §3
	checkPairwise,             // OIDC Core §8.1
	checkLinks,                // OIDC Registration §2
	checkTargets,              // RFC 8707 §2
	checkDetailNames,          // RFC 9396 §10
	checkWebOrigins,           // RFC 6454 §6.2
	checkNotOfferedYet,        // what would be weaker than asked for if it were ignored
}

func (p *preparation) checkClient(c *Client) {
	for _, check := range clientChecks {
		check(p, c)
	}
}

var grantTypes = []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials, oauth.GrantTokenExchange}

func checkGrants(p *preparation, c *Client) {
	for i, g := range c.GrantTypes {
		switch {
		case g == "implicit" || g == "password":
			p.report(at("grant_types", i), "is a grant that OAuth 2.1 leaves out", "use authorization_code")
		case !slices.Contains(grantTypes, g):
			p.report(at("grant_types", i), "is not available", "use authorization_code, refresh_token, client_credentials or "+oauth.GrantTokenExchange)
		}
	}
	for i, r := range c.ResponseTypes {
		if r != "code" {
			p.report(at("response_types", i), "is not available", "use code")
		}
	}
	code, answers := c.AllowsGrant(oauth.GrantAuthorizationCode), slices.Contains(c.ResponseTypes, "code")
	switch {
	case code && !answers:
		p.report("response_types", "lacks code, which the authorization_code grant needs", "add code (RFC 7591 §2.1)")
	case !code && answers:
		p.report("grant_types", "lacks authorization_code, which the response type code needs", "add it (RFC 7591 §2.1)")
	}
	if c.AllowsGrant(oauth.GrantRefreshToken) && !code {
		p.report("grant_types", "has refresh_token without a grant that issues refresh tokens", "add authorization_code, or remove refresh_token")
	}
	if c.AllowsGrant(oauth.GrantTokenExchange) && c.TokenAuthMethod == oauth.AuthNone {
		p.report("grant_types", "has token exchange for a client without credentials", "choose an authentication method (RFC 8693 §2.1)")
	}
	if c.AllowsGrant(oauth.GrantClientCredentials) && c.TokenAuthMethod == oauth.AuthNone {
		p.report("grant_types", "has client_credentials for a client without credentials", "choose an authentication method (RFC 6749 §4.4)")
	}
}

func checkRedirects(p *preparation, c *Client) {
	if len(c.RedirectURIs) == 0 && c.AllowsGrant(oauth.GrantAuthorizationCode) {
		p.report("redirect_uris", "is empty", "register where codes are sent")
	}
	p.checkRedirectList("redirect_uris", c.RedirectURIs, c.AllowCustomSchemeRedirects)
	p.checkRedirectList("post_logout_redirect_uris", c.PostLogoutRedirectURIs, c.AllowCustomSchemeRedirects)
	if c.ApplicationType != "web" && c.ApplicationType != "native" {
		p.report("application_type", "is unknown", "use web or native")
	}
}

func (p *preparation) checkRedirectList(member string, list []string, customSchemes bool) {
	for i, uri := range list {
		p.checkRedirect(at(member, i), uri, customSchemes)
		if slices.Index(list, uri) < i {
			p.report(at(member, i), "is listed twice", "keep one")
		}
	}
}

func checkSubject(p *preparation, c *Client) {
	n := 0
	for _, v := range []string{c.TLSSubjectDN, c.TLSSANDNS, c.TLSSANURI, c.TLSSANIP, c.TLSSANEmail} {
		if v != "" {
			n++
		}
	}
	switch uses := c.mayUse(oauth.AuthTLSClient); {
	case uses && n == 0:
		p.report("tls_client_auth_subject_dn", "is missing, and so are its alternatives", "name the certificate's subject or one of its alternative names (RFC 8705 §2.1.2)")
	case uses && n > 1:
		p.report("tls_client_auth_subject_dn", "is one of several names for one certificate", "keep exactly one tls_client_auth_… member (RFC 8705 §2.1.2)")
	case !uses && n > 0:
		p.report("tls_client_auth_subject_dn", "or an alternative has no meaning with this authentication method", "remove it, or use tls_client_auth")
	}
}

func checkKeys(p *preparation, c *Client) {
	if c.JWKSURI != "" && len(c.JWKS) > 0 {
		p.report("jwks", "is given together with jwks_uri", "keep one (RFC 7591 §2)")
	}
	p.checkHTTPS("jwks_uri", c.JWKSURI)
	if len(c.JWKS) == 0 {
		return
	}
	set, err := jose.ParseSet(c.JWKS)
	switch {
	case err != nil:
		p.report("jwks", "is not a set of public keys", "give {\"keys\": […]} with public JWKs only; a private key that was here is compromised")
	case len(set.Keys) == 0 && (len(set.Encryption) == 0 || c.mayUse(oauth.AuthPrivateKeyJWT, oauth.AuthSelfSignedTLS)):
		p.report("jwks", "has no key that can be used", "give a P-256, Ed25519 or RSA key (2048 bits or more) for signatures")
	case c.mayUse(oauth.AuthPrivateKeyJWT) && jose.Alg(c.TokenAuthSigningAlg).Supported():
		fits := func(k jose.Key) bool { return k.Fits(jose.Alg(c.TokenAuthSigningAlg)) }
		if !slices.ContainsFunc(set.Keys, fits) {
			p.report("jwks", "has no key for token_endpoint_auth_signing_alg", "add one, or name another algorithm")
		}
	}
}

func checkBinding(p *preparation, c *Client) {
	switch {
	case c.AllowBearerTokens:
	case c.TokenAuthMethod == oauth.AuthNone && !c.DPoPBoundTokens:
		p.report("dpop_bound_access_tokens", "is off for a public client", "turn it on, or set allow_bearer_tokens")
	}
}

func checkAlgs(p *preparation, c *Client) {
	checkAssertionAlg(p, c)
	if c.DefaultMaxAge != nil && *c.DefaultMaxAge < 0 {
		p.report("default_max_age", "is negative", "write seconds")
	}
}

// checkPairwise asks for one sector: people shall have one subject at the whole of a client.
func checkPairwise(p *preparation, c *Client) {
	switch c.SubjectType {
	case "", "public":
	case "pairwise":
		hosts := map[string]bool{}
		for _, uri := range c.RedirectURIs {
			if u, err := url.Parse(uri); err == nil {
				hosts[u.Hostname()] = true
			}
		}
		if len(hosts) > 1 && c.SectorIdentifierURI == "" {
			p.report("sector_identifier_uri", "is missing although the redirect URIs have several hosts", "name the sector (OIDC Core §8.1)")
		}
	default:
		p.report("subject_type", "is unknown", "use public or pairwise")
	}
}

func (p *preparation) checkAlg(member, alg string, c *Client) {
	if alg != "" && !slices.Contains(c.Algs(), jose.Alg(alg)) {
		p.report(member, "is not available with this profile", fmt.Sprintf("use one of %v", c.Algs()))
	}
}

func checkLinks(p *preparation, c *Client) {
	p.checkWeb("logo_uri", c.LogoURI)
	p.checkWeb("client_uri", c.ClientURI)
	p.checkWeb("policy_uri", c.PolicyURI)
	p.checkWeb("tos_uri", c.TermsOfServiceURI)
	p.checkWeb("initiate_login_uri", c.InitiateLoginURI)
	p.checkHTTPS("backchannel_logout_uri", c.BackchannelLogoutURI)
	p.checkWeb("frontchannel_logout_uri", c.FrontchannelLogoutURI)
	p.checkHTTPS("sector_identifier_uri", c.SectorIdentifierURI)
	if len(c.ClientName) > maxName {
		p.report("client_name", "is longer than 200 bytes", "shorten it")
	}
}

func checkTargets(p *preparation, c *Client) {
	p.checkScopes("scope", scopeList(c.Scope))
	for i, r := range c.Resources {
		p.checkResource(at("resources", i), r)
	}
	p.checkFormat(c.AccessTokenFormat)
}

// checkNotOfferedYet refuses members that ask for a protection this server does not give. Accepting them
// would make the client believe that it has it.
func checkNotOfferedYet(p *preparation, c *Client) {
	for _, m := range []struct {
		member string
		asked  bool
	}{
		{"software_statement", c.SoftwareStatement != ""},
		{"backchannel_token_delivery_mode", c.BackchannelDelivery != ""},
	} {
		if m.asked {
			p.report(m.member, "asks for what this server does not offer", "remove it")
		}
	}
}
