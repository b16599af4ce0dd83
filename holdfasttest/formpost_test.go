package holdfasttest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/jose"
)

// poster is a client that waits for answers at a real address.
const poster = `
---
kind: client
client_id: poster
client_name: The poster
token_endpoint_auth_method: none
redirect_uris: [REDIRECT]
scope: openid
first_party: true
`

// arrival is what a browser brought to the client.
type arrival struct {
	method, origin, referrer string
	params                   url.Values
}

// mailbox is the client: it shows a page of its own to who arrives.
type mailbox struct {
	t        *testing.T
	s        *holdfasttest.Server
	redirect string
	arrivals chan arrival
}

func newMailbox(t *testing.T, s *holdfasttest.Server) *mailbox {
	t.Helper()
	m := &mailbox{t: t, s: s, arrivals: make(chan arrival, 8)}
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			http.NotFound(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		m.arrivals <- arrival{r.Method, r.Header.Get("Origin"), r.Referer(), r.Form}
		_, _ = fmt.Fprint(w, `<!doctype html><title>poster</title><h1 id="arrived">You are back</h1>`)
	}))
	t.Cleanup(client.Close)
	m.redirect = client.URL + "/callback"
	s.Apply("main", strings.ReplaceAll(poster, "REDIRECT", m.redirect))
	s.Clients["poster"] = holdfasttest.Client{ID: "poster", RedirectURIs: []string{m.redirect}}
	return m
}

// posted requires a form from the issuer's origin, and tells what it says.
func (m *mailbox) posted(mode string) map[string]any {
	m.t.Helper()
	var a arrival
	select {
	case a = <-m.arrivals:
	case <-time.After(20 * time.Second):
		m.t.Fatal("nobody arrived at the client")
	}
	if a.method != http.MethodPost || a.origin != m.s.Issuer || a.referrer != m.s.Issuer+"/" {
		m.t.Errorf("%s from %s, %s", a.method, a.origin, a.referrer)
	}
	said := map[string]any{}
	for name := range a.params {
		said[name] = a.params.Get(name)
	}
	if mode == "form_post.jwt" {
		if len(said) != 1 {
			m.t.Errorf("parameters beside the response: %v", said)
		}
		said = m.opened(a.params.Get("response"))
	}
	if said["state"] != "the state" || said["iss"] != m.s.Issuer {
		m.t.Errorf("the client got %v", said)
	}
	return said
}

// opened verifies a signed answer with the keys that the issuer publishes.
func (m *mailbox) opened(response string) map[string]any {
	m.t.Helper()
	keys := newPerson(m.t, m.s).get(m.s.Issuer + "/jwks")
	set, err := jose.ParseSet([]byte(keys.text))
	if err != nil {
		m.t.Fatal(err)
	}
	token, err := jose.Verify(response, []jose.Alg{jose.ES256}, set.Keys...)
	if err != nil {
		m.t.Fatal(err)
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil || claims["aud"] != "poster" {
		m.t.Errorf("%v, %v", claims, err)
	}
	return claims
}

// TestBrowserPostsAnswers lets Chromium bring answers by forms, with scripts and without: after a form of ours, at once,
// and where the answer is an error.
func TestBrowserPostsAnswers(t *testing.T) {
	s := holdfasttest.Start(t)
	m := newMailbox(t, s)
	client, alice := newPerson(t, s), s.Users[0]
	browser := chromium(t)
	trusting(t, s)
	if err := chromedp.Do(browser); err != nil { // starts it, now that its store is filled
		t.Fatal(err)
	}
	for _, mode := range []string{"form_post", "form_post.jwt"} {
		for _, scripted := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, scripts %v", mode, scripted), func(t *testing.T) {
				m.t = t
				ctx := visitor(browser, t)
				scripts(ctx, t, scripted)
				// leave does a step whose answer is the page that posts.
				leave := func(what string, step ...chromedp.Action[chromedp.Void]) map[string]any {
					t.Helper()
					run(ctx, t, what, step...)
					if !scripted {
						run(ctx, t, what+", the page", chromedp.WaitVisible("#post-submit"))
						picture(ctx, t, "post")
						run(ctx, t, what+", its button", chromedp.Click("#post-submit"))
					}
					run(ctx, t, what+", the client", chromedp.WaitVisible("#arrived"))
					return m.posted(mode)
				}
				ask := func(more url.Values) chromedp.Action[chromedp.Void] {
					more.Set("response_mode", mode)
					more.Set("scope", "openid")
					return chromedp.Navigate(client.authorization("poster", more))
				}
				if said := leave("nobody is there", ask(url.Values{"prompt": {"none"}})); said["error"] != "login_required" || said["code"] != nil {
					t.Errorf("the client got %v", said)
				}
				run(ctx, t, "begin", ask(url.Values{}), chromedp.WaitVisible("#username"))
				said := leave("sign in", chromedp.SendKeys("#username", alice.Username), chromedp.SendKeys("#password", alice.Password), chromedp.Click("#login-submit"))
				if said["code"] == nil || said["error"] != nil {
					t.Errorf("the client got %v", said)
				}
				again := leave("come again", ask(url.Values{}))
				if again["code"] == nil || again["code"] == said["code"] {
					t.Errorf("the client got %v after %v", again, said)
				}
			})
		}
	}
}
