package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	lib "github.com/go-jose/go-jose/v4"

	"github.com/holdfast-iam/holdfast/jose"
)

// forge encrypts with the library itself, which does what this package never would.
func forge(t testing.TB, alg, enc string, k jose.EncryptionKey, headers map[string]any, content string) string {
	t.Helper()
	var key lib.JSONWebKey
	if err := key.UnmarshalJSON([]byte(document(k.Public()))); err != nil {
		t.Fatal(err)
	}
	return forgeFor(t, alg, enc, key.Key, headers, content)
}

func forgeFor(t testing.TB, alg, enc string, key any, headers map[string]any, content string) string {
	t.Helper()
	opts := new(lib.EncrypterOptions)
	for name, value := range headers {
		opts.WithHeader(lib.HeaderKey(name), value)
	}
	if headers["zip"] != nil {
		opts.Compression = lib.DEFLATE
	}
	e, err := lib.NewEncrypter(lib.ContentEncryption(enc), lib.Recipient{Algorithm: lib.KeyAlgorithm(alg), Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	jwe, err := e.Encrypt([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwe.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// change replaces one part of a token.
func change(token string, part int, with func(string) string) string {
	parts := strings.Split(token, ".")
	parts[part] = with(parts[part])
	return strings.Join(parts, ".")
}

func TestRFC8725_3_RefusedHeadersOfJWE(t *testing.T) {
	own, _ := encryptionKey(t, jose.RSAOAEP256, "")
	signer := document(newKey(t, jose.ES256).Public())
	for name, headers := range map[string]map[string]any{
		"zip":        {"zip": "DEF"},
		"zip null":   {"zip": json.RawMessage("null")},
		"crit":       {"crit": []string{"exp"}, "exp": 1},
		"empty crit": {"crit": []string{}},
		"b64":        {"b64": true},
		"jwk":        {"jwk": json.RawMessage(signer)},
		"own jwk":    {"jwk": json.RawMessage(document(own.Public()))},
		"jku":        {"jku": "https://evil.example/keys"},
		"x5u":        {"x5u": "https://evil.example/chain"},
		"x5c":        {"x5c": []string{}},
		"p2c":        {"p2c": 1},
		"p2s":        {"p2s": "AAAA"},
		"kid":        {"kid": 1},
		"typ":        {"typ": []string{"JWT"}},
		"huge":       {"x": strings.Repeat("x", 8<<10)},
		"deep":       {"x": json.RawMessage(strings.Repeat("[", 40) + strings.Repeat("]", 40))},
	} {
		token := forge(t, "RSA-OAEP-256", "A256GCM", own, headers, strings.Repeat("content", 100))
		if _, err := decrypter(own).Decrypt(token); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, head := range map[string]string{
		"alg twice":       `{"alg":"RSA-OAEP-256","enc":"A256GCM","alg":"RSA-OAEP-256"}`,
		"alg escaped":     `{"alg":"RSA-OAEP-256","enc":"A256GCM","\u0061lg":"dir"}`,
		"enc twice":       `{"alg":"RSA-OAEP-256","enc":"A256GCM","enc":"A256GCM"}`,
		"enc missing":     `{"alg":"RSA-OAEP-256"}`,
		"enc a list":      `{"alg":"RSA-OAEP-256","enc":["A256GCM"]}`,
		"alg a list":      `{"alg":["RSA-OAEP-256"],"enc":"A256GCM"}`,
		"trailing object": `{"alg":"RSA-OAEP-256","enc":"A256GCM"}{}`,
		"null":            `null`,
		"nothing":         ``,
	} {
		token := change(forge(t, "RSA-OAEP-256", "A256GCM", own, nil, "content"), 0, func(string) string { return b64(head) })
		if _, err := decrypter(own).Decrypt(token); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is not on the closed lists stays out, also where somebody puts it on a list of what is accepted.
func TestRFC8725_3_2_AlgorithmsThatStayOut(t *testing.T) {
	own, _ := encryptionKey(t, jose.RSAOAEP256, "")
	wrap := shared(32)
	shortWrap := shared(16)
	keys := []jose.EncryptionKey{own, must(jose.WrapKey(wrap, jose.A256KW)), must(jose.WrapKey(shortWrap, jose.A128KW))}
	names := []string{"RSA1_5", "RSA-OAEP", "RSA-OAEP-384", "RSA-OAEP-512", "A192KW", "A128GCMKW", "A256GCMKW", "PBES2-HS256+A128KW", "none", "NONE", "", "ES256", "HS256", "rsa-oaep-256", "DIR"}
	d := decrypter(keys...)
	for _, name := range names {
		d.Algs = append(d.Algs, jose.KeyAlg(name))
	}
	d.Contents = append(d.Contents, "A192GCM", "A192CBC-HS384", "none", "")
	for name, token := range map[string]string{
		"RSA1_5":        forge(t, "RSA1_5", "A256GCM", own, nil, "content"),
		"RSA-OAEP":      forge(t, "RSA-OAEP", "A256GCM", own, nil, "content"),
		"A256GCMKW":     forgeFor(t, "A256GCMKW", "A256GCM", wrap, nil, "content"),
		"A128GCMKW":     forgeFor(t, "A128GCMKW", "A256GCM", shortWrap, nil, "content"),
		"A192GCM":       forge(t, "RSA-OAEP-256", "A192GCM", own, nil, "content"),
		"A192CBC-HS384": forge(t, "RSA-OAEP-256", "A192CBC-HS384", own, nil, "content"),
	} {
		if _, err := d.Decrypt(token); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := forge(t, "RSA-OAEP-256", "A256GCM", own, nil, "content")
	for _, name := range names {
		token := change(good, 0, func(string) string { return b64(`{"alg":"` + name + `","enc":"A256GCM"}`) })
		if _, err := d.Decrypt(token); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"none", "", "a256gcm", "A256GCM ", "HS256"} {
		token := change(good, 0, func(string) string { return b64(`{"alg":"RSA-OAEP-256","enc":"` + name + `"}`) })
		if _, err := d.Decrypt(token); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("enc %q: %v", name, err)
		}
	}
}

// RFC 7518 §4.8: p2c says how much work there is to do, and a sender may not ask for any.
func TestRFC7518_4_8_NoKeysFromPasswords(t *testing.T) {
	token := forgeFor(t, "PBES2-HS256+A128KW", "A128GCM", []byte("password"), nil, "content")
	d := decrypter(must(jose.WrapKey(shared(16), jose.A128KW)))
	d.Algs = append(d.Algs, "PBES2-HS256+A128KW")
	if _, err := d.Decrypt(token); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestRFC7516_5_2_ChangedTokens(t *testing.T) {
	for _, a := range everyKey {
		for _, c := range everyEnc {
			own, public := encryptionKey(t, a, c)
			token := encrypt(t, public, a, c, "a content of some length")
			for part := range 5 {
				if (a == jose.ECDHES || a == jose.Direct) && part == 1 {
					continue
				}
				flipped := change(token, part, func(s string) string {
					raw := []byte(unb64(s))
					if part == 0 {
						return b64(strings.Replace(string(raw), `{`, `{"x":1,`, 1))
					}
					raw[len(raw)/2] ^= 1
					return b64(string(raw))
				})
				if _, err := decrypter(own).Decrypt(flipped); !errors.Is(err, jose.ErrDecrypt) {
					t.Errorf("%s, %s, part %d changed: %v", a, c, part, err)
				}
				for name, spoil := range map[string]func(string) string{
					"padding": func(s string) string { return s + "=" }, "line break": func(s string) string { return s + "\n" },
					"space": func(s string) string { return " " + s }, "another alphabet": func(s string) string { return "+/" + s },
					"one character": func(string) string { return "A" }, "stray bits": func(string) string { return "AAB" },
				} {
					if _, err := decrypter(own).Decrypt(change(token, part, spoil)); !errors.Is(err, jose.ErrMalformed) {
						t.Errorf("%s, part %d, %s: %v", a, part, name, err)
					}
				}
			}
		}
	}
}

func TestRFC7518_5_LengthsOfVectorAndTag(t *testing.T) {
	for _, c := range everyEnc {
		own, public := encryptionKey(t, jose.A256KW, c)
		token := encrypt(t, public, jose.A256KW, c, "a content of some length")
		parts := strings.Split(token, ".")
		content, tag := unb64(parts[3]), unb64(parts[4])
		// The bytes that are authenticated stay the same: only the dot moves. The library itself takes this one.
		moved := strings.Join(parts[:3], ".") + "." + b64(content[:len(content)-3]) + "." + b64(content[len(content)-3:]+tag)
		for name, token := range map[string]string{
			"bytes moved to the tag":  moved,
			"tag of one byte less":    change(token, 4, func(string) string { return b64(tag[:len(tag)-1]) }),
			"tag of 4 bytes":          change(token, 4, func(string) string { return b64(tag[:4]) }),
			"tag with more":           change(token, 4, func(string) string { return b64(tag + "\x00") }),
			"no tag":                  change(token, 4, func(string) string { return "" }),
			"no vector":               change(token, 2, func(string) string { return "" }),
			"vector of one byte less": change(token, 2, func(s string) string { return b64(unb64(s)[1:]) }),
			"vector of one more":      change(token, 2, func(s string) string { return b64(unb64(s) + "\x00") }),
		} {
			if _, err := decrypter(own).Decrypt(token); !errors.Is(err, jose.ErrMalformed) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
		for name, token := range map[string]string{
			"no content":         change(token, 3, func(string) string { return "" }),
			"half a block":       change(token, 3, func(s string) string { return b64(unb64(s)[:8]) }),
			"no encrypted key":   change(token, 1, func(string) string { return "" }),
			"longer, encrypted":  change(token, 1, func(s string) string { return b64(unb64(s) + strings.Repeat("\x00", 8)) }),
			"shorter, encrypted": change(token, 1, func(s string) string { return b64(unb64(s)[8:]) }),
		} {
			if _, err := decrypter(own).Decrypt(token); !errors.Is(err, jose.ErrDecrypt) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
	}
}

// RFC 7516 §5.2 step 10: where no key travels, its part is empty. The library itself looks away.
func TestRFC7516_5_2_10_NothingTravels(t *testing.T) {
	for _, a := range []jose.KeyAlg{jose.ECDHES, jose.Direct} {
		own, public := encryptionKey(t, a, jose.A128GCM)
		token := encrypt(t, public, a, jose.A128GCM, "content")
		for _, key := range []string{"AA", b64(string(shared(24))), b64(string(shared(256)))} {
			if _, err := decrypter(own).Decrypt(change(token, 1, func(string) string { return key })); !errors.Is(err, jose.ErrDecrypt) {
				t.Errorf("%s with a key of %d characters: %v", a, len(key), err)
			}
		}
	}
}

func TestRFC7516_3_OnlyCompactSerialization(t *testing.T) {
	own, public := encryptionKey(t, jose.A256KW, "")
	token := encrypt(t, public, jose.A256KW, jose.A256GCM, "content")
	p := strings.Split(token, ".")
	flat := `"protected":"` + p[0] + `","encrypted_key":"` + p[1] + `","iv":"` + p[2] + `","ciphertext":"` + p[3] + `","tag":"` + p[4] + `"`
	for name, token := range map[string]string{
		"flattened JSON":  `{` + flat + `}`,
		"general JSON":    `{"protected":"` + p[0] + `","recipients":[{"encrypted_key":"` + p[1] + `"}],"iv":"` + p[2] + `","ciphertext":"` + p[3] + `","tag":"` + p[4] + `"}`,
		"dots in JSON":    `{` + flat + `,"unprotected":{"x":"...."}}`,
		"four parts":      strings.Join(p[:4], "."),
		"six parts":       token + ".AA",
		"three parts":     strings.Join(p[:3], "."),
		"empty":           "",
		"dots":            "....",
		"a signed token":  craft(t, newKey(t, jose.ES256), `{"alg":"ES256"}`, `{}`),
		"signed, dressed": craft(t, newKey(t, jose.ES256), `{"alg":"A256KW","enc":"A256GCM"}`, `{}`) + "..",
		"space":           " " + token,
		"line break":      token + "\n",
		"longer":          change(token, 3, func(string) string { return strings.Repeat("A", jose.MaxToken) }),
	} {
		if _, err := decrypter(own).Decrypt(token); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RFC 7518 §4.6.1.1 and RFC 8725 §3.4: the sender's key is public, on the curve of ours, and there.
func TestRFC7518_4_6_1_EphemeralKey(t *testing.T) {
	own, public := encryptionKey(t, jose.ECDHES, "")
	token := encrypt(t, public, jose.ECDHES, jose.A256GCM, "content")
	head, _, _ := strings.Cut(token, ".")
	var header map[string]json.RawMessage
	if err := json.Unmarshal([]byte(unb64(head)), &header); err != nil {
		t.Fatal(err)
	}
	epk := string(header["epk"])
	p384 := must(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).PublicKey.Bytes())
	zero := b64(strings.Repeat("\x00", 32))
	for name, c := range map[string]struct {
		member, value string
		want          error
	}{
		"another":            {"epk", with(document(public), m{"use": nil, "alg": nil, "kid": nil}), jose.ErrDecrypt},
		"missing":            {"x", "1", jose.ErrMalformed},
		"null":               {"epk", "null", jose.ErrMalformed},
		"a string":           {"epk", `"AAAA"`, jose.ErrMalformed},
		"private":            {"epk", with(document(own), m{"use": nil, "alg": nil, "kid": nil}), jose.ErrMalformed},
		"P-384":              {"epk", with(epk, m{"crv": "P-384", "x": b64(string(p384[1:49])), "y": b64(string(p384[49:]))}), jose.ErrMalformed},
		"P-384 as P-256":     {"epk", with(epk, m{"x": b64(string(p384[1:49])), "y": b64(string(p384[49:]))}), jose.ErrMalformed},
		"off the curve":      {"epk", with(epk, m{"x": get(epk, "y"), "y": get(epk, "x")}), jose.ErrMalformed},
		"at infinity":        {"epk", with(epk, m{"x": zero, "y": zero}), jose.ErrMalformed},
		"x of 33 bytes":      {"epk", with(epk, m{"x": b64("\x00" + unb64(get(epk, "x")))}), jose.ErrMalformed},
		"no y":               {"epk", with(epk, m{"y": nil}), jose.ErrMalformed},
		"padding":            {"epk", with(epk, m{"x": get(epk, "x") + "="}), jose.ErrMalformed},
		"twice x":            {"epk", strings.Replace(epk, `{`, `{"x":"AAAA",`, 1), jose.ErrMalformed},
		"RSA":                {"epk", document(newKey(t, jose.RS256).Public()), jose.ErrMalformed},
		"RSA for encryption": {"epk", document(must(jose.GenerateEncryptionKey(jose.RSAOAEP256)).Public()), jose.ErrMalformed},
		"Ed25519":            {"epk", document(newKey(t, jose.EdDSA).Public()), jose.ErrMalformed},
		"for signatures":     {"epk", with(epk, m{"use": "sig"}), jose.ErrMalformed},
		"symmetric":          {"epk", `{"kty":"oct","k":"AAAA"}`, jose.ErrMalformed},
		"apu with padding":   {"apu", `"AAAA="`, jose.ErrMalformed},
		"apv of stray bits":  {"apv", `"AAB"`, jose.ErrMalformed},
		"apu a number":       {"apu", `1`, jose.ErrMalformed},
	} {
		text := `{"alg":"ECDH-ES","enc":"A256GCM","kid":"` + own.ID() + `","` + c.member + `":` + c.value
		if c.member[0] == 'a' {
			text += `,"epk":` + epk
		}
		if _, err := decrypter(own).Decrypt(change(token, 0, func(string) string { return b64(text + `}`) })); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}
