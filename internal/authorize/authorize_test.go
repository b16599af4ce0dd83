package authorize_test

import (
	"database/sql"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// The whole way of a person: sign in, agree, and leave for the client with a code.
func TestWalk(t *testing.T) {
	w := newWorld(t)
	for _, n := range []*tenant{w.acme, w.beta} {
		v := w.visitor()
		p := v.get(t, n.ask("app", "scope", "openid read", "resource", orders, "nonce", "n1", "login_hint", "alice"))
		if !strings.HasPrefix(p.location(), n.issuer+"/login?i=") || v.interactions() != 1 {
			t.Fatalf("leads to %s", p.location())
		}
		p = v.follow(t, p)
		for _, text := range []string{"The app", `id="username"`, `id="password"`, `value="alice"`} {
			if !strings.Contains(p.body, text) {
				t.Errorf("the page lacks %s", text)
			}
		}
		p = v.press(t, p, "login-submit", "username", "alice", "password", "wrong")
		p = v.follow(t, v.press(t, p, "login-submit", "username", "alice", "password", password))
		if !strings.Contains(p.body, `id="consent-allow"`) || !strings.Contains(p.body, "Orders") {
			t.Fatalf("no consent page: %s", p.body)
		}
		p = v.follow(t, v.press(t, p, "consent-allow"))
		if p.status != http.StatusOK || !strings.Contains(p.body, `id="leave-link"`) {
			t.Fatalf("no leaving page: %d %s", p.status, p.body)
		}
		if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self'") {
			t.Errorf("policy %s", csp)
		}
		c := n.code(t, p.answer(t, n))
		a := c.Auth
		if a.AccountID != "alice" || a.ClientID != "app" || a.Nonce != "n1" || a.CodeChallenge != challenge || a.RedirectURI != callback ||
			!has(a.Scope, "read") || !has(a.Resources, orders) || a.ACR != "1" || c.ExpiresAt.Sub(c.IssuedAt) != time.Minute {
			t.Errorf("code %+v", c)
		}
		if v.interactions() != 0 {
			t.Error("the interaction stays in the browser")
		}
		// The second time nobody asks.
		if q := v.get(t, n.ask("app", "scope", "openid read")).answer(t, n); !q.Has("code") {
			t.Errorf("got %v", q)
		}
	}
}

func TestRFC6749_4_1_2_1_NoRedirectWithoutCertainty(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.signIn(t, w.acme, "alice")
	for _, c := range []struct{ name, query, code string }{
		{"no client", parameters("").Encode(), "invalid_request"},
		{"an unknown client", parameters("nobody").Encode(), "invalid_request"},
		{"another redirect_uri", parameters("own", "redirect_uri", "https://evil.example/").Encode(), "invalid_request"},
		{"no redirect_uri", parameters("own", "redirect_uri", "").Encode(), "invalid_request"},
		{"an address that begins alike", parameters("own", "redirect_uri", callback+".evil.example").Encode(), "invalid_request"},
		{"RFC 6749 §3.1, a repeated parameter", parameters("own").Encode() + "&state=other", "invalid_request"},
		{"RFC 6749 §3.1, a repeated redirect_uri", parameters("own").Encode() + "&redirect_uri=https://evil.example/", "invalid_request"},
		{"bad encoding", "client_id=%zz", "invalid_request"},
		{"no valid text", "client_id=own%ff", "invalid_request"},
		{"a pushed request that is not there", "client_id=own&request_uri=urn:ietf:params:oauth:request_uri:abc.def", "invalid_request_uri"},
		{"a pushed request without form", "client_id=own&request_uri=urn:ietf:params:oauth:request_uri:abc", "invalid_request_uri"},
		{"a request object at an uncertain target", "client_id=own&request=e30.e30.&redirect_uri=https://evil.example/", "request_not_supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v.get(t, w.acme.issuer+"/authorize?"+c.query).isErrorPage(t, c.code)
			if got := w.lastRefusal(); !strings.HasPrefix(got, "acme "+c.code+" ") {
				t.Errorf("observed %q", got)
			}
		})
	}
	v.get(t, w.acme.issuer+"/authorize/next?i=AAAAAAAAAAAAAAAAAAAAAA").isErrorPage(t, "invalid_request")
	v.get(t, w.acme.issuer+"/authorize/next").isErrorPage(t, "invalid_request")
}

