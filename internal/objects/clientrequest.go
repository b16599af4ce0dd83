package objects

import (
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/jose"
)

// maxRequestURI is the longest request_uri (OIDC Core §6.2).
const maxRequestURI = 512

// checkRequests holds what a client says of its request objects against OIDC Registration §2 and RFC 9101 §10.5.
func checkRequests(p *preparation, c *Client) {
	p.checkAlg("request_object_signing_alg", c.RequestObjectAlg, c)
	p.checkRequestKeys(c)
	p.checkEncryptionNames("request_object_encryption", c.RequestObjectEncAlg, c.RequestObjectEncEnc)
	for i, uri := range c.RequestURIs {
		where := at("request_uris", i)
		address, _, _ := strings.Cut(uri, "#") // what follows is the hash of the object
		switch {
		case address == "" || len(uri) > maxRequestURI:
			p.report(where, "is empty or longer than 512 characters", "shorten it (OIDC Core §6.2)")
		case slices.Index(c.RequestURIs, uri) < i:
			p.report(where, "is listed twice", "keep one")
		default:
			p.checkHTTPS(where, address)
		}
	}
}

// checkRequestKeys asks for the keys without which no request object of the client can be verified.
func (p *preparation) checkRequestKeys(c *Client) {
	if !c.RequireSignedRequest && c.RequestObjectAlg == "" && len(c.RequestURIs) == 0 {
		return
	}
	if len(c.JWKS) == 0 {
		if c.JWKSURI == "" {
			p.report("jwks", "is missing although requests are signed", "give jwks or jwks_uri")
		}
		return // what is at jwks_uri may change at any time
	}
	fits := func(k jose.Key) bool { return k.Fits(jose.Alg(c.RequestObjectAlg)) }
	set, err := jose.ParseSet(c.JWKS)
	if err == nil && c.RequestObjectAlg != "" && !slices.ContainsFunc(set.Keys, fits) {
		p.report("jwks", "has no key for request_object_signing_alg", "add one, or name another algorithm")
	}
}

// checkAuthorizationAnswers holds the algorithms of signed authorization responses against JARM §3.
func checkAuthorizationAnswers(p *preparation, c *Client) {
	p.checkAlg("authorization_signed_response_alg", c.AuthorizationSignedAlg, c)
	p.checkEncryption("authorization_encrypted_response", c.AuthorizationEncAlg, c.AuthorizationEncEnc, c)
}
