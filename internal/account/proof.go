package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Steps on the way to a change.
const (
	stepPassword = "password"
	stepMail     = "mail"
	stepCode     = "code"
	stepVerify   = "verify"
	stepCreate   = "create"
	stepNoMail   = "nomail"
)

const (
	addPath    = "/account/passkeys/add"
	deletePath = "/account/passkeys/delete?id="
	accessPath = "/account/access/end?client="
)

// purposeFirst is that of the mailed code before a first passkey.
const purposeFirst = "first-passkey"

// StepView is one step.
type StepView struct {
	Step, Message, Next, Username, Email string
	Options, State                       string // of the ceremony
}

// recent says whether a factor of this kind was shown less than five minutes ago.
func (e *Endpoints) recent(p *person, kind string) bool {
	at := session.Last(p.session, kind)
	return !at.IsZero() && e.Now().Before(at.Add(fresh))
}

// beforeAdd is the step that a person still has to take before a passkey may be added: a passkey, or for somebody
// without one the password and a mailed code. "": none.
func (e *Endpoints) beforeAdd(p *person) string {
	switch {
	case len(p.passkeys) > 0 && !e.recent(p, session.Passkey):
		return stepVerify
	case len(p.passkeys) > 0:
		return ""
	case !e.recent(p, session.Password):
		return stepPassword
	case e.recent(p, session.MailedCode):
		return ""
	case p.email == "":
		return stepNoMail
	}
	return stepMail
}

// beforeDelete is the step before a passkey may be deleted: always a passkey, so that a stolen password removes none.
// Whoever has lost their only one is helped by an administrator.
func (e *Endpoints) beforeDelete(p *person) string {
	if e.recent(p, session.Passkey) {
		return ""
	}
	return stepVerify
}

// step renders one, with a fresh challenge where it has one.
func (e *Endpoints) step(w http.ResponseWriter, r *http.Request, p *person, step, next, message string, status int) error {
	v := StepView{Step: step, Message: message, Next: next, Username: p.account.Username, Email: mask(p.email)}
	var c authn.Ceremony
	var err error
	switch step {
	case stepVerify:
		c, err = e.Passkeys.BeginLogin(p.session.ID)
	case stepCreate:
		c, err = e.Passkeys.BeginRegistration(r.Context(), &p.account, p.session.ID)
	}
	if err != nil {
		return err
	}
	v.Options, v.State = c.Options, c.State
	return e.Pages.Render(w, r, status, "passkey", v)
}

// mask shows enough of an address to recognise it.
func mask(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 1 {
		return ""
	}
	return email[:1] + "…" + email[at:]
}

func (e *Endpoints) attempts() *authn.Attempts {
	return &authn.Attempts{DB: e.DB, Passwords: e.Passwords, Passkeys: e.Passkeys, Failures: e.Failures}
}

// failed answers a step that came to nothing with its page again; message is for one that proved nothing.
func (e *Endpoints) failed(w http.ResponseWriter, r *http.Request, p *person, step, next, message string, why error) error {
	ev := web.EventOf(r.Context())
	slow, isSlow := errors.AsType[*authn.SlowError](why)
	_, isDeclined := errors.AsType[*authn.DeclinedError](why)
	refusal, isRefusal := errors.AsType[*oauth.Error](why)
	switch {
	case errors.Is(why, authn.ErrFailed):
		ev.Cause(why)
		ev.SetCode(oauth.AccessDenied) // and so the audit hears of it
		return e.step(w, r, p, step, next, message, http.StatusBadRequest)
	case isSlow:
		ev.Cause(why)
		ev.SetCode(oauth.TemporarilyUnavailable)
		w.Header().Set("Retry-After", strconv.Itoa(int(slow.Wait/time.Second)+1))
		return e.step(w, r, p, step, next, "login.slow", http.StatusTooManyRequests)
	case isDeclined:
		return e.step(w, r, p, step, next, "passkey.cancelled", http.StatusOK)
	case isRefusal && refusal.Code == oauth.TemporarilyUnavailable:
		return e.step(w, r, p, step, next, "login.busy", refusal.HTTPStatus())
	}
	return why
}

