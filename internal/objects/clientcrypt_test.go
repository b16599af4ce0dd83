package objects_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

func TestOIDCRegistration_2_Answers(t *testing.T) {
	ec, err := jose.GenerateEncryptionKey(jose.ECDHES)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	enc := json.RawMessage(`{"keys":[` + string(jwk) + `]}`)
	both := json.RawMessage(`{"keys":[` + publicJWK + `,` + string(jwk) + `]}`)
	sig := json.RawMessage(`{"keys":[` + publicJWK + `]}`)
	const idAlg, idEnc = "id_token_encrypted_response_alg", "id_token_encrypted_response_enc"
	const inSig, inAlg, inEnc = "introspection_signed_response_alg", "introspection_encrypted_response_alg", "introspection_encrypted_response_enc"
	const uiSig, uiAlg, uiEnc = "userinfo_signed_response_alg", "userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"
	for _, c := range []struct {
		name    string
		changes m
		want    []string
	}{
		{"signed userinfo", m{uiSig: "ES256"}, nil},
		{"encrypted ID tokens", m{idAlg: "ECDH-ES", "jwks": enc}, nil},
		{"encrypted ID tokens with enc", m{idAlg: "ECDH-ES", idEnc: "A256GCM", "jwks": both}, nil},
		{"everything", m{idAlg: "ECDH-ES", uiSig: "PS256", uiAlg: "ECDH-ES", uiEnc: "A256CBC-HS512", "jwks": enc}, nil},
		{"signed introspection", m{inSig: "EdDSA"}, nil},
		{"encrypted introspection", m{inAlg: "ECDH-ES", inEnc: "A128GCM", "jwks": enc}, nil},
		{"unsigned introspection", m{inSig: "none"}, []string{inSig}},
		{"hashed introspection", m{inSig: "HS256"}, []string{inSig}},
		{"introspection encrypted to nobody", m{inAlg: "ECDH-ES"}, []string{inAlg}},
		{"introspection under a shared key", m{inAlg: "A128KW", "jwks": enc}, []string{inAlg}},
		{"enc alone for introspection", m{inEnc: "A128GCM"}, []string{inEnc}},
		{"keys by URL", m{uiAlg: "RSA-OAEP-256", "jwks_uri": "https://p.example/jwks"}, nil},
		{"unsigned userinfo", m{uiSig: "none"}, []string{uiSig}},
		{"an algorithm of another profile", m{"profile": "fapi2", uiSig: "RS256", "token_endpoint_auth_method": "private_key_jwt", "client_secret": nil, "jwks": sig}, []string{uiSig}},
		{"RSA with SHA-1", m{idAlg: "RSA-OAEP", "jwks": enc}, []string{idAlg}},
		{"RSA1_5", m{uiAlg: "RSA1_5", "jwks": enc}, []string{uiAlg}},
		{"a shared key", m{idAlg: "dir", "jwks": enc}, []string{idAlg}},
		{"an unknown enc", m{idAlg: "ECDH-ES", idEnc: "A192GCM", "jwks": enc}, []string{idEnc}},
		{"enc alone", m{idEnc: "A128GCM"}, []string{idEnc}},
		{"enc alone for userinfo", m{uiEnc: "A128GCM"}, []string{uiEnc}},
		{"no keys", m{idAlg: "ECDH-ES"}, []string{idAlg}},
		{"keys for signatures only", m{idAlg: "ECDH-ES", "jwks": sig}, []string{"jwks"}},
		{"keys for another algorithm", m{uiAlg: "RSA-OAEP-256", "jwks": enc}, []string{"jwks"}},
		{"no key to sign with", m{idAlg: "ECDH-ES", "jwks": enc, "token_endpoint_auth_method": "private_key_jwt", "client_secret": nil}, []string{"jwks"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := objects.Validate(with(c.changes))
			if got := paths(problems); !slices.Equal(got, c.want) {
				t.Errorf("problems of %q, want %q: %v", got, c.want, objects.Problems(problems))
			}
		})
	}
}
