package jose_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	lib "github.com/go-jose/go-jose/v4"

	"github.com/holdfast-iam/holdfast/jose"
)

var (
	asymmetric = []jose.KeyAlg{jose.RSAOAEP256, jose.ECDHES, jose.ECDHESA128KW, jose.ECDHESA256KW}
	everyKey   = append([]jose.KeyAlg{jose.A128KW, jose.A256KW, jose.Direct}, asymmetric...)
	everyEnc   = []jose.ContentAlg{jose.A128CBCHS256, jose.A256CBCHS512, jose.A128GCM, jose.A256GCM}
	keySizes   = map[jose.ContentAlg]int{jose.A128CBCHS256: 32, jose.A256CBCHS512: 64, jose.A128GCM: 16, jose.A256GCM: 32}
)

func shared(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b)
	return b
}

// rsaKeys are two that serve in turn, for making one takes long.
var rsaKeys = sync.OnceValue(func() [2]jose.EncryptionKey {
	return [2]jose.EncryptionKey{must(jose.GenerateEncryptionKey(jose.RSAOAEP256)), must(jose.GenerateEncryptionKey(jose.RSAOAEP256))}
})

var rsaTurn atomic.Int32

// encryptionKey makes a key that decrypts, and the one to encrypt to.
func encryptionKey(t testing.TB, a jose.KeyAlg, c jose.ContentAlg) (own, public jose.EncryptionKey) {
	t.Helper()
	var err error
	switch a {
	case jose.A128KW:
		own, err = jose.WrapKey(shared(16), a)
	case jose.A256KW:
		own, err = jose.WrapKey(shared(32), a)
	case jose.Direct:
		own, err = jose.DirectKey(shared(keySizes[c]), c)
	case jose.RSAOAEP256:
		own = rsaKeys()[rsaTurn.Add(1)%2]
	default:
		own, err = jose.GenerateEncryptionKey(a)
	}
	if err != nil {
		t.Fatal(err)
	}
	if own.Thumbprint() == "" {
		own = own.WithID("shared")
		return own, own
	}
	return own, own.Public()
}

