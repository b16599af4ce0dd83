// Package clients lets client libraries that others have made use Holdfast as their readers would: in Go and on Node.js,
// over TLS, with somebody who signs in.
package clients

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// person signs in and agrees, with a browser that runs no scripts.
type person struct {
	t       *testing.T
	server  *holdfasttest.Server
	browser *http.Client
}

func newPerson(t *testing.T, s *holdfasttest.Server) *person {
	return &person{t: t, server: s, browser: s.HTTP()}
}

// answer visits an authorization request and returns the address to which the answer brings the browser.
func (p *person) answer(address string) string {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for range 12 {
		text, next, err := p.visit(request)
		if err != nil {
			p.t.Fatal(err)
		}
		switch {
		case next != "" && !strings.HasPrefix(next, p.server.Issuer):
			return next
		case next != "":
			request, err = http.NewRequestWithContext(p.t.Context(), http.MethodGet, next, nil)
		case strings.Contains(text, `id="login-submit"`):
			alice := p.server.Users[0]
			request, err = p.fill(request.URL, text, "login-submit", url.Values{"username": {alice.Username}, "password": {alice.Password}})
		case strings.Contains(text, `id="consent-allow"`):
			request, err = p.fill(request.URL, text, "consent-allow", nil)
		default:
			p.t.Fatalf("the way ends at %s:\n%s", request.URL, text)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	p.t.Fatal("the way never ends")
	return ""
}

// visit reads a page, and finds where it leads by itself: by a redirect, or by the Refresh of the page that leaves.
func (p *person) visit(request *http.Request) (text, next string, err error) {
	resp, err := p.browser.Do(request)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = resp.Body.Close() }() // it is read whole
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", "", err
	}
	next = resp.Header.Get("Location")
	if refresh := resp.Header.Get("Refresh"); refresh != "" {
		next = strings.TrimPrefix(refresh, "0;url=")
	}
	if next != "" {
		to, err := request.URL.Parse(next)
		if err != nil {
			return "", "", err
		}
		next = to.String()
	}
	return string(body), next, nil
}

// fill is what sends the form with a button.
func (p *person) fill(at *url.URL, text, button string, values url.Values) (*http.Request, error) {
	p.t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	for n := range doc.Descendants() {
		if n.Data != "form" {
			continue
		}
		all, found := url.Values{}, false
		for c := range n.Descendants() {
			if name := attribute(c, "name"); name != "" && c.Data == "input" {
				all.Set(name, attribute(c, "value"))
			}
			if c.Data == "button" && attribute(c, "id") == button {
				found = true
				all.Set(attribute(c, "name"), attribute(c, "value"))
			}
		}
		if !found {
			continue
		}
		for name := range values {
			all.Set(name, values.Get(name))
		}
		to, err := at.Parse(attribute(n, "action"))
		if err != nil {
			return nil, err
		}
		r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, to.String(), strings.NewReader(all.Encode()))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", to.Scheme+"://"+to.Host)
		return r, nil
	}
	p.t.Fatalf("no form with a button %s", button)
	return nil, nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
