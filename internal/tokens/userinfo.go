package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// UserinfoPlan is what userinfo is asked about.
type UserinfoPlan struct {
	Client  *objects.Client
	Grant   *store.Grant
	Account *store.Account
	Subject string
	Scope   []string // of the access token
}

// Userinfo gathers what a client is told about a person (OpenID Connect Core §5.3.2): the claims of its scopes (§5.4),
// what it has asked for by name (§5.5), and what mappings make.
func (m *Minter) Userinfo(ctx context.Context, p UserinfoPlan) (map[string]json.RawMessage, error) {
	names, err := m.claimsOf(ctx, p.Scope)
	if err != nil {
		return nil, err
	}
	claims := personal(p.Account, names)
	asked, err := m.requested(ctx, inUserinfo, p.Client, p.Grant, p.Account)
	if err != nil {
		return nil, err
	}
	maps.Copy(claims, asked)
	mappings, err := m.Registry.ClaimMappings(ctx)
	if err != nil {
		return nil, err
	}
	if has(mappings) {
		maps.Copy(claims, mapped(mappings, objects.IntoUserinfo, nil, factsOf(p.Client, p.Grant, p.Account)))
	}
	claims["sub"] = text(p.Subject)
	return claims, nil
}

// claimsOf are the claims that scopes release.
func (m *Minter) claimsOf(ctx context.Context, scopes []string) (names []string, err error) {
	for _, name := range scopes {
		scope, err := m.Registry.Scope(ctx, name)
		if errors.Is(err, objects.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("load scope: %w", err)
		}
		names = append(names, scope.Claims...)
	}
	return names, nil
}

// personal picks the named claims of an account, each with the JSON type it is stored with. What the account does not
// say, or says as null, is left out (OpenID Connect Core §5.3.2).
func personal(a *store.Account, names []string) map[string]json.RawMessage {
	picked := make(map[string]json.RawMessage, len(names)+1)
	if len(names) == 0 {
		return picked
	}
	all := said(a)
	for _, name := range names {
		if v, ok := all[name]; ok && !objects.ReservedClaim(name) && string(v) != "null" {
			picked[name] = v
		}
	}
	return picked
}

// place is where claims are asked for.
type place int

const (
	inIDToken place = iota
	inUserinfo
)

// requested picks what the client has asked for by name at a place (OpenID Connect Core §5.5): of what it may see, what
// the person has, with the value that was asked for if one was. Nothing is refused for want of a claim, essential or not.
func (m *Minter) requested(ctx context.Context, at place, c *objects.Client, g *store.Grant, a *store.Account) (map[string]json.RawMessage, error) {
	if g == nil || a == nil || len(g.Auth.Claims) == 0 {
		return nil, nil
	}
	all, err := request.ParseClaims(g.Auth.Claims)
	if err != nil {
		return nil, fmt.Errorf("read claims of the request: %w", err)
	}
	asked := all.IDToken
	if at == inUserinfo {
		asked = all.Userinfo
	}
	if len(asked) == 0 {
		return nil, nil
	}
	visible, err := m.visible(ctx, c, &g.Auth)
	if err != nil {
		return nil, err
	}
	picked := personal(a, slices.DeleteFunc(visible, func(name string) bool { _, wanted := asked[name]; return !wanted }))
	maps.DeleteFunc(picked, func(name string, value json.RawMessage) bool { return !fits(value, asked[name].Wanted()) })
	return picked, nil
}

// visible are the claims that a client may see by asking for them: those of scopes it is registered for and that the
// person has agreed to, now or before. Nobody is asked on behalf of a first-party client.
func (m *Minter) visible(ctx context.Context, c *objects.Client, auth *store.Authorization) ([]string, error) {
	scopes := c.Scopes()
	if !c.FirstParty {
		agreed := auth.Scope
		given, err := consents.Load(ctx, m.DB, auth.AccountID, c.ID)
		if err != nil {
			return nil, err
		}
		if given != nil && given.RevokedAt.IsZero() {
			agreed = slices.Concat(agreed, given.Scope)
		}
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return !slices.Contains(agreed, s) })
	}
	return m.claimsOf(ctx, scopes)
}

// fits says whether a value is one of those asked for; where none is, any is.
func fits(value json.RawMessage, wanted []json.RawMessage) bool {
	if len(wanted) == 0 {
		return true
	}
	var found any
	if jose.Unmarshal(value, &found) != nil {
		return false
	}
	return slices.ContainsFunc(wanted, func(w json.RawMessage) bool {
		var want any
		return jose.Unmarshal(w, &want) == nil && reflect.DeepEqual(found, want)
	})
}