func TestErrorsGoToTheClient(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	for _, c := range []struct {
		name, client, code string
		pairs              []string
	}{
		{"RFC 6749 §3.1.1", "app", "unsupported_response_type", []string{"response_type", "token"}},
		{"RFC 6749 §3.3", "app", "invalid_scope", []string{"scope", "admin"}},
		{"RFC 7636 §4.4.1", "app", "invalid_request", []string{"code_challenge", ""}},
		{"RFC 8707 §2", "app", "invalid_target", []string{"resource", "https://payroll.example"}},
		{"RFC 9126 §5", "pusher", "invalid_request", nil},
		{"OIDC Core §6.1", "app", "request_not_supported", []string{"request", "e30.e30."}},
		{"OIDC Core §6.2", "app", "request_uri_not_supported", []string{"request_uri", "https://app.example/request"}},
		{"too large for a cookie", "app", "invalid_request", []string{"nonce", strings.Repeat("n", 512), "login_hint", strings.Repeat("h", 256), "scope", "openid profile read", "resource", orders, "redirect_uri", callback, "state", strings.Repeat("s", 2048)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, post := range []bool{false, true} {
				p := v.get(t, w.acme.ask(c.client, c.pairs...))
				if post {
					p = v.post(t, w.acme.issuer+"/authorize", parameters(c.client, c.pairs...))
				}
				u := must(url.Parse(p.location()))
				if q := u.Query(); q.Get("error") != c.code || q.Get("iss") != w.acme.issuer || !q.Has("state") || !strings.HasPrefix(p.location(), callback) {
					t.Errorf("%d to %s", p.status, u)
				}
				if got, want := w.lastRefusal(), "acme "+c.code+" "+c.client; got != want {
					t.Errorf("observed %q, want %q", got, want)
				}
			}
		})
	}
	if v.interactions() != 0 {
		t.Error("a refused request left an interaction")
	}
}

