package objects_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

// keySets are a key to sign with (ES256) alone, and beside one to encrypt to.
func keySets(t *testing.T) (signing, both json.RawMessage) {
	t.Helper()
	key, err := jose.GenerateEncryptionKey(jose.ECDHES)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return json.RawMessage(`{"keys":[` + publicJWK + `]}`), json.RawMessage(`{"keys":[` + publicJWK + `,` + string(jwk) + `]}`)
}

type registration struct {
	name    string
	changes m
	want    []string // paths of problems
}

func validateAll(t *testing.T, tests []registration) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems := objects.Validate(with(test.changes))
			if got := paths(problems); !slices.Equal(got, test.want) {
				t.Errorf("problems of %q, want %q: %v", got, test.want, objects.Problems(problems))
			}
		})
	}
}

func TestOIDCRegistration_2_RequestObjects(t *testing.T) {
	sig, _ := keySets(t)
	const alg, encAlg, encEnc = "request_object_signing_alg", "request_object_encryption_alg", "request_object_encryption_enc"
	uris := func(list ...string) m { return m{"jwks": sig, "request_uris": list} }
	validateAll(t, []registration{
		{"signed", m{alg: "ES256", "jwks": sig}, nil},
		{"signed with any of the profile", m{"require_signed_request_object": true, "jwks": sig}, nil},
		{"keys by URL", m{alg: "PS256", "jwks_uri": "https://p.example/jwks"}, nil},
		{"not signed", m{alg: "none", "jwks": sig}, []string{"jwks", alg}},
		{"an algorithm of another profile", m{"profile": "fapi2", "token_endpoint_auth_method": "private_key_jwt", "client_secret": nil, "jwks_uri": "https://p.example/jwks", alg: "RS256"}, []string{alg}},
		{"no keys for the algorithm", m{alg: "ES256"}, []string{"jwks"}},
		{"keys for another algorithm", m{alg: "PS256", "jwks": sig}, []string{"jwks"}},
		{"no keys although required", m{"require_signed_request_object": true}, []string{"jwks"}},
		{"encrypted", m{encAlg: "RSA-OAEP-256", encEnc: "A256GCM", "jwks": sig}, nil},
		{"encrypted with the default", m{encAlg: "ECDH-ES"}, nil},
		{"encrypted with RSA1_5", m{encAlg: "RSA1_5"}, []string{encAlg}},
		{"encrypted with an unknown enc", m{encAlg: "ECDH-ES", encEnc: "A192GCM"}, []string{encEnc}},
		{"enc alone", m{encEnc: "A128GCM"}, []string{encEnc}},
		{"request_uris", uris("https://p.example/r", "https://p.example/r#PyX4", "https://p.example/q?a=b"), nil},
		{"request_uri by http", uris("http://p.example/r"), []string{"request_uris[0]"}},
		{"request_uri on loopback", uris("http://127.0.0.1/r"), []string{"request_uris[0]"}},
		{"request_uri of a pushed request", uris("urn:ietf:params:oauth:request_uri:a.b"), []string{"request_uris[0]"}},
		{"request_uri with a user", uris("https://u@p.example/r"), []string{"request_uris[0]"}},
		{"no request_uri", uris("", "#x"), []string{"request_uris[0]", "request_uris[1]"}},
		{"request_uri twice", uris("https://p.example/r", "https://p.example/r"), []string{"request_uris[1]"}},
		{"request_uri without end", uris("https://p.example/" + strings.Repeat("r", 500)), []string{"request_uris[0]"}},
		{"request_uri without keys", m{"request_uris": []string{"https://p.example/r"}}, []string{"jwks"}},
	})
}

func TestJARM_3_Registration(t *testing.T) {
	sig, both := keySets(t)
	const alg, encAlg, encEnc = "authorization_signed_response_alg", "authorization_encrypted_response_alg", "authorization_encrypted_response_enc"
	validateAll(t, []registration{
		{"signed", m{alg: "PS256"}, nil},
		{"not signed", m{alg: "none"}, []string{alg}},
		{"encrypted", m{encAlg: "ECDH-ES", encEnc: "A256GCM", "jwks": both}, nil},
		{"encrypted without a key", m{encAlg: "ECDH-ES", "jwks": sig}, []string{"jwks"}},
		{"encrypted with a shared key", m{encAlg: "dir", "jwks": both}, []string{encAlg}},
		{"enc alone", m{encEnc: "A256GCM"}, []string{encEnc}},
	})
}

func TestSignatureAlgs(t *testing.T) {
	if got := objects.SignatureAlgs(); !slices.Equal(got, []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}) {
		t.Errorf("got %v", got)
	}
}
