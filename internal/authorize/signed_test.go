package authorize_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/authorize"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

const kept = "https://app.example/request" // where a client keeps a request object

// issuing signs for all issuers of these tests.
var issuing = sync.OnceValue(func() *jose.Signer { return must(jose.NewSigner(must(jose.GenerateKey(jose.ES256)))) })

// signers are clients that sign requests with the key of assertions: some as they like, "messages" always.
func signers() []objects.Document {
	jwks := jose.Set{Keys: []jose.Key{once().assertion.Key()}}
	add := func(id, method, profile string, more map[string]any) objects.Document {
		body := map[string]any{
			"client_id": id, "token_endpoint_auth_method": method, "profile": profile, "redirect_uris": []string{callback}, "first_party": true,
			"scope": "openid profile read", "resources": []string{orders}, "jwks": jwks, "request_uris": []string{kept},
		}
		maps.Copy(body, more)
		return objects.Document{Kind: "client", Body: must(json.Marshal(body))}
	}
	return []objects.Document{
		add("jar", "none", objects.ProfileOAuth21, nil),
		add("jar-par", "none", objects.ProfileOAuth21, map[string]any{"require_pushed_authorization_requests": true}),
		add("messages", "private_key_jwt", objects.ProfileFAPI2Messages, nil),
		add("apps", "none", objects.ProfileOAuth21, map[string]any{
			"application_type": "native", "redirect_uris": []string{"com.example.app:/cb"}, "allow_custom_scheme_redirects": true,
		}),
	}
}

// seals makes the issuer read request objects and sign answers.
func (n *tenant) seals(e *authorize.Endpoints) {
	e.Checker.Now, e.Checker.Verify = n.now, e.Clients.Verify
	e.Checker.Signer = func(jose.Alg) (*jose.Signer, error) { return issuing(), nil }
	e.Checker.ObjectAt = func(_ context.Context, uri string) (string, error) {
		if uri != kept {
			return "", errors.New("status 404")
		}
		return n.object("jar", "state", "the state"), nil
	}
}

// object is a right request object of a client; pairs change its parameters and claims, "" removes.
func (n *tenant) object(client string, pairs ...string) string {
	now := n.now()
	c := map[string]any{"iss": client, "aud": n.issuer, "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for name, values := range parameters(client, "response_mode", "") {
		c[name] = values[0]
	}
	if client == "messages" {
		c["response_mode"] = "jwt"
	}
	for i := 0; i < len(pairs); i += 2 {
		if c[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(c, pairs[i])
		}
	}
	return must(once().assertion.Sign("oauth-authz-req+jwt", c))
}

var fields = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// told is what reached the client, however it was brought: by "?", "#" or "form".
func (p *page) told(t fataler) (v url.Values, by string) {
	t.Helper()
	to := p.location()
	if p.status == http.StatusOK && strings.Contains(p.body, `<form method="post" action="`+callback+`" id="post-form">`) {
		if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action https://app.example;") {
			t.Errorf("policy %s", csp)
		}
		v = url.Values{}
		for _, f := range fields.FindAllStringSubmatch(p.body, -1) {
			v.Add(f[1], strings.ReplaceAll(f[2], "&#43;", "+"))
		}
		return v, "form"
	}
	if p.status == http.StatusOK {
		to = strings.TrimPrefix(p.header.Get("Refresh"), "0;url=")
	}
	rest, ok := strings.CutPrefix(to, callback)
	if !ok || rest == "" {
		t.Fatalf("no answer for the client: %d, to %q: %s", p.status, to, p.body)
	}
	return must(url.ParseQuery(rest[1:])), rest[:1]
}

