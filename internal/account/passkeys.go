package account

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	maxPasskeys = 20
	maxName     = 64 // characters of a passkey's name
)

// DeleteView asks whether to delete.
type DeleteView struct {
	ID, Name string
	Last     bool
}

var (
	errNoPasskey = oauth.Refuse(oauth.InvalidRequest, "there is no such passkey").WithStatus(http.StatusNotFound)
	errFull      = oauth.Refuse(oauth.InvalidRequest, "an account has at most 20 passkeys; delete one first")
	errChanged   = oauth.Refuse(oauth.InvalidRequest, "your account was changed at the same moment; try again").WithStatus(http.StatusConflict)
)

// add leads through the steps to a new passkey.
func (e *Endpoints) add(w http.ResponseWriter, r *http.Request, p *person) error {
	if len(p.passkeys) >= maxPasskeys {
		return errFull
	}
	if step := e.beforeAdd(p); step != "" {
		return e.step(w, r, p, step, addPath, "", http.StatusOK)
	}
	return e.step(w, r, p, stepCreate, "", "", http.StatusOK)
}

// change runs fn in a write that excludes every other change of the account and of its passkeys, which it is given with
// the session as they are now: what was proved before may have become too old, or too little.
func (e *Endpoints) change(r *http.Request, p *person, fn func(tx *store.Tx, now *person) error) error {
	err := e.DB.Write(r.Context(), func(tx *store.Tx) error {
		account, err := tx.Account(p.account.ID)
		if err != nil {
			return err
		}
		if err := tx.PutAccount(account); err != nil { // the parent of a rule over several rows
			return err
		}
		passkeys, err := tx.Passkeys(account.ID)
		if err != nil {
			return err
		}
		live, err := tx.Session(p.session.ID)
		if err != nil {
			return err
		}
		if !session.Live(&live, tx.Now) {
			return errChanged
		}
		return fn(tx, &person{&live, account, passkeys, authn.VerifiedEmail(&account)})
	})
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return errChanged.With(err)
	}
	return err
}

// create adds the passkey that the browser has made.
func (e *Endpoints) create(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	if e.beforeAdd(p) != "" {
		return web.SeeOther(w, r, e.Keeper.Base+addPath)
	}
	made, err := e.Passkeys.CheckRegistration(r.Context(), &p.account, p.session.ID, form.Get("state"), form.Get("response"))
	if err == nil {
		err = e.keep(r, p, made)
	}
	if declined, ok := errors.AsType[*authn.DeclinedError](err); ok {
		message := "passkey.failed"
		if declined.Name == "InvalidStateError" { // WebAuthn L3 §5.1.3: an excluded authenticator
			message = "passkey.exists"
		}
		return e.step(w, r, p, stepCreate, "", message, http.StatusOK)
	}
	if err != nil {
		return e.failed(w, r, p, stepCreate, "", "passkey.failed", err)
	}
	return e.done(w, r, "account.added")
}

// keep adds a verified passkey and tells its owner. authn.ErrFailed: it is not to be added, but its challenge is spent.
func (e *Endpoints) keep(r *http.Request, p *person, made *authn.Made) error {
	var failed error
	err := e.change(r, p, func(tx *store.Tx, now *person) error {
		failed = nil
		if len(now.passkeys) >= maxPasskeys {
			return errFull
		}
		if e.beforeAdd(now) != "" {
			return errChanged
		}
		name := nameFor(r, now)
		err := made.Add(tx, name)
		if errors.Is(err, authn.ErrFailed) {
			failed = err
			return nil
		}
		if err != nil {
			return err
		}
		if err := e.notices().Tell(tx, &now.account, "A passkey was added to your account",
			"The passkey “"+name+"” can sign in to your account from now on."); err != nil {
			return err
		}
		return e.act(tx, r, p, "passkey.add", "passkey", made.Passkey.ID)
	})
	if err != nil {
		return fmt.Errorf("add passkey: %w", err)
	}
	return failed
}

func (e *Endpoints) notices() *authn.Notices {
	return &authn.Notices{Mail: e.Mail, Account: e.Issuer + "/account"}
}

// nameFor names a new passkey after the browser that made it, told apart from others of that name.
func nameFor(r *http.Request, p *person) string {
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

func (e *Endpoints) rename(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(form.Get("name"))
	if name == "" || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return oauth.Refuse(oauth.InvalidRequest, "a name has 1 to 64 characters in one line")
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

// askDelete shows what would be deleted, after a fresh proof.
func (e *Endpoints) askDelete(w http.ResponseWriter, r *http.Request, p *person) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	k, err := p.owned(params.Get("id"))
	if err != nil {
		return err
	}
	if p.last() {
		return e.Pages.Render(w, r, http.StatusOK, "delete", DeleteView{k.ID, k.Name, true})
	}
	if step := e.beforeDelete(p); step != "" {
		return e.step(w, r, p, step, deletePath+k.ID, "", http.StatusOK)
	}
	return e.Pages.Render(w, r, http.StatusOK, "delete", DeleteView{k.ID, k.Name, false})
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
	if p.last() {
		return e.Pages.Render(w, r, http.StatusBadRequest, "delete", DeleteView{k.ID, k.Name, true})
	}
	if step := e.beforeDelete(p); step != "" {
		return e.step(w, r, p, step, deletePath+k.ID, "", http.StatusOK)
	}
	last, err := e.remove(r, p, k)
	if err != nil {
		return fmt.Errorf("delete passkey: %w", err)
	}
	if last {
		return e.Pages.Render(w, r, http.StatusBadRequest, "delete", DeleteView{k.ID, k.Name, true})
	}
	return e.done(w, r, "account.deleted")
}

// remove deletes a passkey, ends the other sessions that rest on it, and tells its owner. last: it was not deleted,
// because nothing else would let its owner in.
func (e *Endpoints) remove(r *http.Request, p *person, k *store.Passkey) (last bool, err error) {
	err = e.change(r, p, func(tx *store.Tx, now *person) error {
		if _, err := now.owned(k.ID); err != nil {
			return err
		}
		if last = now.last(); last {
			return nil
		}
		if e.beforeDelete(now) != "" {
			return errChanged
		}
		if err := tx.DeletePasskey(p.account.ID, k.ID); err != nil {
			return err
		}
		if err := endOthers(tx, p, k.ID); err != nil {
			return err
		}
		if err := e.notices().Tell(tx, &now.account, "A passkey was deleted from your account",
			"The passkey “"+k.Name+"” cannot sign in to your account any more."); err != nil {
			return err
		}
		return e.act(tx, r, p, "passkey.delete", "passkey", k.ID)
	})
	return last, err
}

// endOthers ends the sessions, other than this one, that a passkey has opened or strengthened: who deletes a passkey
// may have lost it to somebody.
func endOthers(tx *store.Tx, p *person, passkeyID string) error {
	sessions, err := tx.Sessions(p.account.ID)
	if err != nil {
		return err
	}
	for _, v := range sessions {
		rests := slices.ContainsFunc(v.Factors, func(f store.Factor) bool { return f.PasskeyID == passkeyID })
		if !rests || v.ID == p.session.ID {
			continue
		}
		if err := tokens.EndSession(tx, &v); err != nil {
			return err
		}
	}
	return nil
}
