// Package consent is the page on which a person sees what a client asks for, and allows it or not.
//
// Whether to ask, and what is remembered, is decided in internal/flow and internal/consents.
package consent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Endpoints is the consent page of one issuer.
type Endpoints struct {
	DB       *store.DB
	Registry *objects.Registry
	Sessions *session.Sessions
	Keeper   *flow.Keeper
	Pages    *web.Pages
	Now      func() time.Time
}

// View is what the page shows.
type View struct {
	Interaction string
	Account     string // id of the account asked: what it allows counts for no other
	Client      Client
	Username    string
	Initial     string // of the user name
	Scopes      []Scope
	APIs        []string
	Host        string // where the answer goes; "" if it is an app on this device
}

// Client is the application that asks.
type Client struct{ Name, LogoURI, PolicyURI, TermsURI string }

// Scope is one thing asked for, in words.
type Scope struct{ Title, Description string }

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
	return map[string]any{"consent": View{
		Interaction: "i", Account: "a", Client: Client{"Example", "https://example.com/logo.png", "https://example.com/policy", "https://example.com/terms"},
		Username: "alice@example.com", Initial: "A", Scopes: []Scope{{"Sign you in", "Learns an identifier."}, {"orders.read", ""}},
		APIs: []string{"Orders"}, Host: "app.example.com",
	}}
}

// Mount adds the page.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	door := web.PageDoor(e.Pages)
	mux.Handle("GET /login/consent", web.Through(door, e.show))
	mux.Handle("POST /login/consent", web.Through(door, e.decide))
}

// open finds the interaction and the person. Somebody without a session goes back to where sessions are made.
func (e *Endpoints) open(r *http.Request, id string) (*flow.Interaction, *store.Session, error) {
	i, err := e.Keeper.Open(r, id)
	if err != nil {
		return nil, nil, err
	}
	if i.Request == nil {
		return nil, nil, flow.ErrNone
	}
	web.EventOf(r.Context()).SetClient(i.Request.ClientID)
	s, err := e.Sessions.FromRequest(r)
	if errors.Is(err, session.ErrNone) {
		return i, nil, nil
	}
	return i, s, err
}

func (e *Endpoints) show(w http.ResponseWriter, r *http.Request) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	i, s, err := e.open(r, params.Get("i"))
	if err != nil {
		return err
	}
	if s == nil {
		return web.SeeOther(w, r, e.Keeper.LoginURL(i))
	}
	v, err := e.view(r.Context(), i, s)
	if err != nil {
		return err
	}
	return e.Pages.Render(w, r, http.StatusOK, "consent", v)
}

func (e *Endpoints) view(ctx context.Context, i *flow.Interaction, s *store.Session) (View, error) {
	v := View{Interaction: i.ID, Account: s.AccountID}
	client, err := e.Registry.Client(ctx, i.Request.ClientID)
	if err != nil {
		return v, fmt.Errorf("load client: %w", err)
	}
	v.Client = Client{Name: client.ClientName, LogoURI: client.LogoURI, PolicyURI: client.PolicyURI, TermsURI: client.TermsOfServiceURI}
	if v.Client.Name == "" {
		v.Client.Name = client.ID
	}
	if v.Username, err = e.username(ctx, s.AccountID); err != nil {
		return v, err
	}
	v.Initial, v.Host = initial(v.Username), host(i.Request.RedirectURI)
	for _, name := range i.Request.Scope {
		v.Scopes = append(v.Scopes, e.scope(ctx, name))
	}
	for _, resource := range i.Request.Resources {
		api, err := e.Registry.API(ctx, resource)
		if err != nil && !errors.Is(err, objects.ErrNotFound) {
			return v, fmt.Errorf("load API: %w", err)
		}
		if api != nil && api.Name != "" {
			resource = api.Name
		}
		v.APIs = append(v.APIs, resource)
	}
	return v, nil
}

func (e *Endpoints) username(ctx context.Context, accountID string) (string, error) {
	var account store.Account
	err := e.DB.Read(ctx, func(tx *store.Tx) (err error) {
		account, err = tx.Account(accountID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && account.Disabled {
		return "", oauth.Refuse(oauth.AccessDenied, "this account is not available")
	}
	if err != nil {
		return "", fmt.Errorf("load account: %w", err)
	}
	return account.Username, nil
}

func initial(name string) string {
	first, _ := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first))
}

// host is where an answer goes, as people know it.
func host(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return u.Hostname()
}

// scope puts a scope into words; one that nobody has described is shown by its name.
func (e *Endpoints) scope(ctx context.Context, name string) Scope {
	s, err := e.Registry.Scope(ctx, name)
	if err != nil || s.Title == "" {
		return Scope{Title: name}
	}
	return Scope{Title: s.Title, Description: s.Description}
}

func (e *Endpoints) decide(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	i, s, err := e.open(r, form.Get("i"))
	if err != nil {
		return err
	}
	if s == nil {
		return web.SeeOther(w, r, e.Keeper.LoginURL(i))
	}
	switch form.Get("decision") {
	case "allow":
		if form.Get("account") != s.AccountID {
			return web.SeeOther(w, r, e.Keeper.ConsentURL(i)) // somebody else has signed in since: ask them
		}
		if err := e.remember(r.Context(), i, s); err != nil {
			return err
		}
		i.ConsentAt = e.Now()
	case "cancel":
		i.Refused = oauth.AccessDenied
	default:
		return oauth.Refuse(oauth.InvalidRequest, "the decision is neither allow nor cancel")
	}
	if err := e.Keeper.Save(w, i); err != nil {
		return err
	}
	return web.SeeOther(w, r, e.Keeper.NextURL(i))
}

func (e *Endpoints) remember(ctx context.Context, i *flow.Interaction, s *store.Session) error {
	ev := web.EventOf(ctx)
	err := e.DB.Write(ctx, func(tx *store.Tx) error {
		if err := consents.Remember(tx, s.AccountID, i.Request.ClientID, i.Asked()); err != nil {
			return err
		}
		return audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
			RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: s.AccountID, Action: "consent.grant",
			ObjectKind: "client", ObjectID: i.Request.ClientID, Client: i.Request.ClientID,
			Outcome: audit.Success, AddressPrefix: ev.Peer.Prefix,
		}})
	})
	if err != nil {
		return fmt.Errorf("remember consent: %w", err)
	}
	return nil
}
