package grant_test

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
)

// bring imports one more object.
func (n *tenant) bring(t tb, kind string, body map[string]any) {
	t.Helper()
	n.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, n.ring, objects.ManagedByFile, []objects.Document{{Kind: kind, Body: must(json.Marshal(body))}})
		return err
	})
}

// payload reads a token of the issuer.
func (n *tenant) payload(t tb, token string) map[string]any {
	t.Helper()
	read, err := jose.Verify(token, []jose.Alg{jose.ES256}, n.signing.PublicKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(read.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// Every grant makes mapped claims: by code, by refresh, for a client of its own, and by exchange for another API.
func TestEveryGrantMapsClaims(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	type m = map[string]any
	n.bring(t, "claim_mapping", m{"name": "login", "claim": "login", "into": []string{"access_token", "id_token"}, "source": m{"attribute": "username"}})
	n.bring(t, "claim_mapping", m{"name": "app", "claim": "app", "into": []string{"access_token"}, "apis": []string{orders}, "source": m{"client": "client_id"}})
	n.bring(t, "claim_mapping", m{"name": "inner", "claim": "inner", "into": []string{"access_token"}, "apis": []string{inner}, "source": m{"client": "client_id"}})
	check := func(what string, claims m, login, app, within any) {
		t.Helper()
		if claims["login"] != login || claims["app"] != app || claims["inner"] != within {
			t.Errorf("%s: %v", what, claims)
		}
	}
	k := newKey(t)
	code := n.code(t, "native", func(a *request.Authorization) { a.Resources = []string{orders} })
	a := ok(t, n.post(t, codeForm("native", code), k.proof()))
	check("code", n.payload(t, a.str("access_token")), "alice", "native", nil)
	check("ID token", n.payload(t, a.str("id_token")), "alice", nil, nil)
	b := ok(t, n.post(t, refreshForm("native", a.str("refresh_token")), k.proof()))
	check("refresh", n.payload(t, b.str("access_token")), "alice", "native", nil)
	x := ok(t, n.post(t, exchangeForm("gateway", b.str("access_token"), inner), gatewayCert()))
	check("exchange", n.payload(t, x.str("access_token")), "alice", nil, "native")
	self := ok(t, n.post(t, with(map[string]string{"grant_type": "client_credentials", "resource": orders}, n.assertion(newJTI())...), k.proof()))
	check("client credentials", n.payload(t, self.str("access_token")), nil, "jwt", nil)
}

func TestOIDCCore_10_2_EncryptedIDToken(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	key := must(jose.GenerateEncryptionKey(jose.RSAOAEP256))
	client := map[string]any{
		"client_id": "enc", "token_endpoint_auth_method": "none", "redirect_uris": []string{callback}, "scope": "openid read",
		"resources": []string{orders}, "id_token_encrypted_response_alg": "RSA-OAEP-256", "id_token_encrypted_response_enc": "A128GCM",
		"jwks": json.RawMessage(must(json.Marshal(jose.Set{Encryption: []jose.EncryptionKey{key.Public()}}))), "grant_types": []string{"authorization_code"},
	}
	n.bring(t, "client", client)
	a := ok(t, n.post(t, codeForm("enc", n.code(t, "enc")), newKey(t).proof()))
	by := jose.Decrypter{Algs: []jose.KeyAlg{jose.RSAOAEP256}, Contents: []jose.ContentAlg{jose.A128GCM}, Keys: []jose.EncryptionKey{key}}
	nested, err := by.Unnest(a.str("id_token"))
	if err != nil {
		t.Fatal(err)
	}
	if claims := n.payload(t, nested.JWS); claims["aud"] != "enc" || claims["sub"] != "alice" || claims["at_hash"] == nil {
		t.Errorf("%v", claims)
	}
}

// A client whose key cannot be had is refused before its code is spent, so that it may come again.
func TestIDTokenThatCannotBeEncrypted(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	n.bring(t, "client", map[string]any{
		"client_id": "lost", "token_endpoint_auth_method": "none", "redirect_uris": []string{callback}, "scope": "openid read",
		"resources": []string{orders}, "id_token_encrypted_response_alg": "RSA-OAEP-256", "jwks_uri": "https://app.example/jwks",
	})
	k, code := newKey(t), n.code(t, "lost")
	want(t, n.post(t, codeForm("lost", code), k.proof()), 400, "invalid_request")
	handle, _, _ := keys.SplitHandle(code)
	err := n.db.Read(t.Context(), func(tx *store.Tx) error {
		c, err := tx.Code(handle)
		if err == nil && !c.SpentAt.IsZero() {
			t.Error("the code is spent")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What was asked for by name comes in the ID token, at refresh as well.
func TestOIDCCore_5_5_ClaimsInTheIDToken(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	n.write(t, func(tx *store.Tx) error {
		a, err := tx.Account("alice")
		if err != nil {
			return err
		}
		a.Claims = json.RawMessage(`{"email":"alice@example.com","name":"Alice"}`)
		return tx.PutAccount(a)
	})
	k := newKey(t)
	code := n.code(t, "native", func(a *request.Authorization) {
		a.Scope = []string{"openid", "email", "read"}
		a.Claims = json.RawMessage(`{"id_token":{"email":{"essential":true},"name":null,"birthdate":{"essential":true}}}`)
	})
	a := ok(t, n.post(t, codeForm("native", code), k.proof()))
	b := ok(t, n.post(t, refreshForm("native", a.str("refresh_token")), k.proof()))
	for _, answer := range []answer{a, b} {
		// The person has agreed to email, and has not been asked about name.
		if claims := n.payload(t, answer.str("id_token")); claims["email"] != "alice@example.com" || claims["name"] != nil || claims["birthdate"] != nil {
			t.Errorf("%v", claims)
		}
		if claims := n.payload(t, answer.str("access_token")); claims["email"] != nil {
			t.Errorf("the access token tells %v", claims)
		}
	}
}
