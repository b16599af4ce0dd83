package grant_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

func selfForm(client string, pairs ...string) map[string]string {
	return with(map[string]string{"grant_type": "client_credentials", "client_id": client}, pairs...)
}

// withSecret is selfForm for a client that posts its secret.
func withSecret(client string, pairs ...string) map[string]string {
	return with(selfForm(client, pairs...), "client_secret", secret)
}

func TestRFC6749_4_4_ClientCredentials(t *testing.T) {
	i := install(t, tokens.Lifetimes{})
	id := identities()
	for _, n := range []*tenant{i.acme, i.beta} {
		k := newKey(t)
		for name, tc := range map[string]struct {
			form    map[string]string
			options []option
			sub     string
			kind    string
			jkt     bool
			x5t     bool
			aud     string
		}{
			"secret, bearer":         {withSecret("machine"), nil, "machine", "Bearer", false, false, legacy},
			"secret, DPoP":           {withSecret("both", "resource", orders), []option{k.proof()}, "both", "DPoP", true, false, orders},
			"certificate":            {selfForm("mtls"), []option{withCert(id.cert)}, "mtls", "Bearer", false, true, orders},
			"certificate and DPoP":   {selfForm("mtls"), []option{withCert(id.cert), k.proof()}, "mtls", "DPoP", true, true, orders},
			"assertion, DPoP":        {with(selfForm(""), n.assertion(newJTI())...), []option{k.proof()}, "jwt", "DPoP", true, false, orders},
			"opaque":                 {withSecret("opaque"), []option{k.proof()}, "opaque", "DPoP", true, false, orders},
			"a bearer client's DPoP": {withSecret("machine"), []option{k.proof()}, "machine", "DPoP", true, false, legacy},
		} {
			t.Run(n.name+" "+name, func(t *testing.T) {
				a := ok(t, n.post(t, tc.form, tc.options...))
				for _, absent := range []string{"refresh_token", "id_token"} {
					if a.body[absent] != nil {
						t.Errorf("%s is there", absent)
					}
				}
				c := n.claims(t, a.str("access_token"))
				if a.str("token_type") != tc.kind || c.Subject != tc.sub || c.ClientID != tc.sub || !slices.Equal(c.Audience, []string{tc.aud}) || c.GrantID != "" {
					t.Errorf("type %s, claims %+v", a.str("token_type"), c)
				}
				var jkt, x5t string
				if c.Confirmation != nil {
					jkt, x5t = c.Confirmation.JKT, c.Confirmation.X5T
				}
				if (jkt == k.thumbprint()) != tc.jkt || (x5t == ca.Thumbprint(id.cert)) != tc.x5t {
					t.Errorf("bound to %q, %q", jkt, x5t)
				}
				if opaque := strings.Count(a.str("access_token"), ".") == 1; opaque != (tc.sub == "opaque") {
					t.Errorf("opaque is %v", opaque)
				}
			})
		}
	}
}

func TestClientCredentialsWithoutSpendsWriteNothing(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	ok(t, n.post(t, withSecret("machine")))
	before := n.changes(t)
	ok(t, n.post(t, withSecret("machine")))
	ok(t, n.post(t, selfForm("mtls"), withCert(identities().cert)))
	if after := n.changes(t); after != before {
		t.Errorf("%d rows of audit and events before, %d after", before, after)
	}
}

