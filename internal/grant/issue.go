package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// issue is what the write has come to: everything is fixed, nothing is signed yet.
type issue struct {
	access  *tokens.Access
	scope   []string
	refresh string         // handle; "" for none, or for keeping the old one
	id      *tokens.IDPlan // nil: no ID token
	account string         // "" for a client of its own
	kind    string         // issued_token_type; "" where it is not told
}

// person is who stands behind a grant at the time of the request.
type person struct {
	account store.Account
	subject string // as the client knows them
	omitSID bool   // the session may be over
}

// loadPerson asks whether the grant still has somebody behind it: an account that exists and is not disabled, and
// unless access was granted offline a session that nobody has ended (OpenID Connect Core §11).
func (e *Endpoints) loadPerson(tx *store.Tx, a *attempt, g *store.Grant) (*person, error) {
	account, err := tx.Account(g.Auth.AccountID)
	if errors.Is(err, store.ErrNotFound) || err == nil && account.Disabled {
		return nil, oauth.Refuse(oauth.InvalidGrant, "the grant is over").With(errors.New("account gone or disabled"))
	}
	if err != nil {
		return nil, fmt.Errorf("load account: %w", err)
	}
	p := &person{account: account, subject: e.Tokens.Subject(a.client, account.ID)}
	if g.Auth.SessionID == "" || slices.Contains(g.Auth.Scope, oauth.ScopeOfflineAccess) {
		return p, nil
	}
	s, err := tx.Session(g.Auth.SessionID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("load session: %w", err)
	}
	if err == nil && !s.EndedAt.IsZero() {
		return nil, oauth.Refuse(oauth.InvalidGrant, "the grant is over").With(errors.New("session ended"))
	}
	return p, nil
}

// issueFor plans the tokens of a grant with a person.
func (e *Endpoints) issueFor(a *attempt, g *store.Grant, t target, p *person) *issue {
	i := &issue{scope: t.scope, account: p.account.ID, access: e.Tokens.Access(tokens.Plan{
		Client: a.client, API: t.api, Subject: p.subject, Scope: t.scope, Details: t.details.JSON(), Binding: a.binding,
		Grant: g, Account: &p.account, Mappings: a.claims.mappings, OmitSID: p.omitSID, IssuedAt: a.now,
	})}
	if slices.Contains(t.scope, oauth.ScopeOpenID) {
		i.id = &tokens.IDPlan{
			Client: a.client, Grant: g, Account: &p.account, Mappings: a.claims.mappings, Encrypter: a.claims.encrypter,
			Subject: p.subject, OmitSID: p.omitSID, IssuedAt: a.now,
		}
	}
	return i
}

// keep stores what of an issue needs storing, with the record of the act.
func (e *Endpoints) keep(tx *store.Tx, a *attempt, i *issue, action string) error {
	if err := e.Tokens.Add(tx, i.access); err != nil {
		return err
	}
	return audit.Add(tx, a.record(action, i.access.Claims.GrantID))
}

// record begins the audit record of something that happened to a grant.
func (a *attempt) record(action, grantID string) audit.Record {
	r := audit.Record{}
	r.RequestID, r.AddressPrefix = a.event.RequestID, a.event.Peer.Prefix
	r.ActorKind, r.ActorID, r.Client = audit.ActorClient, a.client.ID, a.client.ID
	r.Action, r.ObjectKind, r.ObjectID, r.Outcome = action, "grant", grantID, audit.Success
	return r
}

// observe tells the trail of tokens that were issued without an act to record.
func (e *Endpoints) observe(a *attempt, i *issue) {
	r := a.record("token.issued", "")
	r.Tenant, r.ObjectKind, r.ObjectID = e.DB.Tenant(), "token", i.access.Claims.ID
	e.Trail.Observe(r)
}

// refused records a refusal inside the transaction it is part of, and is that refusal unless the record fails.
func (a *attempt) refused(tx *store.Tx, action, grantID string, refusal *oauth.Error) error {
	r := a.record(action, grantID)
	r.Outcome, r.Code, r.Reason = audit.Refused, string(refusal.Code), reason(refusal)
	if err := audit.Add(tx, r); err != nil {
		return err
	}
	return refusal
}

func reason(refusal *oauth.Error) string {
	if refusal.Err != nil {
		return refusal.Err.Error()
	}
	return refusal.Detail
}

// mint signs, after the write, and makes the answer (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
func (e *Endpoints) mint(ctx context.Context, a *attempt, i *issue) (*oauth.TokenResponse, error) {
	access, err := e.Tokens.Mint(i.access)
	if err != nil {
		return nil, err
	}
	answer := &oauth.TokenResponse{
		AccessToken: access, TokenType: oauth.TypeBearer, ExpiresIn: i.access.ExpiresIn(),
		Scope: strings.Join(i.scope, " "), RefreshToken: i.refresh, IssuedType: i.kind,
		Details: i.access.Claims.Details,
	}
	if a.binding.JKT != "" {
		answer.TokenType = oauth.TypeDPoP
	}
	if i.id != nil {
		i.id.Access = access
		if answer.IDToken, err = e.Tokens.IDToken(ctx, *i.id); err != nil {
			return nil, err
		}
	}
	return answer, nil
}
