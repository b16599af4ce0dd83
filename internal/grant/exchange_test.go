package grant_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	inner   = "https://inner.example"   // behind the gateway; what is for it can be exchanged once more
	deepest = "https://deepest.example" // behind that; its tokens live a minute
	loose   = "https://loose.example"   // takes tokens bound to nothing
)

// exchangeDocuments are the APIs behind a gateway, and the clients that exchange.
func exchangeDocuments(add func(string, map[string]any), client func(string, string, map[string]any), id identity) {
	type m = map[string]any
	add("api", m{"resource": inner, "scopes": []string{"read", "audit"}, "exchangers": []string{"gateway"}})
	add("api", m{"resource": deepest, "scopes": []string{"read", "write"}, "exchangers": []string{"gateway"}, "access_token_lifetime": 60})
	add("api", m{"resource": loose, "scopes": []string{"write"}, "allow_bearer_tokens": true})
	exchanger := func(more m) m {
		all := m{"grant_types": []string{oauth.GrantTokenExchange}, "redirect_uris": []string{}, "scope": "",
			"resources": []string{inner, deepest, legacy, loose}}
		for k, v := range more {
			all[k] = v
		}
		return all
	}
	client("gateway", "self_signed_tls_client_auth", exchanger(m{"jwks": id.jwks["mtls"]}))
	client("stranger", "self_signed_tls_client_auth", exchanger(m{"jwks": id.jwks["mtls"]}))
	client("secretive", "client_secret_post", exchanger(m{"client_secret": secret, "scope": "write", "allow_bearer_tokens": true}))
	client("sealedcode", "none", m{"access_token_format": "opaque"})
}

func exchangeForm(client, token, resource string) map[string]string {
	return map[string]string{
		"grant_type": oauth.GrantTokenExchange, "client_id": client, "subject_token": token,
		"subject_token_type": oauth.TokenTypeAccess, "resource": resource,
	}
}

// handed is a token of alice for orders, bound to a DPoP key.
func (n *tenant) handed(t tb, client string, scope ...string) answer {
	t.Helper()
	code := n.code(t, client, func(a *request.Authorization) {
		a.Scope, a.Resources = append([]string{"openid"}, scope...), []string{orders}
	})
	return ok(t, n.post(t, codeForm(client, code), newKey(t).proof()))
}

func gatewayCert() option { return withCert(identities().cert) }

func TestRFC8693_2_2_ExchangedToken(t *testing.T) {
	for _, client := range []string{"native", "sealedcode"} { // a JWT, an opaque token
		t.Run(client, func(t *testing.T) {
			n := install(t, tokens.Lifetimes{}).acme
			outer := n.handed(t, client, "read", "write").str("access_token")
			n.pass(time.Minute)
			a := ok(t, n.post(t, exchangeForm("gateway", outer, inner), gatewayCert()))
			if a.str("issued_token_type") != oauth.TokenTypeAccess || a.str("token_type") != "Bearer" || a.str("scope") != "read" {
				t.Errorf("answer %v", a.body)
			}
			if _, has := a.body["refresh_token"]; has {
				t.Error("there is a refresh token")
			}
			was, is := n.claims(t, outer), n.claims(t, a.str("access_token"))
			if is.Subject != was.Subject || is.ClientID != client || is.GrantID != was.GrantID || is.SessionID != was.SessionID || is.GrantID == "" {
				t.Errorf("who it stands for has changed: %+v, was %+v", is, was)
			}
			if !slices.Equal(is.Audience, []string{inner}) || is.ExpiresAt != was.ExpiresAt || is.ID == was.ID {
				t.Errorf("audience %v, exp %d of %d", is.Audience, is.ExpiresAt, was.ExpiresAt)
			}
			if c := is.Confirmation; c == nil || c.X5T != ca.Thumbprint(identities().cert) || c.JKT != "" {
				t.Errorf("bound to %+v", c)
			}
			if is.Actor == nil || is.Actor.Subject != "gateway" || is.Actor.Actor != nil {
				t.Errorf("actor %+v", is.Actor)
			}
			if strings.Count(a.str("access_token"), ".") != 2 {
				t.Error("not a JWT")
			}
			again := ok(t, n.post(t, exchangeForm("gateway", a.str("access_token"), deepest), gatewayCert()))
			last := n.claims(t, again.str("access_token"))
			if last.Actor == nil || last.Actor.Actor == nil || last.Actor.Actor.Subject != "gateway" {
				t.Errorf("actors %+v", last.Actor)
			}
			if life := last.ExpiresAt - last.IssuedAt; life != 60 {
				t.Errorf("lives %d s, although the API says 60", life)
			}
		})
	}
}

