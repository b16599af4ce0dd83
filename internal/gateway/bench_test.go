package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
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

// cpu is the time that this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func each(fn func()) float64 {
	const rounds = 2000
	fn()
	before := cpu()
	for range rounds {
		fn()
	}
	return float64(cpu()-before) / rounds
}

// BenchmarkGateway measures a GET of 1 KiB through the gateway, from the head read to the answer, an API over mutual TLS and
// the issuer included. Its floor, measured in the same run, is httputil.ReverseProxy to the same API and nothing else, and
// the signatures that cannot be done without: for a proof one made, by the client, and one verified; for a new token one
// made here and one by the issuer, and two verified. Tokens are bound to one grant, so nothing else is stored.
func BenchmarkGateway(b *testing.B) {
	r := landscape(b)
	r.quiet = true
	kilobyte := bytes.Repeat([]byte("x"), 1<<10)
	r.does(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(kilobyte) })
	h, err := r.ends.Handler(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	h = web.Wrap(h, web.Options{Now: r.now, Hosts: []string{"api.holdfast.localhost", "mtls.api.holdfast.localhost"}})
	target, err := url.Parse(r.api)
	if err != nil {
		b.Fatal(err)
	}
	bare := &httputil.ReverseProxy{Transport: r.up, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}
	serve := func(h http.Handler, host string, header http.Header, cert *x509.Certificate) int {
		q := httptest.NewRequest(http.MethodGet, host+"/orders/7", nil)
		q.Header, q.TLS = header.Clone(), &tls.ConnectionState{ServerName: q.URL.Hostname()}
		if cert != nil {
			q.TLS.PeerCertificates = []*x509.Certificate{cert}
		}
		w := &sink{header: http.Header{}, status: 200}
		h.ServeHTTP(w, q)
		return w.status
	}
	floor := each(func() { serve(bare, r.origin, http.Header{}, nil) })
	b.ReportMetric(floor, "floor-ns")

	cookie, _ := r.cookie(b, "demo", "alice", false)
	page := fromPage(newRequest(b, "GET", r.origin, ""), cookie).Header
	run(b, "cookie", floor, func(int) int { return serve(h, r.origin, page, nil) })

	bound := pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}}
	token, _ := r.issue(b, bound)
	known := http.Header{"Authorization": {"Bearer " + token}}
	run(b, "certificate", floor, func(int) int { return serve(h, r.mtls, known, r.partner.Leaf) })

	phone, _ := r.issue(b, pass{client: "phone", bound: oauth.Confirmation{JKT: r.phone.JKT()}})
	run(b, "dpop", floor+crypto(1, 1), func(int) int {
		return serve(h, r.origin, r.withProof(httptest.NewRequest(http.MethodGet, r.origin+"/orders/7", nil), phone).Header, nil)
	})

	_, claims := r.issue(b, bound)
	signer, err := r.signing.Signer(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	run(b, "new JWT", floor+crypto(2, 2), func(int) int {
		c := *claims
		c.ID = store.NewID()
		t, err := signer.Sign("at+jwt", &c)
		if err != nil {
			return 0
		}
		return serve(h, r.mtls, http.Header{"Authorization": {"Bearer " + t}}, r.partner.Leaf)
	})
}

// crypto is what so many ES256 signatures and verifications take.
func crypto(sign, verify int) float64 {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0
	}
	sum := sha256.Sum256([]byte("a token"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return 0
	}
	return float64(sign)*each(func() { _, _ = ecdsa.SignASN1(rand.Reader, key, sum[:]) }) +
		float64(verify)*each(func() { ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) })
}

// run benchmarks requests, some at a time, and reports the CPU time of one and how many times the floor that is. once is
// given numbers from 0 on, each once.
func run(b *testing.B, name string, floor float64, once func(i int) int) {
	var next, refusedAt atomic.Int64
	b.Run(name, func(b *testing.B) {
		b.SetParallelism(4)
		b.ReportAllocs()
		b.ResetTimer()
		before := cpu()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if status := once(int(next.Add(1) - 1)); status != http.StatusOK {
					refusedAt.Store(int64(status))
				}
			}
		})
		each := float64(cpu()-before) / float64(b.N)
		b.ReportMetric(each, "cpu-ns/op")
		b.ReportMetric(each/floor, "x-floor")
		if s := refusedAt.Load(); s != 0 {
			b.Errorf("status %d", s)
		}
	})
}
