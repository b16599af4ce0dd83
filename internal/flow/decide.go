package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Decider finds out what has to be known for Next.
type Decider struct {
	DB       *store.DB
	Sessions *session.Sessions
	Checker  *request.Checker
	Subject  func(c *objects.Client, accountID string) string // of an account, as the client knows it
}

// Decide chooses the next step of an interaction with a request, in the browser that sent r.
func (d *Decider) Decide(r *http.Request, i *Interaction, client *objects.Client) (Verdict, error) {
	k := Known{Client: client}
	var err error
	if k.Session, err = d.Sessions.FromRequest(r); err != nil && !errors.Is(err, session.ErrNone) {
		return Verdict{}, err
	}
	if k.Session == nil {
		return Next(i, k), nil
	}
	if err := d.load(r.Context(), i, &k); err != nil {
		return Verdict{}, err
	}
	return Next(i, k), nil
}

// load finds out more about somebody who is signed in.
func (d *Decider) load(ctx context.Context, i *Interaction, k *Known) (err error) {
	k.Subject = d.Subject(k.Client, k.Session.AccountID)
	if k.Needs, err = d.Checker.Needs(ctx, k.Client, i.Request); err != nil {
		return err
	}
	if k.Reach, err = d.reach(ctx, i, k); err != nil {
		return err
	}
	if !k.Client.FirstParty {
		k.Consent, err = consents.Load(ctx, d.DB, k.Session.AccountID, k.Client.ID)
	}
	return err
}

// reach looks at the passkeys of somebody only where more is asked for than they have shown.
func (d *Decider) reach(ctx context.Context, i *Interaction, k *Known) (string, error) {
	has, a := k.Session.ACR, i.Request
	if has == objects.ACRValues[0] || k.Needs.ACR == "" && len(a.RequiredACR)+len(a.ACRValues) == 0 {
		return has, nil
	}
	var passkeys []store.Passkey
	err := d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		passkeys, err = tx.Passkeys(k.Session.AccountID)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("load passkeys: %w", err)
	}
	return session.Reach(has, passkeys), nil
}
