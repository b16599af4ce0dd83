package clients

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// checkSecret is client_secret_basic and client_secret_post (RFC 6749 §2.3.1). During a rotation several secrets are
// right. Failures slow the next tries down; a success costs no write and no read.
func (a *Authenticator) checkSecret(ctx context.Context, client *objects.Client, c *Credentials) ([]store.Spend, error) {
	counted := []limit.Key{limit.Client(client.ID + " " + c.Peer.Prefix)}
	if wait := a.Failures.WaitHere(counted...); wait > 0 {
		seconds := int(wait/time.Second) + 1
		return nil, oauth.Refuse(oauth.TemporarilyUnavailable, "too many failed attempts; try again later").
			WithStatus(http.StatusTooManyRequests).WithHeader("Retry-After", strconv.Itoa(seconds))
	}
	for _, s := range client.LiveSecrets(a.Now()) {
		if a.Ring.Matches(s.Hash, c.Secret.Reveal()) {
			return nil, nil
		}
	}
	if err := a.Failures.FailNow(ctx, counted...); err != nil {
		return nil, fmt.Errorf("count failure: %w", err)
	}
	return nil, reason("the secret is wrong")
}
