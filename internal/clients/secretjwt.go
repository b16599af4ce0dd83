package clients

import (
	"context"
	"fmt"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

var assertionMACs = []jose.MAC{jose.HS256, jose.HS384, jose.HS512}

// hashed says that the request has an assertion under a keyed hash, which no public key is ever tried with.
func (c *Credentials) hashed() bool { return c.asserted != nil && jose.MAC(c.asserted.Alg).Supported() }

// checkSecretJWT is client_secret_jwt (OIDC Core §9): the assertion of private_key_jwt under a hash that is keyed with a
// secret of the client. During a rotation several secrets are right.
func (a *Authenticator) checkSecretJWT(_ context.Context, client *objects.Client, c *Credentials) ([]store.Spend, error) {
	macs := assertionMACs
	if registered := jose.MAC(client.TokenAuthSigningAlg); registered.Supported() {
		macs = []jose.MAC{registered}
	}
	secrets, err := a.signingSecrets(client)
	if err != nil {
		return nil, err
	}
	token, err := jose.VerifyMAC(c.Assertion, macs, secrets...)
	if err != nil {
		return nil, reason("the assertion does not verify: " + err.Error())
	}
	return a.checkClaims(token, client)
}

// signingSecrets are the secrets of the client that live.
func (a *Authenticator) signingSecrets(client *objects.Client) ([]jose.Secret, error) {
	var secrets []jose.Secret
	for _, s := range client.LiveSecrets(a.Now()) {
		text, err := s.Open(a.Ring, client.ID)
		if err != nil {
			return nil, fmt.Errorf("open client secret: %w", err)
		}
		secret, err := jose.NewSecret([]byte(text.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("read client secret: %w", err)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}
