package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Steps on the way to a change of passkeys.
const (
	stepPassword = "password"
	stepMail     = "mail"
	stepCode     = "code"
	stepVerify   = "verify"
	stepCreate   = "create"
	stepNoMail   = "nomail"
)

// purposeFirst is that of the mailed code before a first passkey.
const purposeFirst = "first-passkey"

// StepView is one step.
type StepView struct {
	Step, Message, Next, Username, Email string
	Options, State                       string // of the ceremony
}

// DeleteView asks whether to delete.
type DeleteView struct {
	ID, Name string
	Last     bool
}

// missing is the step that a person still has to take before passkeys may change: a passkey shown less than five
// minutes ago, or for somebody without one the password and a mailed code.
func (e *Endpoints) missing(p *person) string {
	recent := func(kind string) bool {
		at := session.Last(p.session, kind)
		return !at.IsZero() && e.Now().Before(at.Add(fresh))
	}
	switch {
	case len(p.passkeys) > 0 && !recent(session.Passkey):
		return stepVerify
	case len(p.passkeys) > 0:
		return ""
	case !recent(session.Password):
		return stepPassword
	case recent(session.MailedCode):
		return ""
	case p.email == "":
		return stepNoMail
	}
	return stepMail
}

// add leads through the steps to a new passkey.
func (e *Endpoints) add(w http.ResponseWriter, r *http.Request, p *person) error {
	if len(p.passkeys) >= maxPasskeys {
		return oauth.Refuse(oauth.InvalidRequest, "an account has at most 20 passkeys; delete one first")
	}
	if step := e.missing(p); step != "" {
		return e.step(w, r, p, step, "/account/passkeys/add", "", http.StatusOK)
	}
	return e.step(w, r, p, stepCreate, "", "", http.StatusOK)
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

func (e *Endpoints) password(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	next := e.next(form)
	counted := limit.Account(p.account.Username)
	wait, err := e.Failures.Wait(r.Context(), counted)
	if err != nil {
		return err
	}
	if wait > 0 {
		return e.step(w, r, p, stepPassword, next, "login.slow", http.StatusTooManyRequests)
	}
	ok, _, err := e.Passwords.Verify(r.Context(), &p.account, form.Get("password"))
	if err != nil {
		return err
	}
	if !ok {
		web.EventOf(r.Context()).SetCode(oauth.AccessDenied)
		if err := e.Failures.FailNow(r.Context(), counted); err != nil {
			return err
		}
		return e.step(w, r, p, stepPassword, next, "login.failed", http.StatusBadRequest)
	}
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		if err := e.Failures.Clear(tx, counted); err != nil {
			return err
		}
		_, err := e.Sessions.Step(tx, p.session.ID, authn.PasswordFactor(tx))
		return err
	})
	if err != nil {
		return fmt.Errorf("add password factor: %w", err)
	}
	return seeOther(w, r, e.Keeper.Base+next)
}

// next is where a step leads: one of our own two places, whatever the form says.
func (e *Endpoints) next(form url.Values) string {
	const deletion = "/account/passkeys/delete?id="
	if id, ok := strings.CutPrefix(form.Get("next"), deletion); ok {
		return deletion + url.QueryEscape(id)
	}
	return "/account/passkeys/add"
}

func (e *Endpoints) sendCode(w http.ResponseWriter, r *http.Request, p *person) error {
	if step := e.missing(p); step != stepMail {
		return seeOther(w, r, e.Keeper.Base+"/account/passkeys/add")
	}
	err := e.DB.Write(r.Context(), func(tx *store.Tx) error {
		if err := e.Codes.Send(tx, p.account.ID, purposeFirst, p.email, e.Brand); err != nil {
			return err
		}
		return e.act(tx, r, p, "code.mail", "account", p.account.ID)
	})
	if err != nil {
		return fmt.Errorf("mail code: %w", err)
	}
	return e.step(w, r, p, stepCode, "", "", http.StatusOK)
}

func (e *Endpoints) code(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	if step := e.missing(p); step != stepMail {
		return seeOther(w, r, e.Keeper.Base+"/account/passkeys/add")
	}
	failed, err := e.prove(r.Context(), p, func(tx *store.Tx) (store.Factor, error) {
		return e.Codes.Check(tx, p.account.ID, purposeFirst, form.Get("code"))
	})
	if err != nil {
		return err
	}
	if failed != nil {
		refused(r, failed)
		return e.step(w, r, p, stepCode, "", "passkey.code_failed", http.StatusBadRequest)
	}
	return seeOther(w, r, e.Keeper.Base+"/account/passkeys/add")
}

