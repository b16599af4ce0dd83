package clients_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"syscall"
	"testing"
	"time"
)

// cpu is the time that this process has computed: what others do on the machine does not count.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// verification measures a bare one in the same run, so that results of different machines compare.
func verification(b *testing.B) float64 {
	b.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	sum := sha256.Sum256([]byte("a token"))
	sig := must(ecdsa.SignASN1(rand.Reader, key, sum[:]))
	const rounds = 2000
	before := cpu()
	for range rounds {
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
			b.Fatal("a signature does not verify")
		}
	}
	return float64(cpu()-before) / rounds
}

// The floor of every method is one verification of ES256, which private_key_jwt cannot do without.
func BenchmarkAuthenticate(b *testing.B) {
	floor := verification(b)
	r := newRig(b)
	for _, c := range []struct {
		name  string
		offer offer
	}{
		{"private_key_jwt", offer{form: r.assert(b, "jwt", nil)}},
		{"client_secret_jwt", offer{form: r.hash(b, "HS256", []byte(long), "hs", nil)}},
		{"client_secret_basic", offer{basic: basic("basic", secret)}},
		{"tls_client_auth", offer{form: form("client_id", "tls"), peer: cert(leafPeer)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			before, rounds := cpu(), 0
			for b.Loop() {
				rounds++
				if _, _, err := r.try(c.offer); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(rounds)/floor, "x-verification")
		})
	}
}
