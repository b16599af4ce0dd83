package discovery_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
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
	before := cpu()
	for range rounds {
		bare()
	}
	floor := float64(cpu()-before) / rounds
	for name, path := range map[string]string{"metadata": "/acme/.well-known/openid-configuration", "jwks": "/acme/jwks"} {
		b.Run(name, func(b *testing.B) {
			get := reader(b, h, path)
			b.ReportAllocs()
			before, rounds := cpu(), 0
			for b.Loop() {
				get()
				rounds++
			}
			b.ReportMetric(float64(cpu()-before)/float64(rounds)/floor, "x-floor")
		})
	}
}

// cpu is the time that this process has computed: what others do on the machine does not count.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
