package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Door writes a failure in the form its callers expect.
type Door func(w http.ResponseWriter, r *http.Request, err error)

// visible is what the caller may see of an error: unknown means internal.
func visible(err error) *oauth.Error {
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return e
	}
	return errInternal
}

var errInternal = oauth.Refuse(oauth.ServerError, "the server met an unexpected condition")

type refusal struct {
	Error       oauth.Code `json:"error"`
	Description string     `json:"error_description,omitempty"`
}

// OAuthDoor answers with the JSON of RFC 6749 §5.2.
func OAuthDoor(w http.ResponseWriter, r *http.Request, err error) {
	e := visible(err)
	setHeaders(w, e)
	if e.HTTPStatus() == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		// RFC 6749 §5.2 asks for it where the client has used the header; elsewhere browsers would prompt for a password.
		w.Header().Set("WWW-Authenticate", `Basic realm="holdfast", charset="UTF-8"`)
	}
	_ = WriteJSON(w, e.HTTPStatus(), refusal{e.Code, e.Detail}) // two strings always marshal
}

// BearerDoor answers with the challenges of RFC 6750 §3 and RFC 9449 §7.1. algs are the algorithms a DPoP proof may
// have, separated by spaces. A refusal without a detail stands for a request without a token, which gets challenges
// and no error (RFC 6750 §3.1).
func BearerDoor(algs string) Door {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		e := visible(err)
		setHeaders(w, e)
		status := e.HTTPStatus()
		switch status {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
			challenge(w.Header(), r, e, algs)
		}
		if e.Detail == "" {
			NoStore(w.Header())
			w.WriteHeader(status)
			return
		}
		_ = WriteJSON(w, status, refusal{e.Code, e.Detail})
	}
}

// challenge names the error in the scheme that was used. Somebody who used another than DPoP learns of both.
func challenge(h http.Header, r *http.Request, e *oauth.Error, algs string) {
	detail := ""
	if e.Detail != "" {
		detail = fmt.Sprintf(`, error="%s", error_description="%s"`, e.Code, quotable(e.Detail))
	}
	bearer, dpop := `Bearer realm="holdfast"`, fmt.Sprintf(`DPoP realm="holdfast", algs="%s"`, algs)
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "DPoP") {
		h.Add("WWW-Authenticate", dpop+detail)
		return
	}
	h.Add("WWW-Authenticate", bearer+detail)
	h.Add("WWW-Authenticate", dpop)
}

// quotable keeps the characters an error_description may have (RFC 6750 §3).
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, s)
}

// ProblemDoor answers with problem details (RFC 9457). The instance is the request id.
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
	_, _ = w.Write(body) // a caller that has gone cannot be told
}

// PageDoor answers people with a page. It never redirects.
func PageDoor(p *Pages) Door {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		e := visible(err)
		setHeaders(w, e)
		event := EventOf(r.Context())
		view := ErrorView{Status: e.HTTPStatus(), Code: string(e.Code), Detail: e.Detail, RequestID: event.RequestID}
		if err := p.Render(w, r, e.HTTPStatus(), "error", view); err != nil {
			event.Cause(err)
			http.Error(w, string(e.Code), e.HTTPStatus())
		}
	}
}

func setHeaders(w http.ResponseWriter, e *oauth.Error) {
	for name, value := range e.Header {
		w.Header().Set(name, value)
	}
}
