package grant

import (
	"errors"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

func badRefresh(reason string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidGrant, "the refresh token is not valid for this request").With(errors.New(reason))
}

// redeemRefresh exchanges a refresh token (RFC 6749 §6). Whatever a bound grant is bound to must be shown again.
func (e *Endpoints) redeemRefresh(tx *store.Tx, a *attempt) (*issue, error) {
	r, err := e.Tokens.OpenRefresh(tx, a.refresh)
	if errors.Is(err, tokens.ErrInactive) {
		return nil, badRefresh("unknown, expired or revoked")
	}
	if err != nil {
		return nil, err
	}
	if r.Grant.Auth.ClientID != a.client.ID {
		return nil, a.refused(tx, "refresh.refused", r.Grant.ID, badRefresh("refresh token of another client"))
	}
	if err := a.checkSameKey(&r.Grant); err != nil {
		return nil, err
	}
	scope, err := narrow(r.Grant.Auth.Scope, a.scope)
	if err != nil {
		return nil, err
	}
	t, err := a.aim(&r.Grant.Auth, scope)
	if err != nil {
		return nil, err
	}
	p, err := e.loadPerson(tx, a, &r.Grant)
	if err != nil {
		return nil, err
	}
	// A session may have been left long ago; what access granted offline yields is no longer of it.
	p.omitSID = slices.Contains(r.Grant.Auth.Scope, oauth.ScopeOfflineAccess)
	next, err := e.Tokens.UseRefresh(tx, r)
	switch {
	case errors.Is(err, tokens.ErrReused):
		return nil, a.refused(tx, "grant.revoked", r.Grant.ID, badRefresh("refresh token used twice"))
	case err != nil:
		return nil, err
	}
	i := e.issueFor(a, &r.Grant, t, p)
	i.refresh = next
	return i, e.keep(tx, a, i, "grant.refreshed")
}

// checkSameKey holds a bound grant to its key and certificate, and lets a bearer grant become nothing else: its
// refresh token was out in the open, so whoever binds it now need not be the one it was given to.
func (a *attempt) checkSameKey(g *store.Grant) error {
	if a.binding.JKT != g.JKT || a.binding.X5T != g.X5T {
		return badRefresh("key or certificate is not that of the grant")
	}
	return nil
}

// narrow applies the scope of a refresh request: it may leave scopes out, never add one (RFC 6749 §6).
func narrow(granted, asked []string) ([]string, error) {
	if len(asked) == 0 {
		return granted, nil
	}
	for _, s := range asked {
		if !slices.Contains(granted, s) {
			return nil, oauth.Refuse(oauth.InvalidScope, "a scope was not granted")
		}
	}
	return asked, nil
}
