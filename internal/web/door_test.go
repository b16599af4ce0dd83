package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

func refusing(err error) web.Handler {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

// answer serves one request and returns what came.
func answer(t *testing.T, h http.Handler, r *http.Request) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRFC6749_5_2_Error(t *testing.T) {
	tests := map[string]struct {
		err           error
		authorization string
		status        int
		body          string
		challenge     string
	}{
		"refused":        {oauth.Refuse(oauth.InvalidGrant, "the code is spent"), "", 400, `{"error":"invalid_grant","error_description":"the code is spent"}`, ""},
		"with a header":  {oauth.Refuse(oauth.InvalidClient, "no"), "Basic eDp5", 401, `{"error":"invalid_client","error_description":"no"}`, `Basic realm="holdfast", charset="UTF-8"`},
		"without header": {oauth.Refuse(oauth.InvalidClient, "no"), "", 401, `{"error":"invalid_client","error_description":"no"}`, ""},
		"internal":       {errors.New("disk on fire"), "", 500, `{"error":"server_error","error_description":"the server met an unexpected condition"}`, ""},
		"overloaded":     {context.DeadlineExceeded, "", 503, `{"error":"temporarily_unavailable","error_description":"the server is busy"}`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/token", nil)
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			res := answer(t, web.Through(web.OAuthDoor, refusing(tt.err)), r)
			if got := body(t, res); res.StatusCode != tt.status || got != tt.body {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, got, tt.status, tt.body)
			}
			if got := res.Header.Get("WWW-Authenticate"); got != tt.challenge {
				t.Errorf("challenge %q, want %q", got, tt.challenge)
			}
			if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", res.Header)
			}
		})
	}
}

