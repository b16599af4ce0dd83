package authorize_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// wrap is a request by value; pairs are parameters beside the object.
func wrap(client, object string, pairs ...string) url.Values {
	v := url.Values{"client_id": {client}, "request": {object}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func (n *tenant) at(v url.Values) string { return n.issuer + "/authorize?" + v.Encode() }

func TestRFC9101_5_RequestByValue(t *testing.T) {
	w := newWorld(t)
	for _, n := range []*tenant{w.acme, w.beta} {
		v := w.visitor()
		v.signIn(t, n, "alice")
		outside := []string{"scope", "admin", "state", "other", "redirect_uri", "https://evil.example/", "response_mode", "form_post"}
		q := v.get(t, n.at(wrap("jar", n.object("jar", "scope", "openid read", "nonce", "n"), outside...))).answer(t, n)
		if c := n.code(t, q); !has(c.Auth.Scope, "read") || c.Auth.Nonce != "n" || c.Auth.RedirectURI != callback || c.Auth.CodeChallenge != challenge {
			t.Errorf("code %+v", c.Auth)
		}
		// A browser may show the same page twice, so an object is good for more than one request.
		object := n.object("jar", "jti", "once")
		for range 2 {
			n.code(t, v.get(t, n.at(wrap("jar", object))).answer(t, n))
		}
		// By POST, and over the pages.
		p := w.visitor()
		login := p.follow(t, p.post(t, n.issuer+"/authorize", wrap("jar", object)))
		n.code(t, p.follow(t, p.press(t, login, "login-submit", "username", "alice", "password", password)).answer(t, n))
	}
}

func TestRFC9101_7_ErrorsOfObjects(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	certain := []string{"redirect_uri", callback, "state", "the state"}
	stranger := must(must(jose.NewSigner(must(jose.GenerateKey(jose.ES256)))).Sign("oauth-authz-req+jwt", map[string]any{"iss": "jar"}))
	for _, c := range []struct {
		name, code string
		request    url.Values
		onPage     bool
	}{
		{"§6.2, a signature of somebody else", "invalid_request_object", wrap("jar", stranger, certain...), false},
		{"§6.2, which nobody can tell", "invalid_request_object", wrap("jar", stranger), true},
		{"§6.2, at an uncertain target", "invalid_request_object", wrap("jar", stranger, "redirect_uri", "https://evil.example/"), true},
		{"§6.2, of a client without keys", "invalid_request_object", wrap("own", n.object("own"), certain...), false},
		{"not signed", "request_not_supported", wrap("jar", "e30.e30.", certain...), false},
		{"§6.3, for another issuer", "invalid_request_object", wrap("jar", w.beta.object("jar")), false},
		{"§6.3, of another client", "invalid_request_object", wrap("jar", n.object("jar", "client_id", "own")), false},
		{"a parameter inside", "invalid_scope", wrap("jar", n.object("jar", "scope", "admin")), false},
		{"another redirect_uri inside", "invalid_request", wrap("jar", n.object("jar", "redirect_uri", "https://evil.example/"), certain...), true},
		{"OIDC Core §6.2.1, at another address", "request_uri_not_supported", url.Values{"client_id": {"jar"}, "request_uri": {kept + "#x"}, "redirect_uri": {callback}, "state": {"the state"}}, false},
		{"§5, both", "invalid_request", wrap("jar", n.object("jar"), append(certain, "request_uri", kept)...), false},
		{"§5, both, one of them pushed", "invalid_request", wrap("jar", n.object("jar"), append(certain, "request_uri", "urn:ietf:params:oauth:request_uri:a.b")...), false},
		{"RFC 9126 §5, signed and not pushed", "invalid_request", wrap("jar-par", n.object("jar-par")), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := v.get(t, n.at(c.request))
			if c.onPage {
				p.isErrorPage(t, c.code)
				return
			}
			if q := p.answer(t, n); q.Get("error") != c.code || !strings.HasPrefix(w.lastRefusal(), "acme "+c.code+" ") {
				t.Errorf("got %v, observed %q", q, w.lastRefusal())
			}
		})
	}
	if v.interactions() != 0 {
		t.Error("a refused request left an interaction")
	}
}

// Errors of what is signed go where it says, in the mode it says.
func TestRFC9101_7_ErrorsInTheModeInside(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	for _, mode := range allModes {
		for code, pair := range map[string][]string{"invalid_request_object": {"aud", "https://other.example"}, "invalid_scope": {"scope", "admin"}} {
			p := v.get(t, n.at(wrap("jar", n.object("jar", append(pair, "response_mode", mode)...), "response_mode", "query", "state", "other")))
			if q := n.said(t, p, "jar", mode); q.Get("error") != code {
				t.Errorf("%s: %v", mode, q)
			}
		}
	}
}

func TestRFC9101_5_2_RequestByReference(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	v.signIn(t, n, "alice")
	by := func(client string) *page {
		return v.get(t, n.at(url.Values{"client_id": {client}, "request_uri": {kept}, "redirect_uri": {callback}, "state": {"the state"}}))
	}
	n.code(t, by("jar").answer(t, n))
	if q := by("own").answer(t, n); q.Get("error") != "request_uri_not_supported" {
		t.Errorf("where it is not registered: %v", q)
	}
	v.push(t, n, url.Values{"client_id": {"jar"}, "request_uri": {kept}}).isRefusal(t, http.StatusBadRequest, "invalid_request")
}

func TestRFC9126_3_PushedObject(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	v.signIn(t, n, "alice")
	// What else is pushed does not count.
	uri := v.push(t, n, wrap("jar-par", n.object("jar-par", "scope", "openid read"), "scope", "admin", "state", "other")).pushed(t)
	if c := n.code(t, v.get(t, n.open("jar-par", uri)).answer(t, n)); !has(c.Auth.Scope, "read") {
		t.Errorf("code %+v", c.Auth)
	}
	v.push(t, n, wrap("jar-par", n.object("jar"))).isRefusal(t, http.StatusBadRequest, "invalid_request_object")
	v.push(t, n, wrap("jar-par", n.object("jar-par", "redirect_uri", ""))).isRefusal(t, http.StatusBadRequest, "invalid_request")
	v.push(t, n, wrap("jar-par", n.object("jar-par", "redirect_uri", ""), "redirect_uri", callback)).isRefusal(t, http.StatusBadRequest, "invalid_request")
}

// FAPI 2.0 Message Signing §5.3 and §5.4: pushed and signed requests, signed answers.
func TestFAPI2MessageSigning(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	v.signIn(t, n, "alice")
	push := func(id string, request url.Values) *page { return v.push(t, n, n.asserted("messages", id, request)) }

	uri := push("right", wrap("messages", n.object("messages", "scope", "openid read"))).pushed(t)
	code := n.code(t, n.said(t, v.get(t, n.open("messages", uri)), "messages", "jwt"))
	if !has(code.Auth.Scope, "read") {
		t.Errorf("code %+v", code.Auth)
	}
	rs256 := must(jose.NewSigner(must(jose.GenerateKey(jose.RS256))))
	hour := func(d time.Duration) map[string]any {
		return map[string]any{"iss": "messages", "aud": n.issuer, "nbf": n.now().Add(-d).Unix(), "exp": n.now().Add(time.Hour - d + time.Second).Unix()}
	}
	for name, c := range map[string]struct {
		request url.Values
		code    string
	}{
		"§5.3.1 (1), not signed":         {parameters("messages", "response_mode", "jwt"), "invalid_request"},
		"§5.3.1 (1), alg none":           {wrap("messages", "eyJhbGciOiJub25lIn0.e30."), "invalid_request_object"},
		"§5.3.1 (2), another issuer":     {wrap("messages", w.beta.object("messages")), "invalid_request_object"},
		"§5.3.1 (3), no nbf":             {wrap("messages", n.object("messages", "nbf", "")), "invalid_request_object"},
		"§5.3.1 (4), no exp":             {wrap("messages", n.object("messages", "exp", "")), "invalid_request_object"},
		"§5.3.1 (4), too long":           {wrap("messages", must(once().assertion.Sign("", hour(0)))), "invalid_request_object"},
		"FAPI 2.0 §5.4.1, RS256":         {wrap("messages", must(rs256.Sign("", hour(time.Minute)))), "invalid_request_object"},
		"§5.4.1, an answer not signed":   {wrap("messages", n.object("messages", "response_mode", "")), "invalid_request"},
		"§5.4.1, a plain form":           {wrap("messages", n.object("messages", "response_mode", "form_post")), "invalid_request"},
		"RFC 7636, no PKCE":              {wrap("messages", n.object("messages", "code_challenge", "")), "invalid_request"},
		"RFC 9101 §10.8, the assertion":  {wrap("messages", n.asserted("messages", "x", url.Values{}).Get("client_assertion")), "invalid_request_object"},
		"RFC 9101 §4, a request_uri":     {wrap("messages", n.object("messages", "request_uri", uri)), "invalid_request_object"},
		"RFC 9126 §2.1, and another one": {wrap("messages", n.object("messages"), "request_uri", uri), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			push(name, c.request).isRefusal(t, http.StatusBadRequest, c.code)
		})
	}
	// Around PAR: the refusal is signed too.
	q := n.said(t, v.get(t, n.at(wrap("messages", n.object("messages")))), "messages", "jwt")
	if q.Get("error") != "invalid_request" {
		t.Errorf("not pushed: %v", q)
	}
	q = n.said(t, v.get(t, n.ask("messages")), "messages", "jwt")
	if q.Get("error") != "invalid_request" {
		t.Errorf("neither pushed nor signed: %v", q)
	}
}

