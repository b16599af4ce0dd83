package tokeninfo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// inactive is the one answer about everything that is not alive and for this caller to know (RFC 7662 §2.2).
var inactive = &oauth.Introspection{}

// introspect answers about a token (RFC 7662 §2). A public client may not ask: whoever finds a token could be one.
func (e *Endpoints) introspect(ctx context.Context, q question) (*oauth.Introspection, error) {
	client, authn, err := e.authenticate(ctx, q)
	if err != nil {
		return nil, err
	}
	if authn.Method == oauth.AuthNone {
		return nil, oauth.Refuse(oauth.InvalidClient, "introspection needs a client with credentials")
	}
	if err := spent(e.DB.Spend(ctx, authn.Spends...)); err != nil {
		return nil, err
	}
	held, err := e.Tokens.Recognise(ctx, q.token)
	if errors.Is(err, tokens.ErrInactive) {
		return inactive, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recognise token: %w", err)
	}
	if held.ClientID() != client.ID {
		if held.Access == nil {
			return inactive, nil
		}
		if ok, err := e.introspects(ctx, client.ID, held.Access); !ok || err != nil {
			return inactive, err
		}
	}
	if held.Access == nil {
		return e.describeRefresh(client, held.Refresh), nil
	}
	return describe(held.Access), nil
}

// introspects says whether a client is an introspector of an API that the token is for.
func (e *Endpoints) introspects(ctx context.Context, client string, c *tokens.Claims) (bool, error) {
	for _, resource := range c.Audience {
		if resource == e.Issuer {
			continue
		}
		api, err := e.Registry.API(ctx, resource)
		if errors.Is(err, objects.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("load API: %w", err)
		}
		if slices.Contains(api.Introspectors, client) {
			return true, nil
		}
	}
	return false, nil
}

func describe(c *tokens.Claims) *oauth.Introspection {
	return &oauth.Introspection{
		Active: true, Scope: c.Scope, ClientID: c.ClientID, TokenType: tokenType(c.Confirmation), ExpiresAt: c.ExpiresAt,
		IssuedAt: c.IssuedAt, Subject: c.Subject, Audience: c.Audience, Issuer: c.Issuer, ID: c.ID,
		Confirm: c.Confirmation, AuthTime: c.AuthTime, ACR: c.ACR, AMR: c.AMR,
		Actor: c.Actor, Details: c.Details, SessionID: c.SessionID, GrantID: c.GrantID, Others: c.Mapped,
	}
}

// describeRefresh tells a client about its own refresh token; it has no token_type (RFC 7662 §2.2).
func (e *Endpoints) describeRefresh(client *objects.Client, r *tokens.Refresh) *oauth.Introspection {
	g := &r.Grant
	a := &oauth.Introspection{
		Active: true, Scope: strings.Join(g.Auth.Scope, " "), ClientID: client.ID, ExpiresAt: r.ExpiresAt().Unix(),
		IssuedAt: r.IssuedAt().Unix(), Subject: e.Tokens.Subject(client, g.Auth.AccountID), Issuer: e.Issuer,
		Details: g.Auth.Details,
	}
	if !g.Bearer {
		a.Confirm = &oauth.Confirmation{JKT: g.JKT, X5T: g.X5T}
	}
	return a
}

// tokenType is DPoP for a token bound to a key (RFC 9449 §6.2).
func tokenType(c *oauth.Confirmation) string {
	if c != nil && c.JKT != "" {
		return oauth.TypeDPoP
	}
	return oauth.TypeBearer
}
