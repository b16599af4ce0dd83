package grant_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/grant"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
)

// identity is what the parties of a test have, made once: making keys takes time.
type identity struct {
	assertion *jose.Signer // of the client "jwt"
	cert      *x509.Certificate
	otherCert *x509.Certificate
	jwks      map[string]json.RawMessage
}

var identities = sync.OnceValue(func() identity {
	key := must(jose.GenerateKey(jose.ES256))
	id := identity{assertion: must(jose.NewSigner(key)), jwks: map[string]json.RawMessage{}}
	id.jwks["jwt"] = must(json.Marshal(jose.Set{Keys: []jose.Key{key.Public()}}))
	var certKey jose.Key
	id.cert, certKey = certificate()
	id.jwks["mtls"] = must(json.Marshal(jose.Set{Keys: []jose.Key{certKey}}))
	id.otherCert, _ = certificate()
	return id
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func certificate() (*x509.Certificate, jose.Key) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return must(x509.ParseCertificate(der)), must(jose.FromPublic(key.Public(), jose.ES256)).WithID("c")
}

// documents are the objects of each tenant.
func documents() []objects.Document {
	id := identities()
	type m = map[string]any
	code, refresh, self := "authorization_code", "refresh_token", "client_credentials"
	scope := "openid profile email offline_access read write"
	var docs []objects.Document
	add := func(kind string, body m) {
		docs = append(docs, objects.Document{Kind: kind, Body: must(json.Marshal(body))})
	}
	add("api", m{"resource": orders, "scopes": []string{"read", "write"}, "exchangers": []string{"gateway", "secretive"}})
	add("api", m{"resource": legacy, "scopes": []string{"old"}, "allow_bearer_tokens": true})
	client := func(id, method string, more m) {
		body := m{"client_id": id, "token_endpoint_auth_method": method, "scope": scope, "resources": []string{orders},
			"grant_types": []string{code, refresh}, "redirect_uris": []string{callback}}
		for k, v := range more {
			body[k] = v
		}
		add("client", body)
	}
	machine := func(more m) m {
		more["grant_types"], more["redirect_uris"], more["scope"] = []string{self}, []string{}, "read write old"
		return more
	}
	client("native", "none", nil)
	client("other", "none", nil)
	client("jwt", "private_key_jwt", m{"jwks": id.jwks["jwt"], "grant_types": []string{code, refresh, self}})
	client("mtls", "self_signed_tls_client_auth", m{"jwks": id.jwks["mtls"], "grant_types": []string{code, refresh, self}})
	client("bearer", "client_secret_basic", m{"client_secret": secret, "allow_bearer_tokens": true, "resources": []string{legacy}, "scope": "openid old offline_access"})
	client("brief", "none", m{"grant_types": []string{code}})
	client("machine", "client_secret_post", machine(m{"client_secret": secret, "allow_bearer_tokens": true, "resources": []string{legacy}}))
	client("both", "client_secret_post", machine(m{"client_secret": secret, "resources": []string{orders, legacy}}))
	client("opaque", "client_secret_post", machine(m{"client_secret": secret, "access_token_format": "opaque"}))
	client("loose", "none", m{"allow_bearer_tokens": true})
	client("sealed", "none", m{"tls_client_certificate_bound_access_tokens": true, "dpop_bound_access_tokens": true})
	client("idle", "client_secret_post", m{"client_secret": secret})
	client("pair", "none", m{"subject_type": "pairwise"})
	exchangeDocuments(add, client, id)
	return docs
}

func install(t testing.TB, l tokens.Lifetimes) *installation {
	t.Helper()
	c := new(clock)
	c.at.Store(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro())
	return installAt(t, c, storetest.Open(t, store.Options{Now: c.now}), l)
}

// installOn uses a database with a clock of its own, the time of which is now.
func installOn(t testing.TB, root *store.DB, l tokens.Lifetimes) *installation {
	t.Helper()
	c := new(clock)
	c.at.Store(time.Now().UnixMicro())
	return installAt(t, c, root, l)
}

func installAt(t testing.TB, c *clock, root *store.DB, l tokens.Lifetimes) *installation {
	t.Helper()
	i := &installation{clock: c, ring: keys.NewRing(), root: root, feed: feed.New(root, c.now)}
	i.acme = i.add(t, "acme", "https://login.acme.example", "https://mtls.acme.example:8443", l)
	i.beta = i.add(t, "beta", "https://login.example/beta", "", l)
	return i
}

func (i *installation) add(t testing.TB, name, issuer, mtls string, l tokens.Lifetimes) *tenant {
	t.Helper()
	n := &tenant{installation: i, name: name, issuer: issuer, mtls: mtls, db: i.root.For(name)}
	n.write(t, func(tx *store.Tx) error {
		if _, err := objects.Import(tx, i.ring, objects.ManagedByFile, documents()); err != nil {
			return err
		}
		return tx.AddAccount(store.Account{ID: "alice", Username: "alice", UserHandle: []byte("alice"), Claims: json.RawMessage(`{}`)})
	})
	n.signing = keys.NewSigning(keys.SigningConfig{DB: n.db, Ring: i.ring, Algs: []jose.Alg{jose.ES256}})
	if err := n.signing.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	registry := objects.New(n.db)
	var err error
	n.minter, err = tokens.New(t.Context(), tokens.Config{
		Issuer: issuer, DB: n.db, Ring: i.ring, Signing: n.signing, Registry: registry, Feed: i.feed, Now: i.now, Lifetimes: l,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.clients = &clients.Authenticator{
		Issuer: issuer, Registry: registry, Ring: i.ring, Now: i.now, Failures: &limit.Failures{DB: n.db, Now: i.now},
	}
	n.minter.Encrypter = n.clients.Encrypter
	n.nonces = dpop.NewNonces([]byte(name + "-key-of-the-nonces-0123456789"))
	mux := web.NewMux(web.OAuthDoor)
	n.endpoints = &grant.Endpoints{
		Issuer: issuer, MTLSIssuer: mtls, DB: n.db, Registry: registry, Clients: n.clients, Tokens: n.minter, Nonces: n.nonces, Now: i.now,
	}
	n.endpoints.Mount(mux.ServeMux)
	hosts := []string{"login.acme.example", "mtls.acme.example", "login.example"}
	n.handler = web.Wrap(http.StripPrefix(strings.TrimPrefix(issuer, "https://login.example"), mux), web.Options{Now: i.now, Hosts: hosts})
	if name == "acme" {
		n.handler = web.Wrap(mux, web.Options{Now: i.now, Hosts: hosts})
	}
	return n
}