// An anonymous visitor writes nothing, whatever he asks for; the answer is the first write, and one.
func TestAnonymousWritesNothing(t *testing.T) {
	w := newWorld(t)
	db := must(sql.Open("sqlite", strings.TrimPrefix(w.url, "sqlite:")))
	defer db.Close()
	conn := must(db.Conn(t.Context()))
	defer conn.Close()
	version := func() (n int64) { // changes with every commit of others
		if err := conn.QueryRowContext(t.Context(), "PRAGMA data_version").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	v, before := w.visitor(), version()
	p := v.get(t, w.acme.ask("app"))
	login := p.location()
	v.get(t, login)
	next := strings.Replace(login, "/login?", "/authorize/next?", 1)
	v.get(t, next)
	v.get(t, w.acme.ask("app", "prompt", "none"))
	v.get(t, w.acme.ask("nobody"))
	v.post(t, w.acme.issuer+"/authorize", parameters("app"))
	v.follow(t, v.press(t, v.get(t, login), "cancel"))
	if after := version(); after != before {
		t.Errorf("an anonymous visitor wrote %d times", after-before)
	}
	v.signIn(t, w.acme, "alice")
	before = version()
	v.get(t, w.acme.ask("own")).answer(t, w.acme)
	if after := version(); after != before+1 {
		t.Errorf("an answer took %d writes", after-before)
	}
}

func TestOIDC_3_1_2_1_PromptNone(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	none := func(client string, pairs ...string) string {
		t.Helper()
		q := v.get(t, w.acme.ask(client, append(pairs, "prompt", "none")...)).answer(t, w.acme)
		if q.Has("code") {
			return "code"
		}
		return q.Get("error")
	}
	if got := none("own"); got != "login_required" {
		t.Errorf("nobody signed in: %s", got)
	}
	v.signIn(t, w.acme, "alice")
	if got := none("own"); got != "code" {
		t.Errorf("first party: %s", got)
	}
	if got := none("app"); got != "consent_required" {
		t.Errorf("third party: %s", got)
	}
	w.acme.write(t, func(tx *store.Tx) error {
		return consents.Remember(tx, "alice", "app", consents.Asked{Scope: []string{"openid"}, Resources: []string{orders}})
	})
	if got := none("app"); got != "code" {
		t.Errorf("third party with consent: %s", got)
	}
	if got := none("app", "scope", "openid read"); got != "consent_required" {
		t.Errorf("more than agreed: %s", got)
	}
	w.pass(time.Hour)
	if got := none("own", "max_age", "60"); got != "login_required" {
		t.Errorf("too long ago: %s", got)
	}
	if v.interactions() != 0 {
		t.Error("prompt=none left an interaction")
	}
}

func TestOIDC_3_1_2_1_SignInAgain(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	for _, pairs := range [][]string{{"prompt", "login"}, {"prompt", "create"}, {"max_age", "60"}, {"max_age", "0"}} {
		first := v.signIn(t, w.acme, "alice")
		w.pass(2 * time.Minute)
		p := v.get(t, w.acme.ask("own", pairs...))
		if !strings.Contains(p.location(), "/login?") {
			t.Fatalf("%v: leads to %s", pairs, p.location())
		}
		next := strings.Replace(p.location(), "/login?", "/authorize/next?", 1)
		if back := v.get(t, next); back.location() != p.location() {
			t.Errorf("%v: who skips the page comes to %s", pairs, back.location())
		}
		w.pass(time.Minute)
		p = v.follow(t, v.press(t, v.follow(t, p), "login-submit", "username", "alice", "password", password))
		if c := w.acme.code(t, p.answer(t, w.acme)); !c.Auth.AuthTime.After(first.AuthTime) {
			t.Errorf("%v: auth_time %v is that of before", pairs, c.Auth.AuthTime)
		}
	}
}

func TestOIDC_3_1_2_1_AgreeAgain(t *testing.T) {
	w := newWorld(t)
	for _, client := range []string{"app", "own"} {
		v := w.visitor()
		v.signIn(t, w.acme, "alice")
		for range 2 {
			p := v.follow(t, v.get(t, w.acme.ask(client, "prompt", "consent")))
			p = v.follow(t, v.press(t, p, "consent-allow"))
			if q := p.answer(t, w.acme); !q.Has("code") {
				t.Errorf("%s: %v", client, q)
			}
		}
	}
}

// What one person has allowed does not count for another one in the same browser.
func TestConsentIsOfTheAccount(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.signIn(t, w.acme, "alice")
	p := v.follow(t, v.get(t, w.acme.ask("app")))
	p = v.press(t, p, "consent-allow")
	v.signIn(t, w.acme, "bob")
	if p = v.get(t, p.location()); !strings.Contains(p.location(), "/login/consent?") {
		t.Errorf("bob, who was not asked, comes to %s", p.location())
	}
}

func TestRFC6749_4_1_2_1_AccessDenied(t *testing.T) {
	w := newWorld(t)
	for _, signedIn := range []bool{false, true} {
		v := w.visitor()
		if signedIn {
			v.signIn(t, w.acme, "alice")
		}
		p := v.follow(t, v.press(t, v.follow(t, v.get(t, w.acme.ask("app"))), "cancel"))
		if q := p.answer(t, w.acme); p.status != http.StatusOK || q.Get("error") != "access_denied" {
			t.Errorf("signed in %v: %d %v", signedIn, p.status, q)
		}
		if v.interactions() != 0 || w.lastRefusal() != "acme access_denied app" {
			t.Errorf("%d interactions, observed %q", v.interactions(), w.lastRefusal())
		}
	}
}

// A form of another site may post a request (OIDC Core §3.1.2.1), and nothing else.
func TestOIDC_3_1_2_1_Post(t *testing.T) {
	w := newWorld(t)
	foreign := []string{"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"}
	v := w.visitor()
	p := v.post(t, w.acme.issuer+"/authorize", parameters("own"), foreign...)
	if !strings.HasPrefix(p.location(), w.acme.issuer+"/authorize/next?i=") {
		t.Fatalf("leads to %s", p.location())
	}
	p = v.follow(t, p)
	if !strings.Contains(p.body, `id="login-submit"`) {
		t.Fatalf("no login page: %s", p.body)
	}
	i := must(url.Parse(p.at.String())).Query().Get("i")
	blocked := v.post(t, w.acme.issuer+"/login/password", url.Values{"i": {i}, "username": {"alice"}, "password": {password}}, foreign...)
	if blocked.status != http.StatusForbidden {
		t.Errorf("a foreign form signs in: %d", blocked.status)
	}
	// With a session the GET that follows finds the cookie that the POST came without.
	v = w.visitor()
	p = v.post(t, w.acme.issuer+"/authorize", parameters("own"), foreign...)
	v.signIn(t, w.acme, "alice")
	if q := v.follow(t, p).answer(t, w.acme); !q.Has("code") {
		t.Errorf("got %v", q)
	}
	// Errors before the target is certain stay here, others go to the client.
	v.post(t, w.acme.issuer+"/authorize", parameters("nobody"), foreign...).isErrorPage(t, "invalid_request")
	if q := v.post(t, w.acme.issuer+"/authorize", parameters("own", "scope", "admin"), foreign...).answer(t, w.acme); q.Get("error") != "invalid_scope" {
		t.Errorf("got %v", q)
	}
}

func TestNativeClient(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.signIn(t, w.acme, "alice")
	p := v.get(t, w.acme.ask("native", "redirect_uri", "http://127.0.0.1:51004/cb"))
	if !strings.HasPrefix(p.location(), "http://127.0.0.1:51004/cb?code=") {
		t.Errorf("leads to %s", p.location())
	}
}

// Tenants share a process, a ring and here even a host and its cookies, and nothing else.
func TestTenants(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.get(t, w.beta.ask("only-acme")).isErrorPage(t, "invalid_request")
	p := v.get(t, w.acme.ask("own"))
	v.get(t, strings.Replace(p.location(), "/login?", "/beta/authorize/next?", 1)).isErrorPage(t, "invalid_request")
	v.get(t, strings.Replace(p.location(), "/login?", "/beta/login?", 1)).isErrorPage(t, "invalid_request")
	v.get(t, w.beta.ask("own"))
	if v.interactions() != 2 {
		t.Errorf("%d interactions", v.interactions())
	}
	v.signIn(t, w.acme, "alice")
	if p := v.get(t, w.beta.ask("own")); !strings.HasPrefix(p.location(), w.beta.issuer+"/login") {
		t.Errorf("a session of another tenant leads to %s", p.location())
	}
}

// Two requests that finish the same interaction: one gets the code.
func TestAnsweredOnce(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	p := v.get(t, w.acme.ask("own"))
	v.signIn(t, w.acme, "alice")
	next := strings.Replace(p.location(), "/login?", "/authorize/next?", 1)
	twin := w.visitor()
	for name, value := range v.jar {
		twin.jar[name] = value
	}
	if q := v.get(t, next).answer(t, w.acme); !q.Has("code") {
		t.Errorf("got %v", q)
	}
	v.get(t, next).isErrorPage(t, "invalid_request")
	twin.get(t, next).isErrorPage(t, "invalid_request")
}

func TestDisabledAccount(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	waiting := v.get(t, w.acme.ask("own"))
	v.signIn(t, w.acme, "bob")
	w.acme.write(t, func(tx *store.Tx) error {
		a, err := tx.Account("bob")
		if err != nil {
			return err
		}
		a.Disabled = true
		return tx.PutAccount(a)
	})
	if q := v.get(t, w.acme.ask("own")).answer(t, w.acme); q.Get("error") != "access_denied" {
		t.Errorf("single sign-on: %v", q)
	}
	p := v.get(t, strings.Replace(waiting.location(), "/login?", "/authorize/next?", 1))
	if q := p.answer(t, w.acme); q.Get("error") != "access_denied" {
		t.Errorf("after a form: %v", q)
	}
}

func TestMethods(t *testing.T) {
	w := newWorld(t)
	r := must(http.NewRequest(http.MethodPut, w.acme.issuer+"/authorize", nil))
	if p := w.visitor().send(t, r); p.status != http.StatusMethodNotAllowed || !strings.Contains(p.body, "error-code") {
		t.Errorf("PUT: %d %s", p.status, p.body)
	}
	p := w.visitor().get(t, w.acme.issuer+"/par")
	if p.status != http.StatusMethodNotAllowed || p.header.Get("Content-Type") != "application/json" {
		t.Errorf("GET /par: %d %s", p.status, p.body)
	}
}
