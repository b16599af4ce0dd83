package grant_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
)

func TestRFC6749_4_1_Code(t *testing.T) {
	i := install(t, tokens.Lifetimes{})
	for _, n := range []*tenant{i.acme, i.beta} {
		t.Run(n.name, func(t *testing.T) {
			k := newKey(t)
			a := ok(t, n.post(t, codeForm("native", n.code(t, "native")), k.proof()))
			if a.str("token_type") != "DPoP" || a.body["expires_in"] != 300.0 || a.str("scope") != "openid read" || a.str("refresh_token") == "" {
				t.Errorf("answer %v", a.body)
			}
			if a.header.Get("DPoP-Nonce") != n.nonces.Current(n.now()) {
				t.Error("no fresh nonce")
			}
			c := n.claims(t, a.str("access_token"))
			if c.Issuer != n.issuer || c.Subject != "alice" || c.ClientID != "native" || !slices.Equal(c.Audience, []string{orders, n.issuer}) {
				t.Errorf("claims %+v", c)
			}
			if c.Confirmation == nil || c.Confirmation.JKT != k.thumbprint() || c.Confirmation.X5T != "" {
				t.Errorf("bound to %+v", c.Confirmation)
			}
			checkIDToken(t, n, a)
			if list := audits(t, n, "grant.started"); len(list) != 1 || list[0].Client != "native" || list[0].ObjectID != c.GrantID {
				t.Errorf("audit %+v", list)
			}
		})
	}
}

