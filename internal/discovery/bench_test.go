package discovery_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/discovery"
)

// reader makes a function that gets an address over a kept connection.
func reader(b *testing.B, h http.Handler, path string) func() {
	b.Helper()
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	return func() {
		r, err := s.Client().Get(s.URL + path)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
}

func BenchmarkDiscovery(b *testing.B) {
	h := newHandler(b, &discovery.Endpoints{Offer: offer(), Signing: newSigning(b)})
	bare := reader(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }), "/")
	const rounds = 5000
	start := time.Now()
	for range rounds {
		bare()
	}
	floor := float64(time.Since(start).Nanoseconds()) / rounds
	for name, path := range map[string]string{"metadata": "/acme/.well-known/openid-configuration", "jwks": "/acme/jwks"} {
		b.Run(name, func(b *testing.B) {
			get := reader(b, h, path)
			b.ReportAllocs()
			for b.Loop() {
				get()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/floor, "x-floor")
		})
	}
}
