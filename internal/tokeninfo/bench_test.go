package tokeninfo_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
)

// sink takes an answer without keeping it.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

func serve(h http.Handler, method, address, body string, options ...option) int {
	r := must(http.NewRequest(method, address, strings.NewReader(body)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr, r.TLS = "192.0.2.1:1234", &tls.ConnectionState{}
	for _, o := range options {
		o(r)
	}
	w := &sink{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(w, r)
	return w.status
}

// bare measures a handler that reads its body and answers, in the same run, as the floor of the others.
func bare() float64 {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{}")
	})
	const rounds = 10_000
	before := cpu()
	for range rounds {
		serve(h, "POST", "https://acme.example/introspect", "token=abc", basic("shop"))
	}
	return float64(cpu()-before) / rounds
}

// cpu is the time that this process has computed: what others do on the machine does not count.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkIntrospect(b *testing.B) {
	floor := bare()
	r := newRig(b)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { r.feed.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for !r.feed.Ready() {
		time.Sleep(time.Millisecond)
	}
	i := r.issuers["acme"]
	for _, format := range []string{"jwt", "opaque"} {
		access, _ := i.issue(b, format, "openid read", oauth.Confirmation{JKT: "thumb"})
		run := func(name, token string) {
			body := url.Values{"token": {token}}.Encode()
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				before, rounds := cpu(), 0
				for b.Loop() {
					rounds++
					if status := serve(i.handler, "POST", i.url+"/introspect", body, basic("orders-api")); status != http.StatusOK {
						b.Fatalf("status %d", status)
					}
				}
				b.ReportMetric(float64(cpu()-before)/float64(rounds)/floor, "x-floor")
			})
		}
		run(format, access)
		if format == "opaque" {
			run("opaque, unknown", access[:len(access)-4]+"AAAA") // reads the database every time
		}
	}
}

// Answers as JWTs are measured against the signature that they cannot do without.
func BenchmarkIntrospectJWT(b *testing.B) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	sum := sha256.Sum256([]byte("an answer"))
	const signatures = 2000
	before := cpu()
	for range signatures {
		must(ecdsa.SignASN1(rand.Reader, key, sum[:]))
	}
	floor := float64(cpu()-before)/signatures + bare()
	r := newRig(b)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { r.feed.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for !r.feed.Ready() {
		time.Sleep(time.Millisecond)
	}
	i := r.issuers["acme"]
	access, _ := i.issue(b, "opaque", "openid read", oauth.Confirmation{JKT: "thumb"})
	body := url.Values{"token": {access}}.Encode()
	for _, c := range []struct {
		name, caller string
		accept       option
	}{
		{"signed", "orders-api", asJWT},
		{"signed and encrypted", "sealed-api", asJWT},
		{"phantom", "orders-api", asPhantom},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			before, rounds := cpu(), 0
			for b.Loop() {
				rounds++
				if status := serve(i.handler, "POST", i.url+"/introspect", body, basic(c.caller), c.accept); status != http.StatusOK {
					b.Fatalf("status %d", status)
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(rounds)/floor, "x-floor")
		})
	}
}
