package jose_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	lib "github.com/go-jose/go-jose/v4"

	"github.com/holdfast-iam/holdfast/jose"
)

// against times op and, in turn with it so that a busy machine slows both alike, the bare operation below it. The
// ratio is what the envelope costs; allocations are those of both.
func against(b *testing.B, bare, op func()) {
	var floor, ours time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		bare()
		middle := time.Now()
		op()
		floor, ours = floor+middle.Sub(start), ours+time.Since(middle)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(ours)/float64(floor), "x-bare")
}

func BenchmarkVerifyES256(b *testing.B) {
	k := newKey(b, jose.ES256)
	token := sign(b, k, "at+jwt", map[string]any{"iss": "https://login.example.com", "sub": "alice", "exp": 1764072000})
	sum := sha256.Sum256([]byte(token))
	sig, err := ecdsa.SignASN1(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		b.Fatal(err)
	}
	public := k.Public()
	against(b, func() { ecdsa.VerifyASN1(k.CryptoPublic().(*ecdsa.PublicKey), sum[:], sig) }, func() {
		if _, err := jose.Verify(token, everyAlg, public); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkVerifyPS256(b *testing.B) {
	k := newKey(b, jose.PS256)
	token := sign(b, k, "at+jwt", map[string]any{"iss": "https://login.example.com", "sub": "alice", "exp": 1764072000})
	input, sig := cut(token)
	sum := sha256.Sum256([]byte(strings.TrimSuffix(input, ".")))
	public := k.Public()
	against(b, func() { _ = rsa.VerifyPSS(k.CryptoPublic().(*rsa.PublicKey), crypto.SHA256, sum[:], sig, nil) }, func() {
		if _, err := jose.Verify(token, everyAlg, public); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkSignES256(b *testing.B) {
	k := newKey(b, jose.ES256)
	s, err := jose.NewSigner(k)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("floor"))
	claims := map[string]any{"iss": "https://login.example.com", "sub": "alice", "exp": 1764072000}
	against(b, func() { _, _ = ecdsa.SignASN1(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:]) }, func() {
		if _, err := s.Sign("at+jwt", claims); err != nil {
			b.Fatal(err)
		}
	})
}

const claimsToEncrypt = `{"iss":"https://login.example.com","sub":"alice","aud":"app","exp":1764072000,"nonce":"n-0S6_WzA2Mj"}`

// material is the key as the library and crypto know it.
func material(b *testing.B, k jose.EncryptionKey) any {
	var jwk lib.JSONWebKey
	if err := jwk.UnmarshalJSON([]byte(document(k))); err != nil {
		b.Fatal(err)
	}
	return jwk.Key
}

func BenchmarkEncryptRSA(b *testing.B) {
	_, public := encryptionKey(b, jose.RSAOAEP256, "")
	e := must(jose.NewEncrypter(public, jose.RSAOAEP256, jose.A256GCM))
	key, content := material(b, public).(*rsa.PublicKey), shared(32)
	against(b, func() { _, _ = rsa.EncryptOAEP(sha256.New(), rand.Reader, key, content, nil); gcm(b, content) }, func() {
		if _, err := e.Encrypt("JWT", []byte(claimsToEncrypt)); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkDecryptRSA(b *testing.B) {
	own, public := encryptionKey(b, jose.RSAOAEP256, "")
	token := encrypt(b, public, jose.RSAOAEP256, jose.A256GCM, claimsToEncrypt)
	key, wrapped := material(b, own).(*rsa.PrivateKey), []byte(unb64(strings.Split(token, ".")[1]))
	key.Precompute()
	d := decrypter(own)
	against(b, func() { _, _ = rsa.DecryptOAEP(sha256.New(), rand.Reader, key, wrapped, nil); gcm(b, shared(32)) }, func() {
		if _, err := d.Decrypt(token); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkEncryptECDH(b *testing.B) {
	_, public := encryptionKey(b, jose.ECDHES, "")
	e := must(jose.NewEncrypter(public, jose.ECDHES, jose.A256GCM))
	key := must(material(b, public).(*ecdsa.PublicKey).ECDH())
	against(b, func() { agree(b, must(ecdh.P256().GenerateKey(rand.Reader)), key) }, func() {
		if _, err := e.Encrypt("JWT", []byte(claimsToEncrypt)); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkDecryptECDH(b *testing.B) {
	own, public := encryptionKey(b, jose.ECDHES, "")
	token := encrypt(b, public, jose.ECDHES, jose.A256GCM, claimsToEncrypt)
	key, other := must(material(b, own).(*ecdsa.PrivateKey).ECDH()), must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	d := decrypter(own)
	against(b, func() { agree(b, key, other) }, func() {
		if _, err := d.Decrypt(token); err != nil {
			b.Fatal(err)
		}
	})
}

// agree is the floor of ECDH-ES: one agreement, one hash and the content.
func agree(b *testing.B, own *ecdh.PrivateKey, other *ecdh.PublicKey) {
	z, err := own.ECDH(other)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(z)
	gcm(b, sum[:])
}

// gcm is the floor of the content.
func gcm(b *testing.B, key []byte) {
	aead := must(cipher.NewGCM(must(aes.NewCipher(key))))
	aead.Seal(nil, make([]byte, aead.NonceSize()), []byte(claimsToEncrypt), nil)
}
