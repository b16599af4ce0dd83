package grant_test

import (
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

func bearer(t testing.TB, n *tenant) answer {
	t.Helper()
	code := n.code(t, "bearer", func(a *request.Authorization) { a.Scope = []string{"openid", "old"} })
	return ok(t, n.post(t, with(codeForm("", code)), withBasic("bearer", secret)))
}

func TestRFC6749_6_Refresh(t *testing.T) {
	i := install(t, tokens.Lifetimes{})
	for _, n := range []*tenant{i.acme, i.beta} {
		k := newKey(t)
		first := ok(t, n.post(t, codeForm("native", n.code(t, "native")), k.proof()))
		before := n.claims(t, first.str("access_token"))
		n.pass(10 * time.Minute)
		a := ok(t, n.post(t, refreshForm("native", first.str("refresh_token")), k.proof()))
		c := n.claims(t, a.str("access_token"))
		if c.GrantID != before.GrantID || c.ID == before.ID || c.Scope != "openid read" || c.Confirmation.JKT != k.thumbprint() || c.SessionID != before.SessionID {
			t.Errorf("claims %+v, before %+v", c, before)
		}
		if a.body["refresh_token"] != nil {
			t.Error("a bound refresh token was rotated")
		}
		if a.str("id_token") == "" || a.header.Get("DPoP-Nonce") == "" {
			t.Errorf("answer %v", a.body)
		}
		if len(audits(t, n, "grant.refreshed")) != 1 {
			t.Error("no audit record")
		}
	}
	// A refresh token of one tenant is nothing to the other.
	k := newKey(t)
	a := ok(t, i.acme.post(t, codeForm("native", i.acme.code(t, "native")), k.proof()))
	want(t, i.beta.post(t, refreshForm("native", a.str("refresh_token")), k.proof()), 400, "invalid_grant")
}

func TestRFC6749_6_ScopeOnlyNarrows(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	all := func(a *request.Authorization) { a.Scope = []string{"openid", "read", "write"} }
	first := ok(t, n.post(t, codeForm("native", n.code(t, "native", all)), k.proof()))
	form := refreshForm("native", first.str("refresh_token"))
	for _, tc := range []struct{ asked, got, code string }{
		{"read", "read", ""},
		{"openid", "openid", ""},
		{"write openid", "write openid", ""},
		{"", "openid read write", ""},
		{"read profile", "", "invalid_scope"},
		{"read read2", "", "invalid_scope"},
		{"offline_access", "", "invalid_scope"},
	} {
		a := n.post(t, with(form, "scope", tc.asked), k.proof())
		if tc.code != "" {
			want(t, a, 400, tc.code)
			continue
		}
		if ok(t, a).str("scope") != tc.got || n.claims(t, a.str("access_token")).Scope != tc.got {
			t.Errorf("asked %q, got %v", tc.asked, a.body)
		}
		if (a.str("id_token") != "") != (tc.asked != "read") {
			t.Errorf("asked %q: ID token %q", tc.asked, a.str("id_token"))
		}
	}
}

func TestBoundRefreshTokenNeedsItsKey(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	id := identities()
	mine, thiefs := newKey(t), newKey(t)
	dpop := ok(t, n.post(t, codeForm("native", n.code(t, "native")), mine.proof())).str("refresh_token")
	cert := ok(t, n.post(t, codeForm("mtls", n.code(t, "mtls")), withCert(id.cert))).str("refresh_token")
	jwt := ok(t, n.post(t, with(codeForm("", n.code(t, "jwt")), n.assertion(newJTI())...), mine.proof())).str("refresh_token")
	both := ok(t, n.post(t, codeForm("mtls", n.code(t, "mtls")), withCert(id.cert), mine.proof())).str("refresh_token")

	want(t, n.post(t, refreshForm("native", dpop), thiefs.proof()), 400, "invalid_grant")
	want(t, n.post(t, refreshForm("native", dpop)), 400, "invalid_request")
	want(t, n.post(t, refreshForm("other", dpop), mine.proof()), 400, "invalid_grant")
	want(t, n.post(t, refreshForm("mtls", cert), withCert(id.otherCert)), 401, "invalid_client")
	want(t, n.post(t, refreshForm("mtls", cert), withCert(id.cert), mine.proof()), 400, "invalid_grant")
	want(t, n.post(t, refreshForm("mtls", both), withCert(id.cert)), 400, "invalid_grant")
	want(t, n.post(t, refreshForm("mtls", both), withCert(id.cert), thiefs.proof()), 400, "invalid_grant")
	want(t, n.post(t, with(refreshForm("", jwt), n.assertion(newJTI())...), thiefs.proof()), 400, "invalid_grant")

	ok(t, n.post(t, refreshForm("native", dpop), mine.proof()))
	ok(t, n.post(t, refreshForm("mtls", cert), withCert(id.cert)))
	ok(t, n.post(t, refreshForm("mtls", both), withCert(id.cert), mine.proof()))
	ok(t, n.post(t, with(refreshForm("", jwt), n.assertion(newJTI())...), mine.proof()))
	if list := audits(t, n, "refresh.refused"); len(list) != 1 || list[0].Client != "other" {
		t.Errorf("audit %+v", list)
	}
}

func TestUnboundRefreshTokenRotates(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	basic := withBasic("bearer", secret)
	first := bearer(t, n)
	if first.str("token_type") != "Bearer" || n.claims(t, first.str("access_token")).Confirmation != nil || first.header.Get("DPoP-Nonce") != "" {
		t.Errorf("answer %v", first.body)
	}
	second := ok(t, n.post(t, refreshForm("", first.str("refresh_token")), basic))
	if second.str("refresh_token") == "" || second.str("refresh_token") == first.str("refresh_token") {
		t.Fatal("not rotated")
	}
	// Binding it now would let a thief make it his.
	want(t, n.post(t, refreshForm("", second.str("refresh_token")), basic, newKey(t).proof()), 400, "invalid_grant")
	third := ok(t, n.post(t, refreshForm("", second.str("refresh_token")), basic))

	want(t, n.post(t, refreshForm("", first.str("refresh_token")), basic), 400, "invalid_grant")
	want(t, n.post(t, refreshForm("", third.str("refresh_token")), basic), 400, "invalid_grant")
	if n.active(t, third.str("access_token")) {
		t.Error("the family lives after a second use")
	}
	if list := audits(t, n, "grant.revoked"); len(list) != 1 {
		t.Errorf("audit %+v", list)
	}
}

func TestRefusedRefreshSpendsNothingOfTheGrant(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	basic := withBasic("bearer", secret)
	token := bearer(t, n).str("refresh_token")
	want(t, n.post(t, with(refreshForm("", token), "scope", "more"), basic), 400, "invalid_scope")
	want(t, n.post(t, with(refreshForm("", token), "resource", orders), basic), 400, "invalid_target")
	ok(t, n.post(t, refreshForm("", token), basic))
}

func TestRefreshAfterTheGrantEnded(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	k := newKey(t)
	a := ok(t, n.post(t, codeForm("native", n.code(t, "native")), k.proof()))
	b := ok(t, n.post(t, codeForm("native", n.code(t, "native")), k.proof()))
	id := n.claims(t, a.str("access_token")).GrantID
	n.write(t, func(tx *store.Tx) error {
		g, err := tx.Grant(id)
		return firstError(err, func() error { return tokens.RevokeGrant(tx, &g) })
	})
	want(t, n.post(t, refreshForm("native", a.str("refresh_token")), k.proof()), 400, "invalid_grant")
	n.pass(15 * 24 * time.Hour)
	want(t, n.post(t, refreshForm("native", b.str("refresh_token")), k.proof()), 400, "invalid_grant")
}
