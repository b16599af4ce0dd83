package authntest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser keeps cookies and follows the issuer's own redirects, except to where an interaction goes on.
type Browser struct {
	Jar    map[string]string // by the names of the cookies
	issuer *Issuer
}

// Browser is a new one without cookies.
func (i *Issuer) Browser() *Browser { return &Browser{map[string]string{}, i} }

// Page is one answer.
type Page struct {
	Path   string // with the query
	Status int
	Header http.Header
	Body   string
	Root   *html.Node
	t      testing.TB
}

// Send adds the cookies, sends a request, and reads the answer.
func (b *Browser) Send(r *http.Request) *Page {
	t := b.issuer.T
	t.Helper()
	r.Header.Set("User-Agent", Agent)
	for name, value := range b.Jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	b.issuer.Handler.ServeHTTP(rec, r)
	res := rec.Result()
	for _, c := range res.Cookies() {
		if b.Jar[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.Jar, c.Name)
		}
	}
	if to := res.Header.Get("Location"); strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/authorize/next") {
		return b.Get(to)
	}
	root, err := html.Parse(strings.NewReader(rec.Body.String()))
	b.issuer.OK(err)
	return &Page{Path: r.URL.RequestURI(), Status: res.StatusCode, Header: res.Header, Body: rec.Body.String(), Root: root, t: t}
}

// Get opens a path of the issuer.
func (b *Browser) Get(path string) *Page {
	b.issuer.T.Helper()
	return b.Send(httptest.NewRequestWithContext(context.Background(), http.MethodGet, URL+path, nil))
}

// Post sends a form as one of the issuer's own pages does.
func (b *Browser) Post(path string, form url.Values) *Page {
	b.issuer.T.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, URL+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", URL)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.Send(r)
}

// Submit posts the form for an address as the page has it, with these fields (name, value, name, value) filled in.
func (b *Browser) Submit(p *Page, action string, fields ...string) *Page {
	b.issuer.T.Helper()
	values := url.Values{}
	for n := range p.mustForm(action).Descendants() {
		if name := Attribute(n, "name"); n.Data == "input" && name != "" {
			values.Set(name, Attribute(n, "value"))
		}
	}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return b.Post(action, values)
}

// Attribute is the value of an attribute, "" if there is none.
func Attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Form finds the first form for an address, nil if the page has none.
func (p *Page) Form(action string) *html.Node {
	for n := range p.Root.Descendants() {
		if n.Data == "form" && Attribute(n, "action") == action {
			return n
		}
	}
	return nil
}

func (p *Page) mustForm(action string) *html.Node {
	p.t.Helper()
	form := p.Form(action)
	if form == nil {
		p.t.Fatalf("%s (%d) has no form for %s: %s", p.Path, p.Status, action, p.Body)
	}
	return form
}

// Answer lets an authenticator answer the options of the form for an address.
func (p *Page) Answer(action string, ceremony func([]byte) ([]byte, error)) string {
	p.t.Helper()
	response, err := ceremony([]byte(Attribute(p.mustForm(action), "data-options")))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(response)
}

// Shows requires a status and texts on the page.
func (p *Page) Shows(status int, texts ...string) *Page {
	p.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.Body, html.EscapeString(text)) {
			p.t.Errorf("%s does not say %q: %s", p.Path, text, p.Body)
		}
	}
	if p.Status != status {
		p.t.Fatalf("%s: status %d, want %d: %s", p.Path, p.Status, status, p.Body)
	}
	return p
}
