package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/discovery"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/gateway"
	"github.com/holdfast-iam/holdfast/internal/grant"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokeninfo"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

const (
	issuerURL = "https://login.holdfast.localhost"
	spa       = "https://app.holdfast.localhost"
)

// rig is a landscape in one process: an issuer, the gateway behind a TLS listener, and an API behind mutual TLS that checks
// what it gets with package resource.
type rig struct {
	offset  atomic.Int64 // between this clock and that of the wall
	url     string       // of the database
	db      *store.DB    // of the tenant
	ring    *keys.Ring
	feed    *feed.Feed
	deaf    func() // has the feed hear nothing any more
	signing *keys.Signing
	minter  *tokens.Minter
	reg     *objects.Registry
	nonces  *dpop.Nonces

	issuer  http.Handler
	broken  atomic.Bool  // the issuer cannot be reached
	jwks    atomic.Int64 // how often it was asked for what
	asked   atomic.Int64
	traded  atomic.Int64
	up      *gateway.Upstream
	ends    *gateway.Endpoints
	session *appsession.Sessions
	origin  string // https://api.holdfast.localhost:port
	mtls    string // https://mtls.api.holdfast.localhost:port
	api     string // https://orders.holdfast.localhost:port

	mu       sync.Mutex
	behave   http.HandlerFunc // of the API, after it has checked the token
	verifier *resource.Verifier
	quiet    bool // for benchmarks: nothing is kept
	seen     []*http.Request
	refusals []refused

	partner, phone *resourcetest.Client
}

type refused struct {
	route, code, reason, client string
	status                      int
}

func (r *rig) now() time.Time       { return time.Now().Add(time.Duration(r.offset.Load())) }
func (r *rig) pass(d time.Duration) { r.offset.Add(int64(d)) }

func newRig(t testing.TB, url string) *rig {
	t.Helper()
	root := open(t, url)
	r := &rig{url: url, db: root.For("acme"), ring: keys.NewRing(), partner: resourcetest.NewClient(t), phone: resourcetest.NewClient(t)}
	r.reg, r.nonces = objects.New(r.db), dpop.NewNonces([]byte("01234567890123456789012345678901"))
	r.session = &appsession.Sessions{DB: r.db, Ring: r.ring, Now: r.now}
	authority, err := ca.Development(t.TempDir(), "holdfast.localhost", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r.startAPI(t, authority)
	front := r.listen(t)
	r.up = gateway.NewUpstream(rootsOf(t, authority))
	r.renew(t)
	r.apply(t, r.documents())
	r.startIssuer(t, root)
	r.follow(t)
	r.startGateway(t, front)
	return r
}

// open opens the database as a node does.
func open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{Synchronous: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing is written any more
	return db
}

func rootsOf(t testing.TB, a *ca.Authority) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(readFile(t, a.RootFile())) {
		t.Fatal("no root")
	}
	return pool
}

// renew gives the gateway a new certificate, and registers it with the issuer.
func (r *rig) renew(t testing.TB) {
	t.Helper()
	c := resourcetest.NewClient(t)
	if err := r.up.Use(c.KeyPair); err != nil {
		t.Fatal(err)
	}
	r.apply(t, []objects.Document{r.gatewayClient(c)})
}

func (r *rig) startIssuer(t testing.TB, root *store.DB) {
	t.Helper()
	r.signing = keys.NewSigning(keys.SigningConfig{DB: r.db, Ring: r.ring, Algs: []jose.Alg{jose.ES256}})
	if err := r.signing.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.feed = feed.New(root, r.now)
	var err error
	r.minter, err = tokens.New(t.Context(), tokens.Config{Issuer: issuerURL, DB: r.db, Ring: r.ring, Signing: r.signing, Registry: objects.New(r.db), Feed: r.feed, Now: r.now})
	if err != nil {
		t.Fatal(err)
	}
	auth := &clients.Authenticator{Issuer: issuerURL, Registry: r.reg, Ring: r.ring, Now: r.now, Failures: &limit.Failures{DB: r.db, Now: r.now}}
	mux := web.NewMux(web.OAuthDoor)
	(&grant.Endpoints{Issuer: issuerURL, DB: r.db, Registry: r.reg, Clients: auth, Tokens: r.minter, Nonces: r.nonces, Now: r.now}).Mount(mux.ServeMux)
	(&tokeninfo.Endpoints{Issuer: issuerURL, DB: r.db, Registry: r.reg, Clients: auth, Tokens: r.minter, Nonces: r.nonces, Now: r.now}).Mount(mux.ServeMux)
	(&discovery.Endpoints{Offer: discovery.Offer{Issuer: issuerURL}, Signing: r.signing}).Mount(mux.ServeMux)
	r.issuer = web.Wrap(mux, web.Options{Now: r.now, Hosts: []string{"login.holdfast.localhost"}})
}

