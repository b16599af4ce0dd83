// Package login is where a person signs in: by passkey, or by user name and password, in one page that works without
// JavaScript except for the passkey.
//
// What is shown is verified by internal/authn; where the person comes from and goes next is decided by internal/flow.
package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
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
	mux.Handle("GET /login/passkey", web.Through(web.OAuthDoor, e.challenge))
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
		return web.SeeOther(w, r, e.Keeper.LoginURL(i))
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
		if errors.Is(err, objects.ErrNotFound) {
			return flow.ErrNone // deleted meanwhile
		}
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
	if err == nil && i.Request != nil {
		web.EventOf(r.Context()).SetClient(i.Request.ClientID)
	}
	return i, form, err
}

func (e *Endpoints) password(w http.ResponseWriter, r *http.Request) error {
	i, form, err := e.attempt(r)
	if err != nil {
		return err
	}
	name := form.Get("username")
	proof, err := e.attempts().Password(r.Context(), name, form.Get("password"))
	if err == nil {
		err = e.signIn(w, r, i, proof)
	}
	return e.failed(w, r, i, name, "login.failed", err)
}

func (e *Endpoints) attempts() *authn.Attempts {
	return &authn.Attempts{DB: e.DB, Passwords: e.Passwords, Passkeys: e.Passkeys, Failures: e.Failures}
}

// failed answers an attempt that came to nothing with the form again; message is for one that proved nothing.
func (e *Endpoints) failed(w http.ResponseWriter, r *http.Request, i *flow.Interaction, name, message string, why error) error {
	slow, isSlow := errors.AsType[*authn.SlowError](why)
	_, isDeclined := errors.AsType[*authn.DeclinedError](why)
	refusal, isRefusal := errors.AsType[*oauth.Error](why)
	switch {
	case errors.Is(why, authn.ErrFailed):
		e.observe(r, i, why, oauth.AccessDenied)
		return e.render(w, r, i, http.StatusBadRequest, name, message)
	case isSlow:
		e.observe(r, i, why, oauth.TemporarilyUnavailable)
		w.Header().Set("Retry-After", strconv.Itoa(int(slow.Wait/time.Second)+1))
		return e.render(w, r, i, http.StatusTooManyRequests, name, "login.slow")
	case isDeclined: // nothing was shown, so nothing failed
		return e.render(w, r, i, http.StatusOK, name, "login.passkey_cancelled")
	case isRefusal && refusal.Code == oauth.TemporarilyUnavailable:
		for name, value := range refusal.Header {
			w.Header().Set(name, value)
		}
		return e.render(w, r, i, refusal.HTTPStatus(), name, "login.busy")
	}
	return why
}

// challenge is a fresh one for a page that stays open longer than a challenge lives.
func (e *Endpoints) challenge(w http.ResponseWriter, r *http.Request) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	i, err := e.Keeper.Open(r, params.Get("i"))
	if err != nil {
		return err
	}
	c, err := e.Passkeys.BeginLogin(i.ID)
	if err != nil {
		return err
	}
	web.NoStore(w.Header())
	return web.WriteJSON(w, http.StatusOK, map[string]any{"options": json.RawMessage(c.Options), "state": c.State})
}

func (e *Endpoints) passkey(w http.ResponseWriter, r *http.Request) error {
	i, form, err := e.attempt(r)
	if err != nil {
		return err
	}
	proof, err := e.attempts().Passkey(r.Context(), i.ID, form.Get("state"), form.Get("response"))
	if err == nil {
		err = e.signIn(w, r, i, proof)
	}
	return e.failed(w, r, i, "", "login.passkey_failed", err)
}

// signIn is the one write of a success: it spends what proved it and makes the session. authn.ErrFailed: the proof has
// lost its worth meanwhile, and nothing has been answered.
func (e *Endpoints) signIn(w http.ResponseWriter, r *http.Request, i *flow.Interaction, proof *authn.Proof) error {
	old, err := e.Sessions.FromRequest(r)
	if err != nil && !errors.Is(err, session.ErrNone) {
		return err
	}
	ev := web.EventOf(r.Context())
	var handle string
	var failed error
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		failed = nil
		f, err := proof.Use(tx)
		if errors.Is(err, authn.ErrFailed) {
			failed = err // what was spent stays spent
			return nil
		}
		if err != nil {
			return err
		}
		s, h, err := e.Sessions.New(tx, proof.Account.ID, f, ev.Peer, old)
		if err != nil {
			return err
		}
		handle = h
		return audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
			RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: s.AccountID, Action: "session.begin", ObjectKind: "session",
			ObjectID: s.ID, Client: ev.Client(), Outcome: audit.Success, Reason: f.Kind, AddressPrefix: ev.Peer.Prefix,
		}})
	})
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if failed != nil {
		return failed
	}
	ev.SetSubject(proof.Account.ID)
	e.Sessions.SetCookie(w, handle)
	if i.Return == flow.ReturnAccount {
		e.Keeper.End(w, i)
		return web.SeeOther(w, r, e.Keeper.AccountURL())
	}
	return web.SeeOther(w, r, e.Keeper.NextURL(i))
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
	return web.SeeOther(w, r, e.Keeper.NextURL(i))
}

// observe records a refused sign-in.
func (e *Endpoints) observe(r *http.Request, i *flow.Interaction, why error, code oauth.Code) {
	ev := web.EventOf(r.Context())
	ev.Cause(why)
	e.Trail.Observe(audit.Record{Tenant: e.DB.Tenant(), AuditRecord: store.AuditRecord{
		ID: store.NewID(), At: e.Now(), RequestID: ev.RequestID, ActorKind: audit.ActorAccount, Action: "session.refuse",
		ObjectKind: "interaction", ObjectID: i.ID, Client: ev.Client(), Outcome: audit.Refused, Code: string(code), Reason: why.Error(),
		AddressPrefix: ev.Peer.Prefix,
	}})
}
