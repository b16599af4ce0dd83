package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/holdfast-iam/holdfast/internal/account"
	"github.com/holdfast-iam/holdfast/internal/consent"
	"github.com/holdfast-iam/holdfast/internal/login"
	"github.com/holdfast-iam/holdfast/internal/logout"
	"github.com/holdfast-iam/holdfast/internal/web"
)

const base = "/tenant"

func pages(t testing.TB) *web.Pages {
	t.Helper()
	p, err := web.NewPages(web.Theme{Name: "Northwind <Trading>", Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// views are examples of every page in every shape it can take, under "page" or "page/shape".
func views() map[string]any {
	all := map[string]any{
		"error":     web.ErrorView{Status: 400, Code: "invalid_request", Detail: "it is wrong", RequestID: "R"},
		"error/404": web.ErrorView{Status: 404, Code: "invalid_request", Detail: "there is nothing here", RequestID: "R"},
		"error/500": web.ErrorView{Status: 500, Code: "server_error", RequestID: "R"},
		"leave":     web.LeaveView{URL: "com.example.app:/cb?code=c&state=s", App: "Example"},
		"post":      web.PostView{URL: "https://app.example/cb?a=b", App: "Example", Fields: []web.Field{{Name: "code", Value: "c"}, {Name: "state", Value: "s"}}},
	}
	for _, room := range []map[string]any{login.Views(), consent.Views(), logout.Views(), account.Views()} {
		for name, view := range room {
			all[name] = view
		}
	}
	all["login/plain"] = login.View{Interaction: "i", PasskeyOptions: "{}"}
	all["account/empty"] = account.View{Username: "alice"}
	all["delete/last"] = account.DeleteView{ID: "x", Name: "Laptop", Last: true}
	all["logout/nobody"] = logout.View{Confirm: "x"}
	for _, step := range []string{"password", "mail", "code", "verify", "create", "nomail"} {
		all["passkey/"+step] = account.StepView{Step: step, Username: "alice", Email: "a…@example.com", Options: "{}", State: "s", Next: "/account"}
	}
	return all
}

// renderAll calls check for every view.
func renderAll(t *testing.T, check func(t *testing.T, page string, res *http.Response, doc *html.Node)) {
	p := pages(t)
	for name, view := range views() {
		t.Run(name, func(t *testing.T) {
			page, _, _ := strings.Cut(name, "/")
			w := httptest.NewRecorder()
			if err := p.Render(w, httptest.NewRequest("GET", "/", nil), 200, page, view); err != nil {
				t.Fatal(err)
			}
			res := w.Result()
			doc, err := html.Parse(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			check(t, page, res, doc)
		})
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// elements lists the elements with one of the names, or all.
func elements(doc *html.Node, names ...string) []*html.Node {
	var found []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (len(names) == 0 || slices.Contains(names, n.Data)) {
			found = append(found, n)
		}
	}
	return found
}

func TestEveryPageHasAView(t *testing.T) {
	seen := map[string]bool{}
	for name := range views() {
		page, _, _ := strings.Cut(name, "/")
		seen[page] = true
	}
	for _, page := range []string{"account", "consent", "delete", "end", "error", "leave", "login", "logout", "passkey", "post", "signedout"} {
		if !seen[page] {
			t.Errorf("no view of %s", page)
		}
	}
}

func TestPagesKeepTheirPolicy(t *testing.T) {
	renderAll(t, func(t *testing.T, page string, res *http.Response, doc *html.Node) {
		h := res.Header
		csp, forms, referrers := h.Get("Content-Security-Policy"), "form-action 'self'", "same-origin"
		if page == "post" {
			forms, referrers = "form-action https://app.example", "origin"
		}
		for _, want := range []string{
			"default-src 'none'", "style-src 'self'", "script-src 'self'", "connect-src 'self'", forms, "frame-ancestors 'none'",
			"base-uri 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
		} {
			if !slices.Contains(strings.Split(csp, "; "), want) {
				t.Errorf("policy lacks %s: %s", want, csp)
			}
		}
		if h.Get("Referrer-Policy") != referrers || h.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", h)
		}
		for _, n := range elements(doc) {
			if n.Data == "style" || has(n, "style") {
				t.Errorf("inline style in <%s>", n.Data)
			}
			if n.Data == "script" && (attribute(n, "src") == "" || text(n) != "") {
				t.Error("inline script")
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
					t.Errorf("script in <%s %s>", n.Data, a.Key)
				}
			}
			if n.Data == "iframe" || n.Data == "object" || n.Data == "embed" || n.Data == "base" || attribute(n, "http-equiv") != "" {
				t.Errorf("<%s> does not belong on a page of ours", n.Data)
			}
		}
	})
}

func TestPagesAreWellFormed(t *testing.T) {
	renderAll(t, func(t *testing.T, page string, _ *http.Response, doc *html.Node) {
		ids := map[string]bool{}
		for _, n := range elements(doc) {
			if id := attribute(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("id %s comes twice", id)
				}
				ids[id] = true
			}
		}
		for _, n := range elements(doc) {
			for _, ref := range []string{"for", "aria-labelledby", "aria-describedby"} {
				if to := attribute(n, ref); to != "" && !ids[to] {
					t.Errorf("%s refers to %s, which is not there", ref, to)
				}
			}
		}
		if root := elements(doc, "html")[0]; attribute(root, "lang") != "en" {
			t.Error("no language")
		}
		if titles := elements(doc, "title"); !strings.HasSuffix(text(titles[0]), " · Northwind <Trading>") || strings.HasPrefix(text(titles[0]), " ") {
			t.Errorf("title %q", text(titles[0]))
		}
		if n := len(elements(doc, "h1")); n != 1 {
			t.Errorf("%d h1", n)
		}
		if len(elements(doc, "main")) != 1 {
			t.Error("no main")
		}
	})
}

func TestFormsAreOursAndLabelled(t *testing.T) {
	renderAll(t, func(t *testing.T, page string, _ *http.Response, doc *html.Node) {
		labels := map[string]bool{}
		for _, n := range elements(doc, "label") {
			labels[attribute(n, "for")] = text(n) != ""
		}
		for _, n := range elements(doc, "input", "select", "textarea") {
			if attribute(n, "type") != "hidden" && !labels[attribute(n, "id")] {
				t.Errorf("no label for %s", attribute(n, "name"))
			}
			if attribute(n, "name") == "" {
				t.Error("an input without a name")
			}
		}
		for _, n := range elements(doc, "form") {
			ours := strings.HasPrefix(attribute(n, "action"), base+"/")
			if attribute(n, "method") != "post" || ours == (page == "post") {
				t.Errorf("form %s %s", attribute(n, "method"), attribute(n, "action"))
			}
			if len(elements(n, "button")) == 0 {
				t.Errorf("form %s cannot be sent without a script", attribute(n, "action"))
			}
		}
		for _, n := range elements(doc, "button", "a", "summary") {
			if text(n) == "" && attribute(n, "aria-label") == "" {
				t.Errorf("a <%s> without a name", n.Data)
			}
		}
		for _, n := range elements(doc, "img") {
			if !has(n, "alt") {
				t.Error("an image without alt")
			}
		}
	})
}

func TestAutocomplete(t *testing.T) {
	want := map[string]string{
		"login/username": "username webauthn", "login/password": "current-password",
		"confirm/username": "username", "confirm/password": "current-password",
		"passkey/username": "username", "passkey/password": "current-password", "passkey/code": "one-time-code",
	}
	renderAll(t, func(t *testing.T, page string, _ *http.Response, doc *html.Node) {
		for _, n := range elements(doc, "input") {
			if w := want[page+"/"+attribute(n, "id")]; w != "" && attribute(n, "autocomplete") != w {
				t.Errorf("%s: autocomplete %q", attribute(n, "id"), attribute(n, "autocomplete"))
			}
		}
	})
}

func TestStableIDs(t *testing.T) {
	want := map[string][]string{
		"login": {"username", "password", "login-submit", "passkey-form", "passkey-submit"}, "consent": {"consent-allow", "cancel"},
		"confirm": {"username", "password", "login-submit", "passkey-form", "passkey-submit", "login-stay", "login-other", "cancel"},
		"logout":  {"logout-confirm"}, "error": {"error-code", "request-id"}, "leave": {"leave-link"}, "post": {"post-form", "post-submit"}, "account": {"passkey-add", "sign-out"},
	}
	renderAll(t, func(t *testing.T, page string, _ *http.Response, doc *html.Node) {
		for _, id := range want[page] {
			if !slices.ContainsFunc(elements(doc), func(n *html.Node) bool { return attribute(n, "id") == id }) {
				t.Errorf("no %s", id)
			}
		}
	})
}

func TestLanguages(t *testing.T) {
	spoken := pages(t).Languages()
	renderAll(t, func(t *testing.T, _ string, _ *http.Response, doc *html.Node) {
		for _, n := range elements(doc, "html") {
			if !slices.Contains(spoken, attribute(n, "lang")) {
				t.Errorf("in %q, which is none of %q", attribute(n, "lang"), spoken)
			}
		}
	})
}

func TestAssets(t *testing.T) {
	mux := http.NewServeMux()
	pages(t).Mount(mux)
	seen := map[string]bool{}
	renderAll(t, func(t *testing.T, page string, _ *http.Response, doc *html.Node) {
		for _, n := range elements(doc, "script", "link", "img") {
			address := attribute(n, "src") + attribute(n, "href")
			if strings.HasPrefix(address, base+"/assets/") {
				seen[strings.TrimPrefix(address, base)] = true
			} else if n.Data != "img" {
				t.Errorf("<%s> from %s", n.Data, address)
			}
		}
	})
	if len(seen) != 4 {
		t.Errorf("assets %v", seen)
	}
	for address := range seen {
		res := answer(t, mux, httptest.NewRequest("GET", address, nil))
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || body(t, res) == "" {
			t.Errorf("%s: %d %v", address, res.StatusCode, res.Header)
		}
	}
	res := answer(t, mux, httptest.NewRequest("GET", "/assets/holdfast.css", nil))
	if res.StatusCode != 404 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a name without hash: %d", res.StatusCode)
	}
}

func TestLogoMayBeShownAndNothingElse(t *testing.T) {
	for logo, want := range map[string]string{
		"https://example.com/l.png":      "img-src 'self' data: https://example.com;",
		"https://example.com:8443/l.png": "img-src 'self' data: https://example.com:8443;",
		"":                               "img-src 'self' data:;",
		"https://a;sandbox/l.png":        "img-src 'self' data:;",
		"https://*/l.png":                "img-src 'self' data:;",
	} {
		w := httptest.NewRecorder()
		v := login.View{Client: login.Client{Name: "x", LogoURI: logo}, PasskeyOptions: "{}"}
		if err := pages(t).Render(w, httptest.NewRequest("GET", "/", nil), 200, "login", v); err != nil {
			t.Fatal(err)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, want) || strings.Contains(csp, "sandbox") {
			t.Errorf("%s: %s", logo, csp)
		}
	}
}

func TestTextsAreEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>`
	w := httptest.NewRecorder()
	v := login.View{Interaction: evil, Client: login.Client{Name: evil, LogoURI: "javascript:alert(1)", PolicyURI: "javascript:alert(1)"}, Username: evil, PasskeyOptions: evil, PasskeyState: evil}
	if err := pages(t).Render(w, httptest.NewRequest("GET", "/", nil), 200, "login", v); err != nil {
		t.Fatal(err)
	}
	if got := w.Body.String(); strings.Contains(got, "<script>") || strings.Contains(got, `="javascript:`) {
		t.Errorf("input came through: %s", got)
	}
}