// prove adds a factor to the session. What failed was counted or spent all the same.
func (e *Endpoints) prove(ctx context.Context, p *person, show func(*store.Tx) (store.Factor, error)) (failed, err error) {
	err = e.DB.Write(ctx, func(tx *store.Tx) error {
		failed = nil
		f, err := show(tx)
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
	if err != nil {
		return nil, fmt.Errorf("add factor: %w", err)
	}
	return failed, nil
}

func refused(r *http.Request, why error) {
	ev := web.EventOf(r.Context())
	ev.Cause(why)
	ev.SetCode(oauth.AccessDenied)
}

// verify takes a fresh proof of a passkey.
func (e *Endpoints) verify(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	next := e.next(form)
	shown, err := e.Passkeys.CheckLogin(r.Context(), p.session.ID, form.Get("state"), form.Get("response"))
	if err == nil && shown.Account.ID != p.account.ID {
		err = fmt.Errorf("%w: the passkey is of another account", authn.ErrFailed)
	}
	var failed error
	switch {
	case errors.Is(err, authn.ErrFailed):
		failed = err
	case err != nil:
		return err
	default:
		if failed, err = e.prove(r.Context(), p, shown.Use); err != nil {
			return err
		}
	}
	if failed != nil {
		refused(r, failed)
		return e.step(w, r, p, stepVerify, next, "login.passkey_failed", http.StatusBadRequest)
	}
	return seeOther(w, r, e.Keeper.Base+next)
}

func (e *Endpoints) create(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	if e.missing(p) != "" || len(p.passkeys) >= maxPasskeys {
		return seeOther(w, r, e.Keeper.Base+"/account/passkeys/add")
	}
	made, err := e.Passkeys.CheckRegistration(r.Context(), &p.account, p.session.ID, form.Get("state"), form.Get("response"))
	if errors.Is(err, authn.ErrFailed) {
		refused(r, err)
		return e.step(w, r, p, stepCreate, "", creationMessage(form.Get("response")), http.StatusBadRequest)
	}
	if err != nil {
		return err
	}
	name := e.nameFor(r, p)
	var failed error
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		failed = nil
		err := made.Add(tx, name)
		if errors.Is(err, authn.ErrFailed) {
			failed = err
			return nil
		}
		if err != nil {
			return err
		}
		if err := e.tell(tx, p, "A passkey was added to your account", "The passkey \""+name+"\" can sign in to your account from now on."); err != nil {
			return err
		}
		return e.act(tx, r, p, "passkey.add", "passkey", made.Passkey.ID)
	})
	if err != nil {
		return fmt.Errorf("add passkey: %w", err)
	}
	if failed != nil {
		refused(r, failed)
		return e.step(w, r, p, stepCreate, "", "passkey.failed", http.StatusBadRequest)
	}
	return e.done(w, r, "account.added")
}

func creationMessage(response string) string {
	var failure struct {
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(response), &failure) == nil && failure.Error == "InvalidStateError" {
		return "passkey.exists"
	}
	return "passkey.failed"
}

// nameFor names a new passkey after the browser that made it, told apart from others of that name.
func (e *Endpoints) nameFor(r *http.Request, p *person) string {
	base := browser(r.UserAgent())
	name := base
	for n := 2; ; n++ {
		taken := false
		for _, k := range p.passkeys {
			taken = taken || k.Name == name
		}
		if !taken {
			return name
		}
		name = fmt.Sprintf("%s (%d)", base, n)
	}
}

// tell mails the owner that something about their way in has changed.
func (e *Endpoints) tell(tx *store.Tx, p *person, subject, text string) error {
	if p.email == "" {
		return nil
	}
	return e.Mail.Send(tx, mail.Message{
		To: p.email, Subject: subject, Life: 24 * time.Hour,
		Text: text + "\n\nIf that was not you, sign in, delete what you do not know, and tell your administrator:\n" + e.Issuer + "/account\n",
	})
}

func (e *Endpoints) rename(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(form.Get("name"))
	if name == "" || len(name) > 64 {
		return oauth.Refuse(oauth.InvalidRequest, "a name has 1 to 64 characters")
	}
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		if err := tx.RenamePasskey(p.account.ID, form.Get("id"), name); err != nil {
			return err
		}
		return e.act(tx, r, p, "passkey.rename", "passkey", form.Get("id"))
	})
	if errors.Is(err, store.ErrNotFound) {
		return errNoPasskey
	}
	if err != nil {
		return fmt.Errorf("rename passkey: %w", err)
	}
	return e.done(w, r, "account.renamed")
}

var errNoPasskey = oauth.Refuse(oauth.InvalidRequest, "there is no such passkey").WithStatus(http.StatusNotFound)

// owned finds a passkey of the person.
func (p *person) owned(id string) (*store.Passkey, error) {
	for i := range p.passkeys {
		if p.passkeys[i].ID == id {
			return &p.passkeys[i], nil
		}
	}
	return nil, errNoPasskey
}

// last says that without its only passkey the person could not sign in any more.
func (p *person) last() bool { return len(p.passkeys) == 1 && p.account.PasswordHash == "" }

func (e *Endpoints) askDelete(w http.ResponseWriter, r *http.Request, p *person) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	k, err := p.owned(params.Get("id"))
	if err != nil {
		return err
	}
	if step := e.missing(p); step != "" {
		return e.step(w, r, p, step, "/account/passkeys/delete?id="+k.ID, "", http.StatusOK)
	}
	return e.Pages.Render(w, r, http.StatusOK, "delete", DeleteView{k.ID, k.Name, p.last()})
}

func (e *Endpoints) delete(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	k, err := p.owned(form.Get("id"))
	if err != nil {
		return err
	}
	if step := e.missing(p); step != "" {
		return e.step(w, r, p, step, "/account/passkeys/delete?id="+k.ID, "", http.StatusOK)
	}
	if p.last() {
		return e.Pages.Render(w, r, http.StatusBadRequest, "delete", DeleteView{k.ID, k.Name, true})
	}
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		if err := tx.DeletePasskey(p.account.ID, k.ID); err != nil {
			return err
		}
		if err := e.tell(tx, p, "A passkey was deleted from your account", "The passkey \""+k.Name+"\" cannot sign in to your account any more."); err != nil {
			return err
		}
		return e.act(tx, r, p, "passkey.delete", "passkey", k.ID)
	})
	if errors.Is(err, store.ErrNotFound) {
		return errNoPasskey
	}
	if err != nil {
		return fmt.Errorf("delete passkey: %w", err)
	}
	return e.done(w, r, "account.deleted")
}
