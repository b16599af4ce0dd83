package clients

import (
	"cmp"
	"context"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Encrypter encrypts to a client by the two algorithms that it has registered for an answer; without enc it is
// A128CBC-HS256 (OIDC Registration §2). A client that has no key to encrypt to, or whose keys cannot be read, is refused:
// nothing goes out in clear that was to be encrypted.
func (a *Authenticator) Encrypter(ctx context.Context, client *objects.Client, alg, enc string) (e *jose.Encrypter, err error) {
	err = a.withKeys(ctx, client, "", func(set jose.Set) error {
		found := set.FindEncryption("", jose.KeyAlg(alg))
		if len(found) == 0 {
			return reason("the client has no key for " + alg)
		}
		e, err = jose.NewEncrypter(found[0], jose.KeyAlg(alg), jose.ContentAlg(cmp.Or(enc, string(jose.A128CBCHS256))))
		return err
	})
	if err != nil {
		return nil, noEncryption(err)
	}
	return e, nil
}

func noEncryption(why error) error {
	return oauth.Refuse(oauth.InvalidRequest, "the keys to encrypt to this client are not available").With(why)
}
