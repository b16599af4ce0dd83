package admin_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/admin"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const adminURL = "https://admin.example.com"

// bench is the API of one tenant with a key and a token that may do everything.
type bench struct {
	*admin.Endpoints
	t      *testing.T
	mux    http.Handler
	signer *jose.Signer
	tokens map[string]*admin.Token
	token  string // of call
}

func newBench(t *testing.T, root *store.DB, tenant string) *bench {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, signer: signer, token: "token-of-" + tenant, tokens: map[string]*admin.Token{}}
	ring, db := keys.NewRing(), root.For(tenant)
	signing := keys.NewSigning(keys.SigningConfig{DB: db, Ring: ring, Algs: []jose.Alg{jose.ES256}})
	if err := signing.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Endpoints = &admin.Endpoints{
		AdminURL: adminURL, DB: db, Ring: ring, Signing: signing, Nonces: dpop.NewNonces(bytes.Repeat([]byte{1}, 32)),
		Trail: &audit.Trail{DB: root, Now: time.Now}, Now: time.Now, Inspect: b.inspect,
		Preview: func(_ context.Context, q tokens.Trial) (*tokens.Preview, error) {
			if q.ClientID != "web" {
				return nil, oauth.Refuse(oauth.InvalidRequest, "there is no such client")
			}
			return &tokens.Preview{Format: "jwt", AccessToken: json.RawMessage(`{"sub":"` + q.User + `"}`)}, nil
		},
		ReadSectors: func(ctx context.Context, docs []objects.Document) error {
			return objects.ReadSectors(ctx, db, b.get, docs)
		},
		HashPassword: func(p string) (string, error) { return "hash:" + p, nil },
	}
	b.tokens[b.token] = b.dpopToken(allScopes...)
	mux := web.NewMux(web.ProblemDoor)
	b.Mount(mux.ServeMux)
	b.MountLocal(mux.ServeMux, "/local")
	b.mux = mux
	return b
}

var allScopes = []string{
	"admin.clients.read", "admin.clients.write", "admin.apis.read", "admin.apis.write", "admin.scopes.read", "admin.scopes.write",
	"admin.users.read", "admin.users.write", "admin.keys.read", "admin.keys.write", "admin.audit.read",
	"admin.tokens.read",
}

func (b *bench) dpopToken(scopes ...string) *admin.Token {
	return &admin.Token{Subject: "alice", ClientID: "cli", Audience: []string{adminURL}, Scope: scopes, Bound: oauth.Confirmation{JKT: b.signer.Key().Thumbprint()}}
}

// get stands for the network: one address has a sector.
func (b *bench) get(_ context.Context, purpose, url string) ([]byte, http.Header, error) {
	if purpose != objects.PurposeSector || url != "https://sector.example/uris" {
		return nil, nil, errors.New("there is no such address")
	}
	return []byte(`["https://a.example/cb","https://b.example/cb"]`), nil, nil
}

func (b *bench) inspect(_ context.Context, token string) (*admin.Token, error) {
	if token == "fault" {
		return nil, errors.New("the database is away")
	}
	if t := b.tokens[token]; t != nil {
		return t, nil
	}
	return nil, oauth.Refuse(oauth.InvalidToken, "unknown")
}

// certificate is one to bind tokens to.
func certificate(raw string) *x509.Certificate {
	return &x509.Certificate{Raw: []byte(raw), NotAfter: time.Now().Add(time.Hour)}
}

// request makes a request with the token and a proof for it.
func (b *bench) request(method, path, body string, headers ...string) *http.Request {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, adminURL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "DPoP "+b.token)
	proof, err := dpop.Make(b.signer, method, adminURL+r.URL.EscapedPath(), b.Nonces.Current(b.Now()), b.token, b.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("DPoP", proof)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	return r.WithContext(web.WithEvent(r.Context(), &web.Event{RequestID: "r-1", Peer: web.Peer{Prefix: "192.0.2.0/24"}}))
}

// response is what came back.
type response struct {
	*httptest.ResponseRecorder
	t *testing.T
}

func (b *bench) do(r *http.Request) response {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	return response{w, b.t}
}

// call makes a request and asks for its status.
func (b *bench) call(status int, method, path, body string, headers ...string) response {
	b.t.Helper()
	w := b.do(b.request(method, path, body, headers...))
	if w.Code != status {
		b.t.Fatalf("%s %s: %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
		b.t.Errorf("%s %s: a refusal of type %q", method, path, w.Header().Get("Content-Type"))
	}
	return w
}

// into decodes the body.
func (r response) into(v any) {
	r.t.Helper()
	if err := json.Unmarshal(r.Body.Bytes(), v); err != nil {
		r.t.Fatalf("%v: %s", err, r.Body)
	}
}

func (b *bench) records(action string) (list []store.AuditRecord) {
	b.t.Helper()
	err := b.DB.Read(b.t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.Audits(store.AuditFilter{Action: action})
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// flush writes what the trail has observed.
func (b *bench) flush() {
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	b.Trail.Run(ctx)
}

func single(t *testing.T) *bench {
	t.Helper()
	return newBench(t, storetest.Open(t), "acme")
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
