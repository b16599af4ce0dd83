package holdfasttest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
)

const (
	loadSecret   = "mY2vKQ0yB5n8c1JxWqZr7sTfUeHgDaLp3oIi6kNbVtE"
	loadRedirect = "https://app.load.example/callback"
	loaders      = 16 // connections at a time
)

// load is a server under load and what its loaders know.
type load struct {
	*served
	folder      string
	addresses   map[string]string // of each base URL
	certificate string            // as a hop hands it over
	clientKey   *jose.Signer
	session     string
	unique      atomic.Int64
}

// loadCase is one kind of request. What it cannot do without is a bare exchange for each of its exchanges, and its
// signatures and verifications; the budget is in seconds of CPU for 1,000 of them on the machine of the budgets.
type loadCase struct {
	name                      string
	exchanges, signs, verifys int
	budget                    float64
	do                        func(*loader) error
}

var loadCases = []loadCase{
	{"discovery", 1, 0, 0, 0.03, func(c *loader) error { return c.ok("/.well-known/openid-configuration") }},
	{"JWKS", 1, 0, 0, 0.03, func(c *loader) error { return c.ok("/jwks") }},
	{"client credentials, secret", 1, 1, 0, 0.10, func(c *loader) error {
		_, err := c.tokens(loadIssuer, clientForm(), c.withSecret("machine"))
		return err
	}},
	{"client credentials, certificate", 1, 1, 0, 0.10, func(c *loader) error {
		form := clientForm()
		form.Set("client_id", "partner")
		_, err := c.tokens(loadMTLS, form, c.withCertificate)
		return err
	}},
	{"client credentials, secret and DPoP", 1, 1, 1, 0, func(c *loader) error {
		_, err := c.tokens(loadIssuer, clientForm(), c.withSecret("machine"), c.withProof)
		return err
	}},
	{"client credentials, assertion", 1, 1, 1, 0, func(c *loader) error { return c.byAssertion() }},
	{"client credentials, assertion and DPoP", 1, 1, 2, 0, func(c *loader) error { return c.byAssertion(c.withProof) }},
	{"client credentials, opaque", 1, 0, 0, 0.10, func(c *loader) error {
		_, err := c.tokens(loadIssuer, clientForm(), c.withSecret("opaque"))
		return err
	}},
	{"introspection, opaque, known", 1, 0, 0, 0.06, (*loader).introspect},
	{"introspection, opaque, with its issue", 2, 0, 0, 0.16, func(c *loader) error { c.token = ""; return c.introspect() }},
	{"refresh, bound by certificate", 1, 1, 0, 0.25, (*loader).refreshBound},
	{"refresh, bound by DPoP", 1, 1, 1, 0, (*loader).refreshDPoP},
	{"code flow, certificate", 2, 2, 0, 0.60, func(c *loader) error { _, err := c.byCertificate(); return err }},
	{"code flow, secret and DPoP", 2, 2, 1, 0, func(c *loader) error { _, err := c.byDPoP(); return err }},
}

func (c *loader) ok(path string) error {
	a, err := c.get(loadIssuer, path)
	if err != nil {
		return err
	}
	return a.want(http.StatusOK)
}

func clientForm() url.Values { return url.Values{"grant_type": {"client_credentials"}} }

func (c *loader) byAssertion(change ...func(*http.Request)) error {
	form, err := c.assertion(clientForm(), "signer")
	if err == nil {
		_, err = c.tokens(loadIssuer, form, change...)
	}
	return err
}

// introspect asks about a token that was asked about before.
func (c *loader) introspect() error {
	if c.token == "" {
		a, err := c.tokens(loadIssuer, clientForm(), c.withSecret("opaque"))
		if err != nil {
			return err
		}
		c.token = a.member("access_token")
	}
	a, err := c.post(loadIssuer, "/introspect", url.Values{"token": {c.token}}, c.withSecret("api"))
	if err != nil {
		return err
	}
	return a.want(http.StatusOK)
}

func (c *loader) refreshBound() error {
	if c.refresh == "" {
		a, err := c.byCertificate()
		if err != nil {
			return err
		}
		c.refresh = a.member("refresh_token")
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refresh}, "client_id": {"partner"}, "scope": {"orders.read"}, "resource": {loadAPI}}
	_, err := c.tokens(loadMTLS, form, c.withCertificate)
	return err
}

func (c *loader) refreshDPoP() error {
	if c.refresh == "" {
		a, err := c.byDPoP()
		if err != nil {
			return err
		}
		c.refresh = a.member("refresh_token")
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refresh}, "scope": {"orders.read"}, "resource": {loadAPI}}
	_, err := c.tokens(loadIssuer, form, c.withSecret("web"), c.withProof)
	return err
}

// byCertificate is the whole flow of a client with a certificate, up to its tokens.
func (c *loader) byCertificate() (*reply, error) {
	code, err := c.code("partner")
	if err != nil {
		return nil, err
	}
	form := codeForm(code)
	form.Set("client_id", "partner")
	return c.tokens(loadMTLS, form, c.withCertificate)
}

