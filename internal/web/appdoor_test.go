package web_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestAppDoor(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		status int
		code   string
		detail string // where details are shown
	}{
		"missing header":   {oauth.Refuse(web.MissingCustomHeader, "send it"), 400, "missing_custom_header", "send it"},
		"untrusted origin": {oauth.Refuse(web.UntrustedOrigin, "no"), 403, "untrusted_origin", "no"},
		"no session":       {oauth.Refuse(web.Unauthorized, "no"), 401, "unauthorized", "no"},
		"dead session":     {oauth.Refuse(web.SessionExpired, "no"), 401, "session_expired", "no"},
		"login required":   {oauth.Refuse(oauth.LoginRequired, "no"), 401, "login_required", "no"},
		"bad issuer":       {oauth.Refuse(web.AuthorizationServer, "no"), 502, "authorization_server_error", "no"},
		"too many":         {oauth.Refuse(web.TooManyRequests, "no"), 429, "too_many_requests", "no"},
		"not found":        {oauth.Refuse(oauth.InvalidRequest, "no").WithStatus(404), 404, "invalid_request", "no"},
		"another code":     {oauth.Refuse(oauth.InvalidToken, "no"), 401, "invalid_token", "no"},
		"internal":         {errors.New("secret"), 500, "server_error", "the server met an unexpected condition"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, detailed := range []bool{false, true} {
				w := httptest.NewRecorder()
				web.Fail(web.AppDoor(detailed), w, httptest.NewRequest("GET", "https://api.example/", nil), tc.err)
				var got map[string]string
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				detail, shown := got["detailed_error"]
				if w.Code != tc.status || got["error_code"] != tc.code || got["code"] != tc.code || got["message"] == "" || shown != detailed || shown && detail != tc.detail {
					t.Errorf("detailed %v: %d %v", detailed, w.Code, got)
				}
				if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("header %v", w.Header())
				}
			}
		})
	}
}
