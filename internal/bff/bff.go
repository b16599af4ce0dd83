// Package bff is the token handler: the confidential OAuth client of browser applications, which keeps their tokens
// where no script can reach them (draft-ietf-oauth-browser-based-apps §6.1).
//
// Pages call it with fetch; what they send and need to get back is fixed by existing clients, down to the Content-Type
// of errors. It is an OAuth client like any other: to the issuer, its own or a foreign one, it speaks through an
// http.RoundTripper and knows nothing of its rooms. Sessions, cookies and the admission of requests are those of
// package appsession; calling APIs with a session is the gateway.
package bff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Endpoints are the token handler of one tenant, for all its applications.
type Endpoints struct {
	BaseURL  string // of all applications, for example https://api.example.com/apps
	Issuer   string // the tenant's own issuer, for applications that name none
	Sessions *appsession.Sessions
	Registry *objects.Registry
	// Transport is the way to the tenant's own issuer, FetchTransport the one to all others, which must not lead into
	// the network of the server.
	Transport, FetchTransport http.RoundTripper
	Logins                    *limit.Rate // how often an address may begin to log in; nil: as often as it likes

	mu      sync.Mutex
	issuers map[string]*issuer
}

// visit is one request of a page that has been admitted.
type visit struct {
	*http.Request
	w      http.ResponseWriter
	app    *objects.Application
	issuer *issuer
}

// endpoints are what pages may call, below the address of their application.
var endpoints = []struct {
	method, path string
	serve        func(*Endpoints, *visit) error
}{
	{http.MethodPost, "/login/start", (*Endpoints).startLogin},
	{http.MethodPost, "/login/end", (*Endpoints).endLogin},
	{http.MethodGet, "/session", (*Endpoints).session},
	{http.MethodPost, "/refresh", (*Endpoints).refresh},
	{http.MethodPost, "/logout", (*Endpoints).logout},
}

const logoutPath = "/backchannel-logout"

// Mount adds the endpoints below the path of BaseURL. The mux must not stand behind web.Protect, which refuses pages of
// sibling hosts: requests are admitted here.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	base := ""
	if u, err := url.Parse(e.BaseURL); err == nil {
		base = strings.TrimSuffix(u.Path, "/") + "/{app}"
	}
	door := web.AppDoor(false)
	for _, p := range endpoints {
		mux.Handle(p.method+" "+base+p.path, web.Through(door, e.page(func(v *visit) error {
			if err := appsession.Admit(v.Request, v.app); err != nil {
				return err
			}
			return p.serve(e, v)
		})))
	}
	mux.Handle("POST "+base+logoutPath, web.Through(web.OAuthDoor, e.backchannel))
	mux.Handle(base+"/{path...}", web.Through(door, e.page(nowhere)))
}

// page finds the application and lets its pages read whatever the answer is. Failures are shown the way the
// application wants them.
func (e *Endpoints) page(serve func(*visit) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		app, err := e.application(r)
		if err != nil {
			return err
		}
		web.Through(web.AppDoor(app.DetailedErrors), func(w http.ResponseWriter, r *http.Request) error {
			if appsession.CORS(w, r, app) {
				return nil
			}
			if err := web.CheckHeaders(r); err != nil {
				return err
			}
			return serve(&visit{Request: r, w: w, app: app, issuer: e.issuerOf(app)})
		}).ServeHTTP(w, r)
		return nil
	}
}

