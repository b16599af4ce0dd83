// Package resourcetest tests an API that is protected by package resource: it has an issuer of its own over TLS, clients
// with a DPoP key and a certificate, requests that are right, and a table of forged ones that must not pass.
//
// It is for tests only: the issuer signs whatever it is asked to.
package resourcetest

import (
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/resource"
)

// Clock is a time that moves when told to. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock makes a clock that stands at a time.
func NewClock(at time.Time) *Clock { return &Clock{at: at} }

// Now is the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Issuer is an authorization server that only publishes keys and signs. It listens on this machine until the test ends.
type Issuer struct {
	URL string // the issuer identifier

	tb     testing.TB
	now    func() time.Time
	server *httptest.Server

	mu      sync.Mutex
	key     jose.Key // private
	signer  *jose.Signer
	set     jose.Set
	cache   string
	status  int
	fetches int
}

// Claims are the claims of a token, by name.
type Claims map[string]any

// With gives a copy with one claim changed; nil takes it out.
func (c Claims) With(name string, value any) Claims {
	c = maps.Clone(c)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

// NewIssuer starts an issuer with one ES256 key. now is its clock; nil is time.Now.
func NewIssuer(tb testing.TB, now func() time.Time) *Issuer {
	tb.Helper()
	if now == nil {
		now = time.Now
	}
	i := &Issuer{tb: tb, now: now, status: http.StatusOK, cache: "max-age=600"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "response_types_supported": []string{"code"}})
	})
	mux.HandleFunc("GET /jwks", i.jwks)
	i.server = httptest.NewTLSServer(mux)
	tb.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.Rotate()
	return i
}

func (i *Issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetches++
	w.Header().Set("Cache-Control", i.cache)
	w.WriteHeader(i.status)
	_ = json.NewEncoder(w).Encode(i.set)
}

// Config is a verifier's configuration that trusts this issuer, reaches it and shares its clock.
func (i *Issuer) Config(audience string) resource.Config {
	return resource.Config{Issuers: []string{i.URL}, Audience: audience, Transport: i.Transport(), Now: i.now}
}

// Verifier is a verifier with that configuration; it ends with the test.
func (i *Issuer) Verifier(audience string) *resource.Verifier {
	i.tb.Helper()
	v, err := resource.New(i.tb.Context(), i.Config(audience))
	if err != nil {
		i.tb.Fatal(err)
	}
	return v
}

// Transport is a way to the issuer that trusts its certificate.
func (i *Issuer) Transport() http.RoundTripper { return i.server.Client().Transport }

// Certificate is the one of the issuer's TLS, in PEM, for programs that are given a file to trust.
func (i *Issuer) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
}

// Claims are those of a good token for an API, valid for five minutes and bound to nothing yet.
func (i *Issuer) Claims(audience string) Claims {
	now := i.now().Unix()
	return Claims{
		"iss": i.URL, "sub": "alice", "aud": audience, "client_id": "shop", "jti": rand.Text(), "iat": now, "exp": now + 300,
	}
}

// Sign signs claims as an access token (RFC 9068 §2.1), as they are.
func (i *Issuer) Sign(c Claims) string {
	i.tb.Helper()
	return i.SignAs("at+jwt", c)
}

// SignAs signs claims under another typ.
func (i *Issuer) SignAs(typ string, c Claims) string {
	i.tb.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	token, err := i.signer.Sign(typ, c)
	if err != nil {
		i.tb.Fatal(err)
	}
	return token
}

// Rotate makes the issuer sign with a new key, which it publishes beside the old ones.
func (i *Issuer) Rotate() {
	i.tb.Helper()
	key, signer := newKey(i.tb)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.signer = key, signer
	i.set.Keys = append(i.set.Keys, signer.Key())
}

// Key is the public key the issuer signs with now.
func (i *Issuer) Key() jose.Key { return i.privateKey().Public() }

// Answer sets the status and the Cache-Control of the key set from now on.
func (i *Issuer) Answer(status int, cacheControl string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.cache = status, cacheControl
}

// Fetches counts how often the key set was asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func newKey(tb testing.TB) (jose.Key, *jose.Signer) {
	tb.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := jose.NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	return key, signer
}
