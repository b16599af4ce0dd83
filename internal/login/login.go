// Package login is where a person signs in: by passkey, or by user name and password, in one page that works without
// JavaScript except for the passkey.
//
// What is shown is verified by internal/authn; where the person comes from and goes next is decided by internal/flow.
package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Endpoints are the login pages of one issuer.
type Endpoints struct {
	DB        *store.DB
	Registry  *objects.Registry
	Sessions  *session.Sessions
	Keeper    *flow.Keeper
	Pages     *web.Pages
	Passwords *authn.Passwords
	Passkeys  *authn.Passkeys
	Failures  *limit.Failures
	Trail     *audit.Trail
	Now       func() time.Time
}

// View is what the page shows.
type View struct {
	Interaction    string
	Client         Client
	Username       string
	Message        string // key of a text
	PasskeyOptions string
	PasskeyState   string
	CanCancel      bool
}

// Client is the application that somebody signs in for; empty for the account page.
type Client struct{ Name, LogoURI, PolicyURI, TermsURI string }

// ImageOrigin lets the page show the client's logo.
func (v View) ImageOrigin() string {
	u, err := url.Parse(v.Client.LogoURI)
	if err != nil || u.Host == "" {
		return ""
	}
	return "https://" + u.Host
}

// Views are examples, for the test that renders every page.
func Views() map[string]any {
	return map[string]any{"login": View{
		Interaction: "i", Client: Client{Name: "Example", PolicyURI: "https://example.com/policy", TermsURI: "https://example.com/terms"},
		Username: "alice", Message: "login.failed", PasskeyOptions: "{}", PasskeyState: "s", CanCancel: true,
	}}
}

// Mount adds the pages.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	door := web.PageDoor(e.Pages)
	mux.Handle("GET /login", web.Through(door, e.show))
	mux.Handle("POST /login/password", web.Through(door, e.password))
	mux.Handle("POST /login/passkey", web.Through(door, e.passkey))
	mux.Handle("POST /login/cancel", web.Through(door, e.cancel))
}

// show renders the form, or begins an interaction for somebody who comes for their own account.
func (e *Endpoints) show(w http.ResponseWriter, r *http.Request) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	if !params.Has("i") {
		i := e.Keeper.NewAccount()
		if err := e.Keeper.Begin(w, r, i); err != nil {
			return err
		}
		return seeOther(w, r, e.Keeper.LoginURL(i))
	}
	i, err := e.Keeper.Open(r, params.Get("i"))
	if err != nil {
		return err
	}
	hint := ""
	if i.Request != nil {
		hint = i.Request.LoginHint
	}
	return e.render(w, r, i, http.StatusOK, hint, "")
}

// render shows the form with a fresh passkey challenge.
func (e *Endpoints) render(w http.ResponseWriter, r *http.Request, i *flow.Interaction, status int, username, message string) error {
	v := View{Interaction: i.ID, Username: username, Message: message, CanCancel: i.Request != nil}
	if i.Request != nil {
		client, err := e.Registry.Client(r.Context(), i.Request.ClientID)
		if err != nil {
			return fmt.Errorf("load client: %w", err)
		}
		v.Client = Client{client.ClientName, client.LogoURI, client.PolicyURI, client.TermsOfServiceURI}
		if v.Client.Name == "" {
			v.Client.Name = client.ID
		}
		web.EventOf(r.Context()).SetClient(client.ID)
	}
	c, err := e.Passkeys.BeginLogin(i.ID)
	if err != nil {
		return err
	}
	v.PasskeyOptions, v.PasskeyState = c.Options, c.State
	return e.Pages.Render(w, r, status, "login", v)
}

// attempt reads the form of a step and its interaction.
func (e *Endpoints) attempt(r *http.Request) (*flow.Interaction, url.Values, error) {
	form, err := web.Form(r)
	if err != nil {
		return nil, nil, err
	}
	i, err := e.Keeper.Open(r, form.Get("i"))
	return i, form, err
}

