package grant

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// planClient is the client credentials grant (RFC 6749 §4.4): the client acts for itself, nobody signs in, nothing
// is stored for a JWT. There is no refresh token (§4.4.3) and no ID token.
func (e *Endpoints) planClient(_ context.Context, a *attempt) (*issue, error) {
	if a.authn.Method == oauth.AuthNone {
		return nil, oauth.Refuse(oauth.UnauthorizedClient, "a public client cannot act for itself")
	}
	t, err := a.aimSelf()
	if err != nil {
		return nil, err
	}
	return &issue{scope: t.scope, access: e.Tokens.Access(tokens.Plan{
		Client: a.client, API: t.api, Subject: a.client.ID, Scope: t.scope, Details: t.details.JSON(), Binding: a.binding, Mappings: a.claims.mappings, IssuedAt: a.now,
	})}, nil
}
