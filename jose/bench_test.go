package jose_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

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
