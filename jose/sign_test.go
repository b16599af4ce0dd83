package jose_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

// elsewhere signs with ES256 as an external signer does; change may spoil the signature.
func elsewhere(t testing.TB, k jose.Key, change func(sig []byte) []byte) *jose.Signer {
	t.Helper()
	s, err := jose.NewRemoteSigner(k.Public(), func(_ jose.Alg, input []byte) ([]byte, error) {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			return nil, err
		}
		return change(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func same(sig []byte) []byte { return sig }

func TestRemoteSigner(t *testing.T) {
	k := newKey(t, jose.ES256)
	s := elsewhere(t, k, same)
	token, err := s.Sign("JWT", map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := jose.Verify(token, everyAlg, k.Public()); err != nil || got.KeyID != k.ID() {
		t.Errorf("%+v, %v", got, err)
	}
	embedded, err := s.WithEmbeddedKey()
	if err != nil {
		t.Fatal(err)
	}
	if token, err = embedded.Sign("dpop+jwt", struct{}{}); err != nil {
		t.Fatal(err)
	}
	if got, err := jose.VerifyEmbedded(token, everyAlg); err != nil || got.KeyID != "" || got.JWK.Thumbprint() != k.Thumbprint() {
		t.Errorf("embedded: %+v, %v", got, err)
	}
}

func TestRemoteSignerIsNotBelieved(t *testing.T) {
	k := newKey(t, jose.ES256)
	for name, change := range map[string]func([]byte) []byte{
		"wrong":      func(sig []byte) []byte { sig[5] ^= 1; return sig },
		"short":      func(sig []byte) []byte { return sig[:63] },
		"nothing":    func([]byte) []byte { return nil },
		"other form": func(sig []byte) []byte { return append([]byte{0x30, 0x44}, sig...) },
	} {
		if token, err := elsewhere(t, k, change).Sign("JWT", struct{}{}); err == nil {
			t.Errorf("%s: signed %s", name, token)
		}
	}
	down := errors.New("the signer is down")
	s, err := jose.NewRemoteSigner(k.Public(), func(jose.Alg, []byte) ([]byte, error) { return nil, down })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign("JWT", struct{}{}); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}

func TestSignersNeedAKeyThatFits(t *testing.T) {
	k := newKey(t, jose.PS256)
	for name, key := range map[string]jose.Key{"public": k.Public(), "nothing": {}} {
		if _, err := jose.NewSigner(key); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	noAlg := fromPublic(t, k, "")
	if _, err := jose.NewRemoteSigner(noAlg, nil); !errors.Is(err, jose.ErrKey) {
		t.Errorf("remote key without an algorithm: %v", err)
	}
	if _, err := jose.GenerateKey("HS256"); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("generate HS256: %v", err)
	}
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign("JWT", func() {}); err == nil {
		t.Error("signed what is not JSON")
	}
}

func TestSignersAreSafeForConcurrentUse(t *testing.T) {
	k := newKey(t, jose.EdDSA)
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			e, err := s.WithEmbeddedKey()
			if err != nil {
				t.Error(err)
				return
			}
			token, err := e.Sign("dpop+jwt", struct{}{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := jose.VerifyEmbedded(token, everyAlg); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// R and S have 32 bytes each, also where they begin with zeros, as one of 128 signatures has it.
func TestRFC7518_3_4_SignaturesHaveOneLength(t *testing.T) {
	k := newKey(t, jose.ES256)
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	public, length := k.Public(), 0
	for i := range 600 {
		token, err := s.Sign("JWT", struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.Verify(token, everyAlg, public); err != nil || i > 0 && len(token) != length {
			t.Fatalf("%s: %v", token, err)
		}
		length = len(token)
	}
}

// The header has what the signer was told and nothing else, whoever makes the token.
func TestRFC7515_4_1_HeaderOfASigner(t *testing.T) {
	k := newKey(t, jose.ES256).WithID("one")
	local, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*jose.Signer{local, elsewhere(t, k, same)} {
		for typ, want := range map[string]string{
			"at+jwt": `{"alg":"ES256","kid":"one","typ":"at+jwt"}`, "": `{"alg":"ES256","kid":"one"}`,
		} {
			token, err := s.Sign(typ, struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(token, ".")
			if got, err := base64.RawURLEncoding.DecodeString(head); err != nil || string(got) != want {
				t.Errorf("%q: %s %v", typ, got, err)
			}
		}
	}
}