func checkIDToken(t *testing.T, n *tenant, a answer) {
	t.Helper()
	id, err := jose.Verify(a.str("id_token"), []jose.Alg{jose.ES256}, n.signing.PublicKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(id.Payload, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "at_hash")
	delete(got, "sid")
	now := float64(n.now().Unix())
	want := map[string]any{
		"iss": n.issuer, "sub": "alice", "aud": "native", "iat": now, "exp": now + 300, "auth_time": now - 60, "nonce": "n-1", "acr": "phr", "amr": []any{"hwk"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCodeIsRefused(t *testing.T) {
	i := install(t, tokens.Lifetimes{})
	n := i.acme
	k := newKey(t)
	long := strings.Repeat("a", 129)
	for name, tc := range map[string]struct {
		edit []string // of the form
		key  key
		at   *tenant
		code string // the error
	}{
		"RFC7636_4_6 stolen, without verifier":   {edit: []string{"code_verifier", ""}},
		"RFC7636_4_6 another verifier":           {edit: []string{"code_verifier", strings.Repeat("a", 43)}},
		"RFC7636_4_1 verifier too short":         {edit: []string{"code_verifier", verifier[:42]}},
		"RFC7636_4_1 verifier too long":          {edit: []string{"code_verifier", long}},
		"RFC7636_4_1 verifier with other chars":  {edit: []string{"code_verifier", "!" + verifier[1:]}},
		"RFC7636_4_6 the challenge as verifier":  {edit: []string{"code_verifier", challenge()}},
		"RFC6749_4_1_3 another redirect URI":     {edit: []string{"redirect_uri", callback + "/"}},
		"RFC6749_4_1_3 another client":           {edit: []string{"client_id", "other"}},
		"RFC6749_4_1_3 no code":                  {edit: []string{"code", ""}},
		"RFC6749_4_1_3 not a code":               {edit: []string{"code", "abc"}},
		"RFC6749_4_1_3 an unknown code":          {edit: []string{"code", "AAAAAAAAAAAAAAAAAAAAAA.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"}},
		"RFC9449_10 another key than dpop_jkt":   {key: newKey(t)},
		"RFC8707_2_2 a resource not granted":     {edit: []string{"resource", "https://else.example"}, code: "invalid_target"},
		"RFC8707_2_2 another API":                {edit: []string{"resource", legacy}, code: "invalid_target"},
		"RFC8707_2 two resources":                {edit: []string{"resource", orders + " " + legacy}, code: "invalid_target"},
		"the issuer of another tenant":           {at: i.beta},
		"RFC6749_4_1_3 code with another secret": {edit: []string{"code", "swap"}},
	} {
		t.Run(name, func(t *testing.T) {
			at := n
			if tc.at != nil {
				at = tc.at
			}
			by := k
			if tc.key.Signer != nil {
				by = tc.key
			}
			code := n.code(t, "native", func(a *request.Authorization) { a.DPoPJKT, a.Resources = k.thumbprint(), []string{orders} })
			form := with(codeForm("native", code), tc.edit...)
			if form["code"] == "swap" {
				form["code"] = code[:23] + n.code(t, "native")[23:]
			}
			expect := "invalid_grant"
			if tc.code != "" {
				expect = tc.code
			}
			want(t, at.post(t, form, by.proof()), 400, expect)
			// Nothing that failed has used the code up.
			ok(t, n.post(t, codeForm("native", code), k.proof()))
		})
	}
	if list := audits(t, n, "code.refused"); len(list) != 1 || list[0].Client != "other" || list[0].Outcome != "refused" {
		t.Errorf("audit of another client's try: %+v", list)
	}
}

func TestRFC6749_4_1_2_ReplayedCodeRevokes(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k, code := newKey(t), n.code(t, "native")
	first := ok(t, n.post(t, codeForm("native", code), k.proof()))
	if !n.active(t, first.str("access_token")) {
		t.Fatal("not active")
	}
	// Another client's try says nothing about this client and revokes nothing.
	want(t, n.post(t, codeForm("other", code), k.proof()), 400, "invalid_grant")
	if !n.active(t, first.str("access_token")) {
		t.Error("another client could revoke")
	}
	want(t, n.post(t, with(codeForm("native", code), "code_verifier", ""), newKey(t).proof()), 400, "invalid_grant")
	if n.active(t, first.str("access_token")) {
		t.Error("the access token lives")
	}
	want(t, n.post(t, refreshForm("native", first.str("refresh_token")), k.proof()), 400, "invalid_grant")
	want(t, n.post(t, codeForm("native", code), k.proof()), 400, "invalid_grant")
	if list := audits(t, n, "grant.revoked"); len(list) != 2 || !strings.Contains(list[0].Reason, "used twice") {
		t.Errorf("audit %+v", list)
	}
}

func TestCodeExpires(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	late, inTime := n.code(t, "native"), n.code(t, "native")
	n.pass(59 * time.Second)
	ok(t, n.post(t, codeForm("native", inTime), k.proof()))
	n.pass(time.Second)
	want(t, n.post(t, codeForm("native", late), k.proof()), 400, "invalid_grant")
}

func TestOAuth21_10_2_RedirectURIMayBeLeftOutWithPKCE(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	ok(t, n.post(t, with(codeForm("native", n.code(t, "native")), "redirect_uri", ""), newKey(t).proof()))
}

func TestRFC9700_4_8_2_CodeWithoutChallenge(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	plain := func(a *request.Authorization) { a.CodeChallenge = "" }
	want(t, n.post(t, codeForm("native", n.code(t, "native", plain)), k.proof()), 400, "invalid_grant")
	want(t, n.post(t, with(codeForm("native", n.code(t, "native", plain)), "code_verifier", "", "redirect_uri", ""), k.proof()), 400, "invalid_grant")
	ok(t, n.post(t, with(codeForm("native", n.code(t, "native", plain)), "code_verifier", ""), k.proof()))
}

func TestCodeWithoutRefreshGrant(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	a := ok(t, n.post(t, codeForm("brief", n.code(t, "brief")), newKey(t).proof()))
	if a.body["refresh_token"] != nil {
		t.Error("a refresh token for a client without the grant")
	}
	n.pass(299 * time.Second)
	if !n.active(t, a.str("access_token")) {
		t.Error("the token ended before its time")
	}
}

func TestPersonMustBeThere(t *testing.T) {
	for name, gone := range map[string]func(tx *store.Tx, n *tenant) error{
		"disabled": func(tx *store.Tx, _ *tenant) error {
			a, err := tx.Account("alice")
			a.Disabled = true
			return firstError(err, func() error { return tx.PutAccount(a) })
		},
		"deleted": func(tx *store.Tx, _ *tenant) error { return tx.DeleteAccount("alice") },
		"signed out": func(tx *store.Tx, _ *tenant) error {
			list, err := tx.Sessions("alice")
			for _, s := range list {
				err = firstError(err, func() error { return tx.EndSession(s.ID) })
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := install(t, tokens.Lifetimes{}).acme
			k := newKey(t)
			a := ok(t, n.post(t, codeForm("native", n.code(t, "native")), k.proof()))
			offline := ok(t, n.post(t, codeForm("native", n.code(t, "native", func(a *request.Authorization) {
				a.Scope = append(a.Scope, "offline_access")
			})), k.proof()))
			code := n.code(t, "native")
			n.pass(2 * time.Second)
			n.write(t, func(tx *store.Tx) error { return gone(tx, n) })
			want(t, n.post(t, codeForm("native", code), k.proof()), 400, "invalid_grant")
			want(t, n.post(t, refreshForm("native", a.str("refresh_token")), k.proof()), 400, "invalid_grant")
			away := n.post(t, refreshForm("native", offline.str("refresh_token")), k.proof())
			if name != "signed out" {
				want(t, away, 400, "invalid_grant")
				return
			}
			n.pass(2 * time.Second)
			away = ok(t, n.post(t, refreshForm("native", offline.str("refresh_token")), k.proof()))
			if c := n.claims(t, away.str("access_token")); c.SessionID != "" {
				t.Error("an offline token names a session that is over")
			}
		})
	}
}

func firstError(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

func TestOIDCCore_8_1_PairwiseSubject(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	a := ok(t, n.post(t, codeForm("pair", n.code(t, "pair")), newKey(t).proof()))
	c := n.claims(t, a.str("access_token"))
	if c.Subject == "alice" || c.Subject == "" {
		t.Errorf("subject %q", c.Subject)
	}
	if id, err := jose.Peek(a.str("id_token")); err != nil || !strings.Contains(string(id.Payload), `"sub":"`+c.Subject+`"`) {
		t.Errorf("the ID token has another subject: %s, %v", id.Payload, err)
	}
}
