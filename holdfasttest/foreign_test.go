package holdfasttest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// belonging is something that one tenant gives out, or by which somebody is known there. try says "" where it works,
// and why not where it does not.
type belonging struct {
	refused string
	get     func(of *issuing) string
	try     func(at *issuing, value string) string
}

// belongings are everything by which somebody shows anything. Clients, keys, people and passwords are the same in all
// tenants, so that nothing but the tenant can make the difference.
var belongings = map[string]belonging{
	"code":                          {"invalid_grant", code, redeem},
	"refresh token":                 {"invalid_grant", refreshToken, refresh},
	"refresh token, revoked":        {"inactive", refreshToken, revokeRefresh},
	"JWT at userinfo":               {"invalid_token", jwtForUserinfo, userinfo},
	"opaque token at userinfo":      {"invalid_token", opaqueForUserinfo, userinfo},
	"JWT at introspection":          {"inactive", jwtForAPI, introspect},
	"opaque token at introspection": {"inactive", opaqueForAPI, introspect},
	"JWT, revoked":                  {"inactive", jwtForAPI, revokeAccess},
	"opaque token, revoked":         {"inactive", opaqueForAPI, revokeAccess},
	"pushed request":                {"invalid_request_uri", push, openPushed},
	"client secret":                 {"invalid_client", secret, knowSecret},
	"client assertion":              {"invalid_client", assertion, assertOnce},
	"token for the admin API":       {"Unauthorized", adminToken, administer},
	"session at the account":        {"login", aSession, openAccount},
	"session at an application":     {"login_required", aSession, silently},
	"interaction before signing in": {"invalid_request", interaction, resume},
}

// TestNothingOfOneTenantWorksAtAnother tries everything at the other tenant first and then where it belongs: the first
// try must fail, and must not have cost anything.
func TestNothingOfOneTenantWorksAtAnother(t *testing.T) {
	engines(t, func(t *testing.T, s *holdfasttest.Server) {
		all := tenants(t, s)
		for _, of := range all {
			for _, at := range all {
				if of != at {
					t.Run("of "+of.name+" at "+at.name, func(t *testing.T) { belongTo(t, of, at) })
				}
			}
		}
	}, holdfasttest.WithConfiguration(threeTenants(t)))
}

func belongTo(t *testing.T, of, at *issuing) {
	for name, b := range belongings {
		t.Run(name, func(t *testing.T) {
			of, at := of.in(t), at.in(t)
			value := b.get(of)
			if got := b.try(at, value); got != b.refused {
				t.Errorf("there it says %q, want %q", got, b.refused)
			}
			if got := b.try(of, value); got != "" {
				t.Errorf("where it belongs it says %q", got)
			}
		})
	}
}

func code(of *issuing) string { return of.alice.code("native_public", of.Users[0], nil) }

func redeem(at *issuing, value string) string {
	return at.as("native_public").redeem("native_public", value).error()
}

func refreshToken(of *issuing) string { return of.forAPI("native_public").text("refresh_token") }

func refresh(at *issuing, value string) string { return at.as("native_public").refresh(value).error() }

// revokeRefresh uses a token, and revokes it where it is not known.
func revokeRefresh(at *issuing, value string) string {
	if refresh(at, value) == "" {
		return ""
	}
	return revoke(at, value)
}

func jwtForUserinfo(of *issuing) string { return of.tokens("native_public", nil).text("access_token") }

func opaqueForUserinfo(of *issuing) string {
	return of.tokens("pocket", url.Values{"scope": {"openid"}}).text("access_token")
}

func userinfo(at *issuing, value string) string {
	return at.as("native_public").userinfo(value).error()
}

func jwtForAPI(of *issuing) string { return of.forAPI("native_public").text("access_token") }

func opaqueForAPI(of *issuing) string { return of.forAPI("pocket").text("access_token") }

func introspect(at *issuing, value string) string {
	if asAPI(at.t, at.Server).active(value) {
		return ""
	}
	return "inactive"
}

