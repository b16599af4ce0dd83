package jose_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

// must is for values that tests need and do not test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func document(k json.Marshaler) string { return string(must(k.MarshalJSON())) }

// with adds members to a JSON object, or replaces them.
func with(doc string, members map[string]any) string {
	var m map[string]any
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		panic(err)
	}
	for name, value := range members {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return string(must(json.Marshal(m)))
}

// RFC 8725 §2.1: whoever has the public key makes an HMAC of it, in whatever form the verifier may hold it.
func TestRFC8725_2_1_PublicKeyAsSecret(t *testing.T) {
	k := newKey(t, jose.RS256).WithID("")
	public := k.CryptoPublic().(*rsa.PublicKey)
	pkix := must(x509.MarshalPKIXPublicKey(public))
	for name, secret := range map[string][]byte{
		"JWK":     []byte(document(k.Public())),
		"modulus": public.N.Bytes(),
		"DER":     pkix,
		"PKCS #1": x509.MarshalPKCS1PublicKey(public),
		"PEM":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}),
	} {
		input := b64(`{"alg":"HS256"}`) + "." + b64(`{}`)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		token := input + "." + b64(string(mac.Sum(nil)))
		for _, algs := range [][]jose.Alg{everyAlg, {"HS256"}, {jose.RS256, "HS256", "HS384", "HS512"}} {
			if _, err := jose.Verify(token, algs, k.Public()); !errors.Is(err, jose.ErrAlgorithm) {
				t.Errorf("%s, %v: %v", name, algs, err)
			}
		}
	}
}

func TestRFC8725_3_2_NoneInEveryLetterCase(t *testing.T) {
	k := newKey(t, jose.ES256)
	for i := range 16 {
		none := []byte("none")
		for j := range none {
			if i>>j&1 == 1 {
				none[j] -= 'a' - 'A'
			}
		}
		unsigned := b64(`{"alg":"`+string(none)+`"}`) + "." + b64(`{}`) + "."
		for token, want := range map[string]error{
			unsigned:          jose.ErrMalformed, // no signature
			unsigned + "AAAA": jose.ErrAlgorithm,
			craft(t, k, `{"alg":"`+string(none)+`"}`, `{}`): jose.ErrAlgorithm,
		} {
			if _, err := jose.Verify(token, append(everyAlg, "none", jose.Alg(none)), k.Public()); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", token, err, want)
			}
		}
	}
	for _, alg := range []string{"es256", "ES256 ", " ES256", "ES256\\u0000", "", "ES384", "ES256K", "RS1", "PS384", "HS256", "A128KW", "dir"} {
		if _, err := jose.Verify(craft(t, k, `{"alg":"`+alg+`"}`, `{}`), append(everyAlg, jose.Alg(alg)), k.Public()); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("%q: %v", alg, err)
		}
	}
}

func TestRFC7515_2_EveryPartIsCanonical(t *testing.T) {
	k := newKey(t, jose.ES256)
	good := craft(t, k, `{"alg":"ES256","typ":"a"}`, `{"abcd":1}`) // lengths whose last characters have stray bits
	for i := range 3 {
		for name, spoil := range map[string]func(string) string{
			"padding":         func(s string) string { return s + "=" },
			"more padding":    func(s string) string { return s + "==" },
			"space before":    func(s string) string { return " " + s },
			"space after":     func(s string) string { return s + " " },
			"tab":             func(s string) string { return s[:4] + "\t" + s[4:] },
			"line feed":       func(s string) string { return s[:4] + "\n" + s[4:] },
			"return":          func(s string) string { return s[:4] + "\r" + s[4:] },
			"form feed":       func(s string) string { return s[:4] + "\f" + s[4:] },
			"no-break space":  func(s string) string { return s + "\u00a0" },
			"null":            func(s string) string { return s + "\x00" },
			"stray bits":      func(s string) string { return s[:len(s)-1] + string(s[len(s)-1]+1) },
			"plus":            func(s string) string { return "+" + s[1:] },
			"slash":           func(s string) string { return "/" + s[1:] },
			"percent":         func(s string) string { return "%41" + s },
			"byte order mark": func(s string) string { return "\ufeff" + s },
		} {
			parts := strings.Split(good, ".")
			parts[i] = spoil(parts[i])
			if _, err := jose.Verify(strings.Join(parts, "."), everyAlg, k.Public()); !errors.Is(err, jose.ErrMalformed) {
				t.Errorf("part %d, %s: %v", i, name, err)
			}
		}
	}
	if _, err := jose.Verify(good, everyAlg, k.Public()); err != nil {
		t.Error(err)
	}
}

