// Package orders is the demo API of the development landscape, as somebody would write it who has APIs behind the gateway:
// plain handlers, and package resource in front of them. Every request carries a token for this API that is bound to the
// certificate of the gateway (RFC 8705 §3), and a connection without that certificate does not come to be.
package orders

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// Scopes of the API.
const (
	ScopeRead  = "orders.read"
	ScopeWrite = "orders.write"
)

// Bounds of what is kept, all in memory.
const (
	maxBody     = 4 << 10
	maxOrders   = 100 // of one subject; the oldest goes first
	maxSubjects = 1000
)

// Order is one order.
type Order struct {
	ID       string    `json:"id"`
	Item     string    `json:"item"`
	Quantity int       `json:"quantity"`
	PlacedAt time.Time `json:"placed_at"`
}

// Caller is what the API has learned about who asks, from the token alone.
type Caller struct {
	Subject  string `json:"subject"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	Actor    string `json:"actor,omitempty"`    // who asks on behalf of the subject: the gateway
	BoundTo  string `json:"bound_to,omitempty"` // name in the certificate the token is bound to
}

// API keeps orders by subject.
type API struct {
	now  func() time.Time
	mu   sync.Mutex
	last int
	kept map[string][]Order
	ears map[string]map[chan Order]bool // who listens to which subject
}

// New makes an API without orders but those that everybody finds there.
func New(now func() time.Time) *API {
	return &API{now: now, last: 1003, kept: map[string][]Order{}, ears: map[string]map[chan Order]bool{}}
}

// Handler serves the API to callers that the verifier knows.
func (a *API) Handler(v *resource.Verifier) http.Handler {
	mux := web.NewMux(web.ProblemDoor)
	read, write := v.Middleware(resource.Scopes(ScopeRead)), v.Middleware(resource.Scopes(ScopeWrite))
	mux.Handle("GET /orders", read(web.Through(web.ProblemDoor, a.list)))
	mux.Handle("POST /orders", write(web.Through(web.ProblemDoor, a.place)))
	mux.Handle("GET /orders/stream", read(web.Through(web.ProblemDoor, a.stream)))
	mux.Handle("GET /orders/ws", read(a.echo()))
	return mux
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	who := resource.From(r.Context())
	return web.WriteJSON(w, http.StatusOK, struct {
		Orders []Order `json:"orders"`
		Caller Caller  `json:"caller"`
	}{a.of(who.Subject), callerOf(who)})
}

func callerOf(who *resource.Principal) Caller {
	c := Caller{Subject: who.Subject, ClientID: who.ClientID, Scope: strings.Join(who.Scopes, " ")}
	if who.Actor != nil {
		c.Actor = who.Actor.Subject
	}
	if who.Certificate != nil {
		c.BoundTo = who.Certificate.Subject.CommonName
	}
	return c
}

func (a *API) place(w http.ResponseWriter, r *http.Request) error {
	asked, err := parse(w, r)
	if err != nil {
		return err
	}
	who := resource.From(r.Context())
	if err := checkDetails(who, asked); err != nil {
		return err
	}
	placed, err := a.add(who.Subject, asked)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusCreated, placed)
}

// parse reads an order: {"item": …, "quantity": …}.
func parse(w http.ResponseWriter, r *http.Request) (Order, error) {
	var asked struct {
		Item     string `json:"item"`
		Quantity int    `json:"quantity"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return Order{}, oauth.Refuse(oauth.InvalidRequest, "the body is not an order").With(fmt.Errorf("decode order: %w", err))
	}
	if asked.Item == "" || len(asked.Item) > 100 || asked.Quantity < 1 || asked.Quantity > 99 {
		return Order{}, oauth.Refuse(oauth.InvalidRequest, "an order has an item and a quantity from 1 to 99")
	}
	return Order{Item: asked.Item, Quantity: asked.Quantity}, nil
}

// of lists the orders of a subject, newest first.
func (a *API) of(subject string) []Order {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []Order{}
	for i := len(a.kept[subject]) - 1; i >= 0; i-- {
		out = append(out, a.kept[subject][i])
	}
	return append(out, samples...)
}

// samples are what everybody has ordered before.
var samples = []Order{
	{ID: "1003", Item: "Mooring line", Quantity: 4, PlacedAt: time.Date(2026, 5, 18, 9, 30, 0, 0, time.UTC)},
	{ID: "1002", Item: "Signal lamp", Quantity: 1, PlacedAt: time.Date(2026, 4, 2, 15, 5, 0, 0, time.UTC)},
	{ID: "1001", Item: "Tide tables", Quantity: 2, PlacedAt: time.Date(2026, 3, 9, 11, 0, 0, 0, time.UTC)},
}

func (a *API) add(subject string, o Order) (Order, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) >= maxSubjects && a.kept[subject] == nil {
		return Order{}, oauth.Refuse(oauth.TemporarilyUnavailable, "the book is full")
	}
	a.last++
	o.ID, o.PlacedAt = strconv.Itoa(a.last), a.now().UTC()
	all := append(a.kept[subject], o)
	a.kept[subject] = all[max(0, len(all)-maxOrders):]
	for ear := range a.ears[subject] {
		select {
		case ear <- o:
		default: // it has not taken the ones before
		}
	}
	return o, nil
}

// listen hears of new orders of a subject until stop is called.
func (a *API) listen(subject string) (ear chan Order, stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ear = make(chan Order, 16)
	if a.ears[subject] == nil {
		a.ears[subject] = map[chan Order]bool{}
	}
	a.ears[subject][ear] = true
	return ear, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.ears[subject], ear)
		if len(a.ears[subject]) == 0 {
			delete(a.ears, subject)
		}
	}
}
