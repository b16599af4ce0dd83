package holdfasttest_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// TestThePath goes from the outside into the API, as a browser and as partners do.
func TestThePath(t *testing.T) {
	engines(t, func(t *testing.T, s *holdfasttest.Server) {
		t.Run("of a browser", func(t *testing.T) { pathOfBrowser(t, newFrontend(t, s)) })
		t.Run("of partners", func(t *testing.T) { pathOfPartners(t, s) })
		t.Run("and no other", func(t *testing.T) { pathOfNobody(t, s) })
	})
}

// pathOfBrowser leads from the cookie through token handler and gateway into the API, and back out.
func pathOfBrowser(t *testing.T, page *frontend) {
	if a := page.call("/session"); a.Status != http.StatusOK || a.Body["is_logged_in"] != false {
		t.Errorf("before: %d %v", a.Status, a.Body)
	}
	if a := page.orders(); a.Status != http.StatusUnauthorized {
		t.Errorf("orders of nobody: %d %v", a.Status, a.Body)
	}
	back := page.begin(page.Users[0])
	in := page.end(back)
	if in.Status != http.StatusOK || in.Body["is_logged_in"] != true {
		t.Fatalf("login/end: %d %v", in.Status, in.Body)
	}
	for _, c := range in.Header.Values("Set-Cookie") {
		if !strings.HasPrefix(c, "__Host-Http-hf-demo-") || strings.Contains(strings.ToLower(c), "domain=") {
			t.Errorf("cookie %s", c)
		}
		for _, wanted := range []string{"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} {
			if !strings.Contains(c, "; "+wanted) {
				t.Errorf("a cookie without %s: %s", wanted, c)
			}
		}
	}
	if a := page.end(back); a.Status != http.StatusOK {
		t.Errorf("the page loaded twice: %d %v", a.Status, a.Body)
	}
	lasting(t, page)
	leaving(t, page)
}

// lasting uses a session.
func lasting(t *testing.T, page *frontend) {
	t.Helper()
	known := page.call("/session")
	claims, _ := known.Body["id_token_claims"].(map[string]any)
	if known.Body["is_logged_in"] != true || claims["sub"] == "" || claims["iss"] != page.Issuer || claims["name"] != "Alice Adams" {
		t.Errorf("session: %d %v", known.Status, known.Body)
	}
	a := page.orders()
	saw, _ := a.Body["caller"].(map[string]any)
	if a.Status != http.StatusOK || saw["subject"] != claims["sub"] || saw["client_id"] != "spa" || saw["actor"] != "gateway" || saw["bound_to"] != "gateway" {
		t.Errorf("orders: %d %v; the token must be that of the gateway, for Alice", a.Status, a.Body)
	}
	if a := page.call("/refresh"); a.Status != http.StatusOK {
		t.Errorf("refresh: %d %v", a.Status, a.Body)
	}
	if a := page.orders(); a.Status != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != page.origin {
		t.Errorf("orders after a refresh: %d %v %v", a.Status, a.Header, a.Body)
	}
}

// leaving ends a session, and everything that a copy of its cookie could do.
func leaving(t *testing.T, page *frontend) {
	t.Helper()
	thief := page.thief()
	out := page.call("/logout")
	if out.Status != http.StatusOK || !strings.HasPrefix(out.text("logout_url"), page.Issuer+"/") {
		t.Errorf("logout: %d %v", out.Status, out.Body)
	}
	if d := refusedWithin(t, thief.orders); d > time.Second {
		t.Errorf("the gateway saw it after %v", d)
	}
	for name, a := range map[string]answered{
		"orders": page.orders(), "refresh": page.call("/refresh"), "a copy of the cookie at refresh": thief.call("/refresh"), "a copy at orders": thief.orders(),
	} {
		if a.Status != http.StatusUnauthorized || a.Header.Get("Access-Control-Allow-Origin") != page.origin {
			t.Errorf("%s afterwards: %d %v", name, a.Status, a.Body)
		}
	}
	if a := page.call("/session"); a.Body["is_logged_in"] != false {
		t.Errorf("session afterwards: %d %v", a.Status, a.Body)
	}
	g := page.follow(page.get(out.text("logout_url")))
	if strings.Contains(g.text, `id="logout-confirm"`) {
		page.submit(g, "logout-confirm", nil)
	}
	again := page.call("/login/start")
	if g := page.follow(page.get(again.text("authorization_url"))); !strings.Contains(g.text, `id="login-submit"`) {
		t.Errorf("the issuer still knows the browser: %s", g.Status)
	}
}

