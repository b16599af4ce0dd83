package web_test

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/holdfast-iam/holdfast/internal/web"
)

func TestPost(t *testing.T) {
	const target = `https://app.example:8443/cb?a=b&c="d`
	fields := url.Values{"code": {"a b"}, "state": {`"><script>alert(1)</script>` + "\u2028"}, "iss": {"https://login.example"}}
	w := httptest.NewRecorder()
	if err := pages(t).Post(w, httptest.NewRequest("GET", "/", nil), target, fields, "Example <app>"); err != nil {
		t.Fatal(err)
	}
	res := w.Result()
	if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Refresh") != "" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
	csp := strings.Split(res.Header.Get("Content-Security-Policy"), "; ")
	if !slices.Contains(csp, "form-action https://app.example:8443") || slices.Contains(csp, "form-action 'self'") {
		t.Errorf("policy %v", csp)
	}
	doc, err := html.Parse(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	form := elements(doc, "form")
	if len(form) != 1 || attribute(form[0], "action") != strings.ReplaceAll(target, `"`, "%22") {
		t.Fatalf("forms %v", form)
	}
	sent := url.Values{}
	for _, n := range elements(form[0], "input") {
		if attribute(n, "type") != "hidden" {
			t.Errorf("input %s is shown", attribute(n, "name"))
		}
		sent.Add(attribute(n, "name"), attribute(n, "value"))
	}
	if sent.Encode() != fields.Encode() {
		t.Errorf("the form sends %v", sent)
	}
	for _, n := range elements(doc, "script") {
		if !strings.HasPrefix(attribute(n, "src"), base+"/assets/post.") {
			t.Errorf("script %s %s", attribute(n, "src"), text(n))
		}
	}
}

// A policy names origins of web addresses and nothing that could become a directive.
func TestFormOrigin(t *testing.T) {
	for address, want := range map[string]string{
		"https://app.example/cb":            "https://app.example",
		"https://app.example:8443/cb?a#b":   "https://app.example:8443",
		"http://127.0.0.1:51004/cb":         "http://127.0.0.1:51004",
		"http://localhost/":                 "http://localhost",
		"com.example.app:/cb":               "",
		"http://[::1]:7/cb":                 "",
		"https://a;script-src%20*/":         "",
		"https://a'unsafe-inline'/":         "",
		"https://*/":                        "",
		"https:///cb":                       "",
		"javascript://app.example/%0aalert": "",
		"":                                  "",
	} {
		if got := web.FormOrigin(address); got != want {
			t.Errorf("%s: got %q", address, got)
		}
		w := httptest.NewRecorder()
		err := pages(t).Post(w, httptest.NewRequest("GET", "/", nil), address, url.Values{"code": {"c"}}, "x")
		if (err == nil) != (want != "") || err != nil && w.Body.Len() != 0 {
			t.Errorf("%s: %v, %d bytes", address, err, w.Body.Len())
		}
	}
}
