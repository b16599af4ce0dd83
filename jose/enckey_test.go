package jose_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

func TestRFC7517_4_EncryptionKeysSurviveARoundTrip(t *testing.T) {
	for _, a := range asymmetric {
		own, _ := encryptionKey(t, a, "")
		again, err := jose.ParseEncryptionKey([]byte(document(own)))
		if err != nil {
			t.Fatal(err)
		}
		if !again.IsPrivate() || again.Alg() != a || again.ID() != own.ID() || again.Thumbprint() != own.Thumbprint() || again.ID() != again.Thumbprint() {
			t.Errorf("%s: got %v", a, again)
		}
		if doc := document(own.Public()); own.Public().IsPrivate() || strings.Contains(doc, `"d"`) || get(doc, "use") != "enc" || get(doc, "alg") != string(a) {
			t.Errorf("%s: public %s", a, doc)
		}
		if _, err := decrypter(again).Decrypt(encrypt(t, own.Public(), a, jose.A128GCM, "content")); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []jose.KeyAlg{jose.A128KW, jose.A256KW, jose.Direct, "RSA1_5", "RSA-OAEP", ""} {
		if _, err := jose.GenerateEncryptionKey(a); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("generate %q: %v", a, err)
		}
	}
}

func TestRFC7518_4_SharedKeys(t *testing.T) {
	for _, size := range []int{0, 15, 16, 17, 24, 32, 48, 64} {
		for _, a := range everyKey {
			fine := a == jose.A128KW && size == 16 || a == jose.A256KW && size == 32
			if _, err := jose.WrapKey(shared(size), a); errors.Is(err, jose.ErrKey) == fine {
				t.Errorf("%s of %d bytes: %v", a, size, err)
			}
		}
		for _, c := range append(everyEnc, "A192GCM", "") {
			fine := size > 0 && keySizes[c] == size
			if _, err := jose.DirectKey(shared(size), c); errors.Is(err, jose.ErrKey) == fine {
				t.Errorf("%s of %d bytes: %v", c, size, err)
			}
		}
	}
	k := must(jose.WrapKey(shared(16), jose.A128KW))
	if doc, err := json.Marshal(k); err == nil {
		t.Errorf("shared bytes were written: %s", doc)
	}
	if doc, err := json.Marshal(jose.Set{Encryption: []jose.EncryptionKey{k}}); err == nil {
		t.Errorf("shared bytes were published: %s", doc)
	}
	if k.Thumbprint() != "" || k.Public().IsPrivate() {
		t.Error("shared bytes have a thumbprint or a public part")
	}
}

