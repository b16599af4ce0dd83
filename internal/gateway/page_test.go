package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Pages of an application get the errors of their application, in JSON with exactly that media type, with CORS headers so
// that they can read them, and never a challenge that has the browser ask for a password.
func TestPagesAreRefusedInTheirWay(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	cookie, session := r.cookie(t, "demo", "alice", false)
	foreign, _ := r.cookie(t, "backoffice", "alice", false)
	token, _ := r.issue(t, pass{client: "phone", bound: oauth.Confirmation{JKT: r.phone.JKT()}})
	page := func(method, path string) *http.Request {
		return fromPage(newRequest(t, method, r.origin+path, ""), cookie)
	}
	edited := func(method, path string, edit func(h http.Header)) *http.Request {
		q := page(method, path)
		edit(q.Header)
		return q
	}
	renamed := &http.Cookie{Name: cookie.Name, Value: foreign.Value}
	for name, c := range map[string]struct {
		q      *http.Request
		status int
		code   string
	}{
		"right":                           {page("GET", "/orders"), 200, ""},
		"no custom header":                {edited("GET", "/orders", func(h http.Header) { h.Del("Token-Handler-Version") }), 400, "missing_custom_header"},
		"the other custom header":         {edited("GET", "/orders", func(h http.Header) { h.Del("Token-Handler-Version"); h.Set("X-Csrf", "1") }), 200, ""},
		"another origin":                  {edited("GET", "/orders", func(h http.Header) { h.Set("Origin", "https://evil.holdfast.localhost") }), 403, "untrusted_origin"},
		"origin null":                     {edited("POST", "/orders", func(h http.Header) { h.Set("Origin", "null") }), 403, "untrusted_origin"},
		"no origin, safe":                 {edited("GET", "/orders", func(h http.Header) { h.Del("Origin") }), 200, ""},
		"no origin, unsafe":               {edited("POST", "/orders", func(h http.Header) { h.Del("Origin") }), 403, "untrusted_origin"},
		"from another site":               {edited("GET", "/orders", func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") }), 403, "untrusted_origin"},
		"by navigation":                   {edited("GET", "/orders", func(h http.Header) { h.Set("Sec-Fetch-Mode", "navigate") }), 403, "untrusted_origin"},
		"no cookie":                       {fromPage(newRequest(t, "GET", r.origin+"/orders", ""), nil), 401, "unauthorized"},
		"no cookie, cookies only":         {newRequest(t, "GET", r.origin+"/spa", ""), 400, "missing_custom_header"},
		"cookie of another application":   {fromPage(newRequest(t, "GET", r.origin+"/orders", ""), foreign), 401, "unauthorized"},
		"the same under our name":         {fromPage(newRequest(t, "GET", r.origin+"/orders", ""), renamed), 401, "session_expired"},
		"garbage":                         {fromPage(newRequest(t, "GET", r.origin+"/orders", ""), &http.Cookie{Name: cookie.Name, Value: "x"}), 401, "session_expired"},
		"the cookie twice":                {fromPage(page("GET", "/orders"), cookie), 401, "unauthorized"},
		"no such method":                  {page("DELETE", "/orders"), 405, "invalid_request"},
		"a token in the address":          {page("GET", "/orders?x=1&access%5ftoken=abc"), 400, "invalid_request"},
		"cookie and token":                {r.withProof(page("GET", "/orders"), token), 400, "invalid_request"},
		"cookie and token, cookie counts": {edited("GET", "/prefercookie", func(h http.Header) { h.Set("Authorization", "Bearer x") }), 200, ""},
		"cookie and token, token counts":  {r.withProof(page("GET", "/prefertoken"), token), 200, ""},
		"cookie on a route for tokens":    {page("GET", "/proof"), 401, "invalid_token"},
		"upgrade where there is none":     {edited("GET", "/spa", func(h http.Header) { h.Set("Upgrade", "websocket"); h.Set("Connection", "Upgrade") }), 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) { r.wantPage(t, client, c.q, c.status, c.code) })
	}
	t.Run("ended", func(t *testing.T) {
		r.write(t, func(tx *store.Tx) error { _, err := tx.EndAppSession(session.Record.ID); return err })
		eventually(t, "the end is heard", func() bool { return send(t, client, page("GET", "/orders")).StatusCode == 401 })
		if a := send(t, client, page("GET", "/orders")); !strings.Contains(a.body, "session_expired") {
			t.Error(a.body)
		}
	})
}

// wantPage sends what a page sends, and looks at what the page may read of the answer.
func (r *rig) wantPage(t *testing.T, client *http.Client, q *http.Request, status int, code string) {
	t.Helper()
	before := r.count()
	a := send(t, client, q)
	var body map[string]string
	if code != "" && a.body != "" && json.Unmarshal([]byte(a.body), &body) != nil {
		t.Errorf("body %q", a.body)
	}
	if a.StatusCode != status || a.body != "" && body["code"]+body["error"] != code {
		t.Errorf("%d %s, want %d %s", a.StatusCode, a.body, status, code)
	}
	if status != 200 && (r.count() != before || r.refusal(t).code != code) {
		t.Errorf("the API has seen %d more, recorded %+v", r.count()-before, r.refusal(t))
	}
	if body["code"] != "" && (a.Header.Get("Content-Type") != "application/json" || body["error_code"] != code || body["message"] == "") {
		t.Errorf("%s: %s", a.Header.Get("Content-Type"), a.body)
	}
	origin := q.Header.Get("Origin")
	if got := a.Header.Values("Access-Control-Allow-Origin"); body["code"] != "" && origin == spa && (len(got) != 1 || got[0] != spa) || origin != spa && len(got) > 0 {
		t.Errorf("allowed origin %q for %q", got, origin)
	}
	if got := a.Header.Get("WWW-Authenticate"); body["code"] != "" && status == 401 && got != `Bearer error="invalid_token"` {
		t.Errorf("challenge %q", got)
	}
}

// RFC 9470 §3, RFC 6750 §3.1: a page learns what would do, in words it can read.
func TestPagesLearnWhatIsMissing(t *testing.T) {
	r := landscape(t)
	cookie, _ := r.cookie(t, "demo", "alice", false)
	for path, want := range map[string]struct {
		status    int
		code, say string
	}{
		"/pagestepup": {401, "insufficient_user_authentication", `Bearer error="insufficient_user_authentication", error_description="the user has to sign in again", acr_values="phrh"`},
		"/pagewrite":  {403, "insufficient_scope", `Bearer error="insufficient_scope", error_description="the access token lacks a scope", scope="write"`},
	} {
		a := send(t, r.client(t, nil), fromPage(newRequest(t, "GET", r.origin+path, ""), cookie))
		got := a.Header.Values("WWW-Authenticate")
		if a.StatusCode != want.status || !strings.Contains(a.body, `"code":"`+want.code+`"`) || len(got) != 1 || got[0] != want.say {
			t.Errorf("%s: %d %s %q", path, a.StatusCode, a.body, got)
		}
		if !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
			t.Error("and cannot read it")
		}
	}
}

