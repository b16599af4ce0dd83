package request

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
)

// Needs is what the APIs that a request is about ask of the sign-in. A token that does not have it would only lead to
// their challenge (RFC 9470 §3).
type Needs struct {
	ACR    string        // this or a stronger one; "": any
	MaxAge time.Duration // 0: any
}

// Needs finds those of a request: of the resources that it names, and without any of every API of the client that knows
// one of its scopes, or takes one of its authorization details.
func (c *Checker) Needs(ctx context.Context, client *objects.Client, a *Authorization) (Needs, error) {
	var n Needs
	asked, err := a.details()
	if err != nil {
		return n, err
	}
	for _, resource := range client.Resources {
		if len(a.Resources) > 0 && !slices.Contains(a.Resources, resource) {
			continue
		}
		api, err := c.Registry.API(ctx, resource)
		if errors.Is(err, objects.ErrNotFound) {
			continue // there are no tokens for it
		}
		if err != nil {
			return n, fmt.Errorf("load API: %w", err)
		}
		if len(a.Resources) > 0 || slices.ContainsFunc(a.Scope, api.AllowsScope) || slices.ContainsFunc(asked, api.Takes) {
			n.add(api)
		}
	}
	return n, nil
}

// details are those that the request has kept.
func (a *Authorization) details() (details.List, error) {
	if len(a.Details) == 0 {
		return nil, nil
	}
	list, err := details.Parse(string(a.Details))
	if err != nil {
		return nil, fmt.Errorf("read authorization details: %w", err)
	}
	return list, nil
}

func (n *Needs) add(api *objects.API) {
	if api.RequiredACR != "" && !objects.MeetsACR(n.ACR, api.RequiredACR) {
		n.ACR = api.RequiredACR
	}
	if age := time.Duration(api.MaxAge) * time.Second; age > 0 && (n.MaxAge == 0 || age < n.MaxAge) {
		n.MaxAge = age
	}
}
