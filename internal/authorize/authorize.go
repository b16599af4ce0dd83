// Package authorize is where a client's request for somebody's permission arrives and where its answer leaves: the
// authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2), and pushed requests (RFC 9126).
//
// Rules of a request are in internal/request, the order of steps in internal/flow, pages in their own rooms. An
// anonymous visitor writes nothing: the way through the pages is sealed in a cookie until there is a code.
package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Endpoints are the authorization endpoint and PAR of one issuer.
type Endpoints struct {
	Issuer         string
	MTLSIssuer     string
	DB             *store.DB
	Ring           *keys.Ring
	Checker        *request.Checker
	Clients        *clients.Authenticator
	Decider        *flow.Decider
	Keeper         *flow.Keeper
	Pages          *web.Pages
	Nonces         *dpop.Nonces
	Now            func() time.Time
	CodeLifetime   time.Duration
	PushedLifetime time.Duration
}

// MountPages adds what browsers visit.
func (e *Endpoints) MountPages(mux *http.ServeMux) {
	door := web.PageDoor(e.Pages)
	mux.Handle("GET /authorize", web.Through(door, e.authorize))
	mux.Handle("POST /authorize", web.Through(door, e.post)) // from forms of other origins too
	mux.Handle("GET /authorize/next", web.Through(door, e.next))
}

// MountProtocol adds PAR, which clients call.
func (e *Endpoints) MountProtocol(mux *http.ServeMux) {
	mux.Handle("POST /par", web.Through(web.OAuthDoor, e.push))
}

// found is a request with everything known about it.
type found struct {
	client *objects.Client
	auth   *request.Authorization
	target *request.Target
	pushed string // id of the row it came from
	// afterForm: a form of ours was before, whose policy would block a redirect to the client.
	afterForm bool
}

// find reads the request that parameters carry or point to. An error with a target belongs to the client.
func (e *Endpoints) find(r *http.Request, params url.Values) (*found, error) {
	client, err := e.Checker.Client(r.Context(), params.Get("client_id"))
	if err != nil {
		return nil, err
	}
	web.EventOf(r.Context()).SetClient(client.ID)
	f := &found{client: client}
	if handle, ok := strings.CutPrefix(params.Get("request_uri"), oauth.RequestURIPrefix); ok && !params.Has("request") {
		return f, e.findPushed(r.Context(), f, handle)
	}
	f.auth, f.target, err = e.Checker.Check(r.Context(), client, params)
	if err == nil && client.RequirePushedRequests {
		err = oauth.Refuse(oauth.InvalidRequest, "this application must push its requests (RFC 9126)")
	}
	return f, err
}

// authorize answers at once where nobody has to be asked, and begins an interaction otherwise.
func (e *Endpoints) authorize(w http.ResponseWriter, r *http.Request) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	f, err := e.find(r, params)
	if err != nil {
		return e.refuse(w, r, f, err)
	}
	i := e.Keeper.New(f.auth, f.pushed)
	v, err := e.Decider.Decide(r, i, f.client)
	if err != nil {
		return err
	}
	switch v.Step {
	case flow.StepRefused:
		return e.refuse(w, r, f, v.Refusal)
	case flow.StepDone:
		code, err := e.complete(r.Context(), f, v, nil)
		if err != nil {
			return e.refuse(w, r, f, err)
		}
		return e.answer(w, r, f, code, nil)
	}
	if err := e.Keeper.Begin(w, r, i); err != nil {
		return e.refuse(w, r, f, err)
	}
	return e.step(w, r, v.Step, i)
}

// post takes a request from a form of another origin. Cookies that a browser keeps back from such a form are there
// again on the GET that follows (OIDC Core §3.1.2.1).
func (e *Endpoints) post(w http.ResponseWriter, r *http.Request) error {
	params, err := web.Form(r)
	if err != nil {
		return err
	}
	f, err := e.find(r, params)
	if err != nil {
		return e.refuse(w, r, f, err)
	}
	i := e.Keeper.New(f.auth, f.pushed)
	if err := e.Keeper.Begin(w, r, i); err != nil {
		return e.refuse(w, r, f, err)
	}
	return redirect(w, r, e.Keeper.NextURL(i))
}

// next goes on with an interaction after a step. It comes after forms, so its answer to the client is the leaving page.
func (e *Endpoints) next(w http.ResponseWriter, r *http.Request) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	i, err := e.Keeper.Open(r, params.Get("i"))
	if err != nil {
		return err
	}
	if i.Return != "" {
		e.Keeper.End(w, i)
		return redirect(w, r, e.Keeper.AccountURL())
	}
	f := &found{auth: i.Request, pushed: i.Pushed, afterForm: true}
	if f.client, err = e.Checker.Client(r.Context(), i.Request.ClientID); err != nil {
		return err
	}
	web.EventOf(r.Context()).SetClient(f.client.ID)
	if err := e.findTarget(f); err != nil {
		return err
	}
	v, err := e.Decider.Decide(r, i, f.client)
	if err != nil {
		return err
	}
	code, refusal := "", v.Refusal
	switch v.Step {
	case flow.StepLogin, flow.StepConsent:
		return e.step(w, r, v.Step, i)
	case flow.StepDone:
		code, err = e.complete(r.Context(), f, v, i)
		if errors.Is(err, request.ErrEnded) {
			refusal, _ = errors.AsType[*oauth.Error](err)
		} else if err != nil {
			return err // the client may have its answer already
		}
	}
	e.Keeper.End(w, i)
	return e.answer(w, r, f, code, refusal)
}

