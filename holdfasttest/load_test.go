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
// connections that stay open, and says how many times the floor of the same run that is. A budget is a multiple of the
// floor too, that of the machine the budgets were set on.
//
//	go test -run '^$' -bench Load -benchtime 10000x -count 3 ./holdfasttest
func BenchmarkLoad(b *testing.B) {
	l := newLoad(b, 1)
	here := l.floors(b)
	b.Run("floors", func(b *testing.B) {
		b.ReportMetric(1000*here.exchange, "GET-s/1000")
		b.ReportMetric(1000*here.sign, "sign-s/1000")
		b.ReportMetric(1000*here.verify, "verify-s/1000")
		b.ReportMetric(0, "ns/op")
	})
	for _, k := range loadCases {
		b.Run(k.name, func(b *testing.B) {
			spent := l.spend(b, l.served, b.N, k.do)
			floor := k.floor(here)
			b.ReportMetric(1000*spent.Seconds(), "cpu-s/1000")
			b.ReportMetric(spent.Seconds()/floor, "x-floor")
			if k.budget > 0 {
				b.ReportMetric(k.budget/1000/k.floor(thatMachine), "x-budget")
			}
			b.ReportMetric(0, "ns/op") // of the driver, which says nothing
		})
	}
	b.Run("memory after all", func(b *testing.B) {
		b.ReportMetric(l.memory(b, "VmRSS"), "MiB")
		b.ReportMetric(l.memory(b, "VmHWM"), "most-MiB")
		b.ReportMetric(0, "ns/op")
	})
}

// costs are the seconds that the parts of a floor take.
type costs struct{ exchange, sign, verify float64 }

// thatMachine is the one the budgets were set on.
var thatMachine = costs{exchange: 0.025 / 1000, sign: 0.036 / 1000, verify: 0.076 / 1000}

func (k *loadCase) floor(c costs) float64 {
	return float64(k.exchanges)*c.exchange + float64(k.signs)*c.sign + float64(k.verifys)*c.verify
}

// floors measures what no server can do without.
func (l *load) floors(b *testing.B) costs {
	b.Helper()
	bare := serveFloor(b)
	l.addresses["http://bare.example"] = bare.address
	exchange := l.spend(b, bare, 20_000, func(c *loader) error {
		_, err := c.get("http://bare.example", "/")
		return err
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("a token"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	return costs{
		exchange: exchange.Seconds(),
		sign:     each(func() { _, _ = ecdsa.SignASN1(rand.Reader, key, sum[:]) }),
		verify:   each(func() { ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) }),
	}
}

// each is the CPU time of one call in this process, in seconds.
func each(fn func()) float64 {
	const rounds = 10_000
	now := func() time.Duration {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return 0
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := now()
	for range rounds {
		fn()
	}
	return (now() - before).Seconds() / rounds
}

// spend has the loaders do something n times together, and returns the CPU time of one by the server. Each loader does
// it once before, so that what is only needed once is there.
func (l *load) spend(b *testing.B, s *served, n int, do func(*loader) error) time.Duration {
	b.Helper()
	all := make([]*loader, loaders)
	for i := range all {
		all[i] = l.loader(b)
		defer all[i].close()
		if err := do(all[i]); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	before := s.cpu(b)
	for _, c := range all {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := do(c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return (s.cpu(b) - before) / time.Duration(n)
}

func (l *load) loader(b *testing.B) *loader {
	b.Helper()
	return &loader{load: l, conns: map[string]*conn{}, key: newSigner(b)}
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
	l.addresses = writeLoad(b, l.folder, l.objects(b))
	l.served = serveHoldfast(b, l.folder, cores)
	l.signIn(b)
	return l
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
