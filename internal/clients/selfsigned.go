package clients

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// checkSelfSigned is self_signed_tls_client_auth: a certificate of one of the registered keys (RFC 8705 §2.2).
func (a *Authenticator) checkSelfSigned(ctx context.Context, client *objects.Client, c *Credentials) ([]store.Spend, error) {
	set, err := a.KeysOf(ctx, client, "")
	if err != nil {
		return nil, err
	}
	if err := ca.MatchKey(c.Peer.Certificate, set.Keys, a.Now()); err != nil {
		return nil, reason(err.Error())
	}
	return nil, nil
}
