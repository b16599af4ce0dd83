package jose_test

import (
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
