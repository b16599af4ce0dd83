package dpop_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// A client makes a proof for one request; the server checks it and learns which key signed.
func Example() {
	key, _ := jose.GenerateKey(jose.ES256)
	signer, _ := jose.NewSigner(key)
	now := time.Now()
	proof, _ := dpop.Make(signer, "GET", "https://api.example.com/orders", "", "the-access-token", now)

	checked, err := dpop.Check(proof, dpop.Expect{
		Method: "GET", URL: "https://api.example.com/orders?page=2", Now: now, AccessToken: "the-access-token",
		Thumbprint: key.Thumbprint(), // the cnf.jkt of the token
	})
	fmt.Println(err, checked.Thumbprint == key.Thumbprint())
	// Output: <nil> true
}

// A client that is given a Transport sends proofs without knowing of them.
func ExampleTransport() {
	key, _ := jose.GenerateKey(jose.ES256)
	signer, _ := jose.NewSigner(key)
	client := &http.Client{Transport: &dpop.Transport{
		Signer: signer,
		Token:  func(context.Context) (string, error) { return "the-access-token", nil },
	}}
	response, err := client.Get("https://api.example.com/orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
}
