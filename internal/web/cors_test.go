package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/web"
)

func TestCORS(t *testing.T) {
	const page = "https://app.example"
	served := 0
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { served++; w.WriteHeader(http.StatusBadRequest) })
	allows := func(_ context.Context, origin string) (bool, error) {
		if origin == "https://broken.example" {
			return false, errors.New("no database")
		}
		return origin == page, nil
	}
	h := web.CORS(next, []string{"/token"}, allows)
	tests := []struct {
		name, method, path string
		origins            []string
		asked              string // Access-Control-Request-Method
		status, served     int
		allowed            string
	}{
		{"read by its page", "POST", "/token", []string{page}, "", 400, 1, page},
		{"asked before", "OPTIONS", "/token", []string{page}, "POST", 204, 0, page},
		{"another page", "POST", "/token", []string{"https://evil.example"}, "", 400, 1, ""},
		{"asked by another page", "OPTIONS", "/token", []string{"https://evil.example"}, "POST", 204, 0, ""},
		{"opaque origin", "POST", "/token", []string{"null"}, "", 400, 1, ""},
		{"two origins", "POST", "/token", []string{page, page}, "", 400, 1, ""},
		{"no browser", "POST", "/token", nil, "", 400, 1, ""},
		{"OPTIONS that asks nothing", "OPTIONS", "/token", []string{page}, "", 400, 1, page},
		{"another path", "POST", "/authorize", []string{page}, "", 400, 1, ""},
		{"another path, asked before", "OPTIONS", "/authorize", []string{page}, "POST", 400, 1, ""},
		{"nobody knows", "POST", "/token", []string{"https://broken.example"}, "", 500, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			served = 0
			r := httptest.NewRequest(test.method, test.path, nil)
			r.Header["Origin"] = test.origins
			if test.asked != "" {
				r.Header.Set("Access-Control-Request-Method", test.asked)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status || served != test.served {
				t.Errorf("status %d, served %d times", w.Code, served)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != test.allowed {
				t.Errorf("allowed %q, want %q", got, test.allowed)
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are let through")
			}
			preflight := test.status == http.StatusNoContent && test.allowed != ""
			if (w.Header().Get("Access-Control-Allow-Headers") != "") != preflight {
				t.Errorf("headers %v", w.Header())
			}
			if test.path == "/token" && w.Header().Get("Vary") != "Origin" {
				t.Error("a cache would mix origins up")
			}
		})
	}
}
