package resource_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

// bench has an issuer, a client and a verifier with a changed configuration.
type bench struct {
	*resource.Verifier
	*resourcetest.Client
	issuer *resourcetest.Issuer
	clock  *resourcetest.Clock
}

func newBench(t *testing.T, change func(*resource.Config)) *bench {
	t.Helper()
	clock := resourcetest.NewClock(start)
	i := resourcetest.NewIssuer(t, clock.Now)
	c := i.Config(audience)
	if change != nil {
		change(&c)
	}
	v, err := resource.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{v, resourcetest.NewClient(t), i, clock}
}

func (b *bench) check(t *testing.T, r *http.Request) (*resource.Principal, error) {
	t.Helper()
	return b.Verify(t.Context(), resource.RequestOf(r))
}

func code(err error) oauth.Code {
	if c, ok := errors.AsType[*resource.Challenge](err); ok {
		return c.Code
	}
	return ""
}

// §4.3 (9): htu is compared with what the configuration says, never with what the request says.
func TestRFC9449_4_3_ConfiguredOrigins(t *testing.T) {
	b := newBench(t, func(c *resource.Config) {
		c.Origins = []string{"https://api.example.com", "https://API.example.net:8443/", "https://gate.example.com/shop", "https://gate.example.com/two"}
	})
	token := b.issuer.Sign(b.BoundToKey(b.issuer.Claims(audience)))
	for htu, ok := range map[string]bool{
		"https://api.example.com/orders":           true,
		"https://API.EXAMPLE.COM:443/orders":       true,
		"https://api.example.net:8443/orders":      true,
		"https://gate.example.com/shop/orders":     true,
		"https://gate.example.com/two/orders":      true,
		"https://gate.example.com/orders":          false,
		"https://api.example.net/orders":           false,
		"https://internal.example/orders":          false,
		"http://api.example.com/orders":            false,
		"https://api.example.com/orders/":          false,
		"https://api.example.com.evil.test/orders": false,
	} {
		r := httptest.NewRequest("GET", "https://internal.example/orders?page=2", nil) // Host is the inner one
		r.Header.Set("X-Forwarded-Host", "internal.example")
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", b.Proof("GET", htu, token, start))
		if _, err := b.check(t, r); ok != (err == nil) || !ok && code(err) != oauth.InvalidDPoPProof {
			t.Errorf("%s: %v", htu, err)
		}
	}
	inner := http.StripPrefix("/orders", b.HandlerFunc(resource.Authenticated(), func(http.ResponseWriter, *http.Request) {}))
	w := httptest.NewRecorder()
	inner.ServeHTTP(w, b.WithKey("GET", "https://api.example.com/orders/7", token, start))
	if w.Code != 200 {
		t.Errorf("behind a router that cuts the path: %d %v", w.Code, w.Header())
	}
}

