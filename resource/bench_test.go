package resource_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

// against times op in turn with the floor below it and compares medians, so that a busy machine counts as little as may be.
// The budget is a ratio of 1.3 to the verifications of package jose that the request cannot do without; x-ecdsa compares
// with the bare ecdsa.Verify.
func against(b *testing.B, signatures int, floor, op func()) {
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("floor"))
	private := key.CryptoSigner().(*ecdsa.PrivateKey)
	sig, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	var bare, below, ours []time.Duration
	for b.Loop() {
		t0 := time.Now()
		for range signatures {
			ecdsa.VerifyASN1(&private.PublicKey, sum[:], sig)
		}
		t1 := time.Now()
		floor()
		t2 := time.Now()
		op()
		bare, below, ours = append(bare, t1.Sub(t0)), append(below, t2.Sub(t1)), append(ours, time.Since(t2))
	}
	b.ReportMetric(median(ours), "ns/op")
	b.ReportMetric(median(ours)/median(below), "x-verify")
	b.ReportMetric(median(ours)/median(bare), "x-ecdsa")
}

func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2])
}

func BenchmarkVerify(b *testing.B) {
	i := resourcetest.NewIssuer(b, resourcetest.NewClock(start).Now)
	c := resourcetest.NewClient(b)
	config := i.Config(audience)
	config.Replay = forgetful{}
	v, err := resource.New(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	claims := i.Claims(audience).With("scope", "orders.read orders.write")
	certified, keyed := i.Sign(c.BoundToCertificate(claims)), i.Sign(c.BoundToKey(claims))
	key := i.Key()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	bare := func(token string) {
		_, err := jose.Verify(token, []jose.Alg{jose.ES256}, key)
		must(err)
	}
	b.Run("certificate", func(b *testing.B) {
		r := resource.RequestOf(c.WithCertificate("GET", orders, certified))
		against(b, 1, func() { bare(certified) }, func() {
			_, err := v.Verify(b.Context(), r)
			must(err)
		})
	})
	b.Run("DPoP", func(b *testing.B) {
		r := resource.RequestOf(c.WithKey("GET", orders, keyed, start))
		proof := r.Header.Get("DPoP")
		against(b, 2, func() {
			bare(keyed)
			_, err := jose.VerifyEmbedded(proof, dpop.Algorithms)
			must(err)
		}, func() {
			_, err := v.Verify(b.Context(), r)
			must(err)
		})
	})
}