func encrypt(t testing.TB, k jose.EncryptionKey, a jose.KeyAlg, c jose.ContentAlg, content string) string {
	t.Helper()
	e, err := jose.NewEncrypter(k, a, c)
	if err != nil {
		t.Fatal(err)
	}
	token, err := e.Encrypt("", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func decrypter(keys ...jose.EncryptionKey) *jose.Decrypter {
	return &jose.Decrypter{Algs: everyKey, Contents: everyEnc, Keys: keys}
}

func TestRFC7516_EncryptAndDecrypt(t *testing.T) {
	for _, a := range everyKey {
		for _, c := range everyEnc {
			own, public := encryptionKey(t, a, c)
			token := encrypt(t, public, a, c, `{"sub":"alice"}`)
			got, err := decrypter(own).Decrypt(token)
			if err != nil {
				t.Fatalf("%s, %s: %v", a, c, err)
			}
			var claims struct {
				Sub string `json:"sub"`
			}
			if err := got.Claims(&claims); err != nil || claims.Sub != "alice" || got.Alg != a || got.ContentAlg != c || got.KeyID != own.ID() {
				t.Errorf("%s, %s: %+v, %+v, %v", a, c, got, claims, err)
			}
			other, _ := encryptionKey(t, a, c)
			less := decrypter(own)
			less.Algs = without(everyKey, a)
			fewer := decrypter(own)
			fewer.Contents = without(everyEnc, c)
			for name, c := range map[string]struct {
				with *jose.Decrypter
				want error
			}{
				"another key of the same id": {decrypter(other.WithID(own.ID())), jose.ErrDecrypt},
				"another key of no id":       {decrypter(other.WithID("")), jose.ErrDecrypt},
				"a key of another id":        {decrypter(own.WithID("other")), jose.ErrNoKey},
				"the key of no id":           {decrypter(own.WithID("")), nil},
				"the second of two":          {decrypter(other.WithID(own.ID()), own), nil},
				"the public key":             {decrypter(own.Public()), jose.ErrNoKey},
				"no key":                     {decrypter(), jose.ErrNoKey},
				"another algorithm":          {less, jose.ErrAlgorithm},
				"another content algorithm":  {fewer, jose.ErrAlgorithm},
				"nothing accepted":           {&jose.Decrypter{Keys: []jose.EncryptionKey{own}}, jose.ErrAlgorithm},
			} {
				if _, err := c.with.Decrypt(token); !errors.Is(err, c.want) {
					t.Errorf("%s, %s: got %v, want %v", a, name, err, c.want)
				}
			}
		}
	}
}

func without[E comparable](list []E, gone E) (rest []E) {
	for _, e := range list {
		if e != gone {
			rest = append(rest, e)
		}
	}
	return rest
}

// The header has the two algorithms, the key and what it was told: no compression, nothing about the sender.
func TestRFC7516_4_1_HeaderOfAnEncrypter(t *testing.T) {
	for _, c := range []struct {
		alg  jose.KeyAlg
		typ  string
		want string
	}{
		{jose.RSAOAEP256, "", `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"one"}`},
		{jose.RSAOAEP256, "JWT", `{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"one","typ":"JWT"}`},
		{jose.A256KW, "", `{"alg":"A256KW","enc":"A256GCM","kid":"one"}`},
		{jose.Direct, "", `{"alg":"dir","enc":"A256GCM","kid":"one"}`},
	} {
		own, public := encryptionKey(t, c.alg, jose.A256GCM)
		e, err := jose.NewEncrypter(public.WithID("one"), c.alg, jose.A256GCM)
		if err != nil {
			t.Fatal(err)
		}
		token, err := e.Encrypt(c.typ, []byte("content"))
		if err != nil {
			t.Fatal(err)
		}
		if head, _, _ := strings.Cut(token, "."); unb64(head) != c.want {
			t.Errorf("got %s, want %s", unb64(head), c.want)
		}
		if got, err := decrypter(own.WithID("one")).Decrypt(token); err != nil || got.Type != strings.ToLower(c.typ) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	_, public := encryptionKey(t, jose.ECDHES, jose.A128GCM)
	head, _, _ := strings.Cut(encrypt(t, public, jose.ECDHES, jose.A128GCM, "content"), ".")
	var epk struct {
		EPK map[string]string `json:"epk"`
	}
	if err := json.Unmarshal([]byte(unb64(head)), &epk); err != nil || len(epk.EPK) != 4 || epk.EPK["d"] != "" || epk.EPK["crv"] != "P-256" {
		t.Errorf("epk %v, %v", epk, err)
	}
}

// RFC 7518 §4.3 with RFC 8017 §7.1: SHA-256 is the hash of the padding and of its mask.
func TestRFC7518_4_3_HashOfOAEP(t *testing.T) {
	own, public := encryptionKey(t, jose.RSAOAEP256, "")
	var private struct{ N, E, D, P, Q string }
	if err := json.Unmarshal([]byte(document(own)), &private); err != nil {
		t.Fatal(err)
	}
	var key lib.JSONWebKey
	if err := key.UnmarshalJSON([]byte(document(own))); err != nil {
		t.Fatal(err)
	}
	token := encrypt(t, public, jose.RSAOAEP256, jose.A256CBCHS512, "content")
	wrapped := []byte(unb64(strings.Split(token, ".")[1]))
	content, err := rsa.DecryptOAEP(sha256.New(), nil, key.Key.(*rsa.PrivateKey), wrapped, nil)
	if err != nil || len(content) != 64 {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}

func TestEncryptersNeedAKeyThatFits(t *testing.T) {
	_, rsaKey := encryptionKey(t, jose.RSAOAEP256, "")
	ownEC, ecKey := encryptionKey(t, jose.ECDHES, "")
	direct, _ := encryptionKey(t, jose.Direct, jose.A256GCM)
	wrap, _ := encryptionKey(t, jose.A256KW, "")
	for name, c := range map[string]struct {
		key  jose.EncryptionKey
		alg  jose.KeyAlg
		enc  jose.ContentAlg
		want error
	}{
		"RSA for ECDH":            {rsaKey, jose.ECDHES, jose.A256GCM, jose.ErrKey},
		"EC for RSA":              {ecKey, jose.RSAOAEP256, jose.A256GCM, jose.ErrKey},
		"EC for another of ECDH":  {ecKey, jose.ECDHESA256KW, jose.A256GCM, jose.ErrKey},
		"RSA for wrapping":        {rsaKey, jose.A256KW, jose.A256GCM, jose.ErrKey},
		"wrapping for direct":     {wrap, jose.Direct, jose.A256GCM, jose.ErrKey},
		"wrapping of other size":  {wrap, jose.A128KW, jose.A256GCM, jose.ErrKey},
		"direct for its length":   {direct, jose.Direct, jose.A128CBCHS256, jose.ErrKey},
		"the zero key":            {jose.EncryptionKey{}, jose.Direct, jose.A256GCM, jose.ErrKey},
		"nothing of shared bytes": {wrap.Public(), jose.A256KW, jose.A256GCM, jose.ErrKey},
		"RSA1_5":                  {rsaKey, "RSA1_5", jose.A256GCM, jose.ErrAlgorithm},
		"RSA-OAEP":                {rsaKey, "RSA-OAEP", jose.A256GCM, jose.ErrAlgorithm},
		"PBES2":                   {wrap, "PBES2-HS256+A128KW", jose.A256GCM, jose.ErrAlgorithm},
		"A192GCM":                 {rsaKey, jose.RSAOAEP256, "A192GCM", jose.ErrAlgorithm},
		"a signature":             {ecKey, "ES256", jose.A256GCM, jose.ErrAlgorithm},
		"the private key":         {ownEC, jose.ECDHES, jose.A256GCM, nil},
	} {
		if _, err := jose.NewEncrypter(c.key, c.alg, c.enc); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestRFC7519_11_2_Nested(t *testing.T) {
	k, other := newKey(t, jose.ES256), newKey(t, jose.ES256)
	s := must(jose.NewSigner(k))
	own, public := encryptionKey(t, jose.ECDHES, "")
	e := must(jose.NewEncrypter(public, jose.ECDHES, jose.A256GCM))
	token, err := e.Nest(s, "oauth-authz-req+jwt", map[string]string{"iss": "client"})
	if err != nil || !jose.IsEncrypted(token) {
		t.Fatal(token, err)
	}
	n, err := decrypter(own).Unnest(token)
	if err != nil || jose.IsEncrypted(n.JWS) {
		t.Fatal(n, err)
	}
	if got, err := n.Peek(); err != nil || got.KeyID != k.ID() {
		t.Errorf("%+v, %v", got, err)
	}
	got, err := n.Verify(everyAlg, k.Public())
	if err != nil || got.Type != "oauth-authz-req+jwt" || string(got.Payload) != `{"iss":"client"}` {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := n.Verify(everyAlg, other.WithID(k.ID())); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("another signer: %v", err)
	}
	if _, err := decrypter(own).Decrypt(token); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("the token is taken for content: %v", err)
	}
	if _, err := jose.Verify(token, everyAlg, k.Public()); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("an encrypted token is taken for a signed one: %v", err)
	}
	if _, err := decrypter(own).Unnest(n.JWS); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("a signed token is taken for an encrypted one: %v", err)
	}
	if _, err := e.Nest(s, "JWT", func() {}); err == nil {
		t.Error("nested what is not JSON")
	}
}

func TestRFC7519_5_2_ContentTypeOfNested(t *testing.T) {
	own, _ := encryptionKey(t, jose.RSAOAEP256, "")
	inner := sign(t, newKey(t, jose.ES256), "JWT", struct{}{})
	jwe := encrypt(t, own, jose.RSAOAEP256, jose.A256GCM, inner)
	for name, c := range map[string]struct {
		cty     any
		content string
		want    error
	}{
		"JWT":              {"JWT", inner, nil},
		"jwt":              {"jwt", inner, nil},
		"media type":       {"application/JWT", inner, nil},
		"no cty":           {nil, inner, jose.ErrMalformed},
		"another cty":      {"json", inner, jose.ErrMalformed},
		"a list":           {[]string{"JWT"}, inner, jose.ErrMalformed},
		"claims":           {"JWT", `{"sub":"alice"}`, jose.ErrMalformed},
		"encrypted again":  {"JWT", jwe, jose.ErrMalformed},
		"empty":            {"JWT", "", jose.ErrMalformed},
		"a line break":     {"JWT", inner + "\n", jose.ErrMalformed},
		"JSON":             {"JWT", `{"payload":"","signatures":[]}`, jose.ErrMalformed},
		"header of no JWS": {"JWT", b64(`{"alg":"ES256","enc":"A128GCM"}`) + ".AA.AA", jose.ErrMalformed},
	} {
		headers := map[string]any{}
		if c.cty != nil {
			headers["cty"] = c.cty
		}
		token := forge(t, "RSA-OAEP-256", "A256GCM", own, headers, c.content)
		if _, err := decrypter(own).Unnest(token); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestEncryptersAreSafeForConcurrentUse(t *testing.T) {
	own, public := encryptionKey(t, jose.ECDHESA128KW, "")
	e := must(jose.NewEncrypter(public, jose.ECDHESA128KW, jose.A128CBCHS256))
	d := decrypter(own)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			content := bytes.Repeat([]byte{byte(i)}, 100*i)
			token, err := e.Encrypt("JWT", content)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := d.Decrypt(token); err != nil || !bytes.Equal(got.Content, content) {
				t.Error(got, err)
			}
		})
	}
	all.Wait()
}
