package authorize_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// push sends a request to the plain PAR endpoint.
func (v *visitor) push(t fataler, n *tenant, form url.Values, header ...string) *page {
	t.Helper()
	return v.post(t, n.issuer+"/par", form, header...)
}

// pushed requires success and returns the request_uri.
func (p *page) pushed(t fataler) string {
	t.Helper()
	var a map[string]any
	if err := json.Unmarshal([]byte(p.body), &a); err != nil {
		t.Fatalf("%d %s: %v", p.status, p.body, err)
	}
	uri, _ := a["request_uri"].(string)
	if p.status != http.StatusCreated || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || len(uri) < 80 || len(a) != 2 || a["expires_in"] != 90.0 {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if p.header.Get("Cache-Control") != "no-store" || p.header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", p.header)
	}
	return uri
}

// isRefusal requires the JSON of RFC 6749 §5.2.
func (p *page) isRefusal(t fataler, status int, code string) {
	t.Helper()
	var a map[string]string
	err := json.Unmarshal([]byte(p.body), &a)
	if err != nil || p.status != status || a["error"] != code || len(a) != 2 || p.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %s, want %d %s", p.status, p.body, status, code)
	}
}

func (n *tenant) open(client, uri string) string {
	return n.issuer + "/authorize?" + url.Values{"client_id": {client}, "request_uri": {uri}}.Encode()
}

func (n *tenant) assertion(form url.Values, id string) url.Values { return n.asserted("jwt", id, form) }

// asserted is a form with a client assertion.
func (n *tenant) asserted(client, id string, form url.Values) url.Values {
	claims := map[string]any{"iss": client, "sub": client, "aud": n.issuer, "jti": id, "exp": n.now().Add(time.Minute).Unix()}
	form.Set("client_assertion_type", oauth.AssertionType)
	form.Set("client_assertion", must(once().assertion.Sign("JWT", claims)))
	return form
}

func TestRFC9126_2_Push(t *testing.T) {
	w := newWorld(t)
	for _, n := range []*tenant{w.acme, w.beta} {
		v := w.visitor()
		uri := v.push(t, n, parameters("own", "scope", "openid read")).pushed(t)
		v.signIn(t, n, "alice")
		// Parameters beside request_uri do not count (RFC 9101 §6.3).
		q := v.get(t, n.open("own", uri)+"&scope=admin&state=other&redirect_uri=https%3A%2F%2Fevil.example").answer(t, n)
		if c := n.code(t, q); !has(c.Auth.Scope, "read") || c.Auth.ClientID != "own" {
			t.Errorf("code %+v", c.Auth)
		}
	}
}

func TestRFC9126_2_1_Authentication(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	basic := func(s string) []string {
		r := must(http.NewRequest("POST", "https://x", nil))
		r.SetBasicAuth("web", s)
		return []string{"Authorization", r.Header.Get("Authorization")}
	}
	v.push(t, n, parameters("web"), basic(secret)...).pushed(t)
	v.push(t, n, parameters("", "client_id", ""), basic(secret)...).pushed(t)
	wrong := v.push(t, n, parameters("web"), basic("wrong")...)
	wrong.isRefusal(t, http.StatusUnauthorized, "invalid_client")
	if !strings.HasPrefix(wrong.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("challenge %q", wrong.header.Get("WWW-Authenticate"))
	}
	v.push(t, n, parameters("web")).isRefusal(t, http.StatusUnauthorized, "invalid_client")
	v.push(t, n, parameters("nobody")).isRefusal(t, http.StatusUnauthorized, "invalid_client")
	v.push(t, n, parameters("web", "client_secret", secret), basic(secret)...).isRefusal(t, http.StatusBadRequest, "invalid_request")
	v.push(t, w.beta, parameters("only-acme")).isRefusal(t, http.StatusUnauthorized, "invalid_client")

	v.push(t, n, parameters("mtls")).isRefusal(t, http.StatusUnauthorized, "invalid_client")
	partner := w.partner(t)
	partner.post(t, n.mtls+"/par", parameters("mtls")).pushed(t)
}

