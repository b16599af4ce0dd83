package jose_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/big"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

func prime(t testing.TB, bits int) *big.Int {
	t.Helper()
	p, err := rand.Prime(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// next is the first prime after n.
func next(n *big.Int) *big.Int {
	p := new(big.Int).Add(n, big.NewInt(1))
	for !p.ProbablyPrime(10) {
		p.Add(p, big.NewInt(1))
	}
	return p
}

func times(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }

// rocaPrime is k·M + 65537ᵃ mod M, where M is the product of the first 126 primes, as CVE-2017-15361 made them.
func rocaPrime(t testing.TB) *big.Int {
	t.Helper()
	m, p := big.NewInt(1), big.NewInt(1)
	for range 126 {
		p = next(p)
		m.Mul(m, p)
	}
	a, err := rand.Int(rand.Reader, m)
	if err != nil {
		t.Fatal(err)
	}
	rest := new(big.Int).Exp(big.NewInt(65537), a, m)
	k := new(big.Int).Lsh(big.NewInt(3), uint(1022-m.BitLen()))
	for {
		k.Add(k, big.NewInt(1))
		if p := new(big.Int).Add(times(k, m), rest); p.ProbablyPrime(10) {
			return p
		}
	}
}

func TestRSAKeysWhoseFactorsAreEasyToFind(t *testing.T) {
	p, q := prime(t, 1024), prime(t, 1025)
	for _, c := range []struct {
		name    string
		modulus *big.Int
		weak    bool
	}{
		{"fine", times(p, q), false},
		{"divisible by 3", times(big.NewInt(3), times(p, q)), true},
		{"divisible by 751", times(big.NewInt(751), times(p, q)), true},
		{"even", times(big.NewInt(2), times(p, q)), true},
		{"ROCA", times(rocaPrime(t), rocaPrime(t)), true},
		{"ROCA in one factor only", times(rocaPrime(t), q), false},
		{"the next prime", times(p, next(p)), true},
		{"the next prime but a few", times(p, next(new(big.Int).Add(p, new(big.Int).Lsh(big.NewInt(1), 513)))), true},
		{"a square", times(p, p), true},
	} {
		var want error
		if c.weak {
			want = jose.ErrKey
		}
		if _, err := jose.FromPublic(&rsa.PublicKey{N: c.modulus, E: 65537}, jose.PS256); !errors.Is(err, want) {
			t.Errorf("%s: %v", c.name, err)
		}
		doc := `{"kty":"RSA","e":"AQAB","n":"` + b64(string(c.modulus.Bytes())) + `"}`
		if _, err := jose.ParseKey([]byte(doc)); !errors.Is(err, want) {
			t.Errorf("%s as a JWK: %v", c.name, err)
		}
	}
}

func TestRFC7518_3_5_SaltIsAsLongAsTheHash(t *testing.T) {
	k := newKey(t, jose.PS256)
	public := k.Public()
	jwk, err := json.Marshal(jose.Set{Keys: []jose.Key{k}})
	if err != nil {
		t.Fatal(err)
	}
	for salt, want := range map[int]error{
		32: nil, 31: jose.ErrSignature, 33: jose.ErrSignature, 20: jose.ErrSignature, 64: jose.ErrSignature,
		rsa.PSSSaltLengthAuto: jose.ErrSignature, // as long as the key allows
	} {
		own := string(jwk[len(`{"keys":[`) : len(jwk)-len(`]}`)])
		for header, verify := range map[string]func(token string) error{
			`{"alg":"PS256"}`: func(token string) error {
				_, err := jose.Verify(token, everyAlg, public)
				return err
			},
			`{"alg":"PS256","jwk":` + own + `}`: func(token string) error {
				_, err := jose.VerifyEmbedded(token, everyAlg)
				return err
			},
		} {
			input := b64(header) + "." + b64(`{}`)
			sum := sha256.Sum256([]byte(input))
			sig, err := rsa.SignPSS(rand.Reader, k.CryptoSigner().(*rsa.PrivateKey), crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(input + "." + b64(string(sig))); !errors.Is(err, want) {
				t.Errorf("salt of %d bytes, header %.20s: got %v, want %v", salt, header, err, want)
			}
		}
	}
}

// RFC 8725 §3.1: one RSA key may serve both algorithms, but a signature made for one is none for the other.
func TestRFC8725_3_1_PaddingsOfRSA(t *testing.T) {
	k := newKey(t, jose.RS256)
	sum := func(alg string) (string, []byte) {
		input := b64(`{"alg":"`+alg+`"}`) + "." + b64(`{}`)
		sum := sha256.Sum256([]byte(input))
		return input, sum[:]
	}
	either := fromPublic(t, k, "")
	input, digest := sum("PS256")
	sig, err := rsa.SignPKCS1v15(rand.Reader, k.CryptoSigner().(*rsa.PrivateKey), crypto.SHA256, digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.Verify(input+"."+b64(string(sig)), everyAlg, either); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("PKCS #1 v1.5 under PS256: %v", err)
	}
	input, digest = sum("RS256")
	sig, err = rsa.SignPSS(rand.Reader, k.CryptoSigner().(*rsa.PrivateKey), crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.Verify(input+"."+b64(string(sig)), everyAlg, either); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("PSS under RS256: %v", err)
	}
}
