package app

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// publisher is a client's own server with its key set.
type publisher struct {
	*httptest.Server
	set   atomic.Pointer[jose.Set]
	down  atomic.Bool
	asked atomic.Int32
}

func newPublisher(t *testing.T) *publisher {
	p := new(publisher)
	p.set.Store(new(jose.Set))
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if p.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Cache-Control", "max-age=300")
		_ = json.NewEncoder(w).Encode(p.set.Load())
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) publish(list ...*jose.Signer) {
	set := new(jose.Set)
	for _, s := range list {
		set.Keys = append(set.Keys, s.Key())
	}
	p.set.Store(set)
}

// turning is a server with one client, whose keys are at the publisher.
type turning struct {
	*running
	*publisher
}

func newTurning(t *testing.T) *turning {
	t.Helper()
	p := newPublisher(t)
	roots := filepath.Join(t.TempDir(), "owner.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	port := p.URL[strings.LastIndex(p.URL, ":")+1:]
	r := start(t, config+`outbound: {ca_files: ["`+roots+`"], allow: [{purpose: jwks, cidr: 127.0.0.0/8, ports: [`+port+"]}]}\n")
	r.write("objects.yaml", things+`---
kind: client
client_id: turner
token_endpoint_auth_method: private_key_jwt
jwks_uri: `+p.URL+`/keys
grant_types: [client_credentials]
scope: orders.read
allow_bearer_tokens: true
resources: [https://api.test]
`)
	r.bring("main")
	return &turning{r, p}
}

// authenticate is the code of the answer to a token request signed by s, "" for a token.
func (r *turning) authenticate(s *jose.Signer) string {
	r.t.Helper()
	now := r.app.Clock.Now()
	assertion, err := s.Sign("JWT", map[string]any{
		"iss": "turner", "sub": "turner", "aud": "https://login.test", "jti": store.NewID(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	a := r.post(r.client(), "https://login.test/token", url.Values{
		"grant_type": {"client_credentials"}, "resource": {"https://api.test"},
		"client_assertion_type": {oauth.AssertionType}, "client_assertion": {assertion},
	})
	code, _ := a.json(r.t)["error"].(string)
	return code
}

// wait moves the clock of the server.
func (r *turning) wait(d time.Duration) {
	r.t.Helper()
	offset := time.Duration(r.app.Clock.offset.Load()) + d
	if err := r.app.Clock.move(r.t.Context(), r.app.DB, offset); err != nil {
		r.t.Fatal(err)
	}
}

func signer(t *testing.T, alg jose.Alg, kid string) *jose.Signer {
	t.Helper()
	k, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(k.WithID(kid))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The keys of a client turn without anybody telling us: the new one works at once, the old one until it is withdrawn.
func TestClientTurnsItsKey(t *testing.T) {
	r := newTurning(t)
	old, next, third := signer(t, jose.ES256, "2029"), signer(t, jose.PS256, "2030"), signer(t, jose.EdDSA, "2031")
	try := func(s *jose.Signer, want string, asked int32) {
		t.Helper()
		if got := r.authenticate(s); got != want || r.asked.Load() != asked {
			t.Errorf("by %s: %q after %d readings, want %q after %d", s.Key().ID(), got, r.asked.Load(), want, asked)
		}
	}
	r.publish(old)
	try(old, "", 1)
	try(old, "", 1)

	r.publish(old, next) // both for a while
	try(next, "", 2)
	try(old, "", 2)

	r.publish(next) // the old one is withdrawn
	r.wait(5 * time.Minute)
	try(next, "", 3)
	try(old, "invalid_client", 4) // it is looked for, for it is not known
	try(old, "invalid_client", 4)

	r.publish(next, third)
	r.wait(time.Minute)
	try(third, "", 5)

	r.down.Store(true)
	r.wait(5 * time.Minute)
	try(third, "", 6) // what is known is good for an hour more
	r.wait(time.Hour)
	try(third, "invalid_client", 7)
	r.down.Store(false)
	r.wait(10 * time.Second)
	try(third, "", 8)
}

// A key that was replaced under its name, or that has none, is found as well.
func TestClientTurnsItsKeyWithoutSaying(t *testing.T) {
	for _, kid := range []string{"always", ""} {
		t.Run("kid "+kid, func(t *testing.T) {
			r := newTurning(t)
			old, next, more := signer(t, jose.ES256, kid), signer(t, jose.ES256, kid), signer(t, jose.ES256, kid)
			r.publish(old, more)
			if got := r.authenticate(more); got != "" {
				t.Errorf("one of two keys: %s", got)
			}
			r.publish(next)
			if got := r.authenticate(next); got != "" || r.asked.Load() != 2 {
				t.Errorf("the new key: %q after %d readings", got, r.asked.Load())
			}
			if got := r.authenticate(old); got != "invalid_client" || r.asked.Load() != 2 {
				t.Errorf("the old key: %q after %d readings", got, r.asked.Load())
			}
		})
	}
}