func (e *Endpoints) application(r *http.Request) (*objects.Application, error) {
	app, err := e.Registry.Application(r.Context(), r.PathValue("app"))
	if errors.Is(err, objects.ErrNotFound) {
		return nil, oauth.Refuse(oauth.InvalidRequest, "there is no such application").WithStatus(http.StatusNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("load application: %w", err)
	}
	web.EventOf(r.Context()).SetClient(app.ClientID)
	return app, nil
}

// nowhere is what does not match any endpoint: 404 and 405 that pages can read.
func nowhere(v *visit) error {
	for _, p := range endpoints {
		if p.path == "/"+v.PathValue("path") {
			return oauth.Refuse(oauth.InvalidRequest, "this method is not allowed here").
				WithStatus(http.StatusMethodNotAllowed).WithHeader("Allow", p.method+", OPTIONS")
		}
	}
	return oauth.Refuse(oauth.InvalidRequest, "there is nothing at this address").WithStatus(http.StatusNotFound)
}

// parameters reads a form. Clients send an empty one with any length and media type, or with none.
func (v *visit) parameters() (url.Values, error) {
	if v.ContentLength == 0 && v.URL.RawQuery == "" {
		return url.Values{}, nil
	}
	return web.Form(v.Request)
}

// extras keeps to the parameters that pages may add, each once.
func (v *visit) extras() (url.Values, error) {
	form, err := v.parameters()
	if err != nil {
		return nil, err
	}
	for name := range form {
		if !v.app.AllowsParameter(name) {
			return nil, oauth.Refuse(oauth.InvalidRequest, "a parameter is not among extra_parameters of the application")
		}
		if len(form[name]) > 1 {
			return nil, oauth.Refuse(oauth.InvalidRequest, "a parameter is given more than once")
		}
	}
	return form, nil
}

// live opens the session of the browser. A refusal says whether there seems to have been one.
func (e *Endpoints) live(v *visit) (*appsession.Session, error) {
	s, err := e.open(v)
	if errors.Is(err, appsession.ErrNone) {
		if len(v.CookiesNamed(appsession.CookieName(v.app))) > 0 {
			return nil, oauth.Refuse(web.SessionExpired, "the cookie stands for no live session").With(err)
		}
		return nil, oauth.Refuse(web.Unauthorized, "the request has no session cookie").With(err)
	}
	return s, err
}

// open is FromRequest, less the sessions of another issuer than the application now has.
func (e *Endpoints) open(v *visit) (*appsession.Session, error) {
	s, err := e.Sessions.FromRequest(v.Request, v.app)
	if err != nil {
		return nil, err
	}
	if s.Record.Issuer != v.issuer.id {
		return nil, appsession.ErrNone
	}
	web.EventOf(v.Context()).SetSubject(s.Record.Subject)
	return s, nil
}

// loggedIn is the answer about a session.
type loggedIn struct {
	IsLoggedIn       bool            `json:"is_logged_in"`
	Claims           json.RawMessage `json:"id_token_claims"` // null: no ID token was issued
	AccessExpiresIn  *int64          `json:"access_token_expires_in,omitempty"`
	SessionExpiresIn int64           `json:"session_expires_in"` // seconds, if nobody uses it
}

type loggedOut struct {
	IsLoggedIn bool `json:"is_logged_in"`
}

func (e *Endpoints) describe(v *visit, s *appsession.Session) error {
	now := e.Sessions.Now()
	a := loggedIn{IsLoggedIn: true, Claims: s.IDClaims, SessionExpiresIn: s.EndsIn(now)}
	if n, ok := s.ExpiresIn(now); ok {
		a.AccessExpiresIn = &n
	}
	return web.WriteJSON(v.w, http.StatusOK, a)
}

// session says who is logged in. Having nobody is an answer like another. It does not keep the session alive, for pages
// ask without anybody doing something; slide=true does. A cookie that is worth nothing stays: meanwhile another tab may
// have got a new one under the same name.
func (e *Endpoints) session(v *visit) error {
	query, err := web.Query(v.Request)
	if err != nil {
		return err
	}
	s, err := e.open(v)
	if err == nil && query.Get("slide") == "true" {
		err = e.Sessions.Slide(v.Context(), v.w, v.app, s)
	}
	if errors.Is(err, appsession.ErrNone) {
		return web.WriteJSON(v.w, http.StatusOK, loggedOut{})
	}
	if err != nil {
		return err
	}
	return e.describe(v, s)
}

// record begins the audit record of an act.
func record(ctx context.Context, action string, s *store.AppSession) audit.Record {
	ev := web.EventOf(ctx)
	return audit.Record{AuditRecord: store.AuditRecord{
		RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: s.Subject, Action: action, ObjectKind: "app_session",
		ObjectID: s.ID, Client: s.ClientID, Outcome: audit.Success, AddressPrefix: ev.Peer.Prefix,
	}}
}

// end ends a session with its audit record, inside the caller's write. One that is over already stays as it is.
func (e *Endpoints) end(tx *store.Tx, ctx context.Context, app *objects.Application, s *store.AppSession, reason string) (ended bool, err error) {
	ended, err = e.Sessions.End(tx, app, s)
	if err != nil || !ended {
		return false, err
	}
	return true, ending(tx, ctx, s, reason)
}

// ending records that a session has been ended.
func ending(tx *store.Tx, ctx context.Context, s *store.AppSession, reason string) error {
	r := record(ctx, "app_session.end", s)
	r.Reason = reason
	return audit.Add(tx, r)
}
