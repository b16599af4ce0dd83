// Package logout is where a person signs out of the issuer in one browser.
package logout

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// Endpoints are the sign-out pages of one issuer.
type Endpoints struct {
	DB       *store.DB
	Sessions *session.Sessions
	Sealer   web.Sealer
	Pages    *web.Pages
}

// View is what the confirmation shows. Confirm proves that the form is ours: this address takes posts of other origins.
type View struct{ Confirm, Username string }

// Views are examples, for the test that renders every page.
func Views() map[string]any {
	return map[string]any{"logout": View{"x", "alice@example.com"}, "signedout": nil}
}

const confirmName = "logout-confirm"

// Mount adds the pages.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	door := web.PageDoor(e.Pages)
	mux.Handle("GET /end-session", web.Through(door, e.ask))
	mux.Handle("POST /end-session", web.Through(door, e.end))
}

func (e *Endpoints) ask(w http.ResponseWriter, r *http.Request) error {
	s, err := e.Sessions.FromRequest(r)
	if errors.Is(err, session.ErrNone) {
		return e.signedOut(w, r)
	}
	if err != nil {
		return err
	}
	v := View{Confirm: e.Sealer.SealText(confirmName, []byte(s.ID))}
	err = e.DB.Read(r.Context(), func(tx *store.Tx) error {
		account, err := tx.Account(s.AccountID)
		v.Username = account.Username
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) { // somebody whose account is gone signs out all the same
		return fmt.Errorf("load account: %w", err)
	}
	return e.Pages.Render(w, r, http.StatusOK, "logout", v)
}

// end signs out when our own form says so, and asks otherwise.
func (e *Endpoints) end(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	s, err := e.Sessions.FromRequest(r)
	if errors.Is(err, session.ErrNone) {
		return e.signedOut(w, r)
	}
	if err != nil {
		return err
	}
	confirmed, err := e.Sealer.OpenText(confirmName, form.Get("confirm"))
	if err != nil || string(confirmed) != s.ID {
		return e.ask(w, r)
	}
	ev := web.EventOf(r.Context())
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		if err := tokens.EndSession(tx, s); err != nil {
			return err
		}
		return audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
			RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: s.AccountID, Action: "session.end",
			ObjectKind: "session", ObjectID: s.ID, Outcome: audit.Success, AddressPrefix: ev.Peer.Prefix,
		}})
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return e.signedOut(w, r)
}

// signedOut removes a cookie that came. Where none came there may be one all the same, which the browser keeps back from
// posts of other sites; removing it would let them sign people out.
func (e *Endpoints) signedOut(w http.ResponseWriter, r *http.Request) error {
	if e.Sessions.Sent(r) {
		e.Sessions.ClearCookie(w)
	}
	return e.Pages.Render(w, r, http.StatusOK, "signedout", nil)
}
