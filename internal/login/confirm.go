package login

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// ConfirmView is what somebody sees who is signed in, but not as the request wants it.
type ConfirmView struct {
	Interaction  string
	Account      string // id of the account it is about: a proof of another one does not count
	Why          string // choice, again or stronger
	Title, Lead  string // keys of texts
	Client       Client
	Username     string
	Message      string // key of a text
	Password     bool   // would do as well as a passkey
	Optional     bool   // it goes on without, too
	Options      string // of the passkey ceremony
	PasskeyState string
}

// ImageOrigin lets the page show the client's logo.
func (v ConfirmView) ImageOrigin() string { return v.Client.imageOrigin() }

// reasons are those for this page: their names in its form, and the keys of what it says.
var reasons = map[flow.Why]struct{ name, title, lead string }{
	flow.Choice:   {"choice", "confirm.title_choice", "confirm.choice"},
	flow.Again:    {"again", "confirm.title_again", "confirm.again"},
	flow.Stronger: {stronger, "confirm.title_stronger", "confirm.stronger"},
}

const stronger = "stronger"

// errOther says that a proof is right, but of somebody else than the page is about.
var errOther = fmt.Errorf("%w: it is of another account", authn.ErrFailed)

// page shows what fits the sign-in there is: for somebody who is known, what is still to be done, and the plain form
// otherwise, or where plain is what they chose.
func (e *Endpoints) page(w http.ResponseWriter, r *http.Request, i *flow.Interaction, f shown) error {
	if f.plain || i.Request == nil {
		return e.render(w, r, i, f)
	}
	client, err := e.client(r, i)
	if err != nil {
		return err
	}
	v, err := e.Decider.Decide(r, i, client)
	if err != nil {
		return err
	}
	switch _, known := reasons[v.Lack.Why]; {
	case v.Step != flow.StepLogin:
	case known:
		return e.confirm(w, r, i, client, v, f)
	case v.Lack.Why == flow.SomebodyElse && f.message == "":
		f.message = "login.somebody_else"
	}
	return e.render(w, r, i, f)
}

func (e *Endpoints) confirm(w http.ResponseWriter, r *http.Request, i *flow.Interaction, client *objects.Client, d flow.Verdict, f shown) error {
	var account store.Account
	err := e.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
		account, err = tx.Account(d.Session.AccountID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return e.render(w, r, i, f)
	}
	if err != nil {
		return fmt.Errorf("load account: %w", err)
	}
	lack, reason := d.Lack, reasons[d.Lack.Why]
	v := ConfirmView{
		Interaction: i.ID, Account: account.ID, Why: reason.name, Title: reason.title, Lead: reason.lead, Client: describe(client),
		Username: account.Username, Message: f.message, Password: lack.ACR == "" || lack.ACR == objects.ACRPassword,
		Optional: lack.Why == flow.Choice || !lack.Must && lack.Why == flow.Stronger,
	}
	if lack.ACR == objects.ACRDeviceBound {
		v.Lead = "confirm.device_bound"
	}
	if v.Message == "" && v.Why == stronger && !session.Last(d.Session, session.Passkey).Before(i.CreatedAt) {
		v.Message = "confirm.weaker" // it was a passkey already
	}
	if v.Options, v.PasskeyState, err = e.challengeFor(i); err != nil {
		return err
	}
	return e.Pages.Render(w, r, f.status, "confirm", v)
}

// stay goes on as, and with what, somebody is signed in. What the request insists on is asked for again.
func (e *Endpoints) stay(w http.ResponseWriter, r *http.Request) error {
	i, form, err := e.attempt(r)
	if err != nil {
		return err
	}
	if i.Request == nil {
		return flow.ErrNone
	}
	s, err := e.Sessions.FromRequest(r)
	if err != nil && !errors.Is(err, session.ErrNone) {
		return err
	}
	if s != nil && s.AccountID == form.Get("account") {
		if err := e.settle(w, i, s.AccountID); err != nil {
			return err
		}
	}
	return web.SeeOther(w, r, e.Keeper.NextURL(i))
}

// settle remembers that an account has been asked.
func (e *Endpoints) settle(w http.ResponseWriter, i *flow.Interaction, account string) error {
	i.Settled = account
	return e.Keeper.Save(w, i)
}
