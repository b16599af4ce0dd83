// Package web is where HTTP begins and ends: requests become values, and returned values and errors become responses.
//
// A handler returns an error instead of writing one; the door it is mounted behind decides how the failure looks:
// JSON of RFC 6749 §5.2, the challenge of RFC 6750 §3, an HTML page, or problem details (RFC 9457). The package also
// keeps the one record of each request, reads forms strictly, sets cookies and security headers and renders pages. It
// knows no endpoint and no rule of a protocol.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Handler answers a request or returns why it does not. It has written nothing if it returns an error.
type Handler func(http.ResponseWriter, *http.Request) error

// Door writes a failure in the form its callers expect.
type Door func(w http.ResponseWriter, r *http.Request, err error)

// Through serves h and shows its failures at the door.
func Through(door Door, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			Fail(door, w, r, err)
		}
	})
}

// Fail notes an error in the request's event and writes it through the door.
func Fail(door Door, w http.ResponseWriter, r *http.Request, err error) {
	e := EventOf(r.Context())
	e.Cause(err)
	e.SetCode(visible(err).Code)
	door(w, r, err)
}

// JSON makes a handler of a parser and a decision: the decision sees no HTTP, and its answer is never cached.
func JSON[Q, A any](parse func(*http.Request) (Q, error), decide func(context.Context, Q) (A, error)) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		q, err := parse(r)
		if err != nil {
			return err
		}
		a, err := decide(r.Context(), q)
		if err != nil {
			return err
		}
		return WriteJSON(w, http.StatusOK, a)
	}
}

// WriteJSON writes v whole, or nothing.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("marshal answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	NoStore(h)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone cannot be told
	return nil
}

// NoStore forbids caching (RFC 6749 §5.1).
func NoStore(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

// visible is what the caller may see of an error: unknown means internal.
func visible(err error) *oauth.Error {
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return e
	}
	return oauth.Refuse(oauth.ServerError, "the server met an unexpected condition")
}

type refusal struct {
	Error       oauth.Code `json:"error"`
	Description string     `json:"error_description,omitempty"`
}

// OAuthDoor answers with the JSON of RFC 6749 §5.2.
func OAuthDoor(w http.ResponseWriter, r *http.Request, err error) {
	e := visible(err)
	setHeaders(w, e)
	if e.HTTPStatus() == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		// RFC 6749 §5.2: the challenge names the scheme that the client has used.
		w.Header().Set("WWW-Authenticate", `Basic realm="holdfast", charset="UTF-8"`)
	}
	_ = WriteJSON(w, e.HTTPStatus(), refusal{e.Code, e.Detail}) // two strings always marshal
}

// BearerDoor answers with the challenges of RFC 6750 §3 and RFC 9449 §7.1: the scheme that was used first, and DPoP
// always, with the algorithms a proof may have.
func BearerDoor(algs string) Door {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		e := visible(err)
		setHeaders(w, e)
		status := e.HTTPStatus()
		if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusBadRequest {
			challenge(w.Header(), r, e, algs)
		}
		_ = WriteJSON(w, status, refusal{e.Code, e.Detail})
	}
}

// challenge leaves out the error where no credentials came (RFC 6750 §3.1).
func challenge(h http.Header, r *http.Request, e *oauth.Error, algs string) {
	detail := ""
	if e.Detail != "" || e.Code != "" {
		detail = fmt.Sprintf(`, error=%q, error_description=%q`, string(e.Code), e.Detail)
	}
	if _, given := Authorization(r); !given {
		detail = ""
	}
	scheme, _, _ := cutScheme(r.Header.Get("Authorization"))
	bearer, dpop := `Bearer realm="holdfast"`, fmt.Sprintf(`DPoP realm="holdfast", algs=%q`, algs)
	if equalFold(scheme, "DPoP") {
		h.Add("WWW-Authenticate", dpop+detail)
		return
	}
	h.Add("WWW-Authenticate", bearer+detail)
	h.Add("WWW-Authenticate", dpop)
}

// Authorization says whether the request carries credentials in its header.
func Authorization(r *http.Request) (value string, given bool) {
	v := r.Header.Get("Authorization")
	return v, v != ""
}

// ProblemDoor answers with problem details (RFC 9457).
func ProblemDoor(w http.ResponseWriter, r *http.Request, err error) {
	e := visible(err)
	setHeaders(w, e)
	status := e.HTTPStatus()
	body, _ := json.Marshal(map[string]any{ // strings and numbers always marshal
		"type": "about:blank", "title": http.StatusText(status), "status": status,
		"code": e.Code, "detail": e.Detail, "instance": EventOf(r.Context()).RequestID,
	})
	w.Header().Set("Content-Type", "application/problem+json")
	NoStore(w.Header())
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// PageDoor answers people with a page. It never redirects.
func PageDoor(p *Pages) Door {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		e := visible(err)
		setHeaders(w, e)
		view := ErrorView{Code: string(e.Code), Detail: e.Detail, RequestID: EventOf(r.Context()).RequestID}
		if err := p.Render(w, r, e.HTTPStatus(), "error", view); err != nil {
			http.Error(w, string(e.Code), e.HTTPStatus())
		}
	}
}

func setHeaders(w http.ResponseWriter, e *oauth.Error) {
	for name, value := range e.Header {
		w.Header().Set(name, value)
	}
}

// NewMux makes a mux that ends in a 404 and 405 of the door's shape.
func NewMux(door Door) *Mux { return &Mux{ServeMux: http.NewServeMux(), door: door} }

// Mux is http.ServeMux whose own errors go through a door.
type Mux struct {
	*http.ServeMux
	door Door
}

// ServeHTTP serves the matching handler, or refuses in the form of the door.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, pattern := m.Handler(r)
	if pattern != "" {
		// The mux has to serve, not h, so that it sets the path values; a redirect of its own has a pattern too.
		m.ServeMux.ServeHTTP(w, r)
		return
	}
	probe := &probe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	err := oauth.Refuse(oauth.InvalidRequest, "there is nothing at this address").WithStatus(http.StatusNotFound)
	if probe.status == http.StatusMethodNotAllowed {
		err = oauth.Refuse(oauth.InvalidRequest, "this method is not allowed here").
			WithStatus(http.StatusMethodNotAllowed).WithHeader("Allow", probe.header.Get("Allow"))
	}
	Fail(m.door, w, r, err)
}

// probe learns what the mux would answer.
type probe struct {
	header http.Header
	status int
	bytes.Buffer
}

func (p *probe) Header() http.Header { return p.header }

func (p *probe) WriteHeader(status int) { p.status = status }
