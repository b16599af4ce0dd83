// Package login is where a person signs in: by passkey, or by user name and password, in one page that works without
// JavaScript except for the passkey.
//
// What is shown is verified by internal/authn; where the person comes from and goes next is decided by internal/flow.
package login

import (
	"cmp"
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
	Decider   *flow.Decider
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
func (v View) ImageOrigin() string { return v.Client.imageOrigin() }

func (c Client) imageOrigin() string {
	u, err := url.Parse(c.LogoURI)
	if err != nil || u.Host == "" {
		return ""
	}
	return "https://" + u.Host
}

// Views are examples, for the test that renders every page.
func Views() map[string]any {
	example := Client{Name: "Example", PolicyURI: "https://example.com/policy", TermsURI: "https://example.com/terms"}
	return map[string]any{
		"login": View{
			Interaction: "i", Client: example, Username: "alice", Message: "login.failed", PasskeyOptions: "{}", PasskeyState: "s", CanCancel: true,
		},
		"confirm": ConfirmView{
			Interaction: "i", Account: "a", Why: stronger, Title: "confirm.title_stronger", Lead: "confirm.stronger", Client: example,
			Username: "alice", Message: "confirm.weaker", Password: true, Optional: true, Options: "{}", PasskeyState: "s",
		},
	}
}

// Mount adds the pages.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	door := web.PageDoor(e.Pages)
	mux.Handle("GET /login", web.Through(door, e.show))
	mux.Handle("POST /login/password", web.Through(door, e.password))
	mux.Handle("GET /login/passkey", web.Through(web.OAuthDoor, e.challenge))
	mux.Handle("POST /login/passkey", web.Through(door, e.passkey))
	mux.Handle("POST /login/stay", web.Through(door, e.stay))
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
	return e.page(w, r, i, shown{status: http.StatusOK, plain: params.Has("other")})
}

// shown is how a page looks: what it says of the attempt before, and whether it is the plain form in any case.
type shown struct {
	status            int
	username, message string
	plain             bool
}

// render shows the plain form with a fresh passkey challenge.
func (e *Endpoints) render(w http.ResponseWriter, r *http.Request, i *flow.Interaction, f shown) error {
	v := View{Interaction: i.ID, Username: f.username, Message: f.message, CanCancel: i.Request != nil}
	if i.Request != nil {
		client, err := e.client(r, i)
		if err != nil {
			return err
		}
		v.Client, v.Username = describe(client), cmp.Or(f.username, i.Request.LoginHint)
	}
	var err error
	if v.PasskeyOptions, v.PasskeyState, err = e.challengeFor(i); err != nil {
		return err
	}
	return e.Pages.Render(w, r, f.status, "login", v)
}

func (e *Endpoints) challengeFor(i *flow.Interaction) (options, state string, err error) {
	c, err := e.Passkeys.BeginLogin(i.ID)
	return c.Options, c.State, err
}

// client is the one that somebody signs in for.
func (e *Endpoints) client(r *http.Request, i *flow.Interaction) (*objects.Client, error) {
	client, err := e.Registry.Client(r.Context(), i.Request.ClientID)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, flow.ErrNone // deleted meanwhile
	}
	if err != nil {
		return nil, fmt.Errorf("load client: %w", err)
	}
	web.EventOf(r.Context()).SetClient(client.ID)
	return client, nil
}

func describe(c *objects.Client) Client {
	return Client{cmp.Or(c.ClientName, c.ID), c.LogoURI, c.PolicyURI, c.TermsOfServiceURI}
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
	f := shown{username: form.Get("username"), message: "login.failed", plain: !form.Has("account")}
	proof, err := e.attempts().Password(r.Context(), f.username, form.Get("password"))
	if err == nil {
		err = e.signIn(w, r, i, form, proof)
	}
	return e.failed(w, r, i, f, err)
}

func (e *Endpoints) attempts() *authn.Attempts {
	return &authn.Attempts{DB: e.DB, Passwords: e.Passwords, Passkeys: e.Passkeys, Failures: e.Failures}
}

// failed answers an attempt that came to nothing with its page again; the message of f is for one that proved nothing.
func (e *Endpoints) failed(w http.ResponseWriter, r *http.Request, i *flow.Interaction, f shown, why error) error {
	slow, isSlow := errors.AsType[*authn.SlowError](why)
	_, isDeclined := errors.AsType[*authn.DeclinedError](why)
	refusal, isRefusal := errors.AsType[*oauth.Error](why)
	switch {
	case errors.Is(why, errOther):
		f.status, f.message = http.StatusBadRequest, "confirm.other_account"
	case errors.Is(why, authn.ErrFailed):
		e.observe(r, i, why, oauth.AccessDenied)
		f.status = http.StatusBadRequest
	case isSlow:
		e.observe(r, i, why, oauth.TemporarilyUnavailable)
		w.Header().Set("Retry-After", strconv.Itoa(int(slow.Wait/time.Second)+1))
		f.status, f.message = http.StatusTooManyRequests, "login.slow"
	case isDeclined: // nothing was shown, so nothing failed
		f.status, f.message = http.StatusOK, "passkey.cancelled"
		if f.plain {
			f.message = "login.passkey_cancelled"
		}
	case isRefusal && refusal.Code == oauth.TemporarilyUnavailable:
		for name, value := range refusal.Header {
			w.Header().Set(name, value)
		}
		f.status, f.message = refusal.HTTPStatus(), "login.busy"
	default:
		return why
	}
	return e.page(w, r, i, f)
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
	options, state, err := e.challengeFor(i)
	if err != nil {
		return err
	}
	web.NoStore(w.Header())
	return web.WriteJSON(w, http.StatusOK, map[string]any{"options": json.RawMessage(options), "state": state})
}

func (e *Endpoints) passkey(w http.ResponseWriter, r *http.Request) error {
	i, form, err := e.attempt(r)
	if err != nil {
		return err
	}
	proof, err := e.attempts().Passkey(r.Context(), i.ID, form.Get("state"), form.Get("response"))
	if err == nil {
		err = e.signIn(w, r, i, form, proof)
	}
	f := shown{message: "login.passkey_failed", plain: true}
	if form.Has("account") {
		f = shown{message: "passkey.verify_failed"}
	}
	return e.failed(w, r, i, f, err)
}

// signIn is the one write of a success: it spends what proved it and makes the session. authn.ErrFailed: the proof is of
// somebody else than the page is about, or has lost its worth meanwhile; nothing has been answered.
func (e *Endpoints) signIn(w http.ResponseWriter, r *http.Request, i *flow.Interaction, form url.Values, proof *authn.Proof) error {
	if about := form.Get("account"); about != "" && about != proof.Account.ID {
		return errOther
	}
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
	if form.Get("why") == stronger {
		if err := e.settle(w, i, proof.Account.ID); err != nil {
			return err
		}
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