// opened are the claims of a signed answer, as parameters.
func (n *tenant) opened(t fataler, v url.Values, client string) url.Values {
	t.Helper()
	token, err := jose.Verify(v.Get("response"), []jose.Alg{jose.ES256}, issuing().Key())
	if err != nil || len(v) != 1 {
		t.Fatalf("response %v: %v", v, err)
	}
	var c map[string]any
	if err := token.Claims(&c); err != nil {
		t.Fatalf("claims: %v", err)
	}
	if c["aud"] != client || c["exp"] != float64(n.now().Add(5*time.Minute).Unix()) {
		t.Errorf("claims %v", c)
	}
	said := url.Values{}
	for name, value := range c {
		if s, ok := value.(string); ok && name != "aud" {
			said.Set(name, s)
		}
	}
	return said
}

// said is what the client learns in this mode, and requires the right carrier.
func (n *tenant) said(t fataler, p *page, client, mode string) url.Values {
	t.Helper()
	v, by := p.told(t)
	want := map[string]string{"": "?", "query": "?", "fragment": "#", "form_post": "form", "jwt": "?", "query.jwt": "?", "fragment.jwt": "#", "form_post.jwt": "form"}[mode]
	if by != want {
		t.Errorf("%s is brought by %s", mode, by)
	}
	if strings.HasSuffix(mode, "jwt") {
		v = n.opened(t, v, client)
	}
	if v.Get("iss") != n.issuer || v.Get("state") != "the state" || v.Has("code") == v.Has("error") || p.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %v, %v", mode, v, p.header)
	}
	return v
}

var allModes = []string{"", "query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}

// Codes and errors, at once and after forms of ours, pushed and not, by GET and POST: each in the mode that was asked for.
func TestResponseModes(t *testing.T) {
	w := newWorld(t)
	for _, mode := range allModes {
		t.Run(mode, func(t *testing.T) {
			for _, n := range []*tenant{w.acme, w.beta} {
				v := w.visitor()
				wrong := []string{"response_mode", mode, "scope", "openid admin"}
				if q := n.said(t, v.get(t, n.ask("own", wrong...)), "own", mode); q.Get("error") != "invalid_scope" {
					t.Errorf("at once: %v", q)
				}
				if q := n.said(t, v.post(t, n.issuer+"/authorize", parameters("own", wrong...)), "own", mode); q.Get("error") != "invalid_scope" {
					t.Errorf("by POST: %v", q)
				}
				if q := n.said(t, v.get(t, n.ask("own", "response_mode", mode, "prompt", "none")), "own", mode); q.Get("error") != "login_required" {
					t.Errorf("nobody there: %v", q)
				}
				p := v.press(t, v.follow(t, v.get(t, n.ask("own", "response_mode", mode))), "cancel")
				if q := n.said(t, v.follow(t, p), "own", mode); q.Get("error") != "access_denied" || w.lastRefusal() != n.db.Tenant()+" access_denied own" {
					t.Errorf("declined: %v, observed %q", q, w.lastRefusal())
				}
				p = v.press(t, v.follow(t, v.get(t, n.ask("own", "response_mode", mode))), "login-submit", "username", "alice", "password", password)
				n.code(t, n.said(t, v.follow(t, p), "own", mode))
				n.code(t, n.said(t, v.get(t, n.ask("own", "response_mode", mode)), "own", mode))
				uri := v.push(t, n, parameters("own", "response_mode", mode)).pushed(t)
				n.code(t, n.said(t, v.get(t, n.open("own", uri)), "own", mode))
			}
		})
	}
}

func TestUnsupportedResponseModes(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	if q := n.said(t, v.get(t, n.ask("own", "response_mode", "web_message")), "own", ""); q.Get("error") != "invalid_request" {
		t.Errorf("got %v", q)
	}
	v.push(t, n, parameters("own", "response_mode", "web_message")).isRefusal(t, http.StatusBadRequest, "invalid_request")
	p := v.get(t, n.ask("apps", "response_mode", "form_post", "redirect_uri", "com.example.app:/cb"))
	if !strings.HasPrefix(p.location(), "com.example.app:/cb?error=invalid_request&") {
		t.Errorf("an app: %d to %s", p.status, p.location())
	}
}
