package web

import (
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// PostView is the page whose form brings a client its answer (OAuth 2.0 Form Post Response Mode §2): by itself where
// scripts run, and else by its button.
type PostView struct {
	URL    template.URL // checked by whoever made the redirect target
	Fields []Field
	App    string
}

// Field is one parameter of an answer.
type Field struct{ Name, Value string }

// FormOrigin is the one origin that the page may post to.
func (v PostView) FormOrigin() string { return FormOrigin(string(v.URL)) }

// formOrigin is implemented by views whose form goes to another origin than ours.
type formOrigin interface{ FormOrigin() string }

// FormOrigin is the origin that a form for this address goes to, "" where there is none that a content security policy
// can name: apps have schemes of their own, and IPv6 addresses have no form there (CSP 3 §2.3.1).
func FormOrigin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.Trim(u.Host, hostCharacters) != "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// hostCharacters cannot bring a directive of their own into a policy.
const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:"

// Post answers with our own page that sends the browser on with a form. target must come from a checked redirect URI.
// The client sees that the form is of our origin, but not of which page.
func (p *Pages) Post(w http.ResponseWriter, r *http.Request, target string, form url.Values, app string) error {
	v := PostView{URL: template.URL(target), App: app}
	if v.FormOrigin() == "" {
		return fmt.Errorf("post: no page can post to this address")
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		v.Fields = append(v.Fields, Field{name, form.Get(name)})
	}
	return p.Render(w, r, http.StatusOK, "post", v)
}