func TestRFC8693_2_2_2_Refusals(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	outer := n.handed(t, "native", "read").str("access_token")
	legacyToken := ok(t, n.post(t, map[string]string{
		"grant_type": "client_credentials", "client_id": "machine", "client_secret": secret,
	})).str("access_token")
	for name, c := range map[string]struct {
		change []string
		status int
		code   string
	}{
		"no subject":                 {[]string{"subject_token", ""}, 400, "invalid_request"},
		"garbage":                    {[]string{"subject_token", "a.b.c"}, 400, "invalid_request"},
		"no type":                    {[]string{"subject_token_type", ""}, 400, "invalid_request"},
		"another type":               {[]string{"subject_token_type", "urn:ietf:params:oauth:token-type:id_token"}, 400, "invalid_request"},
		"asks for a refresh token":   {[]string{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}, 400, "invalid_request"},
		"an actor token":             {[]string{"actor_token", outer, "actor_token_type", oauth.TokenTypeAccess}, 400, "invalid_request"},
		"no target":                  {[]string{"resource", ""}, 400, "invalid_target"},
		"two targets":                {[]string{"resource", inner + " " + deepest}, 400, "invalid_target"},
		"resource and audience":      {[]string{"audience", deepest}, 400, "invalid_target"},
		"an unknown target":          {[]string{"resource", "https://elsewhere.example"}, 400, "invalid_target"},
		"not the client's target":    {[]string{"resource", orders}, 400, "invalid_target"},
		"more scope":                 {[]string{"scope", "read write"}, 400, "invalid_scope"},
		"a scope of the target only": {[]string{"scope", "audit"}, 400, "invalid_scope"},
		"not an exchanger":           {[]string{"client_id", "stranger"}, 400, "invalid_request"},
		"an API without exchanger":   {[]string{"subject_token", legacyToken}, 400, "invalid_request"},
		"no scope in common":         {[]string{"resource", legacy}, 400, "invalid_scope"},
		"may not exchange":           {[]string{"client_id", "mtls"}, 400, "unauthorized_client"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, n.post(t, with(exchangeForm("gateway", outer, inner), c.change...), gatewayCert()), c.status, c.code)
		})
	}
	t.Run("by audience", func(t *testing.T) {
		ok(t, n.post(t, with(exchangeForm("gateway", outer, ""), "audience", inner), gatewayCert()))
	})
	t.Run("another certificate", func(t *testing.T) {
		want(t, n.post(t, exchangeForm("gateway", outer, inner), withCert(identities().otherCert)), 401, "invalid_client")
	})
	t.Run("of another tenant", func(t *testing.T) {
		foreign := n.beta.handed(t, "native", "read").str("access_token")
		want(t, n.post(t, exchangeForm("gateway", foreign, inner), gatewayCert()), 400, "invalid_request")
	})
}

// A result that nothing binds needs both the client and the API to say so; a client with scopes carries no others on.
func TestExchangeWithoutBinding(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	outer := n.handed(t, "native", "read", "write").str("access_token")
	form := func(resource string) map[string]string {
		return with(exchangeForm("secretive", outer, resource), "client_secret", secret)
	}
	want(t, n.post(t, form(inner)), 400, "invalid_scope") // inner knows read, the client carries write
	want(t, n.post(t, form(deepest)), 400, "invalid_request")
	a := ok(t, n.post(t, form(loose)))
	if c := n.claims(t, a.str("access_token")); c.Confirmation != nil || c.Scope != "write" {
		t.Errorf("claims %+v", c)
	}
}

