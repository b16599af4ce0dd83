package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

var everyAlg = []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

func newKey(t testing.TB, a jose.Alg) jose.Key {
	t.Helper()
	k, err := jose.GenerateKey(a)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k jose.Key, typ string, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign(typ, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// craft signs an arbitrary header and payload with ES256, as a hostile client would.
func craft(t testing.TB, k jose.Key, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestSignAndVerify(t *testing.T) {
	for _, a := range everyAlg {
		t.Run(string(a), func(t *testing.T) {
			k := newKey(t, a)
			token := sign(t, k, "at+jwt", map[string]any{"sub": "alice"})
			got, err := jose.Verify(token, everyAlg, k.Public())
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Sub string `json:"sub"`
			}
			if err := got.Claims(&c); err != nil || c.Sub != "alice" {
				t.Errorf("claims %+v, %v", c, err)
			}
			if got.Alg != a || got.KeyID != k.ID() || got.Type != "at+jwt" {
				t.Errorf("header %+v", got)
			}
			if _, err := jose.Verify(token, everyAlg, newKey(t, a).WithID(k.ID())); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("another key of the same id: %v", err)
			}
			if _, err := jose.Verify(token, everyAlg, newKey(t, a)); !errors.Is(err, jose.ErrNoKey) {
				t.Errorf("only a key of another id: %v", err)
			}
			for _, other := range everyAlg {
				if _, err := jose.Verify(token, []jose.Alg{other}, k.Public()); other != a && !errors.Is(err, jose.ErrAlgorithm) {
					t.Errorf("only %s allowed: %v", other, err)
				}
			}
		})
	}
}

func TestRFC8725_3_RefusedHeaders(t *testing.T) {
	k := newKey(t, jose.ES256)
	jwk, err := json.Marshal(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, header string
		want         error
	}{
		{"fine", `{"alg":"ES256"}`, nil},
		{"none", `{"alg":"none"}`, jose.ErrAlgorithm},
		{"None", `{"alg":"None"}`, jose.ErrAlgorithm},
		{"HS256", `{"alg":"HS256"}`, jose.ErrAlgorithm},
		{"alg missing", `{}`, jose.ErrAlgorithm},
		{"alg twice", `{"alg":"ES256","alg":"ES256"}`, jose.ErrMalformed},
		{"alg of another type", `{"alg":["ES256"]}`, jose.ErrMalformed},
		{"jku", `{"alg":"ES256","jku":"https://evil.example/keys"}`, jose.ErrMalformed},
		{"x5u", `{"alg":"ES256","x5u":"https://evil.example/chain"}`, jose.ErrMalformed},
		{"x5c", `{"alg":"ES256","x5c":["AAAA"]}`, jose.ErrMalformed},
		{"jwk", `{"alg":"ES256","jwk":` + string(jwk) + `}`, jose.ErrMalformed},
		{"crit", `{"alg":"ES256","crit":["exp"],"exp":1}`, jose.ErrMalformed},
		{"empty crit", `{"alg":"ES256","crit":[]}`, jose.ErrMalformed},
		{"b64", `{"alg":"ES256","b64":false}`, jose.ErrMalformed},
		{"zip", `{"alg":"ES256","zip":"DEF"}`, jose.ErrMalformed},
		{"trailing data", `{"alg":"ES256"} {}`, jose.ErrMalformed},
		{"not an object", `"ES256"`, jose.ErrMalformed},
		{"ALG in capitals", `{"ALG":"ES256"}`, jose.ErrAlgorithm},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := jose.Verify(craft(t, k, c.header, `{"a":1}`), everyAlg, k.Public()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestRFC7515_2_Base64urlIsCanonical(t *testing.T) {
	k := newKey(t, jose.ES256)
	good := sign(t, k, "", map[string]string{"a": "bc"})
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"padding":            parts[0] + "=." + parts[1] + "." + parts[2],
		"line break":         parts[0] + ".\n" + parts[1] + "." + parts[2],
		"line break inside":  parts[0] + "." + parts[1] + "." + parts[2][:10] + "\r\n" + parts[2][10:],
		"space":              " " + good,
		"stray bits":         parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + "_",
		"four parts":         good + ".",
		"two parts":          parts[0] + "." + parts[1],
		"no signature":       parts[0] + "." + parts[1] + ".",
		"standard alphabet":  parts[0] + "." + parts[1] + "." + "+/" + parts[2][2:],
		"longer than bounds": parts[0] + "." + strings.Repeat("A", jose.MaxToken) + "." + parts[2],
	} {
		if _, err := jose.Verify(token, everyAlg, k.Public()); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRFC7519_4_DuplicateClaimsAreRefused(t *testing.T) {
	k := newKey(t, jose.ES256)
	token, err := jose.Verify(craft(t, k, `{"alg":"ES256"}`, `{"sub":"a","sub":"b"}`), everyAlg, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Sub string `json:"sub"`
	}
	if err := token.Claims(&c); err == nil {
		t.Errorf("read %q", c.Sub)
	}
}

func TestRFC9449_4_2_EmbeddedKey(t *testing.T) {
	k := newKey(t, jose.ES256)
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.WithEmbeddedKey()
	if err != nil {
		t.Fatal(err)
	}
	token, err := e.Sign("dpop+jwt", map[string]string{"jti": "1"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := jose.VerifyEmbedded(token, everyAlg)
	if err != nil {
		t.Fatal(err)
	}
	if got.JWK.Thumbprint() != k.Thumbprint() || got.JWK.IsPrivate() {
		t.Errorf("embedded %v", got.JWK)
	}
	private, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.VerifyEmbedded(craft(t, k, `{"alg":"ES256","jwk":`+string(private)+`}`, `{}`), everyAlg); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("private key in the header: %v", err)
	}
	if _, err := jose.VerifyEmbedded(sign(t, k, "", 1), everyAlg); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("no key in the header: %v", err)
	}
}

func TestRemoteSigner(t *testing.T) {
	k := newKey(t, jose.ES256)
	s, err := jose.NewRemoteSigner(k.Public(), func(a jose.Alg, input []byte) ([]byte, error) {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			return nil, err
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign("JWT", map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := jose.Verify(token, everyAlg, k.Public()); err != nil || got.KeyID != k.ID() {
		t.Errorf("%+v, %v", got, err)
	}
}

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
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err == nil {
		if _, err := jose.FromPublic(&small.PublicKey, jose.PS256); !errors.Is(err, jose.ErrKey) {
			t.Errorf("1024 bits: %v", err)
		}
	}
	big2048 := new(big.Int).Lsh(big.NewInt(1), 2047)
	if _, err := jose.FromPublic(&rsa.PublicKey{N: big2048.Add(big2048, big.NewInt(1)), E: 3}, jose.PS256); !errors.Is(err, jose.ErrKey) {
		t.Errorf("exponent 3: %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.FromPublic(&p384.PublicKey, ""); !errors.Is(err, jose.ErrKey) {
		t.Errorf("P-384: %v", err)
	}
	for name, jwk := range map[string]string{
		"use enc":        strings.Replace(string(good), `"use":"sig"`, `"use":"enc"`, 1),
		"key_ops":        with(`"key_ops":["encrypt"]`),
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
		"no keys":   `{}`,
		"too many":  `{"keys":[` + strings.Repeat(`{},`, 100) + `{}]}`,
	} {
		if _, err := jose.ParseSet([]byte(doc)); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRFC7519_2_NumericDate(t *testing.T) {
	var d jose.NumericDate
	for text, want := range map[string]time.Time{
		"0": time.Unix(0, 0).UTC(), "1732500000": time.Unix(1732500000, 0).UTC(), "1.5": time.Unix(1, 5e8).UTC(),
	} {
		if err := jose.Unmarshal([]byte(text), &d); err != nil || !d.Equal(want) {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"-1", "1e99", `"1"`, "true", "253402300800"} {
		if err := jose.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func TestKeysDoNotPrintTheirMaterial(t *testing.T) {
	k := newKey(t, jose.ES256)
	if got := k.String() + k.GoString(); strings.Contains(got, "D:") || !strings.Contains(got, k.ID()) {
		t.Error(got)
	}
}
