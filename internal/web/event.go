package web

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Peer is who is at the other end of a request.
type Peer struct {
	Address     netip.Addr          // of the caller, seen through trusted hops only
	Prefix      string              // its /24 or /48, which is all that is kept of it
	Certificate *x509.Certificate   // the client certificate whose possession TLS has proved; nil: none
	Chain       []*x509.Certificate // what the caller sent beyond it; not verified here
	Host        string              // host name and port of the request, checked against the listener
	UserAgent   string
	Conn        any // identifies the connection, for verdicts that hold as long as it does
}

// Event is the one record of a request: what the log line and the audit say of it. It is safe for concurrent use.
type Event struct {
	RequestID string
	Peer      Peer
	Started   time.Time

	mu      sync.Mutex
	route   string
	door    Door
	tenant  string
	client  string
	subject string
	code    oauth.Code
	causes  []error
	routine bool
}

type eventKey struct{}

// EventOf is the event of the request; never nil, so that code under test needs no set-up.
func EventOf(ctx context.Context) *Event {
	if e, ok := ctx.Value(eventKey{}).(*Event); ok {
		return e
	}
	return new(Event)
}

// WithEvent puts an event into a context. Only Wrap, and tests, do so.
func WithEvent(ctx context.Context, e *Event) context.Context {
	return context.WithValue(ctx, eventKey{}, e)
}

// enter notes which route a request has reached and how its failures look. The innermost route counts.
func (e *Event) enter(route string, door Door) {
	e.mu.Lock()
	e.route, e.door = route, door
	e.mu.Unlock()
}

// entered is the door of the route reached.
func (e *Event) entered() Door {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.door == nil {
		return OAuthDoor
	}
	return e.door
}

// Route is the pattern of the route reached, "" for none.
func (e *Event) Route() string { return e.read(&e.route) }

// SetTenant notes whose request it is.
func (e *Event) SetTenant(name string) { e.set(&e.tenant, name) }

// SetClient notes the authenticated or asking client.
func (e *Event) SetClient(id string) { e.set(&e.client, id) }

// SetSubject notes the account.
func (e *Event) SetSubject(id string) { e.set(&e.subject, id) }

// SetCode notes the error code the caller got.
func (e *Event) SetCode(c oauth.Code) {
	e.mu.Lock()
	e.code = c
	e.mu.Unlock()
}

// Cause adds an error for the log.
func (e *Event) Cause(err error) {
	if err == nil {
		return
	}
	e.mu.Lock()
	e.causes = append(e.causes, err)
	e.mu.Unlock()
}

// Routine says that everybody asks for this all the time: success is logged at debug level only.
func (e *Event) Routine() {
	e.mu.Lock()
	e.routine = true
	e.mu.Unlock()
}

func (e *Event) isRoutine() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.routine
}

func (e *Event) set(field *string, to string) {
	e.mu.Lock()
	*field = to
	e.mu.Unlock()
}

// Tenant is the tenant noted.
func (e *Event) Tenant() string { return e.read(&e.tenant) }

// Client is the client noted.
func (e *Event) Client() string { return e.read(&e.client) }

// Subject is the account noted.
func (e *Event) Subject() string { return e.read(&e.subject) }

// Code is the error code noted; "" means success.
func (e *Event) Code() oauth.Code {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.code
}

func (e *Event) read(field *string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return *field
}

// Reason is the text of all causes.
func (e *Event) Reason() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reason()
}

func (e *Event) reason() string {
	if err := errors.Join(e.causes...); err != nil {
		return err.Error()
	}
	return ""
}

// attributes adds the fields of the log record that rooms have filled to those given.
func (e *Event) attributes(given ...slog.Attr) []slog.Attr {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]slog.Attr, len(given), len(given)+6)
	copy(out, given)
	for _, a := range [...]slog.Attr{
		slog.String("route", e.route), slog.String("tenant", e.tenant), slog.String("client", e.client),
		slog.String("subject", e.subject), slog.String("code", string(e.code)), slog.String("cause", e.reason()),
	} {
		if a.Value.String() != "" {
			out = append(out, a)
		}
	}
	return out
}
