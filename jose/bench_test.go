package jose_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// perCall times one call in nanoseconds, over enough calls for a floor.
func perCall(f func()) float64 {
	const calls = 1000
	start := time.Now()
	for range calls {
		f()
	}
	return float64(time.Since(start).Nanoseconds()) / calls
}

// The floor is one bare ECDSA operation on the same digest; the ratio is what the envelope costs.
func BenchmarkVerifyES256(b *testing.B) {
	k := newKey(b, jose.ES256)
	token := sign(b, k, "at+jwt", map[string]any{"iss": "https://login.example.com", "sub": "alice", "exp": 1764072000})
	sum := sha256.Sum256([]byte(token))
	sig, err := ecdsa.SignASN1(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		b.Fatal(err)
	}
	floor := perCall(func() { ecdsa.VerifyASN1(k.CryptoPublic().(*ecdsa.PublicKey), sum[:], sig) })
	b.ReportAllocs()
	public := k.Public()
	for b.Loop() {
		if _, err := jose.Verify(token, everyAlg, public); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/floor, "x-bare-verify")
}

func BenchmarkSignES256(b *testing.B) {
	k := newKey(b, jose.ES256)
	s, err := jose.NewSigner(k)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("floor"))
	floor := perCall(func() { _, _ = ecdsa.SignASN1(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:]) })
	claims := map[string]any{"iss": "https://login.example.com", "sub": "alice", "exp": 1764072000}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign("at+jwt", claims); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/floor, "x-bare-sign")
}
