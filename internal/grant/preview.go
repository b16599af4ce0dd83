package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	requests "github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// boundTo stands in a preview where the thumbprint of the client's key or certificate will be.
const boundTo = "(of the client)"

// Preview decides like the grants do, and issues nothing: nothing is stored and nothing signed. A person is taken as just
// signed in, and as having agreed to the scope.
func (e *Endpoints) Preview(ctx context.Context, q tokens.Trial) (*tokens.Preview, error) {
	client, err := e.Registry.Client(ctx, q.ClientID)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, oauth.Refuse(oauth.InvalidRequest, "there is no such client")
	}
	if err != nil {
		return nil, fmt.Errorf("load client: %w", err)
	}
	a := &attempt{request: &request{scope: strings.Fields(q.Scope)}, now: e.Now(), client: client}
	if q.Resource != "" {
		a.resources = []string{q.Resource}
	}
	a.pretendBinding()
	if a.apis, err = e.Registry.APIs(ctx, client.Resources); err != nil {
		return nil, err
	}
	if err := e.loadClaims(ctx, a); err != nil {
		return nil, err
	}
	if q.User == "" {
		return e.previewSelf(ctx, a)
	}
	return e.previewPerson(ctx, a, q)
}

// pretendBinding binds to what a request of this client would show.
func (a *attempt) pretendBinding() {
	c := a.client
	if c.CertificateBoundTokens {
		a.binding.X5T = boundTo
	}
	if c.DPoPBoundTokens || !c.CertificateBoundTokens && !c.AllowBearerTokens {
		a.binding.JKT = boundTo
	}
}

func (e *Endpoints) previewSelf(ctx context.Context, a *attempt) (*tokens.Preview, error) {
	if !a.client.AllowsGrant(oauth.GrantClientCredentials) {
		return nil, oauth.Refuse(oauth.UnauthorizedClient, "this client does not act for itself: name a person")
	}
	i, err := e.planClient(ctx, a)
	if err != nil {
		return nil, err
	}
	return outcome(i)
}

func (e *Endpoints) previewPerson(ctx context.Context, a *attempt, q tokens.Trial) (*tokens.Preview, error) {
	if !a.client.AllowsGrant(oauth.GrantAuthorizationCode) {
		return nil, oauth.Refuse(oauth.UnauthorizedClient, "this client acts for itself only: name no person")
	}
	account, err := e.findPerson(ctx, q.User)
	if err != nil {
		return nil, err
	}
	g, err := e.pretendGrant(a, q, account)
	if err != nil {
		return nil, err
	}
	t, err := a.aim(&g.Auth, g.Auth.Scope)
	if err != nil {
		return nil, err
	}
	g.ExpiresAt = a.now.Add(e.Tokens.GrantLifetime(t.api, true))
	i := e.issueFor(a, g, t, &person{account: *account, subject: e.Tokens.Subject(a.client, account.ID)})
	o, err := outcome(i)
	if err != nil || i.id == nil {
		return o, err
	}
	if o.IDToken, err = e.Tokens.IDClaims(ctx, *i.id); err != nil {
		return nil, err
	}
	o.Userinfo, err = e.Tokens.Userinfo(ctx, tokens.UserinfoPlan{
		Client: a.client, Grant: g, Account: account, Subject: i.id.Subject, Scope: t.scope,
	})
	return o, err
}

func (e *Endpoints) findPerson(ctx context.Context, name string) (a *store.Account, err error) {
	a = new(store.Account)
	err = e.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if *a, err = tx.AccountByName(name); errors.Is(err, store.ErrNotFound) {
			*a, err = tx.Account(name)
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, oauth.Refuse(oauth.InvalidRequest, "there is no such person")
	case err != nil:
		return nil, fmt.Errorf("load person: %w", err)
	case a.Disabled:
		return nil, oauth.Refuse(oauth.InvalidGrant, "this person is disabled")
	}
	return a, nil
}

// pretendGrant is what the person would have authorized.
func (e *Endpoints) pretendGrant(a *attempt, q tokens.Trial, account *store.Account) (*store.Grant, error) {
	scope := a.scope
	if len(scope) == 0 {
		scope = a.client.Scopes()
	}
	if slices.ContainsFunc(scope, func(s string) bool { return !a.client.AllowsScope(s) }) {
		return nil, oauth.Refuse(oauth.InvalidScope, "a scope is unknown or not allowed for this client")
	}
	if q.Claims != nil {
		if _, err := requests.ParseClaims(q.Claims); err != nil {
			return nil, err
		}
	}
	auth := store.Authorization{
		ClientID: a.client.ID, AccountID: account.ID, Scope: scope, AuthTime: a.now, ACR: q.ACR, Claims: q.Claims,
	}
	switch q.ACR {
	case objects.ACRDeviceBound:
		auth.AMR = []string{"hwk", "user"}
	case objects.ACRPasskey:
		auth.AMR = []string{"swk", "user"}
	case objects.ACRPassword, "":
		auth.ACR, auth.AMR = objects.ACRPassword, []string{"pwd"}
	}
	return &store.Grant{Auth: auth, Bearer: a.bearer(), JKT: a.binding.JKT, X5T: a.binding.X5T, CreatedAt: a.now}, nil
}

func outcome(i *issue) (*tokens.Preview, error) {
	claims, err := i.access.Claims.JSON()
	o := &tokens.Preview{Format: objects.FormatJWT, AccessToken: claims}
	if i.access.Stored() {
		o.Format = objects.FormatOpaque
	}
	return o, err
}
