package holdfasttest_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// api is the resource server that introspects.
func asAPI(t *testing.T, s *holdfasttest.Server) *party {
	c := s.Clients["resource_server"]
	return &party{Server: s, t: t, client: s.HTTP(), base: s.Issuer, auth: func(_ url.Values, r *http.Request) { r.SetBasicAuth(c.ID, c.Secret) }}
}

func TestStolenCode(t *testing.T) {
	s := holdfasttest.Start(t)
	alice := newPerson(t, s)
	t.Run("without the verifier", func(t *testing.T) {
		code := alice.code("web_confidential", s.Users[0], nil)
		a := asWeb(t, s).post("/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": s.Clients["web_confidential"].RedirectURIs, "code_verifier": {verifier + "x"},
		})
		if a.text("error") != "invalid_grant" {
			t.Errorf("%d %v", a.Status, a.Body)
		}
	})
	t.Run("by another client", func(t *testing.T) {
		code := alice.code("web_confidential", s.Users[0], nil)
		a := asNative(t, s).post("/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": s.Clients["web_confidential"].RedirectURIs, "code_verifier": {verifier},
		})
		if a.text("error") != "invalid_grant" {
			t.Errorf("%d %v", a.Status, a.Body)
		}
	})
	t.Run("RFC 9700 4.2.4: a second use revokes what the first gave", func(t *testing.T) {
		web := asWeb(t, s)
		code := alice.code("web_confidential", s.Users[0], url.Values{"scope": {"openid offline_access"}})
		first := web.redeem("web_confidential", code)
		if first.Status != http.StatusOK {
			t.Fatalf("%d %v", first.Status, first.Body)
		}
		if a := asWeb(t, s).redeem("web_confidential", code); a.text("error") != "invalid_grant" {
			t.Errorf("second use: %d %v", a.Status, a.Body)
		}
		if a := web.userinfo(first.text("access_token")); a.Status != http.StatusUnauthorized {
			t.Errorf("the first token still works: %d", a.Status)
		}
		if a := web.refresh(first.text("refresh_token")); a.text("error") != "invalid_grant" {
			t.Errorf("the grant still refreshes: %d %v", a.Status, a.Body)
		}
	})
}

func TestStolenRefreshAndAccessTokens(t *testing.T) {
	s := holdfasttest.Start(t)
	alice, native := newPerson(t, s), asNative(t, s)
	code := alice.code("native_public", s.Users[0], url.Values{"scope": {"openid offline_access"}})
	got := native.redeem("native_public", code)
	if got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	thief := asNative(t, s)
	if a := thief.refresh(got.text("refresh_token")); a.text("error") != "invalid_grant" {
		t.Errorf("refresh with another key: %d %v", a.Status, a.Body)
	}
	if a := thief.userinfo(got.text("access_token")); a.Status != http.StatusUnauthorized {
		t.Errorf("access with another key: %d %v", a.Status, a.Body)
	}
	bare := asNative(t, s)
	bare.key = nil
	if a := bare.userinfo(got.text("access_token")); a.Status != http.StatusUnauthorized {
		t.Errorf("access as a bearer: %d %v", a.Status, a.Body)
	}
	if a := bare.refresh(got.text("refresh_token")); a.Status == http.StatusOK {
		t.Errorf("refresh without a key: %d %v", a.Status, a.Body)
	}
	if a := native.userinfo(got.text("access_token")); a.Status != http.StatusOK {
		t.Errorf("the right holder afterwards: %d %v", a.Status, a.Body)
	}
}

func TestRFC9449_ProofsAtTheTokenEndpoint(t *testing.T) {
	s := holdfasttest.Start(t)
	jwt := func() *party {
		p := &party{Server: s, t: t, client: s.HTTP(), base: s.Issuer, key: s.Signer("")}
		n := 0
		p.auth = func(v url.Values, _ *http.Request) {
			n++
			v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			v.Set("client_assertion", s.Assertion("partner_jwt", t.Name()+string(rune('a'+n))+s.Signer("").Key().ID()))
		}
		return p
	}
	c := s.Clients["partner_jwt"]
	ask := url.Values{"grant_type": {"client_credentials"}, "scope": {c.Scope}, "resource": {c.Resource}}
	p := jwt()
	if a := p.postOnce("/token", ask); a.text("error") != "use_dpop_nonce" || p.nonce == "" || a.Status != http.StatusBadRequest {
		t.Errorf("without a nonce: %d %v", a.Status, a.Body)
	}
	if a := p.postOnce("/token", ask); a.Status != http.StatusOK || a.text("token_type") != "DPoP" {
		t.Errorf("with it: %d %v", a.Status, a.Body)
	}
	request := func(proof string) answered {
		v := url.Values{}
		for k := range ask {
			v[k] = ask[k]
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Issuer+"/token", nil)
		if err != nil {
			t.Fatal(err)
		}
		p.auth(v, req)
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, s.Issuer+"/token", body(v))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if proof != "" {
			req.Header.Set("DPoP", proof)
		}
		return p.send(req)
	}
	once := s.Proof(p.key, http.MethodPost, s.Issuer+"/token", p.nonce, "")
	if a := request(once); a.Status != http.StatusOK {
		t.Errorf("a fresh proof: %d %v", a.Status, a.Body)
	}
	for name, proof := range map[string]string{
		"a proof twice": once,
		"htm":           s.Proof(p.key, http.MethodGet, s.Issuer+"/token", p.nonce, ""),
		"htu":           s.Proof(p.key, http.MethodPost, s.Issuer+"/par", p.nonce, ""),
		"no token":      "x.y.z",
	} {
		if a := request(proof); a.text("error") != "invalid_dpop_proof" || a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", name, a.Status, a.Body)
		}
	}
	if a := request(""); a.text("error") != "invalid_request" {
		t.Errorf("no proof: %d %v; nothing may be issued unbound", a.Status, a.Body)
	}
}

func TestRFC8705_PartnerTokensAreWorthlessWithoutTheCertificate(t *testing.T) {
	s := holdfasttest.Start(t)
	alice, partner := newPerson(t, s), asPartner(t, s)
	code := alice.code("partner_mtls", s.Users[0], url.Values{"scope": {"openid email orders.read"}, "resource": {s.Clients["partner_mtls"].Resource}})
	got := partner.redeem("partner_mtls", code)
	if got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	token := got.text("access_token")
	if a := partner.userinfo(token); a.Status != http.StatusOK || a.text("email") != "alice@example.com" {
		t.Errorf("with the certificate: %d %v", a.Status, a.Body)
	}
	thieves := map[string]*http.Client{"none": s.HTTP(), "another": s.HTTP(selfSigned(t))}
	for _, h := range handings { // which no proxy has written: TLS ends here
		thieves["only said in "+h.header] = h.lying(s.HTTP(), s.Certificate("partner_mtls").Certificate[0])
	}
	for name, client := range thieves {
		thief := asPartner(t, s)
		thief.client = client
		if a := thief.userinfo(token); a.Status != http.StatusUnauthorized || a.text("error") != "invalid_token" {
			t.Errorf("with certificate %s: %d %v", name, a.Status, a.Body)
		}
		if a := thief.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}}); a.text("error") != "invalid_client" {
			t.Errorf("token endpoint with certificate %s: %d %v", name, a.Status, a.Body)
		}
	}
	if !asAPI(t, s).active(token) {
		t.Error("the API does not see the token")
	}
}