func TestRFC9126_2_1_Refusals(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	for _, c := range []struct {
		name, code string
		pairs      []string
	}{
		{"§2.1, a request_uri inside", "invalid_request", []string{"request_uri", "urn:ietf:params:oauth:request_uri:a.b"}},
		{"another redirect_uri", "invalid_request", []string{"redirect_uri", "https://evil.example"}},
		{"a scope not for this client", "invalid_scope", []string{"scope", "admin"}},
		{"an API not for this client", "invalid_target", []string{"resource", "https://payroll.example"}},
		{"no PKCE", "invalid_request", []string{"code_challenge", ""}},
		{"a request object", "request_not_supported", []string{"request", "e30.e30."}},
		{"another response_type", "unsupported_response_type", []string{"response_type", "token"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v.push(t, n, parameters("own", c.pairs...)).isRefusal(t, http.StatusBadRequest, c.code)
			if got, want := w.lastRefusal(), "acme "+c.code+" own"; got != want {
				t.Errorf("observed %q, want %q", got, want)
			}
		})
	}
	r := must(http.NewRequest(http.MethodPost, n.issuer+"/par", strings.NewReader(`{"client_id":"own"}`)))
	r.Header.Set("Content-Type", "application/json")
	v.send(t, r).isRefusal(t, http.StatusBadRequest, "invalid_request")
}

// RFC 9126 §4, §7.3: for the client that pushed it, for 90 s, until it is answered.
func TestRFC9126_4_RequestURI(t *testing.T) {
	w := newWorld(t)
	n := w.acme
	first, second := w.visitor(), w.visitor()
	uri := first.push(t, n, parameters("own")).pushed(t)
	first.get(t, n.open("app", uri)).isErrorPage(t, "invalid_request_uri")
	first.get(t, w.beta.open("own", uri)).isErrorPage(t, "invalid_request_uri")
	first.get(t, n.open("own", uri[:len(uri)-1]+"_")).isErrorPage(t, "invalid_request_uri")
	first.get(t, n.issuer+"/authorize?request_uri="+url.QueryEscape(uri)).isErrorPage(t, "invalid_request")

	a, b := first.get(t, n.open("own", uri)), second.get(t, n.open("own", uri))
	for _, p := range []*page{a, b} {
		if !strings.Contains(p.location(), "/login?i=") {
			t.Fatalf("leads to %s", p.location())
		}
	}
	w.pass(20 * time.Minute) // people are slower than clients
	first.get(t, n.open("own", uri)).isErrorPage(t, "invalid_request_uri")
	first.signIn(t, n, "alice")
	second.signIn(t, n, "bob")
	next := func(p *page) string { return strings.Replace(p.location(), "/login?", "/authorize/next?", 1) }
	if q := first.get(t, next(a)).answer(t, n); !q.Has("code") {
		t.Errorf("got %v", q)
	}
	second.get(t, next(b)).isErrorPage(t, "invalid_request")

	uri = first.push(t, n, parameters("own")).pushed(t)
	first.get(t, n.open("own", uri)).answer(t, n)
	first.get(t, n.open("own", uri)).isErrorPage(t, "invalid_request_uri")
	uri = first.push(t, n, parameters("own")).pushed(t)
	w.pass(90 * time.Second)
	first.get(t, n.open("own", uri)).isErrorPage(t, "invalid_request_uri")
}

func TestRFC9126_5_RequiredPush(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	uri := v.push(t, w.acme, parameters("pusher", "state", strings.Repeat("s", 2000), "scope", "openid profile read")).pushed(t)
	if p := v.get(t, w.acme.open("pusher", uri)); !strings.Contains(p.location(), "/login?i=") {
		t.Errorf("leads to %s", p.location())
	}
	// What is pushed is not in the cookie, however large.
	for name, value := range v.jar {
		if len(name)+len(value) > 400 {
			t.Errorf("cookie of %d bytes", len(value))
		}
	}
}