// RoundTrip is the way to the issuer, with the certificate of the gateway.
func (r *rig) RoundTrip(q *http.Request) (*http.Response, error) {
	if r.broken.Load() {
		return nil, io.ErrUnexpectedEOF
	}
	switch q.URL.Path {
	case "/jwks":
		r.jwks.Add(1)
	case "/introspect":
		r.asked.Add(1)
	case "/token":
		r.traded.Add(1)
	}
	in := q.Clone(q.Context())
	in.TLS, in.RemoteAddr = &tls.ConnectionState{ServerName: q.URL.Hostname(), PeerCertificates: []*x509.Certificate{r.up.Leaf()}}, "127.0.0.1:1"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	r.issuer.ServeHTTP(w, in)
	return w.Result(), nil
}

// follow has the feed run until the test ends, or until deaf is called.
func (r *rig) follow(t testing.TB) {
	t.Helper()
	r.feed.Subscribe(r.reg.Heard)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { r.feed.Run(ctx); close(done) }()
	r.deaf = func() { cancel(); <-done }
	t.Cleanup(r.deaf)
	eventually(t, "the feed is ready", r.feed.Ready)
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// elsewhere writes as another node, of which this one learns when it looks. It gives the time after the commit.
func (r *rig) elsewhere(t testing.TB, fn func(*store.Tx) error) time.Time {
	t.Helper()
	if err := open(t, r.url).For("acme").Write(context.WithoutCancel(t.Context()), fn); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

func (r *rig) write(t testing.TB, fn func(*store.Tx) error) {
	t.Helper()
	if err := r.db.Write(context.WithoutCancel(t.Context()), fn); err != nil {
		t.Fatal(err)
	}
}

// apply brings objects in, and tells of them at once.
func (r *rig) apply(t testing.TB, docs []objects.Document) {
	t.Helper()
	r.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, r.ring, objects.ManagedByFile, docs)
		return err
	})
	r.reg.Heard(store.Event{Kind: store.EventObject})
}

func document(kind string, body any) objects.Document {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return objects.Document{Kind: kind, Body: text}
}

// listen opens the gateway's port; its number is part of the origins.
func (r *rig) listen(t testing.TB) *httptest.Server {
	t.Helper()
	front := httptest.NewUnstartedServer(nil)
	_, port, _ := strings.Cut(front.Listener.Addr().String(), ":")
	r.origin, r.mtls = "https://api.holdfast.localhost:"+port, "https://mtls.api.holdfast.localhost:"+port
	return front
}

func (r *rig) startGateway(t testing.TB, front *httptest.Server) {
	t.Helper()
	r.ends = &gateway.Endpoints{
		Issuer: issuerURL, ClientID: "gateway", Origins: []string{r.origin, r.mtls}, DB: r.db, Sessions: r.session,
		Registry: r.reg, Feed: r.feed, Nonces: r.nonces, Upstream: r.up, Transport: r, Now: r.now,
	}
	h, err := r.ends.Handler(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	wrapped := web.Wrap(h, web.Options{
		Now: r.now, Hosts: []string{"api.holdfast.localhost", "mtls.api.holdfast.localhost", "elsewhere.holdfast.localhost"},
		Refused: func(_ *http.Request, e *web.Event, status int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.refusals = append(r.refusals, refused{e.Route(), string(e.Code()), e.Reason(), e.Client(), status})
		},
	})
	front.Config = web.NewServer(wrapped, slog.New(slog.DiscardHandler))
	front.EnableHTTP2 = true
	front.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	front.StartTLS()
	t.Cleanup(front.Close)
	t.Cleanup(r.up.Close)
}

// client is somebody outside, with a certificate or none.
func (r *rig) client(t testing.TB, cert *tls.Certificate) *http.Client {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	transport := &http.Transport{TLSClientConfig: config, DialContext: fetch.LocalhostDialer(nil), DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}
