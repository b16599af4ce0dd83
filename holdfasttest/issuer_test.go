package holdfasttest_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// eachEngine starts a landscape over SQLite, and one over PostgreSQL where there is one.
func eachEngine(t *testing.T, options ...holdfasttest.Option) map[string]*holdfasttest.Server {
	t.Helper()
	started := map[string]*holdfasttest.Server{"SQLite": holdfasttest.Start(t, options...)}
	if os.Getenv("HOLDFAST_TEST_POSTGRES") != "" {
		started["PostgreSQL"] = holdfasttest.Start(t, append(options, holdfasttest.WithDatabase(storetest.EmptyURL(t, store.PostgreSQL)))...)
	} else {
		t.Run("PostgreSQL", func(t *testing.T) { t.Skip("HOLDFAST_TEST_POSTGRES is not set") })
	}
	return started
}

// engines runs a test on the landscape of each engine.
func engines(t *testing.T, test func(*testing.T, *holdfasttest.Server), options ...holdfasttest.Option) {
	for engine, s := range eachEngine(t, options...) {
		t.Run(engine, func(t *testing.T) { test(t, s) })
	}
}

func TestWholeCodeFlowWithoutJavaScript(t *testing.T) {
	engines(t, func(t *testing.T, s *holdfasttest.Server) {
		alice, web := newPerson(t, s), asWeb(t, s)
		code := alice.code("web_confidential", s.Users[0], url.Values{"scope": {"openid profile email address phone offline_access"}})
		got := web.redeem("web_confidential", code)
		if got.Status != http.StatusOK || got.text("token_type") != "DPoP" || got.text("id_token") == "" || got.text("refresh_token") == "" {
			t.Fatalf("tokens: %d %v", got.Status, got.Body)
		}
		info := web.userinfo(got.text("access_token"))
		if info.Status != http.StatusOK || info.text("email") != "alice@example.com" || info.Body["email_verified"] != true || info.Body["phone_number_verified"] != false {
			t.Errorf("userinfo: %d %v", info.Status, info.Body)
		}
		if address, ok := info.Body["address"].(map[string]any); !ok || address["locality"] != "Berlin" {
			t.Errorf("address: %v", info.Body["address"])
		}
		again := web.refresh(got.text("refresh_token"))
		if again.Status != http.StatusOK || again.text("refresh_token") != "" && again.text("refresh_token") != got.text("refresh_token") {
			t.Errorf("refresh: %d %v; a bound refresh token is not rotated", again.Status, again.Body)
		}
		// Signed in and allowed before: the second request asks nothing and answers by a redirect.
		second := alice.get(alice.authorization("web_confidential", nil))
		if second.StatusCode != http.StatusSeeOther || alice.answer(second).Get("code") == "" {
			t.Errorf("single sign-on: %s %s", second.Status, second.Header.Get("Location"))
		}
		if r := web.post("/revoke", url.Values{"token": {got.text("refresh_token")}}); r.Status != http.StatusOK {
			t.Errorf("revoke: %d %v", r.Status, r.Body)
		}
		if a := web.userinfo(again.text("access_token")); a.Status != http.StatusUnauthorized {
			t.Errorf("userinfo after revocation: %d %v", a.Status, a.Body)
		}
	})
}

