package grant

import (
	"slices"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/oauth"
)

// target is what a token is for: one API, or with api nil the issuer's own userinfo, and the scope it carries there.
type target struct {
	api   *objects.API
	scope []string
}

// chooseAPI applies RFC 8707 §2.2: a token is for exactly one resource, which is among the granted ones, or among
// those of the client where the grant names none. Without one in the request the only possible one is taken.
func (a *attempt) chooseAPI(granted, scope []string) (*objects.API, error) {
	openID := slices.Contains(scope, oauth.ScopeOpenID)
	switch {
	case len(a.resources) > 1:
		return nil, oauth.Refuse(oauth.InvalidTarget, "name one resource")
	case len(a.resources) == 1:
		return a.allowedAPI(a.resources[0], granted)
	case len(granted) == 1:
		return a.allowedAPI(granted[0], granted)
	case len(granted) == 0 && len(a.apis) == 1 && (!openID || sharesScope(a.apis[0], scope)):
		return a.apis[0], nil
	case openID:
		return nil, nil
	}
	return nil, oauth.Refuse(oauth.InvalidTarget, "name the resource the token is for")
}

func (a *attempt) allowedAPI(resource string, granted []string) (*objects.API, error) {
	if len(granted) == 0 || slices.Contains(granted, resource) {
		for _, api := range a.apis {
			if api.Resource == resource {
				return api, nil
			}
		}
	}
	return nil, oauth.Refuse(oauth.InvalidTarget, "this resource is not available")
}

func sharesScope(api *objects.API, scope []string) bool {
	return slices.ContainsFunc(scope, func(s string) bool { return slices.Contains(api.Scopes, s) })
}

// aim chooses the API for what a person has granted and narrows the scope to what means something there: the scopes
// of that API, and with openid those of no API at all, which are about the person (RFC 8707 §2.2, last paragraph).
func (a *attempt) aim(granted, scope []string) (target, error) {
	api, err := a.chooseAPI(granted, scope)
	if err != nil {
		return target{}, err
	}
	openID := slices.Contains(scope, oauth.ScopeOpenID)
	kept := make([]string, 0, len(scope))
	for _, s := range scope {
		own := api != nil && slices.Contains(api.Scopes, s)
		if a.client.AllowsScope(s) && (own || openID && !a.ofAnyAPI(s)) {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 {
		return target{}, oauth.Refuse(oauth.InvalidScope, "no granted scope belongs to this resource")
	}
	return target{api, kept}, a.checkBearer(api)
}

func (a *attempt) ofAnyAPI(scope string) bool {
	return slices.ContainsFunc(a.apis, func(api *objects.API) bool { return slices.Contains(api.Scopes, scope) })
}

// aimSelf chooses the API for a client that acts for itself. Every scope named must be one of the client's and of
// the API's; without names the token carries all that are both (RFC 6749 §3.3).
func (a *attempt) aimSelf() (target, error) {
	if slices.Contains(a.scope, oauth.ScopeOpenID) {
		return target{}, oauth.Refuse(oauth.InvalidScope, "openid needs a person")
	}
	api, err := a.chooseAPI(nil, a.scope)
	if err != nil {
		return target{}, err
	}
	if len(a.scope) == 0 {
		t := target{api: api}
		for _, s := range api.Scopes {
			if a.client.AllowsScope(s) {
				t.scope = append(t.scope, s)
			}
		}
		return t, a.checkBearer(api)
	}
	for _, s := range a.scope {
		if !a.client.AllowsScope(s) || !slices.Contains(api.Scopes, s) {
			return target{}, oauth.Refuse(oauth.InvalidScope, "a scope is not available to this client at this resource")
		}
	}
	return target{api, a.scope}, a.checkBearer(api)
}

func (a *attempt) checkBearer(api *objects.API) error {
	if a.bearer() && api != nil && !api.AllowBearerTokens {
		return oauth.Refuse(oauth.InvalidRequest, "this resource takes bound tokens only")
	}
	return nil
}
