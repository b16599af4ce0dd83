package clients

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// checkNone lets a public client name itself (RFC 6749 §2.1); what binds its tokens is asked for by the grant.
func (a *Authenticator) checkNone(context.Context, *objects.Client, *Credentials) ([]store.Spend, error) {
	return nil, nil
}
