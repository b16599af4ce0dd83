package appsession

import (
	"net/http"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// aliasHeader is accepted in place of the application's own header.
const aliasHeader = "X-Csrf"

// Admit refuses a request that no page of the application has made on purpose. SameSite is not enough for that: pages of
// sibling hosts are of the same site. It asks for the custom header with the value 1 on every method, for an Origin of
// the application where there is one and on every method that is not safe, and that the browser does not speak of
// another site or of a navigation. A WebSocket, which cannot have a header of its own, is judged by its Origin alone.
func Admit(r *http.Request, app *objects.Application) error {
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) > 1 || len(origins) == 1 && !app.AllowsOrigin(origins[0]):
		return oauth.Refuse(web.UntrustedOrigin, "the Origin is not one of the application's")
	case len(origins) == 1 && IsWebSocket(r):
		return nil
	case len(origins) == 0 && (IsWebSocket(r) || !isSafe(r.Method)):
		return oauth.Refuse(web.UntrustedOrigin, "the request has no Origin")
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "same-site":
	default:
		return oauth.Refuse(web.UntrustedOrigin, "the browser says that no page of this site has sent the request")
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode == "navigate" || mode == "no-cors" {
		return oauth.Refuse(web.UntrustedOrigin, "the browser says that the request is not one of a script")
	}
	if !carries(r, app.CustomHeader) && !carries(r, aliasHeader) {
		return oauth.Refuse(web.MissingCustomHeader, "send "+app.CustomHeader+": 1")
	}
	return nil
}

func carries(r *http.Request, header string) bool {
	values := r.Header.Values(header)
	return len(values) == 1 && values[0] == "1"
}

// isSafe is a closed list: what a method does that nobody has heard of is not known.
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// IsWebSocket says whether a request opens a WebSocket (RFC 6455 §4.1).
func IsWebSocket(r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return false
	}
	for token := range strings.SplitSeq(strings.Join(r.Header.Values("Connection"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
			return true
		}
	}
	return false
}

// CORS lets pages of the application read the answer, errors included: call it before anything is refused. Where the
// request is a preflight it is answered here, and preflight is true; that of another page is refused. methods are the
// ones a page may use, GET and POST if none are given.
func CORS(w http.ResponseWriter, r *http.Request, app *objects.Application, methods ...string) (preflight bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	allowed := app.AllowsOrigin(origin) && len(r.Header.Values("Origin")) == 1
	if allowed {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate, X-Request-Id")
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Add("Vary", "Access-Control-Request-Headers")
	if !allowed {
		web.Fail(web.AppDoor(app.DetailedErrors), w, r, oauth.Refuse(web.UntrustedOrigin, "the Origin is not one of the application's"))
		return true
	}
	if len(methods) == 0 {
		methods = []string{http.MethodGet, http.MethodPost}
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Allow-Headers", requestedHeaders(r, app))
	h.Set("Access-Control-Max-Age", "600")
	web.NoStore(h)
	w.WriteHeader(http.StatusNoContent)
	return true
}

// requestedHeaders are the ones the page asks for, which is a page of the application, and those that every request of
// it needs.
func requestedHeaders(r *http.Request, app *objects.Application) string {
	names := []string{app.CustomHeader, "x-csrf", "content-type"}
	asked := r.Header.Get("Access-Control-Request-Headers")
	if len(asked) > maxAsked {
		return strings.Join(names, ", ")
	}
	for name := range strings.SplitSeq(strings.ToLower(asked), ",") {
		name = strings.TrimSpace(name)
		if name != "" && strings.Trim(name, headerCharacters) == "" && name != app.CustomHeader && name != "x-csrf" && name != "content-type" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

const (
	maxAsked         = 2048
	headerCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
)
