package resource_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-iam/holdfast/resource"
)

// An API that knows its callers: whose tokens, for what, and which scope each route asks for.
func Example() {
	v, err := resource.New(context.Background(), resource.Config{
		Issuers:  []string{"https://login.example.com"},
		Audience: "https://api.example.com",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+v.MetadataPath(), v.MetadataHandler())
	mux.Handle("GET /orders", v.HandlerFunc(resource.Scopes("orders.read"), func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "orders of", resource.From(r.Context()).Subject)
	}))
	fmt.Println(v.MetadataPath())
	// Output: /.well-known/oauth-protected-resource
}

// A route that asks for more than a scope: a recent sign-in with a passkey, and a claim.
func ExamplePolicy() {
	policy := resource.Policy{
		Scopes: []string{"orders.cancel"},
		Claims: map[string]string{"tenant": "acme"},
		ACR:    []string{"phr", "phrh"},
		MaxAge: 5 * time.Minute,
		Allow: func(p *resource.Principal) bool {
			level, err := resource.Claim[int](p, "level")
			return err == nil && level >= 3
		},
	}
	fmt.Println(policy.IsZero(), resource.Policy{}.IsZero())
	// Output: false true
}

// Servers that do not use net/http, or decide by themselves, call Verify.
func ExampleVerifier_Verify() {
	var v *resource.Verifier // of New
	handle := func(w http.ResponseWriter, r *http.Request) {
		who, err := v.Verify(r.Context(), resource.RequestOf(r))
		if err == nil {
			err = v.Authorize(resource.Scopes("orders.read"), who)
		}
		if err != nil {
			v.Refuse(w, r, err)
			return
		}
		fmt.Fprintln(w, who.Subject)
	}
	_ = handle
}