// refusedWithin asks until it is refused, and says how long that took.
func refusedWithin(t *testing.T, ask func() answered) time.Duration {
	t.Helper()
	begin := time.Now()
	for ask().Status < 400 && time.Since(begin) < 5*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}

// asKeyPartner is a partner that authenticates by assertions, with a key for DPoP. client is partner_jwt or partner_opaque.
func asKeyPartner(t *testing.T, s *holdfasttest.Server, client string) *party {
	return &party{Server: s, t: t, client: s.HTTP(), base: s.Issuer, key: s.Signer(""), auth: func(v url.Values, _ *http.Request) {
		v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		v.Set("client_assertion", s.Assertion(client, store.NewID()))
	}}
}

// token is one of the client's own, for the API.
func (c *party) token(client string) string {
	c.t.Helper()
	a := c.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}, "resource": {c.GatewayURL}})
	if a.Status != http.StatusOK {
		c.t.Fatalf("token of %s: %d %v", client, a.Status, a.Body)
	}
	return a.text("access_token")
}

// ask sends a token to an API, with a proof if there is a key, and again if a nonce was missing.
func (c *party) ask(address, token string, change ...func(*http.Request)) answered {
	c.t.Helper()
	a := c.askOnce(address, token, change...)
	if a.text("error") == "use_dpop_nonce" {
		a = c.askOnce(address, token, change...)
	}
	return a
}

func (c *party) askOnce(address, token string, change ...func(*http.Request)) answered {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if c.key != nil {
		req.Header.Set("Authorization", "DPoP "+token)
		req.Header.Set("DPoP", c.Proof(c.key, http.MethodGet, address, c.nonce, token))
	}
	for _, f := range change {
		f(req)
	}
	return c.send(req)
}

// pathOfPartners leads by the gateway's listener for partners, with each kind of token they may have.
func pathOfPartners(t *testing.T, s *holdfasttest.Server) {
	for client, c := range map[string]struct {
		*party
		id string
	}{
		"partner_mtls":   {asPartner(t, s), "partner-mtls"},
		"partner_jwt":    {asKeyPartner(t, s, "partner_jwt"), "partner-jwt"},
		"partner_opaque": {asKeyPartner(t, s, "partner_opaque"), "partner-opaque"},
	} {
		t.Run(client, func(t *testing.T) {
			a := c.ask(s.APIURL, c.token(client))
			saw, _ := a.Body["caller"].(map[string]any)
			if a.Status != http.StatusOK || saw["client_id"] != c.id || saw["actor"] != "gateway" || saw["bound_to"] != "gateway" || saw["scope"] != "orders.read" {
				t.Errorf("%d %v", a.Status, a.Body)
			}
		})
	}
}

// pathOfNobody knocks at the API itself: without the gateway's certificate there is no connection, and tokens from outside
// mean nothing inside.
func pathOfNobody(t *testing.T, s *holdfasttest.Server) {
	for name, certificates := range map[string][]tls.Certificate{
		"none": nil, "of a partner": {s.Certificate("partner_mtls")}, "of nobody": {selfSigned(t)},
	} {
		resp, err := s.HTTP(certificates...).Get(s.Upstream + "/orders")
		if err == nil {
			_ = resp.Body.Close() // it should not have come
			t.Errorf("certificate %s: %s", name, resp.Status)
		}
	}
	partner := asPartner(t, s)
	token := partner.token("partner_mtls")
	inside := *partner
	inside.client = s.HTTP(s.Certificate("gateway"))
	if a := inside.ask(s.Upstream+"/orders", token); a.Status != http.StatusUnauthorized {
		t.Errorf("a token from outside, inside: %d %v", a.Status, a.Body)
	}
}
