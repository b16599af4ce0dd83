// Package flow keeps an interaction, the way of one person from a client's request to its answer, and decides what
// comes next.
//
// The interaction is sealed in a cookie of the browser that began it; nothing is stored for a visitor who has not
// signed in. Steps are pages of different rooms that meet only here: each ends with a redirect to NextURL, and Next
// decides. Making the code is internal/request; pages are in the rooms.
package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Lifetime is how long a person may take.
const Lifetime = 30 * time.Minute

const (
	maxCookies = 5
	maxCookie  = 3500 // bytes of a cookie's value; browsers drop more than 4096 with the name
	growth     = 200  // of these are kept for what the steps add
)

// ReturnAccount is the destination of an interaction without a client.
const ReturnAccount = "account"

// ErrNone says that there is no such interaction in this browser, or not any more.
var ErrNone = oauth.Refuse(oauth.InvalidRequest, "this sign-in has expired or was begun in another browser")

// Interaction is one way through the pages. Exactly one of Request, Pushed and Return is set when it is sealed.
type Interaction struct {
	ID        string                 `json:"i"`
	Request   *request.Authorization `json:"q,omitempty"`
	Pushed    string                 `json:"p,omitempty"` // id of a pushed request; Request is loaded from it
	Return    string                 `json:"r,omitempty"`
	CreatedAt time.Time              `json:"t"`
	ConsentAt time.Time              `json:"c,omitzero"`  // the person has just agreed
	Settled   string                 `json:"s,omitempty"` // id of the account that has said who it is, and how well it will sign in
	Refused   oauth.Code             `json:"x,omitempty"`
}

// sealed is an interaction as it travels. Tenants may share a host, and so its cookies.
type sealed struct {
	Tenant string `json:"n"`
	Interaction
}

// Keeper seals and opens the interactions of one issuer.
type Keeper struct {
	DB     *store.DB
	Sealer web.Sealer
	Now    func() time.Time
	Base   string // path of the issuer
}

// New makes an interaction for a checked request; pushed is the id of the row it came from, if any.
func (k *Keeper) New(a *request.Authorization, pushed string) *Interaction {
	return &Interaction{ID: store.NewID(), Request: a, Pushed: pushed, CreatedAt: k.Now().Truncate(time.Microsecond)}
}

// NewAccount makes an interaction that ends on the account page.
func (k *Keeper) NewAccount() *Interaction {
	return &Interaction{ID: store.NewID(), Return: ReturnAccount, CreatedAt: k.Now().Truncate(time.Microsecond)}
}

// Until is when an interaction expires.
func (i *Interaction) Until() time.Time { return i.CreatedAt.Add(Lifetime) }

// Begin puts a new interaction into the browser. Of more than five the oldest go.
func (k *Keeper) Begin(w http.ResponseWriter, r *http.Request, i *Interaction) error {
	var live []*sealed // of other tenants on this host too: browsers count per host
	for _, c := range web.CookiesWith(r, web.InteractionCookie) {
		old, err := k.unseal(c.Name, c.Value)
		if err != nil {
			web.ClearCookie(w, c.Name)
			continue
		}
		live = append(live, old)
	}
	slices.SortFunc(live, func(a, b *sealed) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for len(live) >= maxCookies {
		web.ClearCookie(w, cookieName(live[0].ID))
		live = live[1:]
	}
	return k.put(w, i, maxCookie-growth)
}

// Save seals an interaction that has changed.
func (k *Keeper) Save(w http.ResponseWriter, i *Interaction) error { return k.put(w, i, maxCookie) }

func (k *Keeper) put(w http.ResponseWriter, i *Interaction, limit int) error {
	kept := sealed{k.DB.Tenant(), *i}
	if kept.Pushed != "" {
		kept.Request = nil // it is in the store
	}
	data, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("marshal interaction: %w", err)
	}
	name := cookieName(i.ID)
	value := k.Sealer.SealText(name, data)
	if len(value) > limit {
		return oauth.Refuse(oauth.InvalidRequest, "the request is too large for a browser; use PAR (RFC 9126)")
	}
	web.SetCookie(w, name, value, Lifetime)
	return nil
}

// Open finds the interaction that a page names, with its request.
func (k *Keeper) Open(r *http.Request, id string) (*Interaction, error) {
	if len(id) < 8 {
		return nil, ErrNone
	}
	name := cookieName(id)
	kept, err := k.unseal(name, web.Cookie(r, name))
	if err != nil {
		return nil, ErrNone.With(err)
	}
	i := &kept.Interaction
	if i.ID != id || kept.Tenant != k.DB.Tenant() {
		return nil, ErrNone
	}
	if i.Pushed != "" {
		if err := k.loadPushed(r.Context(), i); err != nil {
			return nil, err
		}
	}
	return i, nil
}

func (k *Keeper) loadPushed(ctx context.Context, i *Interaction) error {
	var p store.PushedRequest
	err := k.DB.Read(ctx, func(tx *store.Tx) (err error) {
		p, err = tx.PushedRequest(i.Pushed)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (!p.SpentAt.IsZero() || !k.Now().Before(p.PurgeAt)) {
		return ErrNone
	}
	if err != nil {
		return fmt.Errorf("load pushed request: %w", err)
	}
	i.Request = new(request.Authorization)
	if err := json.Unmarshal(p.Params, i.Request); err != nil {
		return fmt.Errorf("read pushed request: %w", err)
	}
	return nil
}

// End takes an interaction out of the browser.
func (k *Keeper) End(w http.ResponseWriter, i *Interaction) { web.ClearCookie(w, cookieName(i.ID)) }

func (k *Keeper) unseal(name, value string) (*sealed, error) {
	data, err := k.Sealer.OpenText(name, value)
	if err != nil {
		return nil, err
	}
	i := new(sealed)
	if err := json.Unmarshal(data, i); err != nil {
		return nil, fmt.Errorf("read interaction: %w", err)
	}
	switch {
	case len(i.ID) < 8 || cookieName(i.ID) != name, i.Request == nil && i.Pushed == "" && i.Return == "":
		return nil, errors.New("the interaction is not one")
	case !k.Now().Before(i.Until()):
		return nil, errors.New("the interaction has expired")
	}
	return i, nil
}

func cookieName(id string) string { return web.InteractionCookie + id[:8] }

// LoginURL is the step in which somebody signs in.
func (k *Keeper) LoginURL(i *Interaction) string { return k.url("/login", i) }

// ConsentURL is the step in which somebody agrees.
func (k *Keeper) ConsentURL(i *Interaction) string { return k.url("/login/consent", i) }

// NextURL is where every step ends.
func (k *Keeper) NextURL(i *Interaction) string { return k.url("/authorize/next", i) }

func (k *Keeper) url(path string, i *Interaction) string {
	return k.Base + path + "?i=" + url.QueryEscape(i.ID)
}

// AccountURL is the account page.
func (k *Keeper) AccountURL() string { return k.Base + "/account" }
