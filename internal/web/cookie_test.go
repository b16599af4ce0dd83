package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/web"
)

func TestRFC6265bis_4_1_3_HostPrefix(t *testing.T) {
	w := httptest.NewRecorder()
	web.SetCookie(w, web.SessionCookie, "id.secret", 0)
	web.SetCookie(w, web.InteractionCookie+"12345678", "sealed", 30*time.Minute)
	web.ClearCookie(w, web.SessionCookie)
	got := w.Result().Cookies()
	if len(got) != 3 {
		t.Fatalf("cookies %v", got)
	}
	for _, c := range got {
		// With one attribute missing browsers refuse the prefix, and a deletion leaves the cookie alive.
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("%s", c.Raw)
		}
	}
	if got[0].MaxAge != 0 || got[1].MaxAge != 1800 || got[2].MaxAge != -1 || got[2].Value != "" {
		t.Errorf("ages %v", got)
	}
}

func TestEveryIssuerHasItsCookie(t *testing.T) {
	if got := web.SessionCookieAt(""); got != "__Host-hf-s" {
		t.Errorf("at the root: %s", got)
	}
	if a, b := web.SessionCookieAt("/a"), web.SessionCookieAt("/b"); a == b || len(a) != len("__Host-hf-s-01234567") || !strings.HasPrefix(a, "__Host-hf-s-") {
		t.Errorf("with a path: %s, %s", a, b)
	}
}

func withCookies(header string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", header)
	return r
}

func TestCookie(t *testing.T) {
	tests := map[string]string{
		"":                                  "",
		"__Host-hf-s=a":                     "a",
		"x=1; __Host-hf-s=a.b-_; y=2":       "a.b-_",
		"__Host-hf-s=a; __Host-hf-s=b":      "", // one of them was planted
		"__host-hf-s=a":                     "",
		"=__Host-hf-s=a":                    "",
		"__Host-hf-s":                       "",
		"__Host-hf-s=a; __Host-hf-i-1=b; ;": "a",
	}
	for header, want := range tests {
		if got := web.Cookie(withCookies(header), web.SessionCookie); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	got := web.CookiesWith(withCookies("__Host-hf-i-1=a; __Host-hf-s=b; __Host-hf-i-2=c"), web.InteractionCookie)
	if len(got) != 2 || got[0].Value != "a" || got[1].Value != "c" {
		t.Errorf("got %v", got)
	}
}

func FuzzCookie(f *testing.F) {
	f.Add("__Host-hf-s=a; __Host-hf-i-1=b")
	f.Add("__Host-hf-s=\"a\"; =;;__Host-hf-s=")
	f.Fuzz(func(t *testing.T, header string) {
		r := withCookies(header)
		if v := web.Cookie(r, web.SessionCookie); strings.ContainsAny(v, ";\r\n\x00") {
			t.Errorf("value %q", v)
		}
		for _, c := range web.CookiesWith(r, web.InteractionCookie) {
			if !strings.HasPrefix(c.Name, web.InteractionCookie) {
				t.Errorf("name %q", c.Name)
			}
		}
	})
}
