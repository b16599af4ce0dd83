package grant

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// exchangeRequest is what only token exchange asks for (RFC 8693 §2.1).
type exchangeRequest struct {
	subject       string
	subjectType   string
	requestedType string
	audiences     []string
	actor         bool // an actor token is there
}

func parseExchange(form url.Values) exchangeRequest {
	return exchangeRequest{
		subject: form.Get("subject_token"), subjectType: form.Get("subject_token_type"),
		requestedType: form.Get("requested_token_type"), audiences: form["audience"],
		actor: form.Has("actor_token") || form.Has("actor_token_type"),
	}
}

// badSubject is the one answer to everything that is wrong with a subject token (RFC 8693 §2.2.2).
func badSubject(reason string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, "the subject token is not valid for this request").With(errors.New(reason))
}

// maxActors bounds the chain of who acts for whom.
const maxActors = 4

// planExchange is token exchange as a gateway needs it (RFC 8693): an access token of this issuer, in either form, becomes
// one for the API behind, bound to the key or certificate of this request. Who is in it, and for whom it was issued, stays.
//
// The token shown may be bound to somebody else's key. That its holder has it, the client has checked: an API lists in
// exchangers only clients that do, as it lists in introspectors only those that may look.
func (e *Endpoints) planExchange(ctx context.Context, a *attempt) (*issue, error) {
	x := &a.exchange
	if err := a.checkExchange(); err != nil {
		return nil, err
	}
	from, err := e.Tokens.Inspect(ctx, x.subject)
	if errors.Is(err, tokens.ErrInactive) {
		return nil, badSubject("unknown, expired or revoked")
	}
	if err != nil {
		return nil, fmt.Errorf("inspect subject token: %w", err)
	}
	if err := e.checkExchanger(ctx, a, from); err != nil {
		return nil, err
	}
	alive, err := e.checkAlive(ctx, from)
	if err != nil {
		return nil, err
	}
	api, err := a.exchangeTarget()
	if err != nil {
		return nil, err
	}
	carried, err := a.exchangeDetails(api, from.Details)
	if err != nil {
		return nil, err
	}
	scope, err := a.exchangeScope(api, strings.Fields(from.Scope), carried)
	if err != nil {
		return nil, err
	}
	return &issue{scope: scope, account: alive.account.ID, kind: oauth.TokenTypeAccess, access: e.Tokens.Exchange(tokens.Exchange{
		From: from, API: api, Actor: a.client.ID, Scope: scope, Details: carried.JSON(), Binding: a.binding, IssuedAt: a.now,
		Client: alive.client, Grant: &alive.grant, Account: &alive.account, Mappings: a.claims.mappings,
	})}, a.checkBinding(api)
}

// checkExchange asks whether the request has the form that is available.
func (a *attempt) checkExchange() error {
	x := &a.exchange
	switch {
	case a.authn.Method == oauth.AuthNone:
		return oauth.Refuse(oauth.UnauthorizedClient, "a public client cannot exchange tokens")
	case x.subject == "":
		return oauth.Refuse(oauth.InvalidRequest, "subject_token is missing")
	case x.subjectType != oauth.TokenTypeAccess:
		return oauth.Refuse(oauth.InvalidRequest, "subject_token_type must be that of an access token")
	case x.requestedType != "" && x.requestedType != oauth.TokenTypeAccess:
		return oauth.Refuse(oauth.InvalidRequest, "only access tokens are issued in exchange")
	case x.actor:
		return oauth.Refuse(oauth.InvalidRequest, "actor tokens are not accepted: the client itself acts")
	}
	return nil
}

// checkExchanger asks whether an API that the token is for lets this client exchange its tokens.
func (e *Endpoints) checkExchanger(ctx context.Context, a *attempt, from *tokens.Claims) error {
	actors := 0
	for act := from.Actor; act != nil; act = act.Actor {
		actors++
	}
	if actors >= maxActors {
		return badSubject("exchanged too often")
	}
	for _, resource := range from.Audience {
		api, err := e.Registry.API(ctx, resource)
		switch {
		case errors.Is(err, objects.ErrNotFound): // deleted since, or the issuer itself
		case err != nil:
			return fmt.Errorf("load API: %w", err)
		case slices.Contains(api.Exchangers, a.client.ID):
			return nil
		}
	}
	return badSubject("no API of its audience lets this client exchange")
}

// origin is what a token came from. Grant and account are zero for a client of its own.
type origin struct {
	client  *objects.Client
	grant   store.Grant
	account store.Account
}

// checkAlive asks the database whether what the token came from still is: client, grant, person, session. The feed knows
// all that, but within a moment only, and what is issued here is younger than what it may be about to tell.
func (e *Endpoints) checkAlive(ctx context.Context, from *tokens.Claims) (*origin, error) {
	client, err := e.Registry.Client(ctx, from.ClientID)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		return nil, badSubject("its client is gone")
	case err != nil:
		return nil, fmt.Errorf("load client of subject: %w", err)
	}
	o := &origin{client: client}
	if from.GrantID == "" {
		return o, nil
	}
	err = e.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if o.grant, err = tx.Grant(from.GrantID); err != nil {
			return err
		}
		if o.account, err = tx.Account(o.grant.Auth.AccountID); err != nil {
			return err
		}
		if !o.grant.RevokedAt.IsZero() || o.account.Disabled {
			return store.ErrNotFound
		}
		return e.checkSessionAlive(tx, from.SessionID)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, badSubject("grant, person or session is over")
	}
	if err != nil {
		return nil, fmt.Errorf("load grant of subject: %w", err)
	}
	return o, nil
}

// checkSessionAlive looks for a session that somebody has ended. One that was purged had ended by itself.
func (e *Endpoints) checkSessionAlive(tx *store.Tx, id string) error {
	if id == "" {
		return nil
	}
	s, err := tx.Session(id)
	if err == nil && !s.EndedAt.IsZero() {
		return store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// exchangeTarget is the one API the token shall be for, among those of the client: by its resource, which is its
// audience too (RFC 8693 §2.1, RFC 8707 §2).
func (a *attempt) exchangeTarget() (*objects.API, error) {
	named := slices.Concat(a.resources, a.exchange.audiences)
	if len(named) != 1 {
		return nil, oauth.Refuse(oauth.InvalidTarget, "name one resource")
	}
	return a.allowedAPI(named[0], nil)
}

// exchangeScope is what of the subject's scope means something at the API, or the part of it that is asked for. A client
// that is registered with scopes carries no others on.
func (a *attempt) exchangeScope(api *objects.API, subject []string, carried details.List) ([]string, error) {
	asked, err := narrow(subject, a.scope)
	if err != nil {
		return nil, err
	}
	kept := make([]string, 0, len(asked))
	for _, s := range asked {
		if api.AllowsScope(s) && s != oauth.ScopeOpenID && (a.client.Scope == "" || a.client.AllowsScope(s)) && !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 && (len(a.scope) > 0 || len(api.Scopes) > 0 && len(carried) == 0) {
		return nil, oauth.Refuse(oauth.InvalidScope, "no scope of the subject token belongs to this resource")
	}
	return kept, nil
}
