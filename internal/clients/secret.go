package clients

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// checkSecret is client_secret_basic and client_secret_post (RFC 6749 §2.3.1). During a rotation several secrets are
// right. A success costs no write and no read.
func (a *Authenticator) checkSecret(_ context.Context, client *objects.Client, c *Credentials) ([]store.Spend, error) {
	for _, s := range client.LiveSecrets(a.Now()) {
		if s.Matches(a.Ring, client.ID, c.Secret.Reveal()) {
			return nil, nil
		}
	}
	return nil, reason("the secret is wrong")
}

// guesses is what a wrong secret counts for: the client as seen from one network, whether or not there is such a
// client, so that nobody can shut a client out from elsewhere or learn who is one. Only a weak secret could be
// guessed from many networks together; there the client counts as a whole. nil: the request offers no secret, nor
// a hash that is keyed with one.
func guesses(client *objects.Client, c *Credentials) []limit.Key {
	if !c.basic && !c.post && !c.hashed() {
		return nil
	}
	counted := []limit.Key{limit.Client(c.ClientID + " " + c.Peer.Prefix)}
	if client != nil && slices.ContainsFunc(client.Secrets, func(s objects.StoredSecret) bool { return s.Weak }) {
		counted = append(counted, limit.Client(client.ID))
	}
	return counted
}

// slowDown refuses who has failed too often, for a while.
func (a *Authenticator) slowDown(counted []limit.Key) error {
	if len(counted) == 0 {
		return nil
	}
	wait := a.Failures.WaitHere(counted...)
	if wait <= 0 {
		return nil
	}
	seconds := int(wait/time.Second) + 1
	return oauth.Refuse(oauth.TemporarilyUnavailable, "too many failed attempts; try again later").
		WithStatus(http.StatusTooManyRequests).WithHeader("Retry-After", strconv.Itoa(seconds))
}
