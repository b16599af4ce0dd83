package jose_test

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/holdfast-iam/holdfast/jose"
)

// An issuer signs; a reader verifies with the issuer's published set and the algorithms it has decided to accept.
func Example() {
	key, _ := jose.GenerateKey(jose.ES256)
	signer, _ := jose.NewSigner(key)
	token, _ := signer.Sign("at+jwt", map[string]any{"sub": "alice", "aud": "https://api.example.com"})

	published := jose.Set{Keys: []jose.Key{key.Public()}}
	verified, err := jose.Verify(token, []jose.Alg{jose.ES256, jose.EdDSA}, published.Keys...)
	var claims struct {
		Subject  string        `json:"sub"`
		Audience jose.Audience `json:"aud"`
	}
	if err == nil {
		err = verified.Claims(&claims)
	}
	fmt.Println(claims.Subject, claims.Audience, verified.Type, err)

	_, err = jose.Verify(token, []jose.Alg{jose.PS256}, published.Keys...)
	fmt.Println(errors.Is(err, jose.ErrAlgorithm))
	// Output:
	// alice [https://api.example.com] at+jwt <nil>
	// true
}

// A client's request object is signed by the client and encrypted to the issuer (RFC 9101 §6.1), which decrypts it before
// it verifies it.
func ExampleEncrypter_Nest() {
	own, _ := jose.GenerateEncryptionKey(jose.ECDHES)
	published := jose.Set{Encryption: []jose.EncryptionKey{own.Public()}}
	client, _ := jose.GenerateKey(jose.ES256)

	signer, _ := jose.NewSigner(client)
	to := published.FindEncryption("", jose.ECDHES)[0]
	encrypter, _ := jose.NewEncrypter(to, jose.ECDHES, jose.A256GCM)
	request, _ := encrypter.Nest(signer, "oauth-authz-req+jwt", map[string]any{"client_id": "app", "scope": "openid"})

	decrypter := &jose.Decrypter{
		Algs:     []jose.KeyAlg{jose.ECDHES, jose.RSAOAEP256},
		Contents: []jose.ContentAlg{jose.A256GCM},
		Keys:     []jose.EncryptionKey{own},
	}
	nested, err := decrypter.Unnest(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	verified, err := nested.Verify([]jose.Alg{jose.ES256}, client.Public())
	fmt.Println(verified.Type, string(verified.Payload), err)
	// Output: oauth-authz-req+jwt {"client_id":"app","scope":"openid"} <nil>
}

// Claims that are encrypted and not signed say nothing about who wrote them.
func ExampleDecrypter_Decrypt() {
	own, _ := jose.GenerateEncryptionKey(jose.RSAOAEP256)
	encrypter, _ := jose.NewEncrypter(own.Public(), jose.RSAOAEP256, jose.A128CBCHS256)
	token, _ := encrypter.Encrypt("JWT", []byte(`{"sub":"alice"}`))

	decrypter := &jose.Decrypter{
		Algs:     []jose.KeyAlg{jose.RSAOAEP256},
		Contents: []jose.ContentAlg{jose.A128CBCHS256},
		Keys:     []jose.EncryptionKey{own},
	}
	message, err := decrypter.Decrypt(token)
	var claims struct {
		Subject string `json:"sub"`
	}
	if err == nil {
		err = message.Claims(&claims)
	}
	fmt.Println(claims.Subject, err)
	// Output: alice <nil>
}

// A client that authenticates with client_secret_jwt: the secret verifies keyed hashes, and only where they are asked for.
func ExampleVerifyMAC() {
	const assertion = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + // RFC 7515, appendix A.1
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	value, _ := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	secret, _ := jose.NewSecret(value)

	token, err := jose.VerifyMAC(assertion, []jose.MAC{jose.HS256}, secret)
	fmt.Println(token.Type, secret, err)

	_, err = jose.Verify(assertion, []jose.Alg{jose.ES256, jose.RS256})
	fmt.Println(errors.Is(err, jose.ErrAlgorithm))
	// Output:
	// jwt [hidden] <nil>
	// true
}

// The example of RFC 8037, appendix A.3.
func ExampleKey_Thumbprint() {
	key, err := jose.ParseKey([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	fmt.Println(key.Thumbprint(), key.Alg(), err)
	// Output: kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k EdDSA <nil>
}

// Names that repeat make one reader see another value than the next; Unmarshal refuses them.
func ExampleUnmarshal() {
	var claims struct {
		Subject string `json:"sub"`
	}
	err := jose.Unmarshal([]byte(`{"sub":"alice","sub":"mallory"}`), &claims)
	fmt.Println(err != nil)
	// Output: true
}