// RFC 8725 §3.1 and RFC 7517 §4.2 to §4.4: what is for signatures or for another algorithm does not encrypt.
func TestRFC8725_3_1_EncryptionKeysForSomethingElse(t *testing.T) {
	ownRSA, rsaKey := encryptionKey(t, jose.RSAOAEP256, "")
	ownEC, ecKey := encryptionKey(t, jose.ECDHES, "")
	r, e, private := document(rsaKey), document(ecKey), document(ownEC)
	p384 := must(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).PublicKey.Bytes())
	weak := times(big.NewInt(3), times(prime(t, 1024), prime(t, 1024)))
	for name, doc := range map[string]string{
		"use sig":                   with(r, m{"use": "sig"}),
		"use in capitals":           with(r, m{"use": "ENC"}),
		"alg of signatures":         with(r, m{"alg": "RS256"}),
		"RSA1_5":                    with(r, m{"alg": "RSA1_5"}),
		"RSA-OAEP":                  with(r, m{"alg": "RSA-OAEP"}),
		"RSA for ECDH-ES":           with(r, m{"alg": "ECDH-ES"}),
		"RSA for wrapping":          with(r, m{"alg": "A256KW"}),
		"EC for RSA":                with(e, m{"alg": "RSA-OAEP-256"}),
		"EC for ECDH-ES+A192KW":     with(e, m{"alg": "ECDH-ES+A192KW"}),
		"key_ops of signatures":     with(r, m{"key_ops": []string{"verify"}}),
		"key_ops of both":           with(r, m{"key_ops": []string{"encrypt", "verify"}}),
		"key_ops of nothing":        with(r, m{"key_ops": []string{}}),
		"key_ops twice":             with(r, m{"key_ops": []string{"encrypt", "encrypt"}}),
		"key_ops of the other side": with(r, m{"key_ops": []string{"decrypt"}}),
		"key_ops to encrypt":        with(document(ownRSA), m{"key_ops": []string{"encrypt"}}),
		"P-384":                     with(e, m{"crv": "P-384", "x": b64(string(p384[1:49])), "y": b64(string(p384[49:]))}),
		"off the curve":             with(e, m{"x": get(e, "y"), "y": get(e, "x")}),
		"d of another key":          with(private, m{"d": get(document(must(jose.GenerateEncryptionKey(jose.ECDHES))), "d")}),
		"Ed25519":                   with(document(newKey(t, jose.EdDSA).Public()), m{"use": nil, "alg": nil}),
		"symmetric":                 `{"kty":"oct","use":"enc","alg":"A128KW","k":"AAAAAAAAAAAAAAAAAAAAAA"}`,
		"weak RSA":                  with(r, m{"n": b64(string(weak.Bytes()))}),
		"short RSA":                 with(r, m{"n": b64(string(prime(t, 1024).Bytes()))}),
		"exponent 3":                with(r, m{"e": "Aw"}),
		"padding":                   with(r, m{"n": get(r, "n") + "=="}),
		"repeated":                  strings.Replace(r, "{", `{"kty":"EC",`, 1),
		"longer":                    with(r, m{"x5t": strings.Repeat("A", 20<<10)}),
		"no object":                 `[]`,
	} {
		if k, err := jose.ParseEncryptionKey([]byte(doc)); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: got %v, %v", name, k, err)
		}
	}
	for name, doc := range map[string]string{
		"no word about it":  with(r, m{"use": nil, "alg": nil}),
		"encrypt":           with(r, m{"use": nil, "key_ops": []string{"encrypt", "wrapKey"}}),
		"decrypt":           with(document(ownRSA), m{"key_ops": []string{"decrypt", "encrypt"}}),
		"deriveBits":        with(e, m{"key_ops": []string{"deriveBits"}}),
		"deriveKey, secret": with(private, m{"key_ops": []string{"deriveKey"}}),
	} {
		if _, err := jose.ParseEncryptionKey([]byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRFC7517_5_SetsOfBothKinds(t *testing.T) {
	signing := newKey(t, jose.ES256)
	_, first := encryptionKey(t, jose.RSAOAEP256, "")
	_, second := encryptionKey(t, jose.ECDHESA256KW, "")
	_, open := encryptionKey(t, jose.ECDHES, "")
	silent := with(document(open), m{"alg": nil, "kid": "any"})
	unsaid := with(document(must(jose.GenerateEncryptionKey(jose.ECDHES)).Public()), m{"alg": nil, "use": nil, "kid": "unsaid"})
	ops := with(document(must(jose.GenerateEncryptionKey(jose.ECDHES)).Public()), m{"alg": nil, "use": nil, "kid": "ops", "key_ops": []string{"deriveKey"}})
	old := with(document(first), m{"alg": "RSA1_5"})
	doc := `{"keys":[` + strings.Join([]string{document(signing.Public()), old, document(first), document(second), silent, unsaid, ops}, ",") + `]}`
	s, err := jose.ParseSet([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Keys) != 2 || s.Keys[0].ID() != signing.ID() || s.Keys[1].ID() != "unsaid" || len(s.Encryption) != 4 {
		t.Fatalf("%v", s)
	}
	for _, c := range []struct {
		kid  string
		alg  jose.KeyAlg
		want []string
	}{
		{"", jose.RSAOAEP256, []string{first.ID()}},
		{first.ID(), jose.RSAOAEP256, []string{first.ID()}},
		{second.ID(), jose.RSAOAEP256, nil},
		{"", jose.ECDHES, []string{"any", "ops"}},
		{"", jose.ECDHESA128KW, []string{"any", "ops"}},
		{"", jose.ECDHESA256KW, []string{second.ID(), "any", "ops"}},
		{"ops", jose.ECDHES, []string{"ops"}},
		{"unsaid", jose.ECDHES, nil},
		{signing.ID(), jose.ECDHES, nil},
		{"", "RSA1_5", nil},
		{"", "", nil},
	} {
		var got []string
		for _, k := range s.FindEncryption(c.kid, c.alg) {
			got = append(got, k.ID())
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%q, %s: got %v, want %v", c.kid, c.alg, got, c.want)
		}
	}
	again, err := jose.ParseSet([]byte(document(s)))
	if err != nil || len(again.Keys) != 2 || len(again.Encryption) != 4 {
		t.Errorf("written again: %v, %v", again, err)
	}
	if _, err := jose.ParseSet([]byte(`{"keys":[` + document(must(jose.GenerateEncryptionKey(jose.ECDHES))) + `]}`)); !errors.Is(err, jose.ErrKey) {
		t.Errorf("a set with a private key: %v", err)
	}
}

func TestEncryptionKeysDoNotPrintTheirMaterial(t *testing.T) {
	pair, _ := encryptionKey(t, jose.RSAOAEP256, "")
	bytesOf := must(jose.WrapKey(bytes.Repeat([]byte{123}, 16), jose.A128KW)).WithID("shared")
	for _, k := range []jose.EncryptionKey{pair, bytesOf} {
		var logged bytes.Buffer
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "key", k)
		texts := []string{logged.String()}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, k))
		}
		for _, text := range texts {
			if !strings.Contains(text, "key "+k.ID()) || strings.Contains(text, `"d"`) || strings.Contains(text, "123 123") || strings.Contains(text, "{{{") {
				t.Error(text)
			}
		}
	}
}
