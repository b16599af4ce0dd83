package grant_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/tokens"
)

type httpRequest = http.Request

// proofWith makes a proof of the key from claims that a test has changed.
func (k key) proofWith(edit func(n *tenant, claims map[string]any)) option {
	return func(n *tenant, r *http.Request) {
		claims := map[string]any{
			"jti": newJTI(), "htm": "POST", "htu": n.issuer + "/token", "iat": n.now().Unix(), "nonce": n.nonces.Current(n.now()),
		}
		edit(n, claims)
		embedded := must(k.WithEmbeddedKey())
		r.Header.Set("DPoP", must(embedded.Sign("dpop+jwt", claims)))
	}
}

func (k key) staleProof() option {
	return k.proofWith(func(_ *tenant, c map[string]any) { delete(c, "nonce") })
}

func set(name string, value any) func(*tenant, map[string]any) {
	return func(_ *tenant, c map[string]any) { c[name] = value }
}

func TestRFC9449_ProofIsRefused(t *testing.T) {
	i := install(t, tokens.Lifetimes{})
	n := i.acme
	k := newKey(t)
	old := n.nonces.Current(n.now())
	n.pass(2 * time.Minute)
	for name, tc := range map[string]struct {
		edit func(*tenant, map[string]any)
		code string
	}{
		"8 no nonce":                    {func(_ *tenant, c map[string]any) { delete(c, "nonce") }, "use_dpop_nonce"},
		"8 an old nonce":                {set("nonce", old), "use_dpop_nonce"},
		"8 an invented nonce":           {set("nonce", "abc"), "use_dpop_nonce"},
		"8 a nonce of another tenant":   {func(n *tenant, c map[string]any) { c["nonce"] = i.beta.nonces.Current(n.now()) }, "use_dpop_nonce"},
		"4_3 another method":            {set("htm", "GET"), "invalid_dpop_proof"},
		"4_3 another path":              {set("htu", n.issuer+"/userinfo"), "invalid_dpop_proof"},
		"4_3 another host":              {set("htu", "https://evil.example/token"), "invalid_dpop_proof"},
		"4_3 the alias at another host": {set("htu", n.mtls+"/token"), "invalid_dpop_proof"},
		"4_3 another tenant's":          {set("htu", i.beta.issuer+"/token"), "invalid_dpop_proof"},
		"4_3 stale":                     {func(n *tenant, c map[string]any) { c["iat"] = n.now().Add(-61 * time.Second).Unix() }, "invalid_dpop_proof"},
		"4_3 an hour old":               {func(n *tenant, c map[string]any) { c["iat"] = n.now().Add(-time.Hour).Unix() }, "invalid_dpop_proof"},
		"4_3 from the future":           {func(n *tenant, c map[string]any) { c["iat"] = n.now().Add(11 * time.Second).Unix() }, "invalid_dpop_proof"},
		"4_2 no jti":                    {set("jti", ""), "invalid_dpop_proof"},
	} {
		t.Run(name, func(t *testing.T) {
			a := n.post(t, withSecret("machine"), k.proofWith(tc.edit))
			want(t, a, 400, tc.code)
			if a.header.Get("DPoP-Nonce") != n.nonces.Current(n.now()) {
				t.Error("no fresh nonce")
			}
		})
	}
	ok(t, n.post(t, withSecret("machine"), k.proofWith(func(n *tenant, c map[string]any) { c["iat"] = n.now().Add(9 * time.Second).Unix() })))
}

func TestRFC9449_11_1_ProofWorksOnce(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	once := k.proofWith(set("jti", "once"))
	ok(t, n.post(t, withSecret("machine"), once))
	want(t, n.post(t, withSecret("machine"), once), 400, "invalid_dpop_proof")
	want(t, n.post(t, with(selfForm(""), n.assertion(newJTI())...), once), 400, "invalid_dpop_proof")
	want(t, n.post(t, withSecret("opaque"), once), 400, "invalid_dpop_proof")
	code := n.code(t, "native")
	want(t, n.post(t, codeForm("native", code), once), 400, "invalid_dpop_proof")
	ok(t, n.post(t, codeForm("native", code), k.proof()))

	// The jti is the key's own: another key may use the same.
	ok(t, n.post(t, withSecret("machine"), newKey(t).proofWith(set("jti", "once"))))
}

func TestRFC9449_4_3_ProofAtTheAlias(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k, cert := newKey(t), identities().cert
	ok(t, n.post(t, selfForm("mtls"), withCert(cert), k.proof()))
	want(t, n.post(t, selfForm("mtls"), withCert(cert), k.proofWith(set("htu", n.issuer+"/token"))), 400, "invalid_dpop_proof")
}

func TestNonceGoesOnlyToWhoUsesDPoP(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	if a := ok(t, n.post(t, withSecret("machine"))); a.header.Get("DPoP-Nonce") != "" {
		t.Error("a nonce for nobody")
	}
	a := n.post(t, with(withSecret("machine"), "client_secret", strings.Repeat("x", 40)), newKey(t).proof())
	want(t, a, 401, "invalid_client")
	if a.header.Get("DPoP-Nonce") == "" {
		t.Error("no fresh nonce with a refusal")
	}
}

func TestSenderConstraint(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k, cert := newKey(t), identities().cert
	for name, tc := range map[string]struct {
		client  string
		options []option
		code    string
	}{
		"RFC9449_5_2 no proof":                         {"native", nil, "invalid_request"},
		"RFC8705_3_4 a public client's certificate":    {"sealed", []option{withCert(cert), k.proof()}, ""},
		"RFC8705_3_4 a proof is not a certificate":     {"sealed", []option{k.proof()}, "invalid_request"},
		"RFC9449_5_2 a certificate is not a proof":     {"sealed", []option{withCert(cert)}, "invalid_request"},
		"a bearer token for an API that takes none":    {"loose", nil, "invalid_request"},
		"a bound one of a client that may have others": {"loose", []option{k.proof()}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code := n.code(t, tc.client)
			a := n.post(t, codeForm(tc.client, code), tc.options...)
			if tc.code != "" {
				want(t, a, 400, tc.code)
				return
			}
			c := n.claims(t, ok(t, a).str("access_token"))
			if c.Confirmation.JKT != k.thumbprint() || (c.Confirmation.X5T != "") != (tc.client == "sealed") {
				t.Errorf("bound to %+v", c.Confirmation)
			}
		})
	}
}