// RFC 9449 §10.1: the key of the proof is that of the object, wherever it is named.
func TestRFC9449_10_1_ProofOfAPushedObject(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	v.signIn(t, n, "alice")
	key := must(jose.NewSigner(must(jose.GenerateKey(jose.ES256))))
	proof := func() string {
		return must(dpop.Make(key, "POST", n.issuer+"/par", n.nonces.Current(n.now()), "", n.now()))
	}
	for _, jkt := range []string{"", key.Key().Thumbprint()} {
		uri := v.push(t, n, wrap("jar", n.object("jar", "dpop_jkt", jkt)), "DPoP", proof()).pushed(t)
		if c := n.code(t, v.get(t, n.open("jar", uri)).answer(t, n)); c.Auth.DPoPJKT != key.Key().Thumbprint() {
			t.Errorf("the code is bound to %q", c.Auth.DPoPJKT)
		}
	}
	v.push(t, n, wrap("jar", n.object("jar", "dpop_jkt", challenge)), "DPoP", proof()).isRefusal(t, http.StatusBadRequest, "invalid_dpop_proof")
	// Beside the object it is not read.
	uri := v.push(t, n, wrap("jar", n.object("jar"), "dpop_jkt", challenge)).pushed(t)
	if c := n.code(t, v.get(t, n.open("jar", uri)).answer(t, n)); c.Auth.DPoPJKT != "" {
		t.Errorf("the code is bound to %q", c.Auth.DPoPJKT)
	}
}
