package clients

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/holdfasttest"
)

const (
	callback = "https://rp.example/callback"
	secret   = "Qm7vXc2LkT9sWb4RzY6nHd8JfG3pAe5U"
)

// party is a relying party made of golang.org/x/oauth2 and github.com/coreos/go-oidc.
type party struct {
	*person
	ctx      context.Context
	provider *oidc.Provider
	config   oauth2.Config
}

func newParty(t *testing.T, s *holdfasttest.Server, client *http.Client, id string) *party {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), client)
	provider, err := oidc.NewProvider(ctx, s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return &party{newPerson(t, s), ctx, provider, oauth2.Config{
		ClientID: id, ClientSecret: secret, Endpoint: provider.Endpoint(), RedirectURL: callback,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
	}}
}

// signIn asks for a code, with PKCE if there is a verifier, and exchanges it.
func (p *party) signIn(nonce, verifier string) *oauth2.Token {
	p.t.Helper()
	asked, exchanged := []oauth2.AuthCodeOption{oidc.Nonce(nonce)}, []oauth2.AuthCodeOption{}
	if verifier != "" {
		asked, exchanged = append(asked, oauth2.S256ChallengeOption(verifier)), append(exchanged, oauth2.VerifierOption(verifier))
	}
	to, err := url.Parse(p.answer(p.config.AuthCodeURL("the state", asked...)))
	if err != nil {
		p.t.Fatal(err)
	}
	if got := to.Query(); got.Get("state") != "the state" || got.Get("iss") != p.server.Issuer {
		p.t.Fatalf("the answer is %s", to)
	}
	token, err := p.config.Exchange(p.ctx, to.Query().Get("code"), exchanged...)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// check does with the tokens of a sign-in what a relying party does.
func (p *party) check(token *oauth2.Token, nonce, alg string) *oidc.IDToken {
	p.t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := p.provider.Verifier(&oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: []string{alg}}).Verify(p.ctx, raw)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil || id.Nonce != nonce {
		p.t.Errorf("nonce %q, at_hash: %v", id.Nonce, err)
	}
	info, err := p.provider.UserInfo(p.ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		p.t.Fatal(err)
	}
	if info.Subject != id.Subject || info.Email == "" || !info.EmailVerified {
		p.t.Errorf("userinfo is of %s: %+v", id.Subject, info)
	}
	return id
}

// An OpenID Connect client of the old kind, which knows neither PKCE nor keys.
func TestGoOIDC(t *testing.T) {
	s := holdfasttest.Start(t)
	s.Apply("", `{kind: client, client_id: rp-oidc, profile: oidc, client_secret: `+secret+`, redirect_uris: ["`+callback+`"],
  grant_types: [authorization_code, refresh_token], scope: openid profile email offline_access, allow_bearer_tokens: true}`)
	p := newParty(t, s, s.HTTP(), "rp-oidc")
	token := p.signIn("the nonce", "")
	id := p.check(token, "the nonce", "RS256")

	old := *token
	old.Expiry = old.Expiry.Add(-24 * 3600e9)
	fresh, err := p.config.TokenSource(p.ctx, &old).Token()
	if err != nil || fresh.AccessToken == token.AccessToken || fresh.RefreshToken == token.RefreshToken {
		t.Fatalf("refresh: %v, %v", fresh, err)
	}
	if again := p.check(fresh, "", "RS256"); again.Subject != id.Subject {
		t.Errorf("%s became %s", id.Subject, again.Subject)
	}
	if _, err := p.config.TokenSource(p.ctx, &old).Token(); err == nil {
		t.Error("a rotated refresh token works again")
	}
}

// The same libraries, with tokens that are bound to a key by our transport.
func TestGoDPoP(t *testing.T) {
	s := holdfasttest.Start(t)
	s.Apply("", `{kind: client, client_id: rp-dpop, client_secret: `+secret+`, redirect_uris: ["`+callback+`"],
  grant_types: [authorization_code, refresh_token], scope: openid profile email offline_access}`)
	client := s.HTTP()
	client.Transport = &dpop.Transport{Signer: s.Signer(""), Base: client.Transport}
	p := newParty(t, s, client, "rp-dpop")
	token := p.signIn("another nonce", oauth2.GenerateVerifier())
	if token.TokenType != "DPoP" {
		t.Errorf("the token is a %s token", token.TokenType)
	}
	p.check(token, "another nonce", "ES256")

	stranger := oidc.ClientContext(t.Context(), s.HTTP())
	if _, err := p.provider.UserInfo(stranger, oauth2.StaticTokenSource(token)); err == nil {
		t.Error("the token works without its key")
	}
}

// A partner that proves itself with a certificate.
func TestGoMutualTLS(t *testing.T) {
	s := holdfasttest.Start(t)
	with, without := s.HTTP(s.Certificate("partner_mtls")), s.HTTP()
	p := newParty(t, s, without, "partner-mtls")
	var metadata struct {
		Aliases struct {
			Token string `json:"token_endpoint"`
		} `json:"mtls_endpoint_aliases"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := p.provider.Claims(&metadata); err != nil || !slices.Contains(metadata.Methods, "tls_client_auth") {
		t.Fatalf("%+v, %v", metadata, err)
	}
	config := clientcredentials.Config{
		ClientID: "partner-mtls", TokenURL: metadata.Aliases.Token, AuthStyle: oauth2.AuthStyleInParams, Scopes: []string{"orders.read"},
	}
	if _, err := config.Token(oidc.ClientContext(t.Context(), without)); err == nil {
		t.Error("a token without a certificate")
	}
	token, err := config.Token(oidc.ClientContext(t.Context(), with))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		client *http.Client
		want   int
	}{{with, 200}, {without, 401}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.APIURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		token.SetAuthHeader(r)
		resp, err := c.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("the API answers %d, want %d", resp.StatusCode, c.want)
		}
	}
}
