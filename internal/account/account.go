// Package account is the page of a person about themselves: their passkeys, which applications have access, and where
// they are signed in.
//
// Adding or deleting a passkey needs a fresh proof: of another passkey, or for the first one of the password and of
// the mail address. Taking access away from an application needs any fresh proof. Verification is internal/authn; signing in is internal/login.
package account

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/passkey"
)

// fresh is how long a proof allows changes of passkeys.
const fresh = 5 * time.Minute

// Endpoints are the account pages of one issuer.
type Endpoints struct {
	Issuer    string
	Brand     string
	DB        *store.DB
	Registry  *objects.Registry
	Sessions  *session.Sessions
	Keeper    *flow.Keeper
	Pages     *web.Pages
	Passwords *authn.Passwords
	Passkeys  *authn.Passkeys
	Codes     *authn.MailedCodes
	Mail      *mail.Queue
	Failures  *limit.Failures
	Now       func() time.Time
}

// View is the account page.
type View struct {
	Username, Email, Message string
	Passkeys                 []Passkey
	Apps                     []App
	Sessions                 []Session
}

// Passkey is one row of the page.
type Passkey struct {
	ID, Name          string
	Synced            bool
	Created, LastUsed string
}

// Session is one row of the page.
type Session struct {
	ID, Browser, Since, Address string
	This                        bool
}

// Views are examples, for the test that renders every page.
func Views() map[string]any {
	return map[string]any{
		"account": View{
			Username: "alice", Email: "alice@example.com", Message: "account.added",
			Passkeys: []Passkey{{"id", "Laptop", true, "2 January 2026", "today"}, {"id2", "Key", false, "3 January 2026", ""}},
			Apps: []App{
				{"shop", "The Shop", "2 January 2026", []string{"Sign you in", "Read your orders"}, []string{"Orders"}, []details.Words{{
					Title: "Order goods for you", Lines: []details.Line{{{Text: "Up to "}, {Text: "50", Value: true}, {Text: " euros"}}},
					Fields: []details.Field{{Name: "note", Value: "before noon"}},
				}}},
				{"plain", "Plain", "today", []string{"Sign you in"}, nil, nil},
			},
			Sessions: []Session{{"s", "Firefox on Linux", "today", "192.0.2.0/24", true}, {"t", "Safari on iOS", "today", "192.0.2.0/24", false}},
		},
		"passkey": StepView{Step: "code", Email: "a…@example.com", Message: "passkey.code_failed"},
		"delete":  DeleteView{ID: "id", Name: "Laptop"},
		"end":     EndView{"shop", "The Shop"},
	}
}

// Mount adds the pages.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	door := web.PageDoor(e.Pages)
	for pattern, h := range map[string]visit{
		"GET /account":                    e.show,
		"GET /account/passkeys/add":       e.add,
		"POST /account/passkeys/password": e.password,
		"POST /account/passkeys/mail":     e.sendCode,
		"POST /account/passkeys/code":     e.code,
		"POST /account/passkeys/verify":   e.verify,
		"POST /account/passkeys/create":   e.create,
		"POST /account/passkeys/rename":   e.rename,
		"GET /account/passkeys/delete":    e.askDelete,
		"POST /account/passkeys/delete":   e.delete,
		"GET /account/access/end":         e.askEnd,
		"POST /account/access/end":        e.end,
		"POST /account/sessions/end":      e.endSession,
	} {
		mux.Handle(pattern, web.Through(door, e.signedIn(h)))
	}
	mux.Handle("GET /.well-known/passkey-endpoints", web.Through(web.OAuthDoor, e.wellKnown))
}

// visit is a request of somebody who has signed in.
type visit func(w http.ResponseWriter, r *http.Request, p *person) error

// person is who they are.
type person struct {
	session  *store.Session
	account  store.Account
	passkeys []store.Passkey
	email    string // verified; "" if there is none
}

// signedIn finds the person, or sends them to sign in and come back.
func (e *Endpoints) signedIn(next visit) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		s, err := e.Sessions.FromRequest(r)
		if errors.Is(err, session.ErrNone) {
			i := e.Keeper.NewAccount()
			if err := e.Keeper.Begin(w, r, i); err != nil {
				return err
			}
			return web.SeeOther(w, r, e.Keeper.LoginURL(i))
		}
		if err != nil {
			return err
		}
		p := &person{session: s}
		err = e.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
			if p.account, err = tx.Account(s.AccountID); err != nil {
				return err
			}
			p.passkeys, err = tx.Passkeys(s.AccountID)
			return err
		})
		if errors.Is(err, store.ErrNotFound) || err == nil && p.account.Disabled {
			e.Sessions.ClearCookie(w)
			return oauth.Refuse(oauth.AccessDenied, "this account is not available")
		}
		if err != nil {
			return fmt.Errorf("load account: %w", err)
		}
		p.email = authn.VerifiedEmail(&p.account)
		return next(w, r, p)
	}
}