func (e *Endpoints) password(w http.ResponseWriter, r *http.Request) error {
	i, form, err := e.attempt(r)
	if err != nil {
		return err
	}
	name := form.Get("username")
	counted := []limit.Key{limit.Account(name), limit.Address(web.EventOf(r.Context()).Peer.Prefix)}
	wait, err := e.Failures.Wait(r.Context(), counted...)
	if err != nil {
		return err
	}
	if wait > 0 {
		e.observe(r, i, "slowed down", "login.slow")
		return e.render(w, r, i, http.StatusTooManyRequests, name, "login.slow")
	}
	account, err := e.find(r.Context(), name)
	if err != nil {
		return err
	}
	ok, renewed, err := e.Passwords.Verify(r.Context(), account, form.Get("password"))
	if refusal, busy := errors.AsType[*oauth.Error](err); busy {
		return e.render(w, r, i, refusal.HTTPStatus(), name, "login.busy")
	}
	if err != nil {
		return err
	}
	if !ok {
		if err := e.Failures.FailNow(r.Context(), counted...); err != nil {
			return err
		}
		e.observe(r, i, "wrong user name or password", string(oauth.AccessDenied))
		return e.render(w, r, i, http.StatusBadRequest, name, "login.failed")
	}
	return e.signIn(w, r, i, account.ID, func(tx *store.Tx) (store.Factor, error) {
		if renewed != "" {
			current, err := tx.Account(account.ID)
			if err != nil {
				return store.Factor{}, err
			}
			current.PasswordHash = renewed
			if err := tx.PutAccount(current); err != nil {
				return store.Factor{}, err
			}
		}
		// What others have tried from this address is not forgiven by one success.
		return authn.PasswordFactor(tx), e.Failures.Clear(tx, counted[0])
	})
}

// find looks an account up by name; nil if there is none.
func (e *Endpoints) find(ctx context.Context, name string) (*store.Account, error) {
	if name == "" || len(name) > 256 {
		return nil, nil
	}
	var a store.Account
	err := e.DB.Read(ctx, func(tx *store.Tx) (err error) {
		a, err = tx.AccountByName(name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load account: %w", err)
	}
	return &a, nil
}

func (e *Endpoints) passkey(w http.ResponseWriter, r *http.Request) error {
	i, form, err := e.attempt(r)
	if err != nil {
		return err
	}
	shown, err := e.Passkeys.CheckLogin(r.Context(), i.ID, form.Get("state"), form.Get("response"))
	if errors.Is(err, authn.ErrFailed) {
		e.observe(r, i, err.Error(), string(oauth.AccessDenied))
		return e.render(w, r, i, http.StatusBadRequest, "", "login.passkey_failed")
	}
	if err != nil {
		return err
	}
	return e.signIn(w, r, i, shown.Account.ID, shown.Use)
}

// signIn is the one write of a success: it spends what proved it and makes the session.
func (e *Endpoints) signIn(w http.ResponseWriter, r *http.Request, i *flow.Interaction, accountID string, prove func(*store.Tx) (store.Factor, error)) error {
	old, err := e.Sessions.FromRequest(r)
	if err != nil && !errors.Is(err, session.ErrNone) {
		return err
	}
	ev := web.EventOf(r.Context())
	var handle string
	var failed error
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		failed = nil
		f, err := prove(tx)
		if errors.Is(err, authn.ErrFailed) {
			failed = err
			return nil
		}
		if err != nil {
			return err
		}
		s, h, err := e.Sessions.New(tx, accountID, f, ev.Peer, old)
		if err != nil {
			return err
		}
		handle = h
		return audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
			RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: accountID, Action: "session.begin",
			ObjectKind: "session", ObjectID: s.ID, Client: ev.Client(), Outcome: audit.Success, Reason: f.Kind, AddressPrefix: ev.Peer.Prefix,
		}})
	})
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if failed != nil {
		e.observe(r, i, failed.Error(), string(oauth.AccessDenied))
		return e.render(w, r, i, http.StatusBadRequest, "", "login.passkey_failed")
	}
	ev.SetSubject(accountID)
	session.SetCookie(w, handle)
	if i.Return == flow.ReturnAccount {
		e.Keeper.End(w, i)
		return seeOther(w, r, e.Keeper.AccountURL())
	}
	return seeOther(w, r, e.Keeper.NextURL(i))
}

func (e *Endpoints) cancel(w http.ResponseWriter, r *http.Request) error {
	i, _, err := e.attempt(r)
	if err != nil {
		return err
	}
	if i.Request == nil {
		return flow.ErrNone
	}
	i.Refused = oauth.AccessDenied
	if err := e.Keeper.Save(w, i); err != nil {
		return err
	}
	return seeOther(w, r, e.Keeper.NextURL(i))
}

// observe records a refused sign-in.
func (e *Endpoints) observe(r *http.Request, i *flow.Interaction, reason, code string) {
	ev := web.EventOf(r.Context())
	client := ""
	if i.Request != nil {
		client = i.Request.ClientID
	}
	ev.Cause(errors.New(reason))
	e.Trail.Observe(audit.Record{Tenant: e.DB.Tenant(), AuditRecord: store.AuditRecord{
		ID: store.NewID(), At: e.Now(), RequestID: ev.RequestID, ActorKind: audit.ActorAccount, Action: "session.refuse",
		ObjectKind: "interaction", ObjectID: i.ID, Client: client, Outcome: audit.Refused, Code: code, Reason: reason, AddressPrefix: ev.Peer.Prefix,
	}})
}

func seeOther(w http.ResponseWriter, r *http.Request, to string) error {
	web.NoStore(w.Header())
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
