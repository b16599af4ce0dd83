package tokeninfo_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/tokeninfo"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	secret = "0123456789abcdef0123456789abcdef-secret"
	orders = "https://orders.example"
	mtls   = "https://mtls.example:8443"
)

// person has every kind of JSON value among her claims.
const person = `{"name":"Alice Doe","given_name":"Alice","updated_at":1700000000,"email":"alice@example.com","email_verified":true,
	"phone_number":"+49 1","phone_number_verified":false,"address":{"formatted":"Street 1","country":"DE"},"nickname":null,
	"sub":"mallory","iss":"https://evil.example","shoe_size":42}`

type rig struct {
	now     func() time.Time
	pass    func(time.Duration)
	root    *store.DB
	feed    *feed.Feed
	issuers map[string]*issuer
}

type issuer struct {
	*rig
	url      string
	db       *store.DB
	registry *objects.Registry
	minter   *tokens.Minter
	nonces   *dpop.Nonces
	handler  http.Handler
	key      *jose.Signer // Alice's client's DPoP key
	cert     *x509.Certificate
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sealedAPI is the key to which answers to the client of that name are encrypted.
var sealedAPI = sync.OnceValue(func() jose.EncryptionKey { return must(jose.GenerateEncryptionKey(jose.ECDHES)) })

func documents() []objects.Document {
	type m = map[string]any
	doc := func(kind string, body m) objects.Document {
		return objects.Document{Kind: kind, Body: must(json.Marshal(body))}
	}
	client := func(id string) objects.Document {
		return doc("client", m{"client_id": id, "token_endpoint_auth_method": "client_secret_basic", "client_secret": secret,
			"redirect_uris": []string{"https://app.example/cb"}, "allow_bearer_tokens": true, "resources": []string{orders},
			"scope": "openid profile email address phone shoes read", "grant_types": []string{"authorization_code", "refresh_token"}})
	}
	machine := func(id string, more m) objects.Document {
		body := m{"client_id": id, "token_endpoint_auth_method": "client_secret_basic", "client_secret": secret, "grant_types": []string{"client_credentials"}}
		maps.Copy(body, more)
		return doc("client", body)
	}
	return []objects.Document{
		doc("api", m{"resource": orders, "scopes": []string{"read"}, "introspectors": []string{"orders-api", "eddsa-api", "sealed-api", "lost-api"}}),
		machine("eddsa-api", m{"introspection_signed_response_alg": "EdDSA"}),
		machine("sealed-api", m{"introspection_encrypted_response_alg": "ECDH-ES", "introspection_encrypted_response_enc": "A256GCM",
			"jwks": jose.Set{Encryption: []jose.EncryptionKey{sealedAPI().Public()}}}),
		machine("lost-api", m{"introspection_encrypted_response_alg": "ECDH-ES", "jwks_uri": "https://lost.example/jwks"}),
		doc("scope", m{"name": "shoes", "claims": []string{"shoe_size"}}),
		client("shop"), client("orders-api"), client("stranger"),
		doc("client", m{"client_id": "app", "token_endpoint_auth_method": "none", "redirect_uris": []string{"https://app.example/cb"}}),
	}
}

func newRig(t testing.TB) *rig {
	t.Helper()
	var at atomic.Int64
	at.Store(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro())
	r := &rig{
		now:     func() time.Time { return time.UnixMicro(at.Load()).UTC() },
		pass:    func(d time.Duration) { at.Add(d.Microseconds()) },
		issuers: map[string]*issuer{},
	}
	r.root = storetest.Open(t, store.Options{Now: r.now})
	ring := keys.NewRing()
	r.feed = feed.New(r.root, r.now)
	for _, name := range []string{"acme", "beta"} {
		r.issuers[name] = r.add(t, name, ring)
	}
	return r
}

func (r *rig) add(t testing.TB, name string, ring *keys.Ring) *issuer {
	t.Helper()
	i := &issuer{rig: r, url: "https://" + name + ".example", db: r.root.For(name)}
	i.registry = objects.New(i.db)
	i.write(t, func(tx *store.Tx) error {
		if _, err := objects.Import(tx, ring, objects.ManagedByFile, documents()); err != nil {
			return err
		}
		return tx.AddAccount(store.Account{ID: "alice", Username: "alice", UserHandle: []byte("alice"), Claims: json.RawMessage(person)})
	})
	signing := keys.NewSigning(keys.SigningConfig{DB: i.db, Ring: ring, Algs: []jose.Alg{jose.ES256, jose.EdDSA}})
	if err := signing.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.minter = must(tokens.New(t.Context(), tokens.Config{Issuer: i.url, DB: i.db, Ring: ring, Signing: signing, Registry: i.registry, Feed: r.feed, Now: r.now}))
	i.nonces = dpop.NewNonces([]byte(name + "-nonces-0123456789-0123456789"))
	i.key = must(jose.NewSigner(must(jose.GenerateKey(jose.ES256))))
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	i.cert = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
	mux := web.NewMux(web.OAuthDoor)
	authenticator := &clients.Authenticator{
		Issuer: i.url, Registry: i.registry, Ring: ring, Now: r.now, Failures: &limit.Failures{DB: i.db, Now: r.now},
	}
	i.minter.Encrypter = authenticator.Encrypter
	(&tokeninfo.Endpoints{
		Issuer: i.url, MTLSIssuer: mtls, DB: i.db, Registry: i.registry, Tokens: i.minter, Nonces: i.nonces, Now: r.now, Clients: authenticator,
	}).Mount(mux.ServeMux)
	i.handler = web.Wrap(mux, web.Options{Now: r.now, Hosts: []string{"acme.example", "beta.example", "mtls.example"}})
	return i
}

func (i *issuer) write(t testing.TB, fn func(*store.Tx) error) {
	t.Helper()
	if err := i.db.Write(context.WithoutCancel(t.Context()), fn); err != nil {
		t.Fatal(err)
	}
}

// issue mints an access token of Alice's for the shop, with a grant and a refresh token.
func (i *issuer) issue(t testing.TB, format, scope string, bound oauth.Confirmation) (access, refresh string) {
	t.Helper()
	return i.issueTo(t, "shop", format, scope, bound)
}

func (i *issuer) issueTo(t testing.TB, id, format, scope string, bound oauth.Confirmation) (access, refresh string) {
	t.Helper()
	client := *must(i.registry.Client(t.Context(), id))
	client.AccessTokenFormat = format
	api := must(i.registry.API(t.Context(), orders))
	g := store.Grant{
		ID: store.NewID(), JKT: bound.JKT, X5T: bound.X5T, Bearer: bound.IsZero(), CreatedAt: i.now(), ExpiresAt: i.now().Add(time.Hour),
		Auth: store.Authorization{ClientID: id, AccountID: "alice", SessionID: "s-1", Scope: strings.Fields(scope), ACR: "phr", AMR: []string{"hwk"}, AuthTime: i.now()},
	}
	a := i.minter.Access(tokens.Plan{
		Client: &client, API: api, Subject: "alice", Scope: g.Auth.Scope, Binding: bound, Grant: &g, IssuedAt: i.now(),
		Account: &store.Account{ID: "alice", Username: "alice"}, Mappings: must(i.registry.ClaimMappings(t.Context())),
	})
	i.write(t, func(tx *store.Tx) (err error) {
		if err = tx.AddGrant(g); err != nil {
			return err
		}
		if refresh, err = i.minter.AddRefresh(tx, &g); err != nil {
			return err
		}
		return i.minter.Add(tx, a)
	})
	return must(i.minter.Mint(a)), refresh
}

type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

type option func(*http.Request)

func basic(id string) option { return func(r *http.Request) { r.SetBasicAuth(id, secret) } }

func header(name, value string) option { return func(r *http.Request) { r.Header.Add(name, value) } }

func (i *issuer) withCert(cert *x509.Certificate) option {
	return func(r *http.Request) {
		r.TLS.PeerCertificates = []*x509.Certificate{cert}
		r.Host = strings.TrimPrefix(mtls, "https://")
	}
}

func (i *issuer) do(t testing.TB, method, path string, form url.Values, options ...option) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, i.url+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.TLS = &tls.ConnectionState{}
	for _, o := range options {
		o(r)
	}
	w := httptest.NewRecorder()
	i.handler.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if a.text != "" && !strings.HasSuffix(a.header.Get("Content-Type"), "jwt") {
		if err := json.Unmarshal([]byte(a.text), &a.body); err != nil {
			t.Fatalf("status %d, body %q: %v", w.Code, a.text, err)
		}
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s may be cached: %v", path, a.header)
	}
	return a
}

func (i *issuer) introspect(t testing.TB, token string, options ...option) answer {
	t.Helper()
	return i.do(t, "POST", "/introspect", url.Values{"token": {token}, "token_type_hint": {"whatever"}}, options...)
}

func (i *issuer) revoke(t testing.TB, token string, options ...option) answer {
	t.Helper()
	return i.do(t, "POST", "/revoke", url.Values{"token": {token}}, options...)
}