// byDPoP is the whole flow of a client with a secret and a key.
func (c *loader) byDPoP() (*reply, error) {
	code, err := c.code("web")
	if err != nil {
		return nil, err
	}
	return c.tokens(loadIssuer, codeForm(code), c.withSecret("web"), c.withProof)
}

// BenchmarkLoad measures the CPU time of a server in a process of its own, on one core, over plain HTTP with
// connections that stay open, and says how many times the floor that is. The floor is measured in turns with the
// server, so that what else the machine does slows both down. A budget is a multiple of the floor too, that of the
// machine the budgets were set on.
//
//	go test -run '^$' -bench Load -benchtime 10000x -count 5 ./holdfasttest
func BenchmarkLoad(b *testing.B) {
	l := newLoad(b, 1)
	f := l.floor(b)
	for _, k := range loadCases {
		b.Run(k.name, func(b *testing.B) {
			c := l.crew(b, l.served, k.do)
			var spent, floor time.Duration
			share := (b.N + turns - 1) / turns
			for range turns {
				floor += k.floor(f.measure(b, share)) * time.Duration(share)
				spent += c.work(b, share)
			}
			b.ReportMetric(spent.Seconds()/float64(turns*share)*1000, "cpu-s/1000")
			b.ReportMetric(float64(spent)/float64(floor), "x-floor")
			if k.budget > 0 {
				b.ReportMetric(k.budget/1000/k.floor(thatMachine).Seconds(), "x-budget")
			}
			b.ReportMetric(0, "ns/op") // of the driver, which says nothing
		})
	}
	b.Run("floors", func(b *testing.B) {
		here := f.measure(b, b.N)
		b.ReportMetric(1000*here.exchange.Seconds(), "GET-s/1000")
		b.ReportMetric(1000*here.sign.Seconds(), "sign-s/1000")
		b.ReportMetric(1000*here.verify.Seconds(), "verify-s/1000")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("memory after all", func(b *testing.B) {
		b.ReportMetric(l.memory(b, "VmRSS"), "MiB")
		b.ReportMetric(l.memory(b, "VmHWM"), "most-MiB")
		b.ReportMetric(0, "ns/op")
	})
}

const turns = 8

// BenchmarkFullLoad does all kinds of requests at once on two cores, b.N of each, with people signing in meanwhile, and
// reports the memory of the server.
func BenchmarkFullLoad(b *testing.B) {
	l := newLoad(b, 2)
	stop(b, l.served)
	l.served = serveHoldfast(b, l.folder, 2) // without what it took to bring people in
	kinds := append([]loadCase{{name: "sign in", do: (*loader).signIn}}, loadCases...)
	var wg sync.WaitGroup
	for i, k := range kinds {
		n := b.N
		if i == 0 {
			n = 1 + b.N/100
		}
		c := l.crew(b, l.served, k.do)
		wg.Go(func() { c.work(b, n) })
	}
	wg.Wait()
	b.ReportMetric(l.memory(b, "VmRSS"), "MiB")
	b.ReportMetric(l.memory(b, "VmHWM"), "most-MiB")
}

// costs are what the parts of a floor take.
type costs struct{ exchange, sign, verify time.Duration }

// thatMachine is the one the budgets were set on.
var thatMachine = costs{exchange: 25 * time.Microsecond, sign: 36 * time.Microsecond, verify: 76 * time.Microsecond}

func (k *loadCase) floor(c costs) time.Duration {
	return time.Duration(k.exchanges)*c.exchange + time.Duration(k.signs)*c.sign + time.Duration(k.verifys)*c.verify
}

// floor is what no server can do without.
type floor struct {
	bare         *crew
	sign, verify func()
}

func (l *load) floor(b *testing.B) *floor {
	b.Helper()
	s := serveFloor(b)
	l.addresses["http://bare.example"] = s.address
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("a token"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	return &floor{
		bare: l.crew(b, s, func(c *loader) error {
			_, err := c.get("http://bare.example", "/")
			return err
		}),
		sign:   func() { _, _ = ecdsa.SignASN1(rand.Reader, key, sum[:]) },
		verify: func() { ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) },
	}
}

// measure is the mean over n exchanges, and as many signatures and verifications.
func (f *floor) measure(b *testing.B, n int) costs {
	b.Helper()
	return costs{exchange: f.bare.work(b, 2*n) / time.Duration(2*n), sign: each(n, f.sign), verify: each(n, f.verify)}
}

// each is the CPU time of one call in this process.
func each(n int, fn func()) time.Duration {
	now := func() time.Duration {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return 0
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := now()
	for range n {
		fn()
	}
	return (now() - before) / time.Duration(n)
}

// crew are loaders that do one thing to one server.
type crew struct {
	*served
	all []*loader
	do  func(*loader) error
}

// crew gathers loaders until the benchmark ends. Each does its thing once, so that what is needed once is there.
func (l *load) crew(b *testing.B, s *served, do func(*loader) error) *crew {
	b.Helper()
	c := &crew{served: s, do: do}
	for range loaders {
		one := &loader{load: l, conns: map[string]*conn{}, key: newSigner(b)}
		b.Cleanup(one.close)
		if err := do(one); err != nil {
			b.Fatal(err)
		}
		c.all = append(c.all, one)
	}
	return c
}

// work is the CPU time of the server while the crew does its thing n times.
func (c *crew) work(b *testing.B, n int) time.Duration {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	before := c.cpu(b)
	for _, one := range c.all {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := c.do(one); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return c.cpu(b) - before
}

func newSigner(b *testing.B) *jose.Signer {
	b.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	s, err := jose.NewSigner(key)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// newLoad starts the server of the benchmarks with one person who is signed in.
func newLoad(b *testing.B, cores int) *load {
	b.Helper()
	l, _ := prepareLoad(b)
	l.addresses = writeLoad(b, l.folder, l.objects(b))
	l.served = serveHoldfast(b, l.folder, cores)
	l.signIn(b)
	return l
}

// prepareLoad makes what the loaders show, and the authority of it.
func prepareLoad(b *testing.B) (*load, *ca.Authority) {
	b.Helper()
	l := &load{folder: b.TempDir(), clientKey: newSigner(b)}
	partners, err := ca.Partners(filepath.Join(l.folder, "partners"), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	name := pkix.Name{CommonName: "partner.example", Organization: []string{"Holdfast"}}
	cert, _, err := partners.Client("partner", name, nil, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(cert)
	if err != nil {
		b.Fatal(err)
	}
	block, _ := pem.Decode(text)
	l.certificate = ":" + base64.StdEncoding.EncodeToString(block.Bytes) + ":"
	return l, partners
}

func (l *load) objects(b *testing.B) []map[string]any {
	b.Helper()
	jwks, err := json.Marshal(jose.Set{Keys: []jose.Key{l.clientKey.Key()}})
	if err != nil {
		b.Fatal(err)
	}
	machine := func(id, method string, more map[string]any) map[string]any {
		m := map[string]any{
			"kind": "client", "client_id": id, "token_endpoint_auth_method": method, "grant_types": []string{"client_credentials"},
			"scope": "orders.read", "resources": []string{loadAPI}, "allow_bearer_tokens": true,
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	person := map[string]any{
		"grant_types": []string{"client_credentials", "authorization_code", "refresh_token"}, "redirect_uris": []string{loadRedirect},
		"scope": "openid profile orders.read", "allow_bearer_tokens": false,
	}
	secret := map[string]any{"client_secret": loadSecret}
	partner, web, opaque := map[string]any{"tls_client_auth_subject_dn": "CN=partner.example,O=Holdfast"}, map[string]any{"client_secret": loadSecret}, map[string]any{"client_secret": loadSecret, "access_token_format": "opaque"}
	for k, v := range person {
		partner[k], web[k] = v, v
	}
	return []map[string]any{
		{"kind": "scope", "name": "orders.read", "title": "Read your orders"},
		{"kind": "api", "resource": loadAPI, "scopes": []string{"orders.read"}, "introspectors": []string{"api"}, "allow_bearer_tokens": true},
		machine("machine", "client_secret_basic", secret), machine("opaque", "client_secret_basic", opaque),
		machine("api", "client_secret_basic", secret), machine("partner", "tls_client_auth", partner),
		machine("signer", "private_key_jwt", map[string]any{"jwks": json.RawMessage(jwks)}), machine("web", "client_secret_basic", web),
		{"kind": "user", "username": "alice", "password": loadSecret, "name": "Alice Adams", "given_name": "Alice"},
	}
}

// signIn gives the person a session and its clients their consent, as the pages would have.
func (l *load) signIn(b *testing.B) {
	b.Helper()
	ring, err := keys.LoadRing(filepath.Join(l.folder, "ring.json"))
	if err != nil {
		b.Fatal(err)
	}
	root, err := store.Open(context.Background(), "sqlite:"+filepath.Join(l.folder, "holdfast.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	s := &session.Sessions{DB: root.For("main"), Ring: ring, Now: time.Now, Idle: time.Hour, Absolute: 24 * time.Hour}
	err = s.DB.Write(context.Background(), func(tx *store.Tx) error {
		alice, err := tx.AccountByName("alice")
		if err != nil {
			return err
		}
		for _, client := range []string{"partner", "web"} {
			err := tx.PutConsent(store.Consent{
				AccountID: alice.ID, ClientID: client, Scope: []string{"openid", "profile", "orders.read"}, Resources: []string{loadAPI}, GrantedAt: tx.Now,
			})
			if err != nil {
				return err
			}
		}
		f := store.Factor{Kind: session.Password, At: tx.Now, AMR: []string{"pwd"}}
		_, l.session, err = s.New(tx, alice.ID, f, web.Peer{}, nil)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
