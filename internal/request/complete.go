package request

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Completion is everything that turns a request into a code.
type Completion struct {
	Request          *Authorization
	Session          *store.Session
	ACR              string        // what the client is told that the sign-in is worth; "": what it is
	SessionIdle      time.Duration // from this use of the session on; 0: it stays as it is
	Interaction      string        // its id; "" when nobody was asked anything
	InteractionUntil time.Time
	Pushed           string // id of the pushed request; "" if there was none
	RequestID        string // for the audit
	AddressPrefix    string
	Lifetime         time.Duration // of the code
	Ring             *keys.Ring
}

// ErrSpent says that this interaction or pushed request has had its answer already.
var ErrSpent = errors.New("request: answered already")

// ErrEnded says that the session has ended since it was looked at, or that the account may not sign in any more.
var ErrEnded = errors.New("request: the session has ended")

// Complete is the one write that answers a request: it spends the interaction and the pushed request and adds the
// code, which it returns. ErrSpent: another answer was first; what was spent stays spent. ErrEnded: nothing is to stay.
func Complete(tx *store.Tx, c Completion) (code string, err error) {
	if c.Interaction != "" {
		err := tx.Spend(store.Spend{Kind: "interaction", Key: c.Interaction, Until: c.InteractionUntil})
		if err != nil {
			return "", spent(err)
		}
	}
	if c.Pushed != "" {
		if err := tx.SpendPushedRequest(c.Pushed); err != nil {
			return "", spent(err)
		}
	}
	if err := c.use(tx); err != nil {
		return "", err
	}
	secret := keys.NewSecret()
	grant := store.NewID()
	err = tx.AddCode(store.Code{
		GrantID: grant, SecretHash: c.Ring.Hash(secret.Reveal()), Auth: c.authorization(),
		IssuedAt: tx.Now, ExpiresAt: tx.Now.Add(c.Lifetime),
	})
	if err != nil {
		return "", fmt.Errorf("add code: %w", err)
	}
	err = audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
		RequestID: c.RequestID, ActorKind: audit.ActorAccount, ActorID: c.Session.AccountID, Action: "code.issue",
		ObjectKind: "grant", ObjectID: grant, Client: c.Request.ClientID, Outcome: audit.Success, AddressPrefix: c.AddressPrefix,
	}})
	return keys.Handle(grant, secret), err
}

// use marks the session as used, which also waits for whoever is ending it just now.
func (c *Completion) use(tx *store.Tx) error {
	idle := c.Session.IdleUntil
	if c.SessionIdle > 0 {
		idle = tx.Now.Add(c.SessionIdle)
	}
	if err := tx.TouchSession(c.Session.ID, idle); err != nil {
		return ended(err)
	}
	account, err := tx.Account(c.Session.AccountID)
	if err == nil && account.Disabled {
		return ErrEnded
	}
	return ended(err)
}

func ended(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrEnded
	}
	if err != nil {
		return fmt.Errorf("use session: %w", err)
	}
	return nil
}

func spent(err error) error {
	if errors.Is(err, store.ErrTaken) || errors.Is(err, store.ErrNotFound) {
		return ErrSpent
	}
	return fmt.Errorf("spend: %w", err)
}

func (c *Completion) authorization() store.Authorization {
	r, s := c.Request, c.Session
	return store.Authorization{
		ClientID: r.ClientID, AccountID: s.AccountID, SessionID: s.ID, RedirectURI: r.RedirectURI, Nonce: r.Nonce,
		CodeChallenge: r.CodeChallenge, ACR: cmp.Or(c.ACR, s.ACR), AMR: s.AMR, Scope: r.Scope, Resources: r.Resources,
		AuthTime: s.AuthTime, DPoPJKT: r.DPoPJKT, Claims: r.Claims, Details: r.Details,
	}
}
