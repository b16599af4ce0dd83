package clients_test

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestOIDCCore_10_2_EncryptionKeyOfTheClient(t *testing.T) {
	key, err := jose.GenerateEncryptionKey(jose.ECDHES)
	if err != nil {
		t.Fatal(err)
	}
	set := jose.Set{Keys: []jose.Key{parties().es256.Key()}, Encryption: []jose.EncryptionKey{key.Public()}}
	client := &objects.Client{ID: "remote", ClientMetadata: oauth.ClientMetadata{JWKSURI: "https://app.example/jwks"}}
	var failure error
	a := &clients.Authenticator{KeysAt: func(_ context.Context, url, kid string) (jose.Set, error) {
		if url != client.JWKSURI || kid != "" {
			t.Errorf("asked for %s at %s", kid, url)
		}
		return set, failure
	}}
	encrypter, err := a.Encrypter(t.Context(), client, "ECDH-ES", "")
	if err != nil {
		t.Fatal(err)
	}
	compact, err := encrypter.Encrypt("JWT", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	by := jose.Decrypter{Algs: []jose.KeyAlg{jose.ECDHES}, Contents: []jose.ContentAlg{jose.A128CBCHS256}, Keys: []jose.EncryptionKey{key}}
	if m, err := by.Decrypt(compact); err != nil || m.KeyID != key.ID() {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = a.Encrypter(t.Context(), client, "RSA-OAEP-256", "")
	refused(t, err, oauth.InvalidRequest, "no key for RSA-OAEP-256")
	failure = errors.New("the network is down")
	_, err = a.Encrypter(t.Context(), client, "ECDH-ES", "")
	refused(t, err, oauth.InvalidRequest, "the network is down")
	_, err = a.Encrypter(t.Context(), &objects.Client{ID: "none"}, "ECDH-ES", "")
	refused(t, err, oauth.InvalidRequest, "the client has no keys")
}
