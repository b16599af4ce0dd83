package spa_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/dev/spa"
)

func TestFiles(t *testing.T) {
	h, err := spa.New(spa.App{Name: "Demo", TokenHandler: "https://api.example/apps/demo", API: "https://api.example/orders"})
	if err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]string{
		"/": "text/html", "/callback?code=c&state=s": "text/html", "/app.js": "text/javascript", "/handler.js": "text/javascript",
		"/thief.js": "text/javascript", "/app.css": "text/css", "/holdfast.css": "text/css", "/mark.svg": "image/svg+xml",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		res := w.Result()
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		policy := strings.Split(res.Header.Get("Content-Security-Policy"), "; ")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src https://api.example", "base-uri 'none'",
			"frame-ancestors 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
		} {
			if !slices.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s", path, want)
			}
		}
		if res.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s sets a cookie", path)
		}
		again := httptest.NewRequest("GET", path, nil)
		again.Header.Set("If-None-Match", res.Header.Get("ETag"))
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, again); w.Code != http.StatusNotModified {
			t.Errorf("%s is sent again although it is unchanged: %d", path, w.Code)
		}
	}
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/fake_test.go", nil), httptest.NewRequest("POST", "/callback", nil)} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code < 400 {
			t.Errorf("%s %s: %d", r.Method, r.URL, w.Code)
		}
	}
}

func TestNewNeedsAddresses(t *testing.T) {
	for _, bad := range []spa.App{{}, {TokenHandler: "https://x/apps/demo", API: "http://x"}, {TokenHandler: "/apps/demo", API: "https://x"}} {
		if _, err := spa.New(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