func (e *Endpoints) step(w http.ResponseWriter, r *http.Request, step flow.Step, i *flow.Interaction) error {
	if step == flow.StepConsent {
		return redirect(w, r, e.Keeper.ConsentURL(i))
	}
	return redirect(w, r, e.Keeper.LoginURL(i))
}

// complete is the one write of an answer.
func (e *Endpoints) complete(ctx context.Context, f *found, v flow.Verdict, i *flow.Interaction) (code string, err error) {
	ev := web.EventOf(ctx)
	c := request.Completion{
		Request: f.auth, Session: v.Session, ACR: v.ACR, Pushed: f.pushed, RequestID: ev.RequestID, AddressPrefix: ev.Peer.Prefix,
		Lifetime: e.CodeLifetime, Ring: e.Ring, SessionIdle: e.Decider.Sessions.Idle,
	}
	if i != nil {
		c.Interaction, c.InteractionUntil = i.ID, i.Until()
	}
	var answered bool
	err = e.DB.Write(ctx, func(tx *store.Tx) (err error) {
		code, err = request.Complete(tx, c)
		answered = errors.Is(err, request.ErrSpent)
		if answered {
			return nil // what was spent stays spent
		}
		return err
	})
	if errors.Is(err, request.ErrEnded) {
		return "", oauth.Refuse(oauth.AccessDenied, "the session has ended").With(err)
	}
	if err != nil {
		return "", fmt.Errorf("complete request: %w", err)
	}
	if answered {
		return "", oauth.Refuse(oauth.InvalidRequest, "this request has been answered already")
	}
	return code, nil
}

// refuse sends an error to the client where the target is certain, and shows it to the person otherwise.
func (e *Endpoints) refuse(w http.ResponseWriter, r *http.Request, f *found, err error) error {
	visible, ok := errors.AsType[*oauth.Error](err)
	if !ok || f == nil || f.target == nil {
		return err
	}
	return e.answer(w, r, f, "", visible)
}

// answer brings the client the refusal, or else the code, in the mode of its request.
func (e *Endpoints) answer(w http.ResponseWriter, r *http.Request, f *found, code string, refusal *oauth.Error) error {
	var a *request.Answer
	var err error
	if refusal != nil {
		ev := web.EventOf(r.Context()) // no door sees what leaves through the client
		ev.Cause(refusal)
		ev.SetCode(refusal.Code)
		a, err = f.target.Error(r.Context(), refusal)
	} else {
		a, err = f.target.Code(r.Context(), code)
	}
	switch {
	case err != nil:
		return err
	case a.Form != nil:
		return e.Pages.Post(w, r, a.URL, a.Form, appName(f.client))
	case f.afterForm:
		return e.Pages.Leave(w, r, a.URL, appName(f.client))
	}
	return redirect(w, r, a.URL)
}

func redirect(w http.ResponseWriter, r *http.Request, to string) error {
	web.NoStore(w.Header())
	w.Header().Set("Referrer-Policy", "no-referrer") // there is no form here, and the address may hold a code
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func appName(c *objects.Client) string {
	if c.ClientName != "" {
		return c.ClientName
	}
	return c.ID
}

// findTarget is where the answer to a checked request goes. The client may have lost this address since.
func (e *Endpoints) findTarget(f *found) (err error) {
	f.target, err = e.Checker.CheckRedirect(f.client, f.auth.RedirectURI, f.auth.State, f.auth.ResponseMode)
	return err
}

// findPushed loads a pushed request for the client that pushed it (RFC 9126 §4).
func (e *Endpoints) findPushed(ctx context.Context, f *found, handle string) error {
	id, secret, ok := keys.SplitHandle(handle)
	unknown := oauth.Refuse(oauth.InvalidRequestURI, "this request_uri is unknown, used or expired")
	if !ok {
		return unknown
	}
	var p store.PushedRequest
	err := e.DB.Read(ctx, func(tx *store.Tx) (err error) {
		p, err = tx.PushedRequest(id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknown
	case err != nil:
		return fmt.Errorf("load pushed request: %w", err)
	case !e.Ring.Matches(p.SecretHash, secret) || p.ClientID != f.client.ID || !p.SpentAt.IsZero() || !e.Now().Before(p.OpenUntil):
		return unknown
	}
	f.pushed, f.auth = id, new(request.Authorization)
	if err := json.Unmarshal(p.Params, f.auth); err != nil {
		return fmt.Errorf("read pushed request: %w", err)
	}
	return e.findTarget(f)
}
