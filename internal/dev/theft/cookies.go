package theft

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

var cookie = Credential{
	ID: "cookie", Name: "Session cookie of a browser app",
	Text: "The browser sends it by itself, to the gateway alone; no script can read it. What is left to a thief is to make the browser send it, or to dig it out of the browser's own files.",
	Replays: []Replay{
		{"cookie-origin", "Sent by a page of another origin", "The gateway knows the pages of the app.", func(s *stage) error {
			jar, err := s.session()
			if err != nil {
				return err
			}
			return s.thief("has taken over a neighbour of the app, whose pages the browser sends the cookie from", s.paged(jar, "https://evil."+parent(s.App.Origin)))
		}},
		{"cookie-header", "Sent by a form or a picture", "Only the app's own script can add the header that is asked for.", func(s *stage) error {
			jar, err := s.session()
			if err != nil {
				return err
			}
			c := s.paged(jar, s.App.Origin)
			c.header.Del("Token-Handler-Version")
			return s.thief("leads the browser to the API", c)
		}},
		{"cookie-app", "Shown as that of another app", "It is sealed for one app.", func(s *stage) error {
			jar, err := s.session()
			if err != nil {
				return err
			}
			value, err := s.stolen(jar)
			if err != nil {
				return err
			}
			c := s.handler(s.browser(), s.Other, "/refresh", url.Values{})
			c.header.Set("Cookie", strings.Replace(value, "-"+s.App.Name+"-", "-"+s.Other.Name+"-", 1))
			return s.thief("renames it", c)
		}},
		{"cookie-token", "Used as an access token", "It is a name for a session, not a token.", func(s *stage) error {
			jar, err := s.session()
			if err != nil {
				return err
			}
			value, err := s.stolen(jar)
			if err != nil {
				return err
			}
			_, token, _ := strings.Cut(value, "=")
			return s.thief("sends it to the API by a program of their own", s.bearer(s.browser(), token, nil))
		}},
		{"cookie-out", "Used after signing out", "The session is kept by the server, and has ended there.", func(s *stage) error {
			jar, err := s.session()
			if err != nil {
				return err
			}
			value, err := s.stolen(jar)
			if err != nil {
				return err
			}
			if _, err := s.holder("signs out", s.handler(jar, s.App, "/logout", url.Values{})); err != nil {
				return err
			}
			c := s.paged(s.browser(), s.App.Origin)
			c.header.Set("Cookie", value)
			return s.thiefSoon("has a copy of the cookie, and sends it as the app would", c)
		}},
	},
}

// session signs in as the app's page would, and is served: a browser with the cookie.
func (s *stage) session() (*http.Client, error) {
	jar := s.browser()
	begun, err := s.need(s.handler(jar, s.App, "/login/start", url.Values{}))
	if err != nil {
		return nil, err
	}
	back, err := s.signIn(jar, begun.member("authorization_url"))
	if err != nil {
		return nil, err
	}
	if _, err := s.need(s.handler(jar, s.App, "/login/end", back)); err != nil {
		return nil, err
	}
	_, err = s.holder("looks at the orders in the app", s.paged(jar, s.App.Origin))
	return jar, err
}

// handler is a call of the token handler by a page of the app.
func (s *stage) handler(by *http.Client, app App, path string, form url.Values) call {
	return call{by: by, url: app.TokenHandler + path, form: form, header: http.Header{
		"Accept": {"application/json"}, "Token-Handler-Version": {"1"}, "Origin": {app.Origin}, "Sec-Fetch-Site": {"same-site"},
	}}
}

// paged is a call of the API by a page.
func (s *stage) paged(by *http.Client, origin string) call {
	return call{by: by, url: s.WebAPI, header: http.Header{
		"Accept": {"application/json"}, "Token-Handler-Version": {"1"}, "Origin": {origin}, "Sec-Fetch-Site": {"same-site"},
	}}
}

// stolen is the cookie as it lies in the browser.
func (s *stage) stolen(by *http.Client) (string, error) {
	u, err := url.Parse(s.WebAPI)
	if err != nil {
		return "", err
	}
	for _, c := range by.Jar.Cookies(u) {
		if strings.Contains(c.Name, "-"+s.App.Name+"-s") {
			return c.Name + "=" + c.Value, nil
		}
	}
	return "", errors.New("the browser has no session cookie of the app")
}

// parent is the name above the first label of an origin's host.
func parent(origin string) string {
	_, above, _ := strings.Cut(strings.TrimPrefix(origin, "https://"), ".")
	return above
}
