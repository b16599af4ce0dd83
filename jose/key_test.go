package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

func TestRFC7638_Thumbprint(t *testing.T) {
	// The example of RFC 7638 §3.1.
	const jwk = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	k, err := jose.ParseKey([]byte(jwk))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Thumbprint(); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("got %s", got)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	good, err := json.Marshal(newKey(t, jose.ES256).Public())
	if err != nil {
		t.Fatal(err)
	}
	with := func(member string) string { return strings.Replace(string(good), "{", "{"+member+",", 1) }
	without := func(member string) string {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		delete(m, member)
		b, _ := json.Marshal(m)
		return string(b)
	}
	for name, jwk := range map[string]string{
		"use enc":        strings.Replace(string(good), `"use":"sig"`, `"use":"enc"`, 1),
		"key_ops":        with(`"key_ops":["encrypt"]`),
		"key_ops sign":   with(`"key_ops":["sign"]`),
		"no key_ops":     with(`"key_ops":[]`),
		"duplicate":      with(`"kty":"EC"`),
		"alg mismatch":   strings.Replace(string(good), `"alg":"ES256"`, `"alg":"EdDSA"`, 1),
		"unknown alg":    strings.Replace(string(good), `"alg":"ES256"`, `"alg":"HS256"`, 1),
		"symmetric":      `{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		"point off":      `{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`,
		"no y":           without("y"),
		"no kty":         without("kty"),
		"array":          `[]`,
		"longer":         `{"kty":"` + strings.Repeat("A", 20<<10) + `"}`,
		"deeply nested":  `{"kty":"EC","z":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"trailing bytes": string(good) + "x",
		"padding":        strings.Replace(string(good), `","y":`, `=","y":`, 1),
		"line break":     strings.Replace(string(good), `","y":`, `\n","y":`, 1),
		"X25519":         `{"kty":"OKP","crv":"X25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		"low order":      `{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		"null":           `null`,
	} {
		if k, err := jose.ParseKey([]byte(jwk)); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: key %v, error %v", name, k, err)
		}
	}
}

func TestRFC7517_5_Sets(t *testing.T) {
	a, b := newKey(t, jose.ES256), newKey(t, jose.EdDSA)
	doc, err := json.Marshal(jose.Set{Keys: []jose.Key{a, b}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(doc), `"d"`) {
		t.Fatal("a set shows a private key")
	}
	mixed := strings.Replace(string(doc), `{"keys":[`, `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"},`, 1)
	s, err := jose.ParseSet([]byte(mixed))
	if err != nil || len(s.Keys) != 2 {
		t.Fatalf("%d keys, %v; the unknown one must be skipped", len(s.Keys), err)
	}
	if got := s.Find(a.ID(), jose.ES256); len(got) != 1 || got[0].Thumbprint() != a.Thumbprint() {
		t.Errorf("find: %v", got)
	}
	if got := s.Find(a.ID(), jose.EdDSA); got != nil {
		t.Errorf("find with another algorithm: %v", got)
	}
	private, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string]string{
		"private":   `{"keys":[` + string(private) + `]}`,
		"symmetric": `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"a prime":   `{"keys":[{"kty":"RSA","p":"AAAA"}]}`,
		"ML-DSA":    `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","priv":"AAAA"}]}`,
		"a number":  `{"keys":[1]}`,
		"repeated":  `{"keys":[],"keys":[]}`,
		"longer":    `{"keys":[],"x":"` + strings.Repeat("A", 256<<10) + `"}`,
		"no keys":   `{}`,
		"too many":  `{"keys":[` + strings.Repeat(`{},`, 100) + `{}]}`,
	} {
		if _, err := jose.ParseSet([]byte(doc)); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RFC 7518 §3.3 and §3.5 ask for 2048 bits; NIST SP 800-56B §6.2 for an odd exponent of at least 65537.
func TestRFC7518_3_PublicKeysOutOfRange(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modulus := func(bits uint, low int64) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.Add(n, big.NewInt(low))
	}
	for name, pub := range map[string]crypto.PublicKey{
		"1024 bits":          &rsa.PublicKey{N: modulus(1024, 1), E: 65537},
		"2047 bits":          &rsa.PublicKey{N: modulus(2047, 1), E: 65537},
		"4097 bits":          &rsa.PublicKey{N: modulus(4097, 1), E: 65537},
		"even modulus":       &rsa.PublicKey{N: modulus(2048, 0), E: 65537},
		"exponent 3":         &rsa.PublicKey{N: modulus(2048, 1), E: 3},
		"even exponent":      &rsa.PublicKey{N: modulus(2048, 1), E: 65538},
		"exponent too long":  &rsa.PublicKey{N: modulus(2048, 1), E: 1<<31 + 1},
		"P-384":              &p384.PublicKey,
		"short Ed25519":      ed25519.PublicKey{1, 2, 3},
		"Ed25519 of order 1": append(ed25519.PublicKey{1}, make([]byte, 31)...),
		"no key":             nil,
		"bytes":              []byte("0123456789abcdef0123456789abcdef"),
	} {
		if _, err := jose.FromPublic(pub, ""); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := times(prime(t, 1024), prime(t, 1024))
	for _, n := range []*big.Int{short, times(short, times(prime(t, 1024), prime(t, 1024)))} {
		if _, err := jose.FromPublic(&rsa.PublicKey{N: n, E: 65537}, jose.PS256); err != nil {
			t.Errorf("%d bits: %v", n.BitLen(), err)
		}
	}
}

func TestRFC7518_6_2_2_PrivatePartMatchesThePublicOne(t *testing.T) {
	for _, a := range []jose.Alg{jose.ES256, jose.EdDSA} {
		var mine, other map[string]any
		for _, m := range []*map[string]any{&mine, &other} {
			doc, err := json.Marshal(newKey(t, a))
			if err != nil || json.Unmarshal(doc, m) != nil {
				t.Fatal(err)
			}
		}
		mine["d"] = other["d"]
		doc, err := json.Marshal(mine)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.ParseKey(doc); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestRFC7517_4_PrivateKeysSurviveARoundTrip(t *testing.T) {
	for _, a := range everyAlg {
		k := newKey(t, a)
		doc, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		again, err := jose.ParseKey(doc)
		if err != nil {
			t.Fatal(err)
		}
		if !again.IsPrivate() || again.Public().IsPrivate() || again.Alg() != a || again.ID() != k.ID() || again.Thumbprint() != k.Thumbprint() {
			t.Errorf("%s: got %v", a, again)
		}
	}
}

func TestKeysDoNotPrintTheirMaterial(t *testing.T) {
	k := newKey(t, jose.ES256)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "key", k)
	for _, got := range []string{fmt.Sprintf("%v", k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), logged.String()} {
		if !strings.Contains(got, "key "+k.ID()) || strings.Contains(got, `"d"`) || strings.Contains(got, "0x") {
			t.Error(got)
		}
	}
}