func TestHeadersOfARefusal(t *testing.T) {
	refusal := oauth.Refuse(oauth.UseDPoPNonce, "use this nonce").WithHeader("DPoP-Nonce", "n").WithHeader("Retry-After", "7")
	for name, door := range map[string]web.Door{
		"oauth": web.OAuthDoor, "bearer": web.BearerDoor("ES256"), "problem": web.ProblemDoor, "page": web.PageDoor(pages(t)),
	} {
		res := answer(t, web.Through(door, refusing(refusal)), httptest.NewRequest("POST", "/", nil))
		if res.Header.Get("DPoP-Nonce") != "n" || res.Header.Get("Retry-After") != "7" {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
}

func TestRFC6750_3_Challenge(t *testing.T) {
	const bearer, dpop = `Bearer realm="holdfast"`, `DPoP realm="holdfast", algs="ES256 EdDSA"`
	tests := map[string]struct {
		err           *oauth.Error
		authorization string
		status        int
		challenges    []string
		body          string
	}{
		"no token": {oauth.Refuse(oauth.InvalidToken, ""), "", 401, []string{bearer, dpop}, ""},
		"bad bearer": {oauth.Refuse(oauth.InvalidToken, "the access token is not valid"), "Bearer x", 401,
			[]string{bearer + `, error="invalid_token", error_description="the access token is not valid"`, dpop}, `{"error":"invalid_token","error_description":"the access token is not valid"}`},
		"RFC9449_7_1 bad proof": {oauth.Refuse(oauth.InvalidDPoPProof, "bad").WithStatus(401), "dpop x", 401,
			[]string{dpop + `, error="invalid_dpop_proof", error_description="bad"`}, `{"error":"invalid_dpop_proof","error_description":"bad"}`},
		"token in the form": {oauth.Refuse(oauth.InsufficientScope, "the scope openid is needed"), "", 403,
			[]string{bearer + `, error="insufficient_scope", error_description="the scope openid is needed"`, dpop}, `{"error":"insufficient_scope","error_description":"the scope openid is needed"}`},
		"quotes": {oauth.Refuse(oauth.InvalidRequest, "a \"b\\\n\u00fc"), "Bearer x", 400,
			[]string{bearer + `, error="invalid_request", error_description="a b"`, dpop}, `{"error":"invalid_request","error_description":"a \"b\\\nü"}`},
		"not about tokens": {oauth.Refuse(oauth.InvalidRequest, "no").WithStatus(405), "Bearer x", 405, nil, `{"error":"invalid_request","error_description":"no"}`},
		"ours":             {oauth.Refuse(oauth.ServerError, "x"), "Bearer x", 500, nil, `{"error":"server_error","error_description":"x"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/userinfo", nil)
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			res := answer(t, web.Through(web.BearerDoor("ES256 EdDSA"), refusing(tt.err)), r)
			if got := res.Header.Values("WWW-Authenticate"); res.StatusCode != tt.status || !slices.Equal(got, tt.challenges) {
				t.Errorf("got %d %q", res.StatusCode, got)
			}
			if got := body(t, res); got != tt.body {
				t.Errorf("body %s", got)
			}
		})
	}
}

func TestRFC9457_Problem(t *testing.T) {
	h := web.Through(web.ProblemDoor, refusing(oauth.Refuse(oauth.InvalidRequest, "it is wrong").WithStatus(422)))
	r := httptest.NewRequest("PUT", "/admin/v1/clients/x", nil)
	r = r.WithContext(web.WithEvent(r.Context(), &web.Event{RequestID: "REQUEST"}))
	res := answer(t, h, r)
	var got map[string]any
	if err := json.Unmarshal([]byte(body(t, res)), &got); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 422 || res.Header.Get("Content-Type") != "application/problem+json" ||
		got["type"] != "about:blank" || got["title"] != "Unprocessable Entity" || got["status"] != 422.0 ||
		got["code"] != "invalid_request" || got["detail"] != "it is wrong" || got["instance"] != "REQUEST" {
		t.Errorf("got %d %v", res.StatusCode, got)
	}
}

func TestPageDoorShowsCodeAndRequestAndNoCause(t *testing.T) {
	secret := errors.New("database password is hunter2")
	r := httptest.NewRequest("GET", "/login", nil)
	event := &web.Event{RequestID: "REQUEST"}
	r = r.WithContext(web.WithEvent(r.Context(), event))
	res := answer(t, web.Through(web.PageDoor(pages(t)), refusing(secret)), r)
	got := body(t, res)
	if res.StatusCode != 500 || !strings.Contains(got, `id="error-code">server_error<`) || !strings.Contains(got, ">REQUEST<") || strings.Contains(got, "hunter2") {
		t.Errorf("got %d %s", res.StatusCode, got)
	}
	if event.Reason() != secret.Error() || event.Code() != oauth.ServerError {
		t.Errorf("event: %s, %s", event.Code(), event.Reason())
	}
}

func TestBrokenOffIsNotOurFault(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	res := answer(t, web.Through(web.OAuthDoor, refusing(ctx.Err())), r)
	if res.StatusCode >= 500 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestJSON(t *testing.T) {
	parse := func(r *http.Request) (string, error) {
		if name := r.PathValue("name"); name != "" {
			return name, nil
		}
		return "", oauth.Refuse(oauth.InvalidRequest, "no name")
	}
	decide := func(_ context.Context, name string) (map[string]string, error) {
		if name == "nobody" {
			return nil, oauth.Refuse(oauth.AccessDenied, "not you")
		}
		return map[string]string{"hello": name}, nil
	}
	mux := web.NewMux(web.OAuthDoor)
	mux.Handle("GET /{name}", web.Through(web.OAuthDoor, web.JSON(parse, decide)))
	for path, want := range map[string]string{"/you": `{"hello":"you"}`, "/nobody": `{"error":"access_denied","error_description":"not you"}`} {
		res := answer(t, mux, httptest.NewRequest("GET", path, nil))
		if got := body(t, res); got != want || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v", path, got, res.Header)
		}
	}
}

func TestMuxRefusesInTheShapeOfItsDoor(t *testing.T) {
	mux := web.NewMux(web.ProblemDoor)
	mux.Handle("GET /thing/{id}", web.Through(web.ProblemDoor, func(w http.ResponseWriter, r *http.Request) error {
		return web.WriteJSON(w, 200, r.PathValue("id"))
	}))
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/thing/7", 200, ""}, {"HEAD", "/thing/7", 200, ""}, {"GET", "/other", 404, ""}, {"POST", "/thing/7", 405, "GET, HEAD"},
		{"BREW", "/thing/7", 405, "GET, HEAD"}, {"POST", "/", 404, ""},
	}
	for _, tt := range tests {
		res := answer(t, mux, httptest.NewRequest(tt.method, tt.path, nil))
		if res.StatusCode != tt.status || res.Header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q", tt.method, tt.path, res.StatusCode, res.Header.Get("Allow"))
		}
		if tt.status != 200 && res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %s", tt.method, tt.path, res.Header.Get("Content-Type"))
		}
	}
}

func TestProtect(t *testing.T) {
	mux := web.NewMux(web.PageDoor(pages(t)))
	ok := web.Through(web.OAuthDoor, func(w http.ResponseWriter, _ *http.Request) error { return web.WriteJSON(w, 200, "ok") })
	mux.Handle("POST /login/password", ok)
	mux.Handle("GET /account", ok)
	mux.Handle("POST /end-session", ok)
	h := web.Protect(mux, "POST /end-session")
	tests := []struct {
		method, path, site, origin string
		status                     int
	}{
		{"POST", "/login/password", "same-origin", "https://login.example", 200},
		{"POST", "/login/password", "same-site", "https://evil.example", 403},
		{"POST", "/login/password", "cross-site", "https://other.test", 403},
		{"POST", "/login/password", "", "https://other.test", 403},
		{"POST", "/login/password", "", "null", 403},
		{"POST", "/login/password", "", "", 200}, // no browser
		{"GET", "/account", "cross-site", "", 200},
		{"POST", "/end-session", "cross-site", "https://other.test", 200},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(tt.method, "https://login.example"+tt.path, nil)
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		res := answer(t, h, r)
		if res.StatusCode != tt.status {
			t.Errorf("%+v: %d", tt, res.StatusCode)
		}
		if got := body(t, res); tt.status == 403 && !strings.Contains(got, `id="error-code">access_denied<`) {
			t.Errorf("%+v: no page: %s", tt, got)
		}
	}
}
