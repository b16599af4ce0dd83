package grant

import (
	"slices"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// target is what a token is for: one API, or with api nil the issuer's own userinfo, and what it carries there.
type target struct {
	api     *objects.API
	scope   []string
	details details.List
}

// chooseAPI applies RFC 8707 §2.2: a token is for exactly one resource, which is among the granted ones, or among
// those of the client where the grant names none. Without one in the request the only possible one is taken.
func (a *attempt) chooseAPI(granted, scope []string, list details.List) (*objects.API, error) {
	openID := slices.Contains(scope, oauth.ScopeOpenID)
	switch {
	case len(a.resources) > 1:
		return nil, oauth.Refuse(oauth.InvalidTarget, "name one resource")
	case len(a.resources) == 1:
		return a.allowedAPI(a.resources[0], granted)
	case len(granted) == 1:
		return a.allowedAPI(granted[0], granted)
	case len(granted) == 0 && len(a.apis) == 1 && (!openID || means(a.apis[0], scope, list)):
		return a.apis[0], nil
	}
	if len(list) > 0 {
		if api := a.onlyMeant(granted, scope, list); api != nil {
			return api, nil
		}
	}
	if openID {
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

// means says whether anything of a scope or of a list of details means something at an API.
func means(api *objects.API, scope []string, list details.List) bool {
	return slices.ContainsFunc(scope, api.AllowsScope) || slices.ContainsFunc(list, api.Takes)
}

// onlyMeant finds the one API at which anything means something; nil: there are several, or there is none.
func (a *attempt) onlyMeant(granted, scope []string, list details.List) (only *objects.API) {
	for _, api := range a.apis {
		switch {
		case len(granted) > 0 && !slices.Contains(granted, api.Resource) || !means(api, scope, list):
		case only != nil:
			return nil
		default:
			only = api
		}
	}
	return only
}

// aim chooses the API for what a person has granted and narrows scope and details to what means something there: the
// scopes of that API, and with openid those of no API at all, which are about the person (RFC 8707 §2.2, last paragraph).
func (a *attempt) aim(granted *store.Authorization, scope []string) (target, error) {
	list, err := a.narrowDetails(granted.Details)
	if err != nil {
		return target{}, err
	}
	api, err := a.chooseAPI(granted.Resources, scope, list)
	if err != nil {
		return target{}, err
	}
	openID := slices.Contains(scope, oauth.ScopeOpenID)
	t := target{api: api, scope: make([]string, 0, len(scope))}
	for _, s := range scope {
		own := api != nil && api.AllowsScope(s)
		if a.client.AllowsScope(s) && (own || openID && !a.ofAnyAPI(s)) {
			t.scope = append(t.scope, s)
		}
	}
	if t.details, err = a.detailsAt(api, list); err != nil {
		return target{}, err
	}
	if len(t.scope) == 0 && len(t.details) == 0 {
		return target{}, oauth.Refuse(oauth.InvalidScope, "no granted scope belongs to this resource")
	}
	return t, a.checkBinding(api)
}

func (a *attempt) ofAnyAPI(scope string) bool {
	return slices.ContainsFunc(a.apis, func(api *objects.API) bool { return api.AllowsScope(scope) })
}

// aimSelf chooses the API for a client that acts for itself. Every scope named must be one of the client's and of
// the API's; without names the token carries all that are both (RFC 6749 §3.3), or what the details say alone.
func (a *attempt) aimSelf() (target, error) {
	if slices.Contains(a.scope, oauth.ScopeOpenID) {
		return target{}, oauth.Refuse(oauth.InvalidScope, "openid needs a person")
	}
	if err := objects.CheckDetails(a.client, a.apis, a.resources, a.asked); err != nil { // RFC 9396 §5
		return target{}, err
	}
	api, err := a.chooseAPI(nil, a.scope, a.asked)
	if err != nil {
		return target{}, err
	}
	t := target{api: api, scope: a.scope}
	if t.details, err = a.detailsAt(api, a.asked); err != nil {
		return target{}, err
	}
	if len(a.scope) == 0 && len(a.asked) == 0 {
		t.scope = slices.DeleteFunc(slices.Clone(api.Scopes), func(s string) bool { return !a.client.AllowsScope(s) })
	}
	for _, s := range a.scope {
		if !a.client.AllowsScope(s) || !api.AllowsScope(s) {
			return target{}, oauth.Refuse(oauth.InvalidScope, "a scope is not available to this client at this resource")
		}
	}
	return t, a.checkBinding(api)
}

// checkBinding asks whether the API takes tokens that are bound like those of this request.
func (a *attempt) checkBinding(api *objects.API) error {
	switch {
	case api == nil || api.TakesBinding(a.binding):
		return nil
	case api.RequiredBinding == objects.BindingDPoP:
		return oauth.Refuse(oauth.InvalidRequest, "this resource takes tokens bound by DPoP only")
	case api.RequiredBinding == objects.BindingCertificate:
		return oauth.Refuse(oauth.InvalidRequest, "this resource takes tokens bound to a certificate only")
	}
	return oauth.Refuse(oauth.InvalidRequest, "this resource takes bound tokens only")
}
