package resourcetest

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

// Forge puts a compact JWS together from any header and any payload, signed with ES256 by the key: what no issuer would
// sign. A string is taken as it is; anything else is marshalled.
func Forge(tb testing.TB, key *jose.Key, header, payload any) string {
	tb.Helper()
	input := part(tb, header) + "." + part(tb, payload)
	if key == nil {
		return input + "."
	}
	signer, ok := key.CryptoSigner().(*ecdsa.PrivateKey)
	if !ok {
		tb.Fatal("resourcetest: Forge needs a private ES256 key")
	}
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, signer, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}

// forgeMAC signs with HS256, as one does who takes the public key for the secret (RFC 8725 §2.1).
func forgeMAC(tb testing.TB, secret []byte, header, payload any) string {
	tb.Helper()
	input := part(tb, header) + "." + part(tb, payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func part(tb testing.TB, v any) string {
	tb.Helper()
	text, ok := v.(string)
	if !ok {
		data, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		text = string(data)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}
