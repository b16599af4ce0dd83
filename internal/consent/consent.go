// Package consent is the page on which a person sees what a client asks for, and allows it or not.
//
// Whether to ask, and what is remembered, is decided in internal/flow and internal/consents.
package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/details"
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
	Details     []Detail
	APIs        []string
	Host        string // where the answer goes; "" if it is an app on this device
}

// Client is the application that asks.
type Client struct{ Name, LogoURI, PolicyURI, TermsURI string }

// Scope is one thing asked for, in words.
type Scope struct{ Title, Description string }

// Detail is an authorization detail in words (RFC 9396), with the APIs that it names.
type Detail struct {
	details.Words
	APIs []string
}

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
		Details: []Detail{{details.Words{
			Title: "Order goods for you", Lines: []details.Line{{{Text: "Up to "}, {Text: "50", Value: true}, {Text: " euros"}}},
			Fields: []details.Field{{Name: "note", Value: "before noon"}},
		}, []string{"Orders"}}},
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
	client, err := e.client(ctx, i)
	if err != nil {
		return v, err
	}
	v.Client = Client{Name: client.ClientName, LogoURI: client.LogoURI, PolicyURI: client.PolicyURI, TermsURI: client.TermsOfServiceURI}
	if v.Client.Name == "" {
		v.Client.Name = client.ID
	}
	if v.Username, err = e.username(ctx, s.AccountID); err != nil {
		return v, err
	}
	v.Initial, v.Host = initial(v.Username), host(i.Request.RedirectURI)
	asked := i.Asked().Of(client)
	for _, name := range asked.Scope {
		title, description := e.Registry.ScopeWords(ctx, name)
		v.Scopes = append(v.Scopes, Scope{title, description})
	}
	apis, err := e.Registry.APIs(ctx, asked.Resources)
	if err != nil {
		return v, err
	}
	for _, api := range apis {
		v.APIs = append(v.APIs, api.Title())
	}
	v.Details, err = describe(apis, asked.Details)
	return v, err
}

func (e *Endpoints) client(ctx context.Context, i *flow.Interaction) (*objects.Client, error) {
	client, err := e.Registry.Client(ctx, i.Request.ClientID)
	if err != nil {
		return nil, fmt.Errorf("load client: %w", err)
	}
	return client, nil
}

// describe puts authorization details into words.
func describe(apis []*objects.API, asked json.RawMessage) ([]Detail, error) {
	list, err := details.Read(asked)
	if err != nil {
		return nil, err
	}
	all := make([]Detail, len(list))
	for i, d := range list {
		all[i].Words = objects.Describe(apis, d)
		for _, api := range apis {
			if slices.Contains(d.Locations(), api.Resource) {
				all[i].APIs = append(all[i].APIs, api.Title())
			}
		}
	}
	return all, nil
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

// remember writes down what the person has allowed: all that the page has shown.
func (e *Endpoints) remember(ctx context.Context, i *flow.Interaction, s *store.Session) error {
	client, err := e.client(ctx, i)
	if err != nil {
		return err
	}
	asked := i.Asked().Of(client)
	allowed, err := summary(asked)
	if err != nil {
		return err
	}
	ev := web.EventOf(ctx)
	err = e.DB.Write(ctx, func(tx *store.Tx) error {
		if err := consents.Remember(tx, s.AccountID, client.ID, asked); err != nil {
			return err
		}
		return audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
			RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: s.AccountID, Action: "consent.grant",
			ObjectKind: "client", ObjectID: client.ID, Client: client.ID,
			Outcome: audit.Success, AddressPrefix: ev.Peer.Prefix, Detail: allowed,
		}})
	})
	if err != nil {
		return fmt.Errorf("remember consent: %w", err)
	}
	return nil
}

// summary is what the audit keeps of a consent: of details their types, for what else is in them may be about the person.
func summary(a consents.Asked) (json.RawMessage, error) {
	list, err := details.Read(a.Details)
	if err != nil {
		return nil, err
	}
	allowed := struct {
		Scope     []string `json:"scope,omitempty"`
		Resources []string `json:"resources,omitempty"`
		Types     []string `json:"authorization_details_types,omitempty"`
	}{Scope: a.Scope, Resources: a.Resources}
	for _, d := range list {
		allowed.Types = append(allowed.Types, d.Type())
	}
	return json.Marshal(allowed)
}
