package oauth_test

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/holdfast-iam/holdfast/oauth"
)

// A refusal has two sides: what the client sees, and the cause for the log.
func ExampleRefuse() {
	err := oauth.Refuse(oauth.InvalidGrant, "the code is not valid").With(io.ErrUnexpectedEOF)
	fmt.Println(err.HTTPStatus(), err.Code, err.Detail)
	fmt.Println(err)
	// Output:
	// 400 invalid_grant the code is not valid
	// invalid_grant: the code is not valid: unexpected EOF
}

// Members without a field are reported instead of being dropped silently.
func ExampleUnknownMembers() {
	registration := []byte(`{"client_name":"Shop","redirect_uri":"https://shop.example/cb"}`)
	var m oauth.ClientMetadata
	err := json.Unmarshal(registration, &m)
	unknown, _ := oauth.UnknownMembers(registration, m)
	fmt.Println(m.ClientName, unknown, err)
	// Output: Shop [redirect_uri] <nil>
}
