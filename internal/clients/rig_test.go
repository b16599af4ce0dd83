package clients_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	issuer = "https://login.example"
	secret = "0123456789abcdef0123456789abcdef/+%"
	long   = secret + secret
	weak   = "tiger"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// party is who has certificates and keys in these tests; made once, for making keys takes time.
type party struct {
	roots                          *x509.CertPool
	leaf, brief, foreign, selfMade *x509.Certificate
	middle                         []*x509.Certificate // the intermediates of leaf
	es256, ps256, rs256, stranger  *jose.Signer
	selfKey                        jose.Key
}

var parties = sync.OnceValue(func() party {
	root, rootKey := issue(nil, nil, "Root", start.AddDate(10, 0, 0), true)
	middle, middleKey := issue(root, rootKey, "Middle", start.AddDate(1, 0, 0), true)
	p := party{roots: x509.NewCertPool(), middle: []*x509.Certificate{middle}}
	p.roots.AddCert(root)
	p.leaf, _ = issue(middle, middleKey, "partner", start.AddDate(0, 1, 0), false)
	p.brief, _ = issue(middle, middleKey, "partner", start.Add(time.Minute), false)
	other, otherKey := issue(nil, nil, "Other", start.AddDate(10, 0, 0), true)
	p.foreign, _ = issue(other, otherKey, "partner", start.AddDate(0, 1, 0), false)
	own, ownKey := issue(nil, nil, "self", start.AddDate(0, 1, 0), false)
	p.selfMade, p.selfKey = own, must(jose.FromPublic(ownKey.Public(), jose.ES256))
	signer := func(a jose.Alg, id string) *jose.Signer {
		return must(jose.NewSigner(must(jose.GenerateKey(a)).WithID(id)))
	}
	p.es256, p.ps256 = signer(jose.ES256, "e"), signer(jose.PS256, "p")
	p.rs256, p.stranger = signer(jose.RS256, "r"), signer(jose.ES256, "e")
	return p
})

func issue(parent *x509.Certificate, signer *ecdsa.PrivateKey, name string, until time.Time, authority bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start.Add(-time.Hour), NotAfter: until,
		BasicConstraintsValid: true, IsCA: authority,
	}
	if authority {
		t.KeyUsage = x509.KeyUsageCertSign
	} else {
		t.DNSNames, t.ExtKeyUsage = []string{name + ".example"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if parent == nil {
		parent, signer = t, key
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)))), key
}

func set(list ...jose.Key) json.RawMessage { return must(json.Marshal(jose.Set{Keys: list})) }

type rig struct {
	*clients.Authenticator
	db  *store.DB
	now time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{now: start}
	clock := func() time.Time { return r.now }
	r.db = storetest.Open(t, store.Options{Now: clock}).For("acme")
	ring := keys.NewRing()
	r.Authenticator = &clients.Authenticator{
		Issuer: issuer, Aliases: []string{issuer + "/token"}, Registry: objects.New(r.db), Ring: ring, Now: clock,
		Failures: &limit.Failures{DB: r.db, Now: clock}, Roots: parties().roots,
	}
	r.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, ring, objects.ManagedByFile, documents())
		return err
	})
	return r
}

// from is a migration that lasts an hour.
func from(method string) map[string]any {
	return map[string]any{"from": method, "until": start.Add(time.Hour).Format(time.RFC3339)}
}

func documents() []objects.Document {
	p := parties()
	type m = map[string]any
	jwks := set(p.es256.Key(), p.ps256.Key(), p.rs256.Key())
	var docs []objects.Document
	for id, body := range map[string]m{
		"basic":      {"token_endpoint_auth_method": "client_secret_basic", "client_secret": secret},
		"post":       {"token_endpoint_auth_method": "client_secret_post", "client_secret": secret},
		"weak":       {"token_endpoint_auth_method": "client_secret_post", "client_secret": weak, "allow_weak_secret": true},
		"colon:id":   {"token_endpoint_auth_method": "client_secret_basic", "client_secret": secret},
		"jwt":        {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks},
		"rsa":        {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "token_endpoint_auth_signing_alg": "RS256"},
		"old":        {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "allow_token_endpoint_audience": true},
		"remote":     {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/jwks"},
		"tls":        {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "partner.example"},
		"tls-else":   {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "else.example"},
		"self":       {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": set(p.selfKey)},
		"public":     {"token_endpoint_auth_method": "none"},
		"hs":         {"token_endpoint_auth_method": "client_secret_jwt", "client_secret": long},
		"hs-short":   {"token_endpoint_auth_method": "client_secret_jwt", "client_secret": secret},
		"hs384":      {"token_endpoint_auth_method": "client_secret_jwt", "client_secret": long, "token_endpoint_auth_signing_alg": "HS384"},
		"hs-old":     {"token_endpoint_auth_method": "client_secret_jwt", "client_secret": long, "allow_token_endpoint_audience": true},
		"oidc":       {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "profile": "oidc"},
		"moving":     {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "client_secret": secret, "token_endpoint_auth_migration": from("client_secret_basic")},
		"hs-to-es":   {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "client_secret": long, "token_endpoint_auth_migration": from("client_secret_jwt")},
		"post-to-hs": {"token_endpoint_auth_method": "client_secret_jwt", "client_secret": long, "token_endpoint_auth_migration": from("client_secret_post")},
		"to-tls": {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "partner.example", "jwks": set(p.selfKey),
			"token_endpoint_auth_migration": from("self_signed_tls_client_auth")},
	} {
		body["client_id"], body["redirect_uris"] = id, []string{"https://app.example/cb"}
		docs = append(docs, objects.Document{Kind: "client", Body: must(json.Marshal(body))})
	}
	return docs
}

func (r *rig) write(t testing.TB, fn func(*store.Tx) error) {
	t.Helper()
	if err := r.db.Write(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// offer is what a request carries.
type offer struct {
	form  url.Values
	basic string // value of the Authorization header
	peer  web.Peer
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func (r *rig) try(o offer) (*objects.Client, clients.Authn, error) {
	ctx := web.WithEvent(context.Background(), &web.Event{Peer: o.peer})
	q := httptest.NewRequestWithContext(ctx, "POST", issuer+"/token", strings.NewReader(""))
	if o.basic != "" {
		q.Header.Set("Authorization", o.basic)
	}
	c, err := clients.Parse(q, o.form)
	if err != nil {
		return nil, clients.Authn{}, err
	}
	return r.Authenticate(ctx, c)
}

// refused requires a visible error, with a cause that only the log sees.
func refused(t *testing.T, err error, code oauth.Code, cause string) {
	t.Helper()
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Code != code || !strings.Contains(err.Error(), cause) {
		t.Fatalf("got %v, want %s because of %q", err, code, cause)
	}
	if code == oauth.InvalidClient && cause != "" && e.Detail != "client authentication failed" {
		t.Errorf("the refusal says why to everybody: %q", e.Detail)
	}
}