// password takes the password once more.
func (e *Endpoints) password(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	next := destination(form)
	proof, err := e.attempts().Password(r.Context(), p.account.Username, form.Get("password"))
	if err == nil {
		err = e.proved(w, r, p, next, proof)
	}
	return e.failed(w, r, p, stepPassword, next, "login.failed", err)
}

// verify takes a fresh proof of a passkey.
func (e *Endpoints) verify(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	next := destination(form)
	proof, err := e.attempts().Passkey(r.Context(), p.session.ID, form.Get("state"), form.Get("response"))
	if err == nil {
		err = e.proved(w, r, p, next, proof)
	}
	return e.failed(w, r, p, stepVerify, next, "passkey.verify_failed", err)
}

// proved adds what somebody has proved to their session and leads on, if it is about them.
func (e *Endpoints) proved(w http.ResponseWriter, r *http.Request, p *person, next string, proof *authn.Proof) error {
	web.EventOf(r.Context()).SetSubject(p.account.ID)
	if proof.Account.ID != p.account.ID {
		return fmt.Errorf("%w: it is of another account", authn.ErrFailed)
	}
	if err := e.prove(r.Context(), p, proof.Use); err != nil {
		return err
	}
	return web.SeeOther(w, r, e.Keeper.Base+next)
}

// destination is where a step leads: one of our own three places, whatever the form says.
func destination(form url.Values) string {
	for _, path := range []string{deletePath, accessPath} {
		if id, ok := strings.CutPrefix(form.Get("next"), path); ok {
			return path + url.QueryEscape(id)
		}
	}
	return addPath
}

// sendCode mails a code to somebody who is about to add their first passkey.
func (e *Endpoints) sendCode(w http.ResponseWriter, r *http.Request, p *person) error {
	if e.beforeAdd(p) != stepMail {
		return web.SeeOther(w, r, e.Keeper.Base+addPath)
	}
	if !e.Codes.MaySend(p.account.ID) {
		web.EventOf(r.Context()).SetCode(oauth.TemporarilyUnavailable)
		return e.step(w, r, p, stepCode, "", "login.slow", http.StatusTooManyRequests)
	}
	err := e.DB.Write(r.Context(), func(tx *store.Tx) error {
		if err := e.Codes.Send(tx, p.session, purposeFirst, p.email, e.Brand); err != nil {
			return err
		}
		return e.act(tx, r, p, "code.mail", "account", p.account.ID)
	})
	if err != nil {
		return fmt.Errorf("mail code: %w", err)
	}
	return e.step(w, r, p, stepCode, "", "", http.StatusOK)
}

// code takes the mailed code.
func (e *Endpoints) code(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	if e.beforeAdd(p) != stepMail {
		return web.SeeOther(w, r, e.Keeper.Base+addPath)
	}
	err = e.prove(r.Context(), p, func(tx *store.Tx) (store.Factor, error) {
		return e.Codes.Check(tx, p.session, purposeFirst, form.Get("code"))
	})
	if err != nil {
		return e.failed(w, r, p, stepCode, "", "passkey.code_failed", err)
	}
	return web.SeeOther(w, r, e.Keeper.Base+addPath)
}

// prove adds a factor to the session. authn.ErrFailed: there is none, but what was counted or spent stays so.
func (e *Endpoints) prove(ctx context.Context, p *person, use func(*store.Tx) (store.Factor, error)) error {
	var failed error
	err := e.DB.Write(ctx, func(tx *store.Tx) error {
		failed = nil
		f, err := use(tx)
		if errors.Is(err, authn.ErrFailed) {
			failed = err
			return nil
		}
		if err != nil {
			return err
		}
		_, err = e.Sessions.Step(tx, p.session.ID, f)
		return err
	})
	switch {
	case errors.Is(err, session.ErrNone):
		return flow.ErrNone
	case errors.Is(err, store.ErrConflict):
		return errChanged
	case err != nil:
		return fmt.Errorf("add factor: %w", err)
	}
	return failed
}
