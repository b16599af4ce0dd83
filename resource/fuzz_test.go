package resource_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"Bearer a.b.c", "dpop  a==", "Basic YTpi", "Bearer a, DPoP b", "", " ", "Bearer =", "Bearer a=b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		scheme, token, err := resource.ParseAuthorization(value)
		if err != nil {
			if token != "" {
				t.Fatal("a token beside an error")
			}
			return
		}
		if (scheme != "Bearer" && scheme != "DPoP") || token == "" || strings.ContainsAny(token, " ,\"\r\n\t\\;") || !strings.HasSuffix(value, token) {
			t.Fatalf("%q gave %q %q", value, scheme, token)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"access_token=a", "a=b&%61ccess_token=c", "a;access_token", "%zz", "Access_token=1", "a=access_token"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		found, err := resource.TokenInQuery(&url.URL{RawQuery: query})
		if values, bad := url.ParseQuery(query); bad == nil && values.Has("access_token") && !found && err == nil {
			t.Fatalf("the token in %q was not seen", query)
		}
	})
}

// FuzzToken shows any token under a key set that can verify none: nothing may pass, and nothing may panic.
func FuzzToken(f *testing.F) {
	i := resourcetest.NewIssuer(f, resourcetest.NewClock(start).Now)
	client := resourcetest.NewClient(f)
	other := resourcetest.NewIssuer(f, resourcetest.NewClock(start).Now)
	v := i.Verifier(audience)
	f.Add(other.Sign(client.BoundToKey(i.Claims(audience))))
	f.Add(other.Sign(i.Claims(audience).With("act", map[string]any{"sub": "a", "act": map[string]any{}})))
	f.Add("e30.e30.e30")
	f.Add("e30.e30.e30.e30.e30")
	f.Add(strings.Repeat("a", 20<<10))
	f.Fuzz(func(t *testing.T, token string) {
		if got, err := v.VerifyToken(t.Context(), token); err == nil || got != nil {
			t.Fatalf("%q passed", token)
		}
	})
}

// FuzzClaims reads any payload as if its signature were good.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"iss":"i","sub":"s","aud":["a"],"exp":1,"iat":1,"jti":"j","client_id":"c","cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}`))
	f.Add([]byte(`{"cnf":null,"aud":{},"act":{"act":{"act":1}},"exp":1e400}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := resource.ParseToken(&jose.Token{Payload: payload})
		if err != nil {
			return
		}
		if got.Subject == "" || got.Issuer == "" || got.ID == "" || got.ClientID == "" || len(got.Audience) == 0 || got.ExpiresAt.IsZero() || got.IssuedAt.IsZero() {
			t.Fatalf("%s gave %+v", payload, got)
		}
		if cnf, err := resource.Claim[map[string]any](got, "cnf"); err == nil && len(cnf) > 0 && got.Confirmation.IsZero() {
			t.Fatalf("%s is bound, and was read as unbound", payload)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://login.example.com/t","jwks_uri":"https://login.example.com/jwks"}`))
	f.Add([]byte(`{"issuer":"https://login.example.com/t","jwks_uri":"http://localhost/"}`))
	f.Add([]byte(`{"issuer":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if at, err := resource.ParseMetadata(body, issuer); err == nil && !strings.HasPrefix(strings.ToLower(at), "https://") {
			t.Fatalf("%s gave %q", body, at)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`), "max-age=1")
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), "no-store, max-age=\"")
	f.Add([]byte(`{}`), "")
	f.Fuzz(func(t *testing.T, set []byte, cacheControl string) {
		transport := &fake{asked: map[string]int{}, answer: map[string]func() *http.Response{jwksAt: body(string(set), cacheControl)}}
		v, err := resource.New(t.Context(), resource.Config{
			Issuers: []string{issuer}, Audience: audience, JWKS: map[string]string{issuer: "https://" + jwksAt},
			Transport: transport, Now: func() time.Time { return start },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Warm(t.Context()); err == nil {
			if parsed, err := jose.ParseSet(set); err != nil || len(parsed.Keys) == 0 {
				t.Fatalf("%s was taken for keys", set)
			}
		}
	})
}

func FuzzClientCert(f *testing.F) {
	f.Add(":" + base64.StdEncoding.EncodeToString(resourcetest.NewClient(f).Leaf.Raw) + ":")
	f.Add("::")
	f.Add(":AAAA:, :AAAA:")
	f.Fuzz(func(t *testing.T, value string) {
		if cert, err := resource.ParseClientCert([]string{value}); (cert == nil) == (err == nil) {
			t.Fatal("neither a certificate nor a refusal")
		}
	})
}

func FuzzProofHost(f *testing.F) {
	f.Add(resourcetest.NewClient(f).Proof("GET", orders, "token", start))
	f.Add("e30.e30.e30")
	f.Add("..")
	f.Fuzz(func(t *testing.T, proof string) { resource.ClaimedHost(proof) })
}