// An assertion works once, also where the request that came with it was refused.
func TestRFC7523_3_AssertionOfAPush(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	v.push(t, n, n.assertion(parameters("jwt"), "1")).pushed(t)
	v.push(t, n, n.assertion(parameters("jwt"), "1")).isRefusal(t, http.StatusUnauthorized, "invalid_client")
	for _, bad := range [][]string{{"scope", "admin"}, {"request_uri", "urn:x"}, {"redirect_uri", ""}} {
		id := bad[0]
		if p := v.push(t, n, n.assertion(parameters("jwt", bad...), id)); p.status != http.StatusBadRequest {
			t.Errorf("%v: %d", bad, p.status)
		}
		v.push(t, n, n.assertion(parameters("jwt"), id)).isRefusal(t, http.StatusUnauthorized, "invalid_client")
	}
	v.push(t, n, n.assertion(parameters("jwt"), "proof"), "DPoP", "rubbish").isRefusal(t, http.StatusBadRequest, "invalid_dpop_proof")
	v.push(t, n, n.assertion(parameters("jwt"), "proof")).isRefusal(t, http.StatusUnauthorized, "invalid_client")
}

func TestRFC9449_10_1_ProofOfAPush(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	v.signIn(t, n, "alice")
	key := must(jose.NewSigner(must(jose.GenerateKey(jose.ES256))))
	jkt := key.Key().Thumbprint()
	proof := func(address, nonce string) string { return must(dpop.Make(key, "POST", address, nonce, "", n.now())) }
	nonce := func(p *page) string {
		t.Helper()
		if p.header.Get("DPoP-Nonce") == "" {
			t.Fatalf("no nonce: %v", p.header)
		}
		return p.header.Get("DPoP-Nonce")
	}

	p := v.push(t, n, parameters("own"), "DPoP", proof(n.issuer+"/par", ""))
	p.isRefusal(t, http.StatusBadRequest, "use_dpop_nonce")
	fresh := nonce(p)
	right := proof(n.issuer+"/par", fresh)
	p = v.push(t, n, parameters("own"), "DPoP", right)
	nonce(p)
	if c := n.code(t, v.get(t, n.open("own", p.pushed(t))).answer(t, n)); c.Auth.DPoPJKT != jkt {
		t.Errorf("the code is bound to %q", c.Auth.DPoPJKT)
	}
	v.push(t, n, parameters("own"), "DPoP", right).isRefusal(t, http.StatusBadRequest, "invalid_dpop_proof")
	v.push(t, n, parameters("own", "dpop_jkt", jkt), "DPoP", proof(n.issuer+"/par", fresh)).pushed(t)

	other := proof(n.issuer+"/par", fresh)
	v.push(t, n, parameters("own", "dpop_jkt", challenge), "DPoP", other).isRefusal(t, http.StatusBadRequest, "invalid_dpop_proof")
	v.push(t, n, parameters("own"), "DPoP", other).isRefusal(t, http.StatusBadRequest, "invalid_dpop_proof") // used up by the refusal

	for name, header := range map[string][]string{
		"two proofs":          {"DPoP", proof(n.issuer+"/par", fresh), "DPoP", proof(n.issuer+"/par", fresh)},
		"another endpoint":    {"DPoP", proof(n.issuer+"/token", fresh)},
		"the mutual-TLS host": {"DPoP", proof(n.mtls+"/par", fresh)},
		"another issuer":      {"DPoP", proof(w.beta.issuer+"/par", fresh)},
		"rubbish":             {"DPoP", "a.b.c"},
	} {
		t.Run(name, func(t *testing.T) {
			v.push(t, n, parameters("own"), header...).isRefusal(t, http.StatusBadRequest, "invalid_dpop_proof")
		})
	}
	v.push(t, w.beta, parameters("own"), "DPoP", proof(w.beta.issuer+"/par", fresh)).isRefusal(t, http.StatusBadRequest, "use_dpop_nonce")
	partner := w.partner(t)
	partner.post(t, n.mtls+"/par", parameters("mtls"), "DPoP", proof(n.mtls+"/par", fresh)).pushed(t)

	// Without a proof the parameter alone binds the code (§10).
	if c := n.code(t, v.get(t, n.ask("own", "dpop_jkt", jkt)).answer(t, n)); c.Auth.DPoPJKT != jkt {
		t.Errorf("the code is bound to %q", c.Auth.DPoPJKT)
	}
}