// revokeAccess introspects a token, and revokes it where it is not known.
func revokeAccess(at *issuing, value string) string {
	if introspect(at, value) == "" {
		return ""
	}
	return revoke(at, value)
}

// revoke revokes by every client that may have got the token.
func revoke(at *issuing, value string) string {
	for _, client := range []string{"native_public", "pocket"} {
		if a := at.as(client).post("/revoke", url.Values{"token": {value}}); a.Status != http.StatusOK {
			return a.error()
		}
	}
	return "inactive"
}

// push makes a request that Alice, signed in, has allowed before.
func push(of *issuing) string {
	code(of)
	a := of.as("native_public").post("/par", url.Values{
		"response_type": {"code"}, "redirect_uri": of.Clients["native_public"].RedirectURIs, "scope": {"openid"}, "state": {"the state"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	})
	if a.Status != http.StatusCreated {
		of.t.Fatalf("%d %v", a.Status, a.Body)
	}
	return a.text("request_uri")
}

func openPushed(at *issuing, value string) string {
	q := url.Values{"client_id": {at.Clients["native_public"].ID}, "request_uri": {value}}
	g := at.alice.follow(at.alice.get(at.Issuer + "/authorize?" + q.Encode()))
	if said := g.said(); said != "" {
		return said
	}
	if at.alice.answer(g).Get("code") == "" {
		return "no code"
	}
	return ""
}

func secret(of *issuing) string { return of.Clients["resource_server"].Secret }

func knowSecret(at *issuing, value string) string {
	c := asAPI(at.t, at.Server)
	c.auth = func(_ url.Values, r *http.Request) { r.SetBasicAuth(at.Clients["resource_server"].ID, value) }
	return c.post("/introspect", url.Values{"token": {"a.b.c"}}).error()
}

func assertion(of *issuing) string { return of.Assertion("partner_jwt", store.NewID()) }

func assertOnce(at *issuing, value string) string { return at.assert("partner_jwt", value).error() }

func adminToken(of *issuing) string {
	a := of.assert("admin_cli", of.Assertion("admin_cli", store.NewID()))
	if a.Status != http.StatusOK {
		of.t.Fatalf("%d %v", a.Status, a.Body)
	}
	return a.text("access_token")
}

func administer(at *issuing, value string) string {
	c := at.as("admin_cli")
	c.base, c.nonce = at.AdminURL, at.nonce()
	h := reading(c, value)
	h.path = "/admin/v1/clients"
	return h.show(h.good().make(at.t)).error()
}

func aSession(of *issuing) string {
	code(of)
	return of.cookie("hf-s").Value
}

// sessionCookie is the name of the cookie, which need not be the same at every tenant.
func sessionCookie(at *issuing) string {
	code(at)
	return at.cookie("hf-s").Name
}

func openAccount(at *issuing, value string) string {
	g := at.visit(at.Issuer+"/account", sessionCookie(at), value)
	switch {
	case strings.Contains(g.text, `id="login-submit"`):
		return "login"
	case strings.Contains(g.text, `id="sign-out"`):
		return ""
	}
	return g.Status
}

func silently(at *issuing, value string) string {
	address := at.alice.authorization("native_public", url.Values{"prompt": {"none"}})
	return at.alice.answer(at.visit(address, sessionCookie(at), value)).Get("error")
}

// interaction begins to sign in, and gives the id and the cookie of that.
func interaction(of *issuing) string {
	somebody := of.stranger()
	g := somebody.begin()
	return g.at.Query().Get("i") + " " + somebody.cookie("hf-i").Value
}

// resume goes on with an interaction. The name of its cookie ends in the beginning of its id.
func resume(at *issuing, value string) string {
	id, cookie, _ := strings.Cut(value, " ")
	somebody := at.stranger()
	somebody.begin()
	name := somebody.cookie("hf-i").Name
	g := at.visit(at.Issuer+"/login?i="+id, name[:len(name)-8]+id[:8], cookie)
	if strings.Contains(g.text, `id="login-submit"`) {
		return ""
	}
	return g.said()
}
