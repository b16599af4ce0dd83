// Package web is the edge between HTTP and everything else: returned values and errors become responses.
//
// A handler returns an error instead of writing one; the door it is mounted behind decides how the failure looks:
// JSON of RFC 6749 §5.2, the challenge of RFC 6750 §3, an HTML page, or problem details (RFC 9457). The package also
// keeps the one record of each request, reads forms strictly, sets cookies and security headers and renders pages. It
// knows no endpoint and no rule of a protocol.
package web

import (
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

// Through serves h and shows its failures at the door.
func Through(door Door, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		EventOf(r.Context()).enter(r.Pattern, door)
		if err := h(w, r); err != nil {
			Fail(door, w, r, err)
		}
	})
}

// Fail notes an error in the request's event and writes it through the door.
func Fail(door Door, w http.ResponseWriter, r *http.Request, err error) {
	e := EventOf(r.Context())
	e.Cause(err)
	err = interrupted(r.Context(), err)
	e.SetCode(visible(err).Code)
	door(w, r, err)
}

// interrupted keeps what a caller has broken off, or the machine was too slow for, apart from a fault of ours.
func interrupted(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*oauth.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return oauth.Refuse(oauth.TemporarilyUnavailable, "the request was broken off").WithStatus(http.StatusRequestTimeout)
	case errors.Is(err, context.DeadlineExceeded):
		return oauth.Refuse(oauth.TemporarilyUnavailable, "the server is busy").WithHeader("Retry-After", "1")
	}
	return err
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

// SeeOther sends a browser on with a GET, after a form or from one step to the next. to is an address of our own.
func SeeOther(w http.ResponseWriter, r *http.Request, to string) error {
	NoStore(w.Header())
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