func TestRFC7515_3_1_OnlyCompactSerialization(t *testing.T) {
	k := newKey(t, jose.ES256)
	parts := strings.Split(craft(t, k, `{"alg":"ES256"}`, `{}`), ".")
	flat := `"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"`
	for name, token := range map[string]string{
		"flattened JSON":   `{` + flat + `}`,
		"general JSON":     `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"JSON after dots":  strings.Join(parts, ".") + `{` + flat + `}`,
		"dots in JSON":     `{` + flat + `,"a":"..","header":{}}`,
		"detached":         parts[0] + ".." + parts[2],
		"empty":            "",
		"dots":             "..",
		"five parts":       strings.Join(parts, ".") + ".AAAA.AAAA",
		"header is enc's":  craft(t, k, `{"alg":"ES256","enc":"A128GCM"}`, `{}`),
		"enc is null":      craft(t, k, `{"alg":"ES256","enc":null}`, `{}`),
		"crit is null":     craft(t, k, `{"alg":"ES256","crit":null}`, `{}`),
		"b64 is true":      craft(t, k, `{"alg":"ES256","b64":true}`, `{}`),
		"p2c":              craft(t, k, `{"alg":"ES256","p2c":1}`, `{}`),
		"header is null":   craft(t, k, `null`, `{}`),
		"header is a list": craft(t, k, `[{"alg":"ES256"}]`, `{}`),
		"huge header":      craft(t, k, `{"alg":"ES256","x":"`+strings.Repeat("x", 8<<10)+`"}`, `{}`),
		"deep header":      craft(t, k, `{"alg":"ES256","x":`+strings.Repeat(`[`, 4000)+strings.Repeat(`]`, 4000)+`}`, `{}`),
		"never closed":     craft(t, k, `{"alg":"ES256","x":`+strings.Repeat(`{"x":`, 1000), `{}`),
	} {
		if got, err := jose.Verify(token, everyAlg, k.Public()); err == nil || got != nil {
			t.Errorf("%s: verified", name)
		} else if !errors.Is(err, jose.ErrMalformed) && !errors.Is(err, jose.ErrAlgorithm) && !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RFC 7518 §3.4: two numbers of 32 bytes each, and FIPS 186-5 §6.4.2: both between 1 and the order of the curve.
func TestRFC7518_3_4_SignatureOutOfRange(t *testing.T) {
	k := newKey(t, jose.ES256)
	input, sig := cut(craft(t, k, `{"alg":"ES256"}`, `{}`))
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	order := elliptic.P256().Params().N
	two := func(r, s *big.Int) string {
		return string(r.FillBytes(make([]byte, 32))) + string(s.FillBytes(make([]byte, 32)))
	}
	zero := new(big.Int)
	for name, bad := range map[string]string{
		"r zero":         two(zero, s),
		"s zero":         two(r, zero),
		"both zero":      two(zero, zero),
		"r the order":    two(order, s),
		"s the order":    two(r, order),
		"both the order": two(order, order),
		"swapped":        two(s, r),
		"all ones":       strings.Repeat("\xff", 64),
		"63 bytes":       string(sig[:63]),
		"65 bytes":       string(sig) + "\x00",
		"65, zero first": "\x00" + string(sig),
		"66, padded":     "\x00" + string(sig[:32]) + "\x00" + string(sig[32:]),
		"96 bytes":       two(r, s) + strings.Repeat("\x00", 32),
		"one number":     string(sig[:32]),
		"one byte":       "\x00",
		"DER":            string(must(ecdsa.SignASN1(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), digest(strings.TrimSuffix(input, "."))))),
	} {
		if _, err := jose.Verify(input+b64(bad), everyAlg, k.Public()); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func digest(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// unb64 is the inverse of b64.
func unb64(s string) string { return string(must(base64.RawURLEncoding.DecodeString(s))) }

// cut separates the signature of a token from what it signs and the dot.
func cut(token string) (input string, sig []byte) {
	i := strings.LastIndex(token, ".") + 1
	return token[:i], []byte(unb64(token[i:]))
}

// RFC 8032 §5.1.7: S is below the order of the group, or one signature could be written in more than one way.
func TestRFC8032_5_1_7_SignatureOutOfRange(t *testing.T) {
	k := newKey(t, jose.EdDSA)
	input, sig := cut(sign(t, k, "JWT", struct{}{}))
	order, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	moved := bytes.Clone(sig)
	slices.Reverse(moved[32:]) // S is written with its lowest byte first
	order.Add(order, new(big.Int).SetBytes(moved[32:])).FillBytes(moved[32:])
	slices.Reverse(moved[32:])
	for name, bad := range map[string][]byte{
		"S and the order": moved, "63 bytes": sig[:63], "65 bytes": append(sig, 0), "zeros": make([]byte, 64), "R only": sig[:32],
	} {
		if _, err := jose.Verify(input+b64(string(bad)), everyAlg, k.Public()); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type m = map[string]any

func refuseKeys(t *testing.T, docs map[string]string) {
	t.Helper()
	for name, doc := range docs {
		if k, err := jose.ParseKey([]byte(doc)); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: got %v, %v", name, k, err)
		}
	}
}

func TestRFC7518_6_2_PointsThatAreNone(t *testing.T) {
	ec, private := document(newKey(t, jose.ES256).Public()), document(newKey(t, jose.ES256))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	x384, y384 := b64(string(must(p384.PublicKey.Bytes())[1:49])), b64(string(must(p384.PublicKey.Bytes())[49:]))
	zero := b64(strings.Repeat("\x00", 32))
	field := b64(string(elliptic.P256().Params().P.Bytes()))
	refuseKeys(t, map[string]string{
		"P-384":                     with(ec, m{"crv": "P-384", "x": x384, "y": y384, "alg": "ES384"}),
		"P-384 for ES256":           with(ec, m{"crv": "P-384", "x": x384, "y": y384}),
		"P-384 for no alg":          with(ec, m{"crv": "P-384", "x": x384, "y": y384, "alg": nil}),
		"P-384 that says P-256":     with(ec, m{"x": x384, "y": y384}),
		"P-256 that says P-384":     with(ec, m{"crv": "P-384"}),
		"P-256 that says secp256k1": with(ec, m{"crv": "secp256k1"}),
		"P-256 in lower case":       with(ec, m{"crv": "p-256"}),
		"no curve":                  with(ec, m{"crv": nil}),
		"the point at infinity":     with(ec, m{"x": zero, "y": zero}),
		"empty coordinates":         with(ec, m{"x": "", "y": ""}),
		"x out of the field":        with(ec, m{"x": field}),
		"y of zero":                 with(ec, m{"y": zero}),
		"x of 31 bytes":             with(ec, m{"x": b64(strings.Repeat("\x01", 31))}),
		"x of 33 bytes":             with(ec, m{"x": b64("\x00" + unb64(get(ec, "x")))}),
		"y of 33 bytes":             with(ec, m{"y": b64("\x00" + unb64(get(ec, "y")))}),
		"compressed":                with(ec, m{"x": b64("\x02" + unb64(get(ec, "x"))), "y": nil}),
		"coordinates swapped":       with(ec, m{"x": get(ec, "y"), "y": get(ec, "x")}),
		"x as a number":             with(ec, m{"x": 5}),
		"d of zero":                 with(private, m{"d": zero}),
		"d of the order":            with(private, m{"d": b64(string(elliptic.P256().Params().N.Bytes()))}),
		"d of 33 bytes":             with(private, m{"d": b64("\x00" + unb64(get(private, "d")))}),
		"d empty":                   with(private, m{"d": ""}),
	})
}

// RFC 7517 §4 and RFC 8725 §3.1: a key is for one algorithm and one use.
func TestRFC8725_3_1_KeysForSomethingElse(t *testing.T) {
	ec, ed := document(newKey(t, jose.ES256).Public()), document(newKey(t, jose.EdDSA).Public())
	private, rs := document(newKey(t, jose.ES256)), document(newKey(t, jose.RS256).Public())
	refuseKeys(t, map[string]string{
		"Ed25519 that says EC":       with(ed, m{"kty": "EC"}),
		"Ed25519 for ES256":          with(ed, m{"alg": "ES256"}),
		"Ed25519 of 31 bytes":        with(ed, m{"x": b64(unb64(get(ed, "x"))[:31])}),
		"Ed25519 of 33 bytes":        with(ed, m{"x": b64(unb64(get(ed, "x")) + "\x00")}),
		"Ed448":                      with(ed, m{"crv": "Ed448"}),
		"X25519":                     with(ed, m{"crv": "X25519"}),
		"RSA for ES256":              with(rs, m{"alg": "ES256"}),
		"RSA for HS256":              with(rs, m{"alg": "HS256"}),
		"RSA for none":               with(rs, m{"alg": "none"}),
		"RSA with an empty modulus":  with(rs, m{"n": ""}),
		"RSA with exponent 1":        with(rs, m{"e": "AQ"}),
		"RSA with exponent 3":        with(rs, m{"e": "Aw"}),
		"RSA with an even exponent":  with(rs, m{"e": "AQAA"}),
		"RSA with a long exponent":   with(rs, m{"e": b64(strings.Repeat("\xff", 32))}),
		"RSA with negative exponent": with(rs, m{"e": b64(strings.Repeat("\xff", 8))}),
		"RSA of 8192 bits":           with(rs, m{"n": b64(strings.Repeat("\xff", 1024))}),
		"RSA of 1024 bits":           with(rs, m{"n": b64(strings.Repeat("\xff", 128))}),
		"kty in lower case":          with(rs, m{"kty": "rsa"}),
		"symmetric with a modulus":   with(rs, m{"kty": "oct", "k": get(rs, "n")}),
		"use enc":                    with(ec, m{"use": "enc"}),
		"use in capitals":            with(ec, m{"use": "SIG"}),
		"key_ops of encryption":      with(ec, m{"use": nil, "key_ops": []string{"verify", "deriveKey"}}),
		"key_ops twice":              with(ec, m{"key_ops": []string{"verify", "verify"}}),
		"key_ops of the private key": with(ec, m{"key_ops": []string{"sign"}}),
		"key_ops of the public key":  with(private, m{"key_ops": []string{"verify"}}),
		"key_ops no list":            with(ec, m{"key_ops": "verify"}),
		"alg of encryption":          with(ec, m{"use": nil, "alg": "ECDH-ES"}),
	})
	for name, doc := range map[string]string{
		"key_ops": with(ec, m{"key_ops": []string{"verify"}}), "key_ops of a pair": with(private, m{"key_ops": []string{"sign", "verify"}}),
		"neither use nor alg": with(ec, m{"use": nil, "alg": nil}), "private": private, "unknown members": with(rs, m{"ext": true, "iat": 1}),
	} {
		if _, err := jose.ParseKey([]byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func get(doc, name string) string {
	var m map[string]any
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		panic(err)
	}
	return m[name].(string)
}