// changes counts rows that any write of this room would add to.
func (n *tenant) changes(t testing.TB) int {
	events, err := n.root.Events(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return len(events) + len(audits(t, n, ""))
}

func TestClientCredentialsAreRefused(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	for name, tc := range map[string]struct {
		form    map[string]string
		options []option
		status  int
		code    string
	}{
		"RFC6749_5_2 wrong secret":                   {with(withSecret("machine"), "client_secret", secret+"x"), nil, 401, "invalid_client"},
		"RFC6749_5_2 no client":                      {selfForm(""), nil, 401, "invalid_client"},
		"RFC6749_5_2 unknown client":                 {withSecret("nobody"), nil, 401, "invalid_client"},
		"RFC6749_5_2 unknown grant":                  {with(withSecret("machine"), "grant_type", "password"), nil, 400, "unsupported_grant_type"},
		"RFC6749_5_2 no grant":                       {with(withSecret("machine"), "grant_type", ""), nil, 400, "invalid_request"},
		"RFC6749_5_2 grant of others":                {withSecret("idle"), []option{k.proof()}, 400, "unauthorized_client"},
		"RFC6749_4_4 public client":                  {selfForm("native"), []option{k.proof()}, 400, "unauthorized_client"},
		"RFC6749_3_3 scope of no API":                {withSecret("machine", "scope", "read"), nil, 400, "invalid_scope"},
		"RFC6749_3_3 scope not the client's":         {withSecret("machine", "scope", "old admin"), nil, 400, "invalid_scope"},
		"OIDC_Core_3_1_2_1 openid":                   {withSecret("machine", "scope", "openid old"), nil, 400, "invalid_scope"},
		"RFC8707_2 none of two named":                {withSecret("both"), []option{k.proof()}, 400, "invalid_target"},
		"RFC8707_2 not the client's":                 {withSecret("machine", "resource", orders), nil, 400, "invalid_target"},
		"RFC8707_2 unknown":                          {withSecret("machine", "resource", "https://x.example"), nil, 400, "invalid_target"},
		"RFC9449_5_2 no proof":                       {withSecret("both", "resource", orders), nil, 400, "invalid_request"},
		"an assertion client that must bind":         {with(selfForm(""), n.assertion(newJTI())...), nil, 400, "invalid_request"},
		"RFC8705_2 no certificate":                   {selfForm("mtls"), nil, 401, "invalid_client"},
		"RFC8705_2 another certificate":              {selfForm("mtls"), []option{withCert(identities().otherCert)}, 401, "invalid_client"},
		"RFC7523_3 assertion for another issuer":     {with(selfForm(""), n.beta.assertion(newJTI())...), []option{k.proof()}, 401, "invalid_client"},
		"RFC6749_2_3 two methods":                    {withSecret("machine"), []option{withBasic("machine", secret)}, 400, "invalid_request"},
		"RFC6749_5_2 a secret in the wrong place":    {selfForm(""), []option{withBasic("machine", secret)}, 401, "invalid_client"},
		"RFC6749_3_2 another content type":           {withSecret("machine"), []option{withHeader("Content-Type", "application/json")}, 400, "invalid_request"},
		"RFC9449_4_3 a proof that is none":           {withSecret("machine"), []option{withHeader("DPoP", "abc")}, 400, "invalid_dpop_proof"},
		"RFC9449_4_3 two proofs":                     {withSecret("machine"), []option{k.proof(), func(n *tenant, r *httpRequest) { r.Header.Add("DPoP", r.Header.Get("DPoP")) }}, 400, "invalid_dpop_proof"},
		"RFC7591 grants apart: machine has no code":  {with(withSecret("machine"), "grant_type", "authorization_code", "code", "a.b"), nil, 400, "unauthorized_client"},
		"RFC7591 grants apart: machine has no fresh": {with(withSecret("machine"), "grant_type", "refresh_token", "refresh_token", "a.b"), nil, 400, "unauthorized_client"},
	} {
		t.Run(name, func(t *testing.T) { want(t, n.post(t, tc.form, tc.options...), tc.status, tc.code) })
	}
}

func TestRFC6749_3_2_RepeatedParameter(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	form := url.Values{"grant_type": {"client_credentials", "client_credentials"}, "client_id": {"machine"}, "client_secret": {secret}}
	want(t, n.send(t, form), 400, "invalid_request")
}

func TestRFC6749_3_3_DefaultScope(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	for _, tc := range []struct{ asked, got string }{{"", "read write"}, {"write", "write"}, {"write read", "write read"}} {
		a := ok(t, n.post(t, withSecret("both", "resource", orders, "scope", tc.asked), k.proof()))
		if a.str("scope") != tc.got || n.claims(t, a.str("access_token")).Scope != tc.got {
			t.Errorf("asked %q: %v", tc.asked, a.body)
		}
	}
}

func TestRFC7523_3_AssertionWorksOnce(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	once := with(selfForm(""), n.assertion(newJTI())...)
	ok(t, n.post(t, once, k.proof()))
	want(t, n.post(t, once, k.proof()), 401, "invalid_client")

	// A refusal spends it as well, whatever the reason ...
	refused := with(selfForm("", "scope", "admin"), n.assertion(newJTI())...)
	want(t, n.post(t, refused, k.proof()), 400, "invalid_scope")
	want(t, n.post(t, with(refused, "scope", ""), k.proof()), 401, "invalid_client")
	inWrite := with(codeForm("", "a.b"), n.assertion(newJTI())...)
	want(t, n.post(t, inWrite, k.proof()), 400, "invalid_grant")
	want(t, n.post(t, inWrite, k.proof()), 401, "invalid_client")

	// ... but for the nonce, which is part of the same exchange.
	again := with(selfForm(""), n.assertion(newJTI())...)
	want(t, n.post(t, again, k.staleProof()), 400, "use_dpop_nonce")
	ok(t, n.post(t, again, k.proof()))
}

func TestDeletedAPIIsNotAvailable(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	n.write(t, func(tx *store.Tx) error { return tx.DeleteObject("api", legacy, store.AnyRevision) })
	want(t, n.post(t, withSecret("machine")), 400, "invalid_target")
}
