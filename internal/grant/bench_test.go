package grant_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// sink takes an answer without keeping it.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

// serve runs one request through a handler, as the server does after reading its head.
func serve(h http.Handler, address, body string, cert *x509.Certificate, proof, basic string) int {
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return 0
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "192.0.2.1:1234"
	r.TLS = &tls.ConnectionState{}
	if cert != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{cert}
	}
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	if basic != "" {
		r.SetBasicAuth(basic, secret)
	}
	w := &sink{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(w, r)
	return w.status
}

// floors are what no token endpoint can do without, measured in the same run: a bare handler that reads its body, one
// ES256 signature, one verification.
type floors struct{ handler, sign, verify float64 }

func measure(b *testing.B) floors {
	b.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	sum := sha256.Sum256([]byte("a token"))
	sig := must(ecdsa.SignASN1(rand.Reader, key, sum[:]))
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{}")
	})
	return floors{
		handler: each(func() { serve(bare, "https://login.acme.example/token", "grant_type=client_credentials", nil, "", "") }),
		sign:    each(func() { _, _ = ecdsa.SignASN1(rand.Reader, key, sum[:]) }),
		verify:  each(func() { ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) }),
	}
}

func each(fn func()) float64 {
	const rounds = 2000
	before := cpu()
	for range rounds {
		fn()
	}
	return float64(cpu()-before) / rounds
}

// run benchmarks requests that come from many clients at once, so that writes share commits, and reports the CPU time
// of one, and how many times the floor that is. once makes one request and returns its status; it is given numbers from
// 0 on, each once.
func run(b *testing.B, name string, floor float64, once func(i int) int) {
	var next atomic.Int64 // over all rounds: what works once was used by an earlier one
	b.Run(name, func(b *testing.B) {
		b.SetParallelism(16)
		b.ReportAllocs()
		b.ResetTimer()
		before := cpu()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if status := once(int(next.Add(1) - 1)); status != http.StatusOK {
					b.Errorf("status %d", status)
					return
				}
			}
		})
		each := float64(cpu()-before) / float64(b.N)
		b.ReportMetric(each, "cpu-ns/op")
		b.ReportMetric(each/floor, "x-floor")
	})
}

// cpu is the time that this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ready makes things in advance, as many as a benchmark asks for, because making them costs as much as using them.
type ready struct{ list []string }

const stock = 20_000

func stocked(make func() string) *ready {
	r := new(ready)
	for range stock {
		r.list = append(r.list, make())
	}
	return r
}

// at is the i-th of them; after the last one they begin again, and are refused.
func (r *ready) at(i int) string { return r.list[i%stock] }

func encode(form map[string]string) string {
	v := url.Values{}
	for k, s := range form {
		if s != "" {
			v.Set(k, s)
		}
	}
	return v.Encode()
}

// proof makes proofs of a key for an address.
func (n *tenant) proofs(k key) *ready {
	r := must(http.NewRequest(http.MethodPost, n.issuer+"/token", nil))
	return stocked(func() string {
		k.proof()(n, r)
		return r.Header.Get("DPoP")
	})
}

// Run these with -benchtime=10000x or less: proofs and assertions are made in advance, and work once.

func BenchmarkClientCredentials(b *testing.B) {
	f := measure(b)
	n := install(b, tokens.Lifetimes{}).acme
	cert := identities().cert
	at := n.issuer + "/token"
	bySecret, byCert, opaque := encode(withSecret("machine")), encode(selfForm("mtls")), encode(withSecret("opaque"))
	run(b, "secret", f.handler+f.sign, func(int) int { return serve(n.handler, at, bySecret, nil, "", "") })
	run(b, "certificate", f.handler+f.sign, func(int) int { return serve(n.handler, n.mtls+"/token", byCert, cert, "", "") })

	proofs := n.proofs(newKey(b))
	run(b, "opaque, DPoP", f.handler+f.verify, func(i int) int { return serve(n.handler, at, opaque, nil, proofs.at(i), "") })
	proofs = n.proofs(newKey(b))
	withProof := encode(withSecret("both", "resource", orders))
	run(b, "secret, DPoP", f.handler+f.sign+f.verify, func(i int) int { return serve(n.handler, at, withProof, nil, proofs.at(i), "") })
	proofs = n.proofs(newKey(b))
	assertions := stocked(func() string { return encode(with(selfForm(""), n.assertion(newJTI())...)) })
	run(b, "assertion, DPoP", f.handler+f.sign+2*f.verify, func(i int) int {
		return serve(n.handler, at, assertions.at(i), nil, proofs.at(i), "")
	})
}

func BenchmarkRefresh(b *testing.B) {
	f := measure(b)
	n := install(b, tokens.Lifetimes{}).acme
	cert := identities().cert
	var bound, rotated []string
	for range 64 {
		a := ok(b, n.post(b, codeForm("mtls", n.code(b, "mtls", noOpenID)), withCert(cert)))
		bound = append(bound, encode(refreshForm("mtls", a.str("refresh_token"))))
		rotated = append(rotated, bearer(b, n).str("refresh_token"))
	}
	run(b, "bound by certificate", f.handler+f.sign, func(i int) int {
		return serve(n.handler, n.mtls+"/token", bound[i%len(bound)], cert, "", "")
	})
	var mu sync.Mutex
	run(b, "rotated, with ID token", f.handler+2*f.sign, func(int) int {
		mu.Lock()
		token := rotated[0]
		rotated = rotated[1:]
		mu.Unlock()
		a := n.post(b, refreshForm("", token), withBasic("bearer", secret))
		mu.Lock()
		rotated = append(rotated, a.str("refresh_token"))
		mu.Unlock()
		return a.status
	})
}

func noOpenID(a *request.Authorization) { a.Scope = []string{"read"} }

func BenchmarkCode(b *testing.B) {
	f := measure(b)
	n := install(b, tokens.Lifetimes{}).acme
	codes := stocked(func() string { return encode(codeForm("mtls", n.code(b, "mtls"))) })
	run(b, "with ID token", f.handler+2*f.sign, func(i int) int {
		return serve(n.handler, n.mtls+"/token", codes.at(i), identities().cert, "", "")
	})
}
