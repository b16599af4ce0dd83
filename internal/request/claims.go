package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// bounds of the parameter claims, which is kept as long as the grant.
const (
	maxClaimsText = 4096
	maxClaims     = 64  // in each place
	maxClaimName  = 128 // bytes
	maxClaimList  = 32  // values of one claim
)

// ClaimsRequest is the parameter claims (OpenID Connect Core §5.5): which claims are asked for, by where they are to be.
type ClaimsRequest struct {
	Userinfo map[string]*ClaimRequest `json:"userinfo,omitempty"`
	IDToken  map[string]*ClaimRequest `json:"id_token,omitempty"`
}

// ClaimRequest is what is said of one claim (OIDC Core §5.5.1). It is nil where nothing is: the claim is voluntary then.
type ClaimRequest struct {
	Essential bool              `json:"essential,omitempty"`
	Value     json.RawMessage   `json:"value,omitempty"`  // the one that is wanted
	Values    []json.RawMessage `json:"values,omitempty"` // one of these, in order of preference; never with Value
}

var errLongClaims = oauth.Refuse(oauth.InvalidRequest, "claims is too long")

// ParseClaims reads the parameter, and what Authorization.Claims has kept of it. Members that are not understood are
// ignored.
func ParseClaims(text []byte) (*ClaimsRequest, error) {
	refusal := oauth.Refuse(oauth.InvalidRequest, "claims is not a claims request (OpenID Connect Core §5.5)")
	if len(text) > maxClaimsText {
		return nil, errLongClaims
	}
	var c *ClaimsRequest
	if err := jose.Unmarshal(text, &c); err != nil {
		return nil, refusal.With(err)
	}
	if c == nil || !sound(c.Userinfo) || !sound(c.IDToken) {
		return nil, refusal
	}
	return c, nil
}

// sound holds the claims of one place against the bounds. A null among values is none, so it is left out.
func sound(asked map[string]*ClaimRequest) bool {
	if len(asked) > maxClaims {
		return false
	}
	for name, c := range asked {
		if name == "" || len(name) > maxClaimName {
			return false
		}
		if c == nil {
			continue
		}
		if string(c.Value) == "null" {
			c.Value = nil
		}
		if c.Value != nil && c.Values != nil || len(c.Values) > maxClaimList {
			return false
		}
	}
	return true
}

// Wanted are the values asked for, in order of preference; none: any value does. A nil c wants none.
func (c *ClaimRequest) Wanted() []json.RawMessage {
	switch {
	case c == nil:
		return nil
	case c.Value != nil:
		return []json.RawMessage{c.Value}
	}
	return c.Values
}

// texts are those of the values that are strings.
func (c *ClaimRequest) texts() []string {
	var list []string
	for _, v := range c.Wanted() {
		var text *string
		if json.Unmarshal(v, &text) == nil && text != nil {
			list = append(list, *text)
		}
	}
	return list
}

// checkClaims reads the parameter and keeps it in its normal form: members in order, nothing that is not understood.
func checkClaims(params url.Values, a *Authorization) (*ClaimsRequest, error) {
	text := params.Get("claims")
	if text == "" {
		return new(ClaimsRequest), nil
	}
	asked, err := ParseClaims([]byte(text))
	if err != nil || len(asked.Userinfo)+len(asked.IDToken) == 0 {
		return asked, err
	}
	if a.Claims, err = json.Marshal(asked); len(a.Claims) > maxClaimsText {
		return nil, errLongClaims // escaped, it takes more room
	}
	return asked, err
}

// findClaimScopes finds the scopes that the claims asked for by name belong to, less those that the request has anyway.
// Claims of scopes that the client is not registered for are nothing it can get, so nobody is asked about them; nor is
// anybody about a first-party client.
func (c *Checker) findClaimScopes(ctx context.Context, client *objects.Client, a *Authorization) error {
	if len(a.Claims) == 0 || client.FirstParty {
		return nil
	}
	asked, err := ParseClaims(a.Claims)
	if err != nil {
		return err
	}
	wanted := asked.names()
	for _, name := range slices.Concat(a.Scope, client.Scopes()) {
		if len(wanted) == 0 {
			return nil
		}
		scope, err := c.Registry.Scope(ctx, name)
		if errors.Is(err, objects.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("load scope: %w", err)
		}
		before := len(wanted)
		wanted = slices.DeleteFunc(wanted, func(claim string) bool { return slices.Contains(scope.Claims, claim) })
		if len(wanted) < before && !slices.Contains(a.Scope, name) {
			a.ClaimScopes = append(a.ClaimScopes, name)
		}
	}
	return nil
}

// names are the claims about a person that are asked for, wherever they are to be.
func (c *ClaimsRequest) names() []string {
	var all []string
	for _, place := range []map[string]*ClaimRequest{c.Userinfo, c.IDToken} {
		for name := range place {
			if !objects.ReservedClaim(name) {
				all = append(all, name)
			}
		}
	}
	return all
}