func TestPushedRequestAndPrompts(t *testing.T) {
	s := holdfasttest.Start(t)
	alice, web := newPerson(t, s), asWeb(t, s)
	none := alice.get(alice.authorization("web_confidential", url.Values{"prompt": {"none"}}))
	if q := alice.answer(none); q.Get("error") != "login_required" || q.Get("iss") != s.Issuer {
		t.Errorf("prompt=none of somebody unknown: %v", q)
	}
	c := s.Clients["web_confidential"]
	pushed := web.post("/par", url.Values{
		"response_type": {"code"}, "redirect_uri": c.RedirectURIs, "scope": {"openid"}, "state": {"the state"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	})
	if pushed.Status != http.StatusCreated || !strings.HasPrefix(pushed.text("request_uri"), "urn:ietf:params:oauth:request_uri:") {
		t.Fatalf("PAR: %d %v", pushed.Status, pushed.Body)
	}
	address := s.Issuer + "/authorize?" + url.Values{"client_id": {c.ID}, "request_uri": {pushed.text("request_uri")}}.Encode()
	g := alice.follow(alice.get(address))
	g = alice.signIn(g, s.Users[0])
	g = alice.submit(g, "consent-allow", nil)
	code := alice.answer(g).Get("code")
	// The pushed request carried a proof, so the code is bound to its key before anybody sees it (RFC 9449 §10.1).
	thief := asWeb(t, s)
	if a := thief.redeem("web_confidential", code); a.text("error") != "invalid_grant" {
		t.Errorf("the code with another key: %d %v", a.Status, a.Body)
	}
	if a := web.redeem("web_confidential", code); a.Status != http.StatusOK {
		t.Errorf("the code with the key: %d %v", a.Status, a.Body)
	}
	if g := alice.follow(alice.get(address)); g.StatusCode < 400 {
		t.Errorf("the pushed request a second time: %s", g.Status)
	}
	fresh := alice.follow(alice.get(alice.authorization("web_confidential", url.Values{"prompt": {"login"}})))
	if !strings.Contains(fresh.text, `id="login-submit"`) {
		t.Errorf("prompt=login did not ask: %s", fresh.Status)
	}
}

func TestDeclining(t *testing.T) {
	s := holdfasttest.Start(t)
	bob := newPerson(t, s)
	g := bob.follow(bob.get(bob.authorization("web_confidential", nil)))
	if q := bob.answer(bob.submit(g, "cancel", nil)); q.Get("error") != "access_denied" || q.Get("state") != "the state" {
		t.Errorf("cancelled at login: %v", q)
	}
	g = bob.follow(bob.get(bob.authorization("web_confidential", nil)))
	g = bob.signIn(g, s.Users[1])
	if q := bob.answer(bob.submit(g, "cancel", nil)); q.Get("error") != "access_denied" {
		t.Errorf("cancelled at consent: %v", q)
	}
}

func TestWrongPasswordsAreSlowedDown(t *testing.T) {
	s := holdfasttest.Start(t)
	p := newPerson(t, s)
	g := p.follow(p.get(p.authorization("web_confidential", nil)))
	wrong := holdfasttest.User{Username: s.Users[0].Username, Password: "wrong"}
	for n := range 7 {
		g = p.signIn(g, wrong)
		want := http.StatusBadRequest
		if n > 5 {
			want = http.StatusTooManyRequests
		}
		if g.StatusCode != want {
			t.Fatalf("try %d: %s", n+1, g.Status)
		}
	}
	unknown := newPerson(t, s)
	g = unknown.follow(unknown.get(unknown.authorization("web_confidential", nil)))
	if a := unknown.signIn(g, holdfasttest.User{Username: "nobody@example.com", Password: "wrong"}); a.StatusCode != http.StatusBadRequest {
		t.Errorf("somebody unknown: %s; must look like a wrong password", a.Status)
	}
}

func TestErrorsBeforeTheTargetIsCertainStayOnAPage(t *testing.T) {
	s := holdfasttest.Start(t)
	p := newPerson(t, s)
	for name, more := range map[string]url.Values{
		"unknown client":  {"client_id": {"nobody"}},
		"wrong redirect":  {"redirect_uri": {"https://evil.example/callback"}},
		"no redirect":     {"redirect_uri": {""}},
		"twice":           {"state": {"a", "b"}},
		"other port":      {"redirect_uri": {strings.Replace(s.Clients["web_confidential"].RedirectURIs[0], "/shop", "/shop/..", 1)}},
		"unknown handle":  {"request_uri": {"urn:ietf:params:oauth:request_uri:a.b"}},
		"foreign request": {"client_id": {""}},
	} {
		g := p.get(p.authorization("web_confidential", more))
		if g.StatusCode < 400 || g.StatusCode > 499 || g.Header.Get("Location") != "" || !strings.Contains(g.text, `id="error-code"`) {
			t.Errorf("%s: %s to %q", name, g.Status, g.Header.Get("Location"))
		}
	}
	for name, c := range map[string]struct {
		more url.Values
		want string
	}{
		"no PKCE":       {url.Values{"code_challenge": {""}}, "invalid_request"},
		"plain PKCE":    {url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		"implicit":      {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		"scope":         {url.Values{"scope": {"openid everything"}}, "invalid_scope"},
		"resource":      {url.Values{"resource": {"https://other.example"}}, "invalid_target"},
		"request":       {url.Values{"request": {"eyJhbGciOiJub25lIn0.e30."}}, "request_not_supported"},
		"request_uri":   {url.Values{"request_uri": {"https://other.example/r"}}, "request_uri_not_supported"},
		"max_age":       {url.Values{"max_age": {"-1"}}, "invalid_request"},
		"prompt":        {url.Values{"prompt": {"none login"}}, "invalid_request"},
		"response_mode": {url.Values{"response_mode": {"web_message"}}, "invalid_request"},
	} {
		g := p.get(p.authorization("web_confidential", c.more))
		q := p.answer(g)
		if q.Get("error") != c.want || q.Get("iss") != s.Issuer || q.Get("state") != "the state" {
			t.Errorf("%s: %v", name, q)
		}
	}
}
