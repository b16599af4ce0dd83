package tokeninfo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// inactive is the one answer about everything that is not alive and for this caller to know (RFC 7662 §2.2).
var inactive = &oauth.Introspection{}

// finding is what a client may know of a token.
type finding struct {
	client *objects.Client // who asks
	answer *oauth.Introspection
	access *tokens.Claims // nil where the token is not an access token, or the answer inactive
	apis   []string       // of the token's audience, those that the client answers for
}

// serveIntrospect answers about a token in the form that was asked for.
func (e *Endpoints) serveIntrospect(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuestion(r)
	if err != nil {
		return err
	}
	f, err := e.introspect(r.Context(), q)
	if err != nil {
		return err
	}
	switch preferred(r.Header.Values("Accept")) {
	case mediaIntrospection:
		sealed, err := e.Tokens.SealIntrospection(r.Context(), f.client, f.answer)
		if err != nil {
			return err
		}
		writeJWT(w, mediaIntrospection, sealed)
		return nil
	case mediaJWT:
		return e.writePhantom(w, f)
	}
	return web.WriteJSON(w, http.StatusOK, f.answer)
}

// writePhantom answers an API with the JWT behind an opaque token, to go on with instead of it: the form that older
// gateways ask for by application/jwt. Only an API gets it, and nothing is the answer about everything else.
func (e *Endpoints) writePhantom(w http.ResponseWriter, f *finding) error {
	if f.access == nil || len(f.apis) == 0 {
		web.NoStore(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	token, err := e.Tokens.Phantom(f.access, f.apis)
	if err != nil {
		return err
	}
	writeJWT(w, mediaJWT, token)
	return nil
}

// introspect finds out about a token (RFC 7662 §2). A public client may not ask: whoever finds a token could be one.
func (e *Endpoints) introspect(ctx context.Context, q question) (*finding, error) {
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
	f := &finding{client: client, answer: inactive}
	held, err := e.Tokens.Recognise(ctx, q.token)
	if errors.Is(err, tokens.ErrInactive) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recognise token: %w", err)
	}
	own := held.ClientID() == client.ID
	switch {
	case held.Access != nil:
		if f.apis, err = e.introspects(ctx, client.ID, held.Access); err != nil {
			return nil, err
		}
		if own || len(f.apis) > 0 {
			f.access, f.answer = held.Access, describe(held.Access)
		}
	case own:
		f.answer = e.describeRefresh(client, held.Refresh)
	}
	return f, nil
}

// introspects lists the APIs that the token is for and whose introspector the client is.
func (e *Endpoints) introspects(ctx context.Context, client string, c *tokens.Claims) (apis []string, err error) {
	for _, resource := range c.Audience {
		if resource == e.Issuer {
			continue
		}
		api, err := e.Registry.API(ctx, resource)
		if errors.Is(err, objects.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("load API: %w", err)
		}
		if slices.Contains(api.Introspectors, client) {
			apis = append(apis, resource)
		}
	}
	return apis, nil
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
