package objects

import (
	"fmt"
	"slices"

	"github.com/holdfast-iam/holdfast/jose"
)

// EncryptionAlgs and EncryptionEncs are what answers may be encrypted by, to a key that the client has published. Keys
// that come of its secret are not among them: a secret here is a hash.
var (
	EncryptionAlgs = []jose.KeyAlg{jose.ECDHES, jose.ECDHESA128KW, jose.ECDHESA256KW, jose.RSAOAEP256}
	EncryptionEncs = []jose.ContentAlg{jose.A128CBCHS256, jose.A256CBCHS512, jose.A128GCM, jose.A256GCM}
)

// checkAnswers holds the algorithms of ID tokens and of userinfo against OIDC Registration §2, those of introspection
// against RFC 9701 §6.
func checkAnswers(p *preparation, c *Client) {
	p.checkAlg("id_token_signed_response_alg", c.IDTokenSignedAlg, c)
	p.checkEncryption("id_token_encrypted_response", c.IDTokenEncryptedAlg, c.IDTokenEncryptedEnc, c)
	p.checkAlg("userinfo_signed_response_alg", c.UserinfoSignedAlg, c)
	p.checkEncryption("userinfo_encrypted_response", c.UserinfoEncryptedAlg, c.UserinfoEncryptedEnc, c)
	p.checkAlg("introspection_signed_response_alg", c.IntrospectionSignedAlg, c)
	p.checkEncryption("introspection_encrypted_response", c.IntrospectionEncAlg, c.IntrospectionEncEnc, c)
}

// checkEncryption checks the two members of an encryption to the client, whose names begin alike, and its key.
func (p *preparation) checkEncryption(member, alg, enc string, c *Client) {
	if !p.checkEncryptionNames(member, alg, enc) || alg == "" {
		return
	}
	if len(c.JWKS) == 0 {
		if c.JWKSURI == "" {
			p.report(member+"_alg", "needs a key of the client", "give jwks or jwks_uri with a key whose use is enc")
		}
		return // what is at jwks_uri may change at any time
	}
	if set, err := jose.ParseSet(c.JWKS); err == nil && len(set.FindEncryption("", jose.KeyAlg(alg))) == 0 {
		p.report("jwks", "has no key for "+member+"_alg", "add one whose use is enc")
	}
}

// checkEncryptionNames checks the two members of an encryption, and says whether the first is one there is, or empty.
func (p *preparation) checkEncryptionNames(member, alg, enc string) bool {
	switch {
	case alg == "" && enc != "":
		p.report(member+"_enc", "has no meaning alone", "name "+member+"_alg too (OIDC Registration §2)")
	case alg != "" && !slices.Contains(EncryptionAlgs, jose.KeyAlg(alg)):
		p.report(member+"_alg", "is not available", fmt.Sprintf("use one of %v", EncryptionAlgs))
		return false
	case enc != "" && !slices.Contains(EncryptionEncs, jose.ContentAlg(enc)):
		p.report(member+"_enc", "is not available", fmt.Sprintf("use one of %v", EncryptionEncs))
	}
	return true
}
