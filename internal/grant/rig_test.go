package grant_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/grant"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
)

const (
	secret   = "0123456789abcdef0123456789abcdef-secret"
	callback = "https://app.example/cb"
	orders   = "https://orders.example"
	legacy   = "https://legacy.example" // takes bearer tokens
)

// tb is what helpers need of a test, so that property tests can use them too.
type tb interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

// clock is a time that only the test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.at.Add(d.Microseconds()) }

// installation is one process with two tenants, "acme" with a host of its own and "beta" behind a path.
type installation struct {
	*clock
	root       *store.DB
	ring       *keys.Ring
	feed       *feed.Feed
	acme, beta *tenant
}

type tenant struct {
	*installation
	name, issuer, mtls string
	db                 *store.DB
	signing            *keys.Signing
	minter             *tokens.Minter
	clients            *clients.Authenticator
	endpoints          *grant.Endpoints
	nonces             *dpop.Nonces
	handler            http.Handler
}

func (n *tenant) write(t tb, fn func(*store.Tx) error) {
	t.Helper()
	if err := n.db.Write(context.WithoutCancel(t.Context()), fn); err != nil {
		t.Fatal(err)
	}
}

// answer is what the token endpoint said.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (a answer) str(name string) string { s, _ := a.body[name].(string); return s }

// option changes a request on its way.
type option func(n *tenant, r *http.Request)

// withCert makes the request over mutual TLS, at the host of the aliases where there is one.
func withCert(cert *x509.Certificate) option {
	return func(n *tenant, r *http.Request) {
		r.TLS.PeerCertificates = []*x509.Certificate{cert}
		if n.mtls != "" {
			r.Host = strings.TrimPrefix(n.mtls, "https://")
		}
	}
}

func withBasic(id, secret string) option {
	return func(_ *tenant, r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

func withHeader(name string, values ...string) option {
	return func(_ *tenant, r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

// post sends a form to the token endpoint. Values of the form that are empty are left out.
func (n *tenant) post(t tb, form map[string]string, options ...option) answer {
	t.Helper()
	values := url.Values{}
	for k, v := range form {
		if v != "" {
			values[k] = strings.Fields(v)
			if k == "scope" {
				values[k] = []string{v}
			}
		}
	}
	return n.send(t, values, options...)
}

func (n *tenant) send(t tb, form url.Values, options ...option) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, n.issuer+"/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.TLS = &tls.ConnectionState{}
	for _, o := range options {
		o(n, r)
	}
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header()}
	if err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&a.body); err != nil {
		t.Fatalf("status %d, body %q: %v", w.Code, w.Body, err)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the answer may be cached: %v", w.Header())
	}
	return a
}

// key is a DPoP key in somebody's hand.
type key struct{ *jose.Signer }

func newKey(t tb) key {
	t.Helper()
	k, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	return key{s}
}

func (k key) thumbprint() string { return k.Key().Thumbprint() }

// proof makes a right proof for the host that the request goes to.
func (k key) proof() option {
	return func(n *tenant, r *http.Request) {
		at := n.issuer
		if r.Host == strings.TrimPrefix(n.mtls, "https://") {
			at = n.mtls
		}
		r.Header.Set("DPoP", must(dpop.Make(k.Signer, "POST", at+"/token", n.nonces.Current(n.now()), "", n.now())))
	}
}

// verifier and challenge are those of every code.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// code has alice authorize a client, as the authorization endpoint does at the end.
func (n *tenant) code(t tb, client string, edit ...func(*request.Authorization)) (code string) {
	t.Helper()
	a := &request.Authorization{
		ClientID: client, RedirectURI: callback, Scope: []string{"openid", "read"}, Nonce: "n-1", CodeChallenge: challenge(),
	}
	for _, e := range edit {
		e(a)
	}
	n.write(t, func(tx *store.Tx) error {
		s := store.Session{
			ID: store.NewID(), AccountID: "alice", AuthTime: tx.Now.Add(-time.Minute), ACR: "phr", AMR: []string{"hwk"},
			CreatedAt: tx.Now, IdleUntil: tx.Now.Add(8 * time.Hour), ExpiresAt: tx.Now.Add(24 * time.Hour),
		}
		if err := tx.AddSession(s); err != nil {
			return err
		}
		var err error
		code, err = request.Complete(tx, request.Completion{Request: a, Session: &s, Lifetime: time.Minute, Ring: n.ring})
		return err
	})
	return code
}

func codeForm(client, code string) map[string]string {
	return map[string]string{
		"grant_type": "authorization_code", "client_id": client, "code": code, "redirect_uri": callback, "code_verifier": verifier,
	}
}

func refreshForm(client, token string) map[string]string {
	return map[string]string{"grant_type": "refresh_token", "client_id": client, "refresh_token": token}
}

func with(form map[string]string, pairs ...string) map[string]string {
	for i := 0; i < len(pairs); i += 2 {
		form[pairs[i]] = pairs[i+1]
	}
	return form
}

// claims reads an access token as an API would, and requires that it is alive.
func (n *tenant) claims(t tb, token string) *tokens.Claims {
	t.Helper()
	c, err := n.minter.Inspect(t.Context(), token)
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	return c
}

func (n *tenant) active(t tb, token string) bool {
	t.Helper()
	_, err := n.minter.Inspect(t.Context(), token)
	return err == nil
}

// want checks the status and the error code of a refusal.
func want(t tb, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.str("error") != code {
		t.Errorf("%d %v, want %d %s", a.status, a.body, status, code)
	}
	if code != "" && a.body["access_token"] != nil {
		t.Errorf("a refusal carries a token")
	}
}

func ok(t tb, a answer) answer {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("%d %v", a.status, a.body)
	}
	return a
}

// assertion is a client assertion of "jwt" (RFC 7523 §2.2).
func (n *tenant) assertion(id string) []string {
	claims := map[string]any{
		"iss": "jwt", "sub": "jwt", "aud": n.issuer, "jti": id, "exp": n.now().Add(time.Minute).Unix(), "iat": n.now().Unix(),
	}
	return []string{
		"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		"client_assertion", must(identities().assertion.Sign("JWT", claims)),
	}
}

func audits(t tb, n *tenant, action string) (list []store.AuditRecord) {
	t.Helper()
	n.write(t, func(tx *store.Tx) (err error) {
		list, err = tx.Audits(store.AuditFilter{Action: action})
		return err
	})
	return list
}

var unique atomic.Int64

func newJTI() string { return fmt.Sprintf("id-%d", unique.Add(1)) }
