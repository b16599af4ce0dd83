package request

import (
	"context"
	"net/url"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/oauth"
)

// checkTargets asks whether the APIs of a request exist, and whether its authorization details mean something there.
func (c *Checker) checkTargets(ctx context.Context, client *objects.Client, params url.Values, a *Authorization) error {
	asked, err := parseDetails(params, a)
	if err != nil || len(asked) == 0 && len(a.Resources) == 0 {
		return err
	}
	apis, err := c.Registry.APIs(ctx, client.Resources)
	if err != nil {
		return err
	}
	for _, r := range a.Resources { // RFC 8707 §2
		if !slices.ContainsFunc(apis, func(api *objects.API) bool { return api.Resource == r }) {
			return oauth.Refuse(oauth.InvalidTarget, "a resource is unknown")
		}
	}
	if err := objects.CheckDetails(client, apis, a.Resources, asked); err != nil {
		return err
	}
	a.Resources = withLocations(a.Resources, asked)
	a.Details, a.AskAgain = asked.JSON(), asksEveryTime(apis, asked)
	return nil
}

// parseDetails reads the parameter authorization_details (RFC 9396 §2). A request with neither scope nor details asks for
// nothing.
func parseDetails(params url.Values, a *Authorization) (details.List, error) {
	text := params.Get("authorization_details")
	if text == "" {
		return nil, nil
	}
	asked, err := details.Parse(text)
	if err == nil && len(asked) == 0 && len(a.Scope) == 0 {
		err = errNothingAsked
	}
	return asked, err
}

var errNothingAsked = oauth.Refuse(oauth.InvalidScope, "scope is missing")

// withLocations adds the locations of details to the resources that a request names: where an object is meant for goes
// before what the whole request is for (RFC 9396 §3.2). A request that names none is for any API of the client already.
func withLocations(resources []string, asked details.List) []string {
	if len(resources) == 0 {
		return nil
	}
	for _, d := range asked {
		resources = append(resources, d.Locations()...)
	}
	return unique(resources)
}

// asksEveryTime says whether a person is to be asked whatever they have allowed before.
func asksEveryTime(apis []*objects.API, asked details.List) bool {
	return slices.ContainsFunc(asked, func(d details.Detail) bool {
		return slices.ContainsFunc(apis, func(api *objects.API) bool {
			return api.Takes(d) && api.DetailType(d.Type()).AskEveryTime
		})
	})
}
