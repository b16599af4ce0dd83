package resource

import (
	"errors"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Policy is what a route asks of its caller. Everything it states has to hold. The zero value denies everybody: a route
// that asks nothing but a good token says Authenticated.
type Policy struct {
	Scopes []string              // all of these
	Claims map[string]string     // each claim is this text, or a list of texts with this one among them
	ACR    []string              // the user signed in in one of these ways
	MaxAge time.Duration         // the user signed in not longer ago than this; whole seconds
	Allow  func(*Principal) bool // any other rule

	authenticated bool
}

// Authenticated is the policy of a route that is open to every caller with a good token.
func Authenticated() Policy { return Policy{authenticated: true} }

// Scopes is the policy that asks for all of these scopes.
func Scopes(all ...string) Policy { return Policy{Scopes: all} }

// IsZero says that the policy states nothing and so denies everybody.
func (p Policy) IsZero() bool {
	return !p.authenticated && len(p.Scopes) == 0 && len(p.Claims) == 0 && len(p.ACR) == 0 && p.MaxAge == 0 && p.Allow == nil
}

// Authorize says whether the policy lets the caller pass. Every error is a *Challenge: insufficient_scope
// (RFC 6750 §3.1), insufficient_user_authentication (RFC 9470 §3), or access_denied, which no other token would change.
func (v *Verifier) Authorize(p Policy, who *Principal) error {
	var c *Challenge
	switch {
	case p.IsZero():
		c = v.refuse(oauth.AccessDenied, "nobody may do this", errors.New("the policy of the route is empty"))
	case slices.Contains(p.Scopes, "") || p.MaxAge < 0 || slices.Contains(p.ACR, ""):
		c = v.refuse(oauth.AccessDenied, "nobody may do this", errors.New("the policy of the route is not valid"))
	case !who.HasScope(p.Scopes...):
		c = v.refuse(oauth.InsufficientScope, "the access token lacks a scope", nil)
		c.Scopes = p.Scopes
	case !v.authenticatedAs(p, who):
		c = v.refuse(InsufficientUserAuthentication, "the user has to sign in again", nil)
		c.ACR, c.MaxAge = p.ACR, p.MaxAge
	case !hasClaims(who, p.Claims):
		c = v.refuse(oauth.AccessDenied, "the caller may not do this", errors.New("a claim is not as the policy asks"))
	case p.Allow != nil && !p.Allow(who):
		c = v.refuse(oauth.AccessDenied, "the caller may not do this", errors.New("the rule of the policy says no"))
	default:
		return nil
	}
	c.Scheme = who.Scheme
	return c
}

// authenticatedAs compares acr and auth_time (RFC 9470 §4).
func (v *Verifier) authenticatedAs(p Policy, who *Principal) bool {
	if len(p.ACR) > 0 && !slices.Contains(p.ACR, who.ACR) {
		return false
	}
	if p.MaxAge == 0 {
		return true
	}
	age := v.config.Now().Sub(who.AuthTime)
	return !who.AuthTime.IsZero() && age <= p.MaxAge && age >= -v.config.Leeway
}

func hasClaims(who *Principal, wanted map[string]string) bool {
	for name, value := range wanted {
		text, err := Claim[string](who, name)
		if err == nil && text == value {
			continue
		}
		list, err := Claim[[]string](who, name)
		if err != nil || !slices.Contains(list, value) {
			return false
		}
	}
	return true
}