func TestLeave(t *testing.T) {
	const target = "https://app.example/cb?code=a%20b&state=%22x"
	w := httptest.NewRecorder()
	if err := pages(t).Leave(w, httptest.NewRequest("GET", "/", nil), target, "Example"); err != nil {
		t.Fatal(err)
	}
	res := w.Result()
	if res.StatusCode != 200 || res.Header.Get("Refresh") != "0;url="+target || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
	doc, err := html.Parse(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range elements(doc, "a") {
		if attribute(n, "id") == "leave-link" {
			if attribute(n, "href") != target {
				t.Errorf("link to %s", attribute(n, "href"))
			}
			return
		}
	}
	t.Error("no link")
}

func TestRenderWritesAllOrNothing(t *testing.T) {
	for _, page := range []string{"login", "nowhere"} {
		w := httptest.NewRecorder()
		err := pages(t).Render(w, httptest.NewRequest("GET", "/", nil), 200, page, struct{ Wrong string }{"x"})
		if err == nil || w.Body.Len() != 0 || len(w.Header()) != 0 {
			t.Errorf("%s: %v, %d bytes, %v", page, err, w.Body.Len(), w.Header())
		}
	}
	w := httptest.NewRecorder()
	if err := pages(t).Render(w, httptest.NewRequest("HEAD", "/", nil), 200, "signedout", nil); err != nil || w.Body.Len() != 0 {
		t.Errorf("HEAD: %v, %d bytes", err, w.Body.Len())
	}
}

func TestSeeOther(t *testing.T) {
	to := "/tenant/authorize/next?i=" + url.QueryEscape("a b")
	res := answer(t, web.Through(web.OAuthDoor, func(w http.ResponseWriter, r *http.Request) error {
		return web.SeeOther(w, r, to)
	}), httptest.NewRequest("POST", "/tenant/login/password", nil))
	if res.StatusCode != 303 || res.Header.Get("Location") != to || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s", fmt.Sprint(res.StatusCode, res.Header))
	}
}
