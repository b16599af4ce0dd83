package jose_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

func FuzzVerify(f *testing.F) {
	k := newKey(f, jose.ES256)
	f.Add(sign(f, k, "JWT", map[string]int{"a": 1}))
	f.Add(craft(f, k, `{"alg":"none"}`, `{}`))
	f.Add("..")
	own, err := json.Marshal(k.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(craft(f, k, `{"alg":"ES256","typ":"dpop+jwt","jwk":`+string(own)+`}`, `{"jti":"1"}`))
	other := newKey(f, jose.ES256)
	f.Fuzz(func(t *testing.T, token string) {
		_, _ = jose.Peek(token) // must only not crash
		_, _ = jose.VerifyEmbedded(token, everyAlg)
		if _, err := jose.Verify(token, everyAlg, other.Public()); err == nil {
			t.Fatal("a key that signed nothing verified something")
		}
	})
}

func FuzzVerifyMAC(f *testing.F) {
	for _, m := range everyMAC {
		f.Add(macWith(f, string(m), strings.Repeat("s", 64), `{"sub":"client"}`))
	}
	f.Add(craft(f, newKey(f, jose.ES256), `{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, `{}`))
	other := secret(f, strings.Repeat("o", 64))
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := jose.VerifyMAC(token, everyMAC, other); err == nil {
			t.Fatal("a secret that made nothing verified something")
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, a := range everyAlg {
		doc, _ := json.Marshal(newKey(f, a))
		f.Add(doc)
	}
	f.Add([]byte(`{"kty":"RSA","n":"AQAB","e":"AQAB"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := jose.ParseKey(data)
		if err != nil {
			return
		}
		doc, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		again, err := jose.ParseKey(doc)
		if err != nil || again.Thumbprint() != k.Thumbprint() {
			t.Fatalf("does not survive a round trip: %v", err)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	doc, _ := json.Marshal(jose.Set{Keys: []jose.Key{newKey(f, jose.ES256)}})
	f.Add(doc)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := jose.ParseSet(data)
		for _, k := range s.Keys {
			if err == nil && k.IsPrivate() {
				t.Fatal("a set gave a private key")
			}
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"iss":"a","aud":["b"],"exp":1.5}`))
	f.Add([]byte(`["\"]]]]",` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c struct {
			Aud jose.Audience    `json:"aud"`
			Exp jose.NumericDate `json:"exp"`
		}
		if jose.Unmarshal(data, &c) == nil && !json.Valid(data) {
			t.Fatal("accepted what is not JSON")
		}
		var v any
		if jose.Unmarshal(data, &v) == nil && depth(v) > 32 {
			t.Fatalf("accepted %d levels", depth(v))
		}
	})
}

// depth is how many levels of arrays and objects a value has.
func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
	default:
		return 0
	}
	return deepest + 1
}