// messages are the only texts that an address may bring up.
var messages = map[string]bool{
	"account.renamed": true, "account.deleted": true, "account.added": true, "account.ended": true, "account.access_ended": true,
}

func (e *Endpoints) show(w http.ResponseWriter, r *http.Request, p *person) error {
	var sessions []store.Session
	var allowed []store.Consent
	err := e.DB.Read(r.Context(), func(tx *store.Tx) (err error) {
		if sessions, err = tx.Sessions(p.account.ID); err != nil {
			return err
		}
		allowed, err = tx.Consents(p.account.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("load sessions and consents: %w", err)
	}
	v := View{Username: p.account.Username, Email: p.email}
	if v.Email == v.Username {
		v.Email = ""
	}
	if m := r.URL.Query().Get("done"); messages[m] {
		v.Message = m
	}
	for _, k := range p.passkeys {
		v.Passkeys = append(v.Passkeys, Passkey{
			ID: k.ID, Name: k.Name, Synced: k.Flags&passkey.FlagBackupEligible != 0, Created: e.date(k.CreatedAt), LastUsed: e.date(k.LastUsedAt),
		})
	}
	if v.Apps, err = e.apps(r.Context(), allowed); err != nil {
		return err
	}
	for _, s := range sessions {
		v.Sessions = append(v.Sessions, Session{
			ID: s.ID, Browser: browser(s.UserAgent), Since: e.date(s.CreatedAt), Address: s.AddressPrefix, This: s.ID == p.session.ID,
		})
	}
	return e.Pages.Render(w, r, http.StatusOK, "account", v)
}

// date is a day as people write it; today with the time.
func (e *Endpoints) date(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case e.Now().Format(time.DateOnly) == t.Format(time.DateOnly):
		return "today, " + t.Format("15:04") + " UTC"
	}
	return t.Format("2 January 2006")
}

// browser names a user agent well enough to recognise it.
func browser(agent string) string {
	pick := func(otherwise string, pairs ...string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if strings.Contains(agent, pairs[i]) {
				return pairs[i+1]
			}
		}
		return otherwise
	}
	program := pick("Unknown program", "Edg/", "Edge", "Firefox/", "Firefox", "Chrome/", "Chrome", "Safari/", "Safari", "curl/", "curl")
	system := pick("", "Android", "Android", "iPhone", "iOS", "iPad", "iPadOS", "Windows", "Windows", "Mac OS", "macOS", "Linux", "Linux")
	if system == "" {
		return program
	}
	return program + " on " + system
}

// endSession ends one other session, or all others.
func (e *Endpoints) endSession(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	id := form.Get("id")
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Sessions(p.account.ID)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.ID == p.session.ID || id != "others" && s.ID != id {
				continue
			}
			if err := tokens.EndSession(tx, &s); err != nil {
				return err
			}
			if err := e.act(tx, r, p, "session.end", "session", s.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return e.done(w, r, "account.ended")
}

// act records what a person did.
func (e *Endpoints) act(tx *store.Tx, r *http.Request, p *person, action, kind, id string) error {
	ev := web.EventOf(r.Context())
	return audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
		RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: p.account.ID, Action: action,
		ObjectKind: kind, ObjectID: id, Outcome: audit.Success, AddressPrefix: ev.Peer.Prefix,
	}})
}

func (e *Endpoints) done(w http.ResponseWriter, r *http.Request, message string) error {
	return web.SeeOther(w, r, e.Keeper.AccountURL()+"?done="+message)
}

// wellKnown lets passkey providers lead people to this page (WebAuthn L3 §11.3, passkey endpoints).
func (e *Endpoints) wellKnown(w http.ResponseWriter, _ *http.Request) error {
	return web.WriteJSON(w, http.StatusOK, map[string]string{
		"enroll": e.Issuer + "/account/passkeys/add", "manage": e.Issuer + "/account",
	})
}