func TestRFC7800_3_BothMethodsTogether(t *testing.T) {
	b := newBench(t, nil)
	token := b.issuer.Sign(b.issuer.Claims(audience).With("cnf", map[string]string{"x5t#S256": b.X5T(), "jkt": b.JKT()}))
	r := b.WithKey("GET", orders, token, start)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{b.Leaf}}
	who, err := b.check(t, r)
	if err != nil || who.Certificate == nil || who.Proof == nil || who.Scheme != oauth.TypeDPoP {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestUnboundTokensNeedAllowBearerTokens(t *testing.T) {
	b := newBench(t, func(c *resource.Config) { c.AllowBearerTokens = true })
	token := b.issuer.Sign(b.issuer.Claims(audience))
	r := httptest.NewRequest("GET", orders, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if who, err := b.check(t, r); err != nil || who.Certificate != nil || who.Proof != nil {
		t.Errorf("%+v, %v", who, err)
	}
	// The setting does not loosen what is bound.
	r.Header.Set("Authorization", "Bearer "+b.issuer.Sign(b.BoundToKey(b.issuer.Claims(audience))))
	if _, err := b.check(t, r); code(err) != oauth.InvalidToken {
		t.Errorf("downgrade: %v", err)
	}
	for name, cnf := range map[string]any{"null": json.RawMessage("null"), "nothing": map[string]any{}, "unknown": map[string]any{"kid": "a"}, "text": ""} {
		r.Header.Set("Authorization", "Bearer "+b.issuer.Sign(b.issuer.Claims(audience).With("cnf", cnf)))
		if _, err := b.check(t, r); code(err) != oauth.InvalidToken {
			t.Errorf("RFC 7800 §3.1, cnf is %s: %v", name, err)
		}
	}
}

// RFC 9440 §2.2, §3: the header counts only where the configuration knows the hop, and then nothing else does.
func TestRFC9440_2_2_ClientCertFromTheHop(t *testing.T) {
	b := newBench(t, func(c *resource.Config) {
		c.TrustClientCert = func(r resource.Request) bool { return r.TLS != nil && r.TLS.ServerName == "gateway" }
	})
	token := b.issuer.Sign(b.BoundToCertificate(b.issuer.Claims(audience)))
	good := ":" + base64.StdEncoding.EncodeToString(b.Leaf.Raw) + ":"
	other := ":" + base64.StdEncoding.EncodeToString(resourcetest.NewClient(t).Leaf.Raw) + ":"
	for _, c := range []struct {
		name, hop string
		header    []string
		peer      bool // the connection itself has the right certificate
		ok        bool
	}{
		{"from the hop", "gateway", []string{good}, false, true},
		{"with spaces around", "gateway", []string{" " + good + " "}, false, true},
		{"from another", "other", []string{good}, false, false},
		{"not there", "gateway", nil, true, false},
		{"of another client", "gateway", []string{other}, true, false},
		{"twice", "gateway", []string{good, good}, false, false},
		{"in a list", "gateway", []string{good + ", " + good}, false, false},
		{"without colons", "gateway", []string{good[1 : len(good)-1]}, false, false},
		{"not a certificate", "gateway", []string{":AAAA:"}, false, false},
		{"not base64", "gateway", []string{":-_-_:"}, false, false},
		{"empty", "gateway", []string{"::"}, false, false},
		{"one colon", "gateway", []string{":"}, false, false},
		{"another hop, own certificate", "other", []string{other}, true, true},
	} {
		r := b.WithCertificate("GET", orders, token)
		r.TLS = &tls.ConnectionState{ServerName: c.hop}
		if c.peer {
			r.TLS.PeerCertificates = []*x509.Certificate{b.Leaf}
		}
		r.Header["Client-Cert"] = c.header
		if _, err := b.check(t, r); c.ok != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCertificateOutOfDate(t *testing.T) {
	b := newBench(t, nil)
	b.clock.Advance(100 * 365 * 24 * time.Hour)
	token := b.issuer.Sign(b.BoundToCertificate(b.issuer.Claims(audience)))
	if _, err := b.check(t, b.WithCertificate("GET", orders, token)); code(err) != oauth.InvalidToken {
		t.Errorf("got %v", err)
	}
}

func TestRFC9449_8_2_Nonces(t *testing.T) {
	nonces := dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	b := newBench(t, func(c *resource.Config) { c.Nonces = nonces })
	h := b.HandlerFunc(resource.Authenticated(), func(http.ResponseWriter, *http.Request) {})
	token := b.issuer.Sign(b.BoundToKey(b.issuer.Claims(audience)))
	send := func(nonce string) *httptest.ResponseRecorder {
		proof, err := dpop.Make(b.Signer, "GET", orders, nonce, token, b.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		r := b.WithKey("GET", orders, token, b.clock.Now())
		r.Header.Set("DPoP", proof)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := send("")
	want := `DPoP error="use_dpop_nonce", error_description="the DPoP proof needs a fresh nonce", algs="ES256 EdDSA PS256", ` +
		`resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/shop"`
	given := w.Header().Get("DPoP-Nonce")
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != want || given == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := send(given); w.Code != 200 || w.Header().Get("DPoP-Nonce") != "" {
		t.Errorf("with the nonce: %d %v", w.Code, w.Header())
	}
	b.clock.Advance(40 * time.Second)
	if w := send(given); w.Code != 200 || w.Header().Get("DPoP-Nonce") != nonces.Current(b.clock.Now()) {
		t.Errorf("when it is not the newest: %d %v", w.Code, w.Header())
	}
}

func TestRFC9449_11_1_OneOfManyWins(t *testing.T) {
	b := newBench(t, nil)
	token := b.issuer.Sign(b.BoundToKey(b.issuer.Claims(audience)))
	r := resource.RequestOf(b.WithKey("GET", orders, token, start))
	var passed atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := b.Verify(t.Context(), r); err == nil {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d requests with one proof passed", passed.Load())
	}
}

// ledger is a Replay that counts, and fails when told to.
type ledger struct {
	claims int
	err    error
}

func (l *ledger) Claim(context.Context, string, time.Time) (bool, error) {
	l.claims++
	return true, l.err
}

func TestRFC9449_11_1_ProofIsSpentLast(t *testing.T) {
	l, revoked := &ledger{}, true
	b := newBench(t, func(c *resource.Config) {
		c.Replay, c.Revoked = l, func(p *resource.Principal) bool { return p.Subject == "alice" && revoked }
	})
	token := b.issuer.Sign(b.BoundToKey(b.issuer.Claims(audience)))
	r := b.WithKey("GET", orders, token, start)
	if _, err := b.check(t, r); code(err) != oauth.InvalidToken || l.claims != 0 {
		t.Errorf("revoked: %v, %d claims", err, l.claims)
	}
	revoked = false
	thief := resourcetest.NewClient(t)
	if _, err := b.check(t, thief.WithKey("GET", orders, token, start)); err == nil || l.claims != 0 {
		t.Errorf("proof of another: %v, %d claims", err, l.claims)
	}
	if _, err := b.check(t, r); err != nil || l.claims != 1 {
		t.Errorf("right: %v, %d claims", err, l.claims)
	}
	l.err = errors.New("the store is away")
	if _, err := b.check(t, r); !errors.Is(err, resource.ErrUnavailable) || !errors.Is(err, l.err) {
		t.Errorf("without memory: %v", err)
	}
	w := httptest.NewRecorder()
	b.Handler(resource.Authenticated(), http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestMemoryForgetsAndIsBounded(t *testing.T) {
	clock := resourcetest.NewClock(start)
	m := resource.NewMemory(3, clock.Now)
	claim := func(key string) (bool, error) {
		return m.Claim(t.Context(), key, clock.Now().Add(time.Minute))
	}
	for _, key := range []string{"a", "b", "c"} {
		if fresh, err := claim(key); !fresh || err != nil {
			t.Errorf("%s: %v, %v", key, fresh, err)
		}
		if fresh, err := claim(key); fresh || err != nil {
			t.Errorf("%s again: %v, %v", key, fresh, err)
		}
	}
	if _, err := claim("d"); !errors.Is(err, resource.ErrFull) {
		t.Errorf("over the limit: %v", err)
	}
	clock.Advance(61 * time.Second)
	if fresh, err := claim("a"); !fresh || err != nil {
		t.Errorf("after it expired: %v, %v", fresh, err)
	}
	clock.Advance(61 * time.Second)
	for _, key := range []string{"x", "y", "a"} {
		if fresh, err := claim(key); !fresh || err != nil {
			t.Errorf("%s: %v, %v", key, fresh, err)
		}
	}
}

// A token that was verified once is not good for ever.
func TestRFC9068_4_CachedTokenExpires(t *testing.T) {
	b := newBench(t, nil)
	raw := b.issuer.Sign(b.BoundToCertificate(b.issuer.Claims(audience)))
	token, err := b.VerifyToken(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	r := resource.RequestOf(b.WithCertificate("GET", orders, raw))
	c, err := b.Credentials(r)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(5*time.Minute + 4*time.Second) // within the leeway
	if _, err := b.CheckBinding(t.Context(), token, c, r); err != nil {
		t.Error(err)
	}
	b.clock.Advance(time.Second)
	if _, err := b.CheckBinding(t.Context(), token, c, r); code(err) != oauth.InvalidToken {
		t.Errorf("got %v", err)
	}
}
