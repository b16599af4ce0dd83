package dpop_test

import (
	"errors"
	"testing"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

func FuzzCheck(f *testing.F) {
	s := signer(f, jose.ES256)
	f.Add(proof(f, s, "POST", endpoint, "", "", now), endpoint)
	f.Add("e30.e30.e30", "https://a/%")
	f.Add("", "%zz")
	f.Fuzz(func(t *testing.T, header, url string) {
		p, err := dpop.Check(header, dpop.Expect{Method: "POST", URL: url, Now: now})
		if (p == nil) == (err == nil) {
			t.Fatal("neither a proof nor a refusal")
		}
		if err != nil && !errors.Is(err, dpop.ErrInvalid) {
			t.Fatalf("unexpected kind of error: %v", err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	s := signer(b, jose.ES256)
	p := proof(b, s, "POST", endpoint, "", "", now)
	e := dpop.Expect{Method: "POST", URL: endpoint, Now: now}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dpop.Check(p, e); err != nil {
			b.Fatal(err)
		}
	}
}