// The preflight tells pages of the application, and no others, which methods the routes have.
func TestPreflight(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	ask := func(path, origin, method string) reply {
		q := newRequest(t, "OPTIONS", r.origin+path, "")
		q.Header.Set("Origin", origin)
		q.Header.Set("Access-Control-Request-Method", method)
		q.Header.Set("Access-Control-Request-Headers", "token-handler-version,if-match")
		return send(t, client, q)
	}
	a := ask("/orders/7", spa, "POST")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": spa, "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "GET, POST, HEAD",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := a.Header.Get("Access-Control-Allow-Headers"); a.StatusCode != 204 || !strings.Contains(got, "token-handler-version") || !strings.Contains(got, "if-match") {
		t.Errorf("%d, headers %q", a.StatusCode, got)
	}
	for name, a := range map[string]reply{
		"another origin": ask("/orders", "https://evil.holdfast.localhost", "POST"), "a route for clients": ask("/proof", spa, "GET"), "no route": ask("/x", spa, "GET"),
	} {
		if a.StatusCode < 400 || a.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
		}
	}
	if r.count() != 0 {
		t.Error("the API was asked")
	}
}

// The name of the cookie is that of the token handler.
func TestCookieIsThatOfTheHandler(t *testing.T) {
	r := landscape(t)
	cookie, _ := r.cookie(t, "demo", "alice", false)
	app, err := r.reg.Application(t.Context(), "demo")
	if err != nil || cookie.Name != appsession.CookieName(app) || !strings.HasPrefix(cookie.Name, "__Host-Http-") {
		t.Errorf("%s, %v", cookie.Name, err)
	}
}
