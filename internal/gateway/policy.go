package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/resource"
)

// policy is that of the route and, for somebody who has signed in, what the APIs that it leads to ask of that, so that
// the challenge (RFC 9470 §3) names what will do for all of them.
func (c *call) policy(ctx context.Context) (resource.Policy, error) {
	p := c.route.policy
	if actsForItself(c.who) {
		return p, nil
	}
	for _, name := range []string{c.route.Audience, c.route.UpstreamAudience} {
		api, err := c.Registry.API(ctx, name)
		if errors.Is(err, objects.ErrNotFound) {
			continue // of another issuer, or the route names none
		}
		if err != nil {
			return p, fmt.Errorf("find API of route: %w", err)
		}
		require(&p, api)
	}
	return p, nil
}

// actsForItself says whether a token is a client's own (RFC 6749 §4.4): nobody has signed in for it.
func actsForItself(who *resource.Principal) bool {
	return who.Subject == who.ClientID && who.ACR == "" && who.AuthTime.IsZero()
}

// require adds what an API asks. Of the values that the route names those stay that are strong enough for it.
func require(p *resource.Policy, api *objects.API) {
	if api.RequiredACR != "" {
		p.ACR = slices.DeleteFunc(slices.Clone(p.ACR), func(v string) bool { return !objects.MeetsACR(v, api.RequiredACR) })
		if len(p.ACR) == 0 {
			p.ACR = objects.ACRsFrom(api.RequiredACR)
		}
	}
	if age := time.Duration(api.MaxAge) * time.Second; age > 0 && (p.MaxAge == 0 || age < p.MaxAge) {
		p.MaxAge = age
	}
}