func TestRevokedSubjectIsNotExchanged(t *testing.T) {
	for name, end := range map[string]func(tx *store.Tx, c *tokens.Claims) error{
		"grant":   func(tx *store.Tx, c *tokens.Claims) error { return tx.RevokeGrant(c.GrantID, tx.Now.Add(time.Hour)) },
		"session": func(tx *store.Tx, c *tokens.Claims) error { return tx.EndSession(c.SessionID) },
		"person": func(tx *store.Tx, c *tokens.Claims) error {
			a, err := tx.Account("alice")
			if err == nil {
				a.Disabled = true
				err = tx.PutAccount(a)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := install(t, tokens.Lifetimes{}).acme
			n.follow(t)
			outer := n.handed(t, "native", "read").str("access_token")
			ok(t, n.post(t, exchangeForm("gateway", outer, inner), gatewayCert()))
			c := n.claims(t, outer)
			n.write(t, func(tx *store.Tx) error { return end(tx, c) })
			want(t, n.post(t, exchangeForm("gateway", outer, inner), gatewayCert()), 400, "invalid_request")
		})
	}
	t.Run("expired", func(t *testing.T) {
		n := install(t, tokens.Lifetimes{}).acme
		outer := n.handed(t, "native", "read").str("access_token")
		n.pass(6 * time.Minute)
		want(t, n.post(t, exchangeForm("gateway", outer, inner), gatewayCert()), 400, "invalid_request")
	})
}

// follow has the feed run until the test ends, and waits until it knows what there is.
func (n *tenant) follow(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { n.feed.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	for !n.feed.Ready() {
		time.Sleep(time.Millisecond)
	}
}

// What ends a grant ends what was exchanged out of its tokens as well.
func TestRevocationReachesExchangedTokens(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	n.follow(t)
	outer := n.handed(t, "native", "read").str("access_token")
	got := ok(t, n.post(t, exchangeForm("gateway", outer, inner), gatewayCert())).str("access_token")
	c := n.claims(t, got)
	n.write(t, func(tx *store.Tx) error { return tx.RevokeGrant(c.GrantID, tx.Now.Add(time.Hour)) })
	for range 2000 {
		if n.feed.Revoked("acme", feed.Subject{Grant: c.GrantID, IssuedAt: time.Unix(c.IssuedAt, 0)}) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n.active(t, got) {
		t.Error("still alive")
	}
}

// Whatever is exchanged for whatever in whatever order: a chain gains no scope and no time, is for one API at a time, and
// is over after four steps.
func TestChainsOnlyShrink(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	all := []string{"read", "write"}
	rapid.Check(t, func(t *rapid.T) {
		scope := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 2, rapid.ID[string]).Draw(t, "scope")
		token := n.handed(rapidTB{t}, rapid.SampledFrom([]string{"native", "sealedcode"}).Draw(t, "client"), scope...).str("access_token")
		was := *n.claims(rapidTB{t}, token)
		for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
			n.pass(time.Duration(rapid.IntRange(0, 120).Draw(t, "pause")) * time.Second)
			form := exchangeForm("gateway", token, rapid.SampledFrom([]string{inner, deepest, orders, legacy}).Draw(t, "target"))
			form["scope"] = strings.Join(rapid.SliceOfDistinct(rapid.SampledFrom([]string{"read", "write", "openid", "audit"}), rapid.ID[string]).Draw(t, "asked"), " ")
			a := n.post(rapidTB{t}, form, gatewayCert())
			if a.status != http.StatusOK {
				return
			}
			if step >= 4 {
				t.Fatal("a fifth step")
			}
			token = a.str("access_token")
			is := *n.claims(rapidTB{t}, token)
			switch {
			case len(is.Audience) != 1 || is.Audience[0] != form["resource"]:
				t.Fatalf("audience %v", is.Audience)
			case is.ExpiresAt > was.ExpiresAt:
				t.Fatal("lives longer")
			case is.Subject != was.Subject || is.GrantID != was.GrantID || is.SessionID != was.SessionID || is.ClientID != was.ClientID:
				t.Fatal("stands for somebody else")
			case is.Confirmation == nil:
				t.Fatal("is bound to nothing")
			}
			for s := range strings.FieldsSeq(is.Scope) {
				if !was.HasScope(s) || s == "openid" {
					t.Fatalf("gained %s", s)
				}
			}
			was = is
		}
	})
}

// rapidTB is a *rapid.T for helpers.
type rapidTB struct{ *rapid.T }
