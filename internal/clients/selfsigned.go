package clients

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// checkSelfSigned is self_signed_tls_client_auth: a certificate of one of the registered keys (RFC 8705 §2.2).
func (a *Authenticator) checkSelfSigned(ctx context.Context, client *objects.Client, c *Credentials) ([]store.Spend, error) {
	err := a.withKeys(ctx, client, "", func(set jose.Set) error {
		return ca.MatchKey(c.Peer.Certificate, set.Keys, a.Now())
	})
	if err != nil {
		return nil, reason(err.Error())
	}
	return nil, nil
}
