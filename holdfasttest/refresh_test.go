package holdfasttest_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// legacy is a client, and an API, that cannot bind tokens. Its refresh tokens are rotated instead.
const legacy = `
kind: api
resource: https://legacy.example
scopes: [orders.read]
allow_bearer_tokens: true
introspectors: [demo-api]
---
kind: client
client_id: legacy
client_name: Legacy
token_endpoint_auth_method: client_secret_basic
client_secret: 9sQe3Qw6tY2uJ8mKxVbN1rZpLdFhGcTa
grant_types: [authorization_code, refresh_token]
redirect_uris: [https://legacy.example/callback]
scope: openid offline_access orders.read
resources: [https://legacy.example]
allow_bearer_tokens: true
`

// asLegacy is that client, which the landscape gets to know first.
func asLegacy(t *testing.T, s *holdfasttest.Server) *party {
	t.Helper()
	c := holdfasttest.Client{ID: "legacy", Secret: "9sQe3Qw6tY2uJ8mKxVbN1rZpLdFhGcTa", RedirectURIs: []string{"https://legacy.example/callback"}}
	if _, known := s.Clients[c.ID]; !known {
		s.Apply("main", legacy)
		s.Clients[c.ID] = c
	}
	return &party{Server: s, t: t, client: s.HTTP(), base: s.Issuer, auth: func(_ url.Values, r *http.Request) { r.SetBasicAuth(c.ID, c.Secret) }}
}

// here stays at the node.
func here(c *party) *party { return c }

func TestRFC9700_4_14_2_StolenRefreshTokens(t *testing.T) {
	engines(t, func(t *testing.T, s *holdfasttest.Server) {
		t.Run("rotated, used twice", func(t *testing.T) { rotatedTwice(t, s, here) })
		t.Run("bound to another key", func(t *testing.T) { boundToAnother(t, s, here) })
	})
}

// rotatedTwice uses a rotated refresh token a second time: here, at another node, and twice at once. Whoever was the
// thief, the whole family is worth nothing from then on, and the API, at the other node, is told so within a second.
func rotatedTwice(t *testing.T, s *holdfasttest.Server, there func(*party) *party) {
	alice, legacy, api := newPerson(t, s), asLegacy(t, s), there(asAPI(t, s))
	spent := func(t *testing.T, a answered) {
		t.Helper()
		if a.Status != http.StatusBadRequest || a.text("error") != "invalid_grant" {
			t.Errorf("%d %v, want 400 invalid_grant", a.Status, a.Body)
		}
	}
	for name, again := range map[string]func(t *testing.T, refresh string){
		"here":           func(t *testing.T, refresh string) { spent(t, legacy.refresh(refresh)) },
		"there":          func(t *testing.T, refresh string) { spent(t, there(legacy).refresh(refresh)) },
		"twice, at once": func(t *testing.T, refresh string) { atOnce(t, refresh, legacy, there(legacy)) },
	} {
		t.Run(name, func(t *testing.T) {
			code := alice.code("legacy", s.Users[0], url.Values{"scope": {"openid offline_access orders.read"}, "resource": {"https://legacy.example"}})
			first := legacy.redeem("legacy", code)
			second := legacy.refresh(first.text("refresh_token"))
			third := there(legacy).refresh(second.text("refresh_token"))
			family := map[string]bool{}
			for _, a := range []answered{first, second, third} {
				if a.Status != http.StatusOK || a.text("token_type") != "Bearer" || family[a.text("refresh_token")] || !api.active(a.text("access_token")) {
					t.Fatalf("%d %v", a.Status, a.Body)
				}
				family[a.text("refresh_token")] = true
			}
			again(t, first.text("refresh_token"))
			begin := time.Now()
			for _, a := range []answered{third, second, first} {
				gone(t, api, a.text("access_token"))
			}
			if d := time.Since(begin); d > time.Second {
				t.Errorf("the other node saw it after %v", d)
			}
			for token := range family {
				spent(t, legacy.refresh(token))
				spent(t, there(legacy).refresh(token))
			}
		})
	}
}

// atOnce uses a spent token at both nodes at the same time.
func atOnce(t *testing.T, refresh string, at ...*party) {
	t.Helper()
	var wg sync.WaitGroup
	for _, c := range at {
		wg.Go(func() {
			if a := c.refresh(refresh); a.text("error") != "invalid_grant" {
				t.Errorf("%d %v", a.Status, a.Body)
			}
		})
	}
	wg.Wait()
}

// boundToAnother shows bound refresh tokens with other keys. A thief without the key can do nothing, not even harm: if
// the attempt revoked the grant, anybody who finds a useless token could lock its owner out.
func boundToAnother(t *testing.T, s *holdfasttest.Server, there func(*party) *party) {
	alice, api := newPerson(t, s), there(asAPI(t, s))
	bare := asNative(t, s)
	bare.key = nil
	partner := func(certificates ...tls.Certificate) *party {
		p := asPartner(t, s)
		p.client = s.HTTP(certificates...)
		return p
	}
	type thief struct {
		*party
		want string
	}
	for client, c := range map[string]struct {
		holder  *party
		thieves map[string]thief
	}{
		"native_public": {asNative(t, s), map[string]thief{
			"another key": {there(asNative(t, s)), "invalid_grant"},
			"no key":      {bare, "invalid_request"},
		}},
		"partner_mtls": {asPartner(t, s), map[string]thief{
			"another certificate of the partner": {partner(secondCertificate(t, s)), "invalid_grant"},
			"a certificate nobody knows":         {partner(selfSigned(t)), "invalid_client"},
			"no certificate":                     {partner(), "invalid_client"},
		}},
	} {
		t.Run(client, func(t *testing.T) {
			scope := url.Values{"scope": {"openid orders.read"}, "resource": {s.Clients[client].Resource}}
			got := c.holder.redeem(client, alice.code(client, s.Users[0], scope))
			refresh := got.text("refresh_token")
			if got.Status != http.StatusOK || refresh == "" {
				t.Fatalf("%d %v", got.Status, got.Body)
			}
			for name, thief := range c.thieves {
				if a := thief.refresh(refresh); a.text("error") != thief.want {
					t.Errorf("%s: %d %v, want %s", name, a.Status, a.Body, thief.want)
				}
			}
			a := c.holder.refresh(refresh)
			if a.Status != http.StatusOK {
				t.Fatalf("the holder afterwards: %d %v", a.Status, a.Body)
			}
			if !api.active(got.text("access_token")) || !api.active(a.text("access_token")) {
				t.Error("a thief's attempt has revoked what the holder holds")
			}
		})
	}
}

// secondCertificate is another one of the partner, as it is issued when the first runs out.
func secondCertificate(t *testing.T, s *holdfasttest.Server) tls.Certificate {
	t.Helper()
	return namedCertificate(t, s, "partner.example")
}
