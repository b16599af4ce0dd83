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

func FuzzDecrypt(f *testing.F) {
	var others []jose.EncryptionKey
	for _, a := range everyKey {
		own, public := encryptionKey(f, a, jose.A128GCM)
		f.Add(encrypt(f, public, a, jose.A128GCM, `{"sub":"alice"}`))
		other, _ := encryptionKey(f, a, jose.A128GCM)
		others = append(others, other.WithID(""))
		if a == jose.ECDHES {
			f.Add(forge(f, string(a), "A256CBC-HS512", own, map[string]any{"cty": "JWT", "apu": "QWxpY2U", "apv": "Qm9i"}, "a.b.c"))
		}
	}
	f.Add("....")
	f.Fuzz(func(t *testing.T, token string) {
		d := decrypter(others...)
		if _, err := d.Decrypt(token); err == nil {
			t.Fatal("a key that nothing was encrypted to decrypted something")
		}
		if _, err := d.Unnest(token); err == nil {
			t.Fatal("a key that nothing was encrypted to decrypted a token")
		}
	})
}

// FuzzNested has the content right and looks at what it may be.
func FuzzNested(f *testing.F) {
	own, _ := encryptionKey(f, jose.A256KW, "")
	k := newKey(f, jose.ES256)
	f.Add(sign(f, k, "JWT", struct{}{}))
	f.Add(encrypt(f, own, jose.A256KW, jose.A256GCM, "content"))
	f.Add("{}")
	shared := shared(32)
	d := decrypter(must(jose.WrapKey(shared, jose.A256KW)))
	f.Fuzz(func(t *testing.T, content string) {
		token := forgeFor(t, "A256KW", "A256GCM", shared, map[string]any{"cty": "JWT"}, content)
		n, err := d.Unnest(token)
		if err == nil && (n.JWS != content || jose.IsEncrypted(content)) {
			t.Fatalf("%q came out as %q", content, n.JWS)
		}
		if err == nil {
			_, _ = n.Peek() // must only not crash
		}
	})
}

func FuzzParseEncryptionKey(f *testing.F) {
	for _, a := range asymmetric {
		own, public := encryptionKey(f, a, "")
		f.Add([]byte(document(own)))
		f.Add([]byte(with(document(public), m{"use": nil, "alg": nil, "key_ops": []string{"deriveKey"}})))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := jose.ParseEncryptionKey(data)
		if err != nil {
			return
		}
		if again, err := jose.ParseEncryptionKey([]byte(document(k))); err != nil || again.Thumbprint() != k.Thumbprint() || again.IsPrivate() != k.IsPrivate() {
			t.Fatalf("does not survive a round trip: %v", err)
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
	_, public := encryptionKey(f, jose.ECDHES, "")
	doc, _ := json.Marshal(jose.Set{Keys: []jose.Key{newKey(f, jose.ES256)}, Encryption: []jose.EncryptionKey{public}})
	f.Add(doc)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := jose.ParseSet(data)
		for _, k := range s.Keys {
			if err == nil && k.IsPrivate() {
				t.Fatal("a set gave a private key")
			}
		}
		for _, k := range s.Encryption {
			if err == nil && k.IsPrivate() {
				t.Fatal("a set gave a private key to decrypt with")
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
