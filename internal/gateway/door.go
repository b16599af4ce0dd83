package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// door shows refusals: pages get the JSON of their application, everybody else the challenges of RFC 6750 §3, RFC 9449
// §7.1 and RFC 9470 §3, in the schemes that the route takes.
func (c *call) door(w http.ResponseWriter, r *http.Request, err error) {
	h := w.Header()
	refused, _ := errors.AsType[*resource.Challenge](err)
	visible := plainly(err)
	c.event.SetCode(visible.Code)
	if refused != nil && refused.Nonce != "" {
		h.Set("DPoP-Nonce", refused.Nonce)
	}
	switch {
	case c.browser && c.app != nil:
		if line := pageChallenge(visible, refused); line != "" {
			h.Set("WWW-Authenticate", line)
		}
		web.AppDoor(c.app.DetailedErrors)(w, r, visible)
	case refused != nil:
		for _, line := range c.challenges(refused) {
			h.Add("WWW-Authenticate", line)
		}
		answer(w, visible)
	default:
		for name, value := range visible.Header {
			h.Set(name, value)
		}
		answer(w, visible)
	}
}

// pageChallenge tells a page what its session lacks. It is never one for Basic: browsers would ask for a password.
func pageChallenge(e *oauth.Error, refused *resource.Challenge) string {
	if refused != nil {
		own := *refused
		own.Scheme, own.Metadata = "", "" // how its token is bound is not the business of a page
		if lines := own.Header(); len(lines) > 0 {
			return lines[0]
		}
	}
	if appStatus(e) == http.StatusUnauthorized {
		return `Bearer error="invalid_token"`
	}
	return ""
}

// appStatus is the status AppDoor gives.
func appStatus(e *oauth.Error) int {
	switch e.Code {
	case web.Unauthorized, web.SessionExpired, web.TokenExpired, oauth.LoginRequired:
		return http.StatusUnauthorized
	}
	return e.HTTPStatus()
}

// answer writes a refusal; one without a detail has no error to tell (RFC 6750 §3.1).
func answer(w http.ResponseWriter, e *oauth.Error) {
	if e.Detail == "" {
		web.NoStore(w.Header())
		w.WriteHeader(e.HTTPStatus())
		return
	}
	_ = web.WriteJSON(w, e.HTTPStatus(), map[string]string{"error": string(e.Code), "error_description": e.Detail})
}

var errInternal = oauth.Refuse(oauth.ServerError, "the server met an unexpected condition")

// plainly is what may be seen of an error.
func plainly(err error) *oauth.Error {
	if refused, ok := errors.AsType[*resource.Challenge](err); ok {
		code := refused.Code
		if code == "" {
			code = oauth.InvalidToken
		}
		return oauth.Refuse(code, refused.Detail).WithStatus(refused.Status)
	}
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return e
	}
	if errors.Is(err, resource.ErrUnavailable) {
		return errBusy
	}
	return errInternal
}

var errBusy = oauth.Refuse(oauth.TemporarilyUnavailable, "the token cannot be checked now").WithHeader("Retry-After", "1")

// challenges leaves out the schemes that the route does not take, but for the one that was used.
func (c *call) challenges(refused *resource.Challenge) []string {
	var lines []string
	for _, line := range refused.Header() {
		scheme, _, _ := strings.Cut(line, " ")
		takes := c.route.Takes(objects.CredentialDPoP)
		if scheme == oauth.TypeBearer {
			takes = c.route.Takes(objects.CredentialCertificate) || c.route.Takes(objects.CredentialBearer)
		}
		if takes || scheme == refused.Scheme || c.bearsError(scheme, refused) {
			lines = append(lines, line)
		}
	}
	return lines
}

// bearsError says whether the line of a scheme is the one that names the error.
func (c *call) bearsError(scheme string, refused *resource.Challenge) bool {
	return refused.Code != "" && refused.Scheme == "" && scheme == oauth.TypeBearer
}
