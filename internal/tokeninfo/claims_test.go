package tokeninfo_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

func (i *issuer) add(t *testing.T, kind string, body map[string]any) {
	t.Helper()
	i.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, keys.NewRing(), objects.ManagedByFile, []objects.Document{{Kind: kind, Body: must(json.Marshal(body))}})
		return err
	})
	i.registry.Heard(store.Event{Kind: store.EventObject})
}

// What mappings put into a token is told about it in either form.
func TestIntrospectionTellsMappedClaims(t *testing.T) {
	i := newRig(t).issuers["acme"]
	i.add(t, "claim_mapping", map[string]any{"name": "m", "claim": "login", "into": []string{"access_token"}, "source": map[string]any{"attribute": "username"}})
	for _, format := range []string{"jwt", "opaque"} {
		access, refresh := i.issue(t, format, "openid read", oauth.Confirmation{})
		for _, caller := range []string{"shop", "orders-api"} {
			if a := i.introspect(t, access, basic(caller)); a.body["login"] != "alice" || a.body["active"] != true || a.body["sub"] != "alice" {
				t.Errorf("%s by %s: %s", format, caller, a.text)
			}
		}
		if a := i.introspect(t, refresh, basic("shop")); a.body["active"] != true || a.body["login"] != nil {
			t.Errorf("a refresh token: %s", a.text)
		}
	}
}

func TestOIDCCore_5_3_2_SignedAndEncryptedUserinfo(t *testing.T) {
	i := newRig(t).issuers["acme"]
	key := must(jose.GenerateEncryptionKey(jose.ECDHES))
	set := must(json.Marshal(jose.Set{Encryption: []jose.EncryptionKey{key.Public()}}))
	client := func(id string, more map[string]any) {
		body := map[string]any{
			"client_id": id, "token_endpoint_auth_method": "none", "redirect_uris": []string{"https://app.example/cb"}, "allow_bearer_tokens": true,
			"jwks": json.RawMessage(set), "resources": []string{orders},
		}
		for k, v := range more {
			body[k] = v
		}
		i.add(t, "client", body)
	}
	client("signed", map[string]any{"userinfo_signed_response_alg": "ES256"})
	client("encrypted", map[string]any{"userinfo_encrypted_response_alg": "ECDH-ES"})
	client("nested", map[string]any{"userinfo_signed_response_alg": "ES256", "userinfo_encrypted_response_alg": "ECDH-ES", "userinfo_encrypted_response_enc": "A256GCM"})
	by := jose.Decrypter{Algs: []jose.KeyAlg{jose.ECDHES}, Contents: []jose.ContentAlg{jose.A128CBCHS256, jose.A256GCM}, Keys: []jose.EncryptionKey{key}}
	verify := func(compact string) []byte {
		t.Helper()
		token, err := jose.Verify(compact, []jose.Alg{jose.ES256}, i.minter.Signing.PublicKeys()...)
		if err != nil {
			t.Fatal(err)
		}
		return token.Payload
	}
	for id, open := range map[string]func(string) []byte{
		"signed":    verify,
		"encrypted": func(text string) []byte { return must(by.Decrypt(text)).Content },
		"nested":    func(text string) []byte { return verify(must(by.Unnest(text)).JWS) },
	} {
		access, _ := i.issueTo(t, id, "jwt", "openid email", oauth.Confirmation{})
		a := i.do(t, "GET", "/userinfo", nil, header("Authorization", "Bearer "+access))
		if a.status != 200 || a.header.Get("Content-Type") != "application/jwt" {
			t.Fatalf("%s: %d %s %s", id, a.status, a.header.Get("Content-Type"), a.text)
		}
		var got map[string]any
		if err := json.Unmarshal(open(a.text), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"iss": i.url, "aud": id, "sub": "alice", "email": "alice@example.com", "email_verified": true}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", id, d)
		}
	}
}

// Nothing goes out in clear that was to be encrypted.
func TestUserinfoThatCannotBeEncrypted(t *testing.T) {
	i := newRig(t).issuers["acme"]
	i.add(t, "client", map[string]any{
		"client_id": "lost", "token_endpoint_auth_method": "none", "redirect_uris": []string{"https://app.example/cb"}, "allow_bearer_tokens": true,
		"jwks_uri": "https://app.example/jwks", "userinfo_encrypted_response_alg": "ECDH-ES", "resources": []string{orders},
	})
	access, _ := i.issueTo(t, "lost", "jwt", "openid email", oauth.Confirmation{})
	if a := i.do(t, "GET", "/userinfo", nil, header("Authorization", "Bearer "+access)); a.status != 400 || a.body["error"] != "invalid_request" {
		t.Errorf("%d %s", a.status, a.text)
	}
}

func TestUserinfoOfADeletedClient(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "jwt", "openid", oauth.Confirmation{})
	i.write(t, func(tx *store.Tx) error { return tx.DeleteObject("client", "shop", store.AnyRevision) })
	i.registry.Heard(store.Event{Kind: store.EventObject})
	if a := i.do(t, "GET", "/userinfo", nil, header("Authorization", "Bearer "+access)); a.status != 401 || a.body["error"] != "invalid_token" {
		t.Errorf("%d %s", a.status, a.text)
	}
}
