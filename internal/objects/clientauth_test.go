package objects_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// signing is a client that signs with its secret.
func signing(changes m) objects.Document {
	all := m{"token_endpoint_auth_method": "client_secret_jwt"}
	for name, value := range changes {
		all[name] = value
	}
	return with(all)
}

func TestOIDCCore_9_ClientsThatSignWithTheirSecret(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4)
	tests := []struct {
		name    string
		changes m
		want    []string // paths of problems
	}{
		{"good", nil, nil},
		{"HS256", m{"token_endpoint_auth_signing_alg": "HS256"}, nil},
		{"HS384 with too little", m{"token_endpoint_auth_signing_alg": "HS384"}, []string{"secrets[0]"}},
		{"HS384", m{"token_endpoint_auth_signing_alg": "HS384", "client_secret": long[:48]}, nil},
		{"HS512 with too little", m{"token_endpoint_auth_signing_alg": "HS512", "client_secret": long[:63]}, []string{"secrets[0]"}},
		{"HS512", m{"token_endpoint_auth_signing_alg": "HS512", "client_secret": long}, nil},
		{"HS512, generated", m{"token_endpoint_auth_signing_alg": "HS512", "client_secret": nil, "generate_client_secret": true}, nil},
		{"ES256", m{"token_endpoint_auth_signing_alg": "ES256"}, []string{"token_endpoint_auth_signing_alg"}},
		{"none", m{"token_endpoint_auth_signing_alg": "none"}, []string{"token_endpoint_auth_signing_alg"}},
		{"HS256 for a key", m{"token_endpoint_auth_method": "private_key_jwt", "client_secret": nil, "jwks": json.RawMessage(`{"keys":[` + publicJWK + `]}`),
			"token_endpoint_auth_signing_alg": "HS256"}, []string{"token_endpoint_auth_signing_alg"}},
		{"no secret", m{"client_secret": nil}, []string{"token_endpoint_auth_method"}},
		{"weak secret", m{"client_secret": "short"}, []string{"client_secret"}},
		{"weak secret that is allowed otherwise", m{"client_secret": "short", "allow_weak_secret": true}, []string{"secrets[0]"}},
		{"hash", m{"client_secret": nil, "secrets": []m{{"hash": "a:b"}}}, []string{"secrets[0]"}},
		{"sealed", m{"client_secret": nil, "secrets": []m{{"sealed": "a:b"}}}, []string{"secrets[0]"}},
		{"FAPI", m{"profile": "fapi2"}, []string{"token_endpoint_auth_method"}},
		{"FAPI with messages", m{"profile": "fapi2-message-signing"}, []string{"jwks", "token_endpoint_auth_method"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := paths(objects.Validate(signing(test.changes))); !slices.Equal(got, test.want) {
				t.Errorf("problems of %q, want %q", got, test.want)
			}
		})
	}
}

func TestMigrationsAreChecked(t *testing.T) {
	from := func(method string) m { return m{"from": method, "until": "2030-01-31T00:00:00Z"} }
	secret := m{"client_secret": longSecret}
	both := func(migration any, more m) m {
		all := m{"token_endpoint_auth_migration": migration}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	tests := []struct {
		name, profile string
		changes       m
		want          []string // paths of problems
	}{
		{"from a secret", "", both(from("client_secret_basic"), secret), nil},
		{"from a secret that is generated", "", both(from("client_secret_jwt"), m{"generate_client_secret": true}), nil},
		{"from a secret without one", "", both(from("client_secret_basic"), nil), []string{"token_endpoint_auth_method"}},
		{"from a certificate", "", both(from("tls_client_auth"), m{"tls_client_auth_san_dns": "p.example"}), nil},
		{"from a certificate without a name", "", both(from("tls_client_auth"), nil), []string{"tls_client_auth_subject_dn"}},
		{"from itself", "", both(from("private_key_jwt"), nil), []string{"token_endpoint_auth_migration.from"}},
		{"from nothing", "", both(from("none"), nil), []string{"token_endpoint_auth_migration"}},
		{"to nothing", "", both(from("private_key_jwt"), m{"token_endpoint_auth_method": "none"}), []string{"token_endpoint_auth_migration"}},
		{"from magic", "", both(from("magic"), nil), []string{"token_endpoint_auth_migration.from"}},
		{"for ever", "", both(m{"from": "client_secret_basic"}, secret), []string{"token_endpoint_auth_migration.until"}},
		{"until some time", "", both(m{"from": "client_secret_basic", "until": "soon"}, nil), []string{"token_endpoint_auth_migration"}},
		{"FAPI, from a certificate", "fapi2", both(from("tls_client_auth"), m{"tls_client_auth_san_dns": "p.example"}), nil},
		{"FAPI, from a secret", "fapi2", both(from("client_secret_jwt"), secret), []string{"token_endpoint_auth_migration.from"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := paths(objects.Validate(keyed(test.profile, test.changes))); !slices.Equal(got, test.want) {
				t.Errorf("problems of %q, want %q", got, test.want)
			}
		})
	}
}

// While a client changes over between certificate and DPoP, each request is bound by what it has.
func TestMigrationBetweenBindings(t *testing.T) {
	db := storetest.Open(t).For("acme")
	until := time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)
	mustImport(t, db, keys.NewRing(), objects.ManagedByFile, keyed("", m{
		"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "p.example",
		"token_endpoint_auth_migration": m{"from": "private_key_jwt", "until": until},
	}))
	c, err := objects.New(db).Client(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if c.AllowBearerTokens || c.DPoPBoundTokens || c.CertificateBoundTokens {
		t.Errorf("bearer %v, DPoP %v, certificate %v", c.AllowBearerTokens, c.DPoPBoundTokens, c.CertificateBoundTokens)
	}
	before, after := until.Add(-time.Second), until
	for method, want := range map[string][2]bool{"tls_client_auth": {true, true}, "private_key_jwt": {true, false}, "client_secret_basic": {}, "none": {}} {
		if got := [2]bool{c.AuthenticatesBy(method, before), c.AuthenticatesBy(method, after)}; got != want {
			t.Errorf("%s: %v, want %v", method, got, want)
		}
	}
}

func TestWeakerMethod(t *testing.T) {
	until := time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct{ from, to, want string }{
		{"client_secret_basic", "private_key_jwt", "client_secret_basic"},
		{"private_key_jwt", "client_secret_jwt", "client_secret_jwt"},
		{"client_secret_post", "client_secret_jwt", "client_secret_post"},
		{"client_secret_post", "client_secret_basic", ""},
		{"tls_client_auth", "private_key_jwt", ""},
	} {
		var c objects.Client
		c.TokenAuthMethod = test.to
		if got := c.WeakerMethod(until); got != "" {
			t.Errorf("without a migration: %q", got)
		}
		c.AuthMigration = &objects.AuthMigration{From: test.from, Until: until}
		if got := c.WeakerMethod(until.Add(-1)); got != test.want {
			t.Errorf("from %s to %s: %q", test.from, test.to, got)
		}
		if got := c.WeakerMethod(until); got != "" {
			t.Errorf("from %s to %s when it is over: %q", test.from, test.to, got)
		}
	}
}

func TestSecretsToSignWithAreSealed(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		db, ring := root.For("acme"), keys.NewRing()
		mustImport(t, db, ring, objects.ManagedByFile, signing(nil))
		o := stored(t, db, "client", "web")
		c, err := objects.New(db).Client(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Secrets) != 1 || c.Secrets[0].Hash != "" || strings.Contains(string(o.Body), longSecret) {
			t.Fatalf("stored %s", o.Body)
		}
		s := c.Secrets[0]
		if got, err := s.Open(ring, "web"); err != nil || got.Reveal() != longSecret || !s.Matches(ring, "web", longSecret) || s.Matches(ring, "web", "else") {
			t.Errorf("opened: %v", err)
		}
		if _, err := s.Open(ring, "another"); err == nil {
			t.Error("a secret opens for another client")
		}
		if shown, err := objects.Public(o); err != nil || strings.Contains(string(shown), "sealed") {
			t.Errorf("shown %s, %v", shown, err)
		}
		if again := mustImport(t, db, ring, objects.ManagedByFile, signing(nil)); len(again.Unchanged) != 1 {
			t.Errorf("the same again: %+v", again)
		}
		mustImport(t, db, ring, objects.ManagedByFile, signing(m{"client_secret": longSecret + "2"}))
		if o := stored(t, db, "client", "web"); o.Revision != 2 {
			t.Errorf("another secret: revision %d", o.Revision)
		}
	})
}

// A secret that was sealed may be hashed from now on; one that was hashed can never be signed with.
func TestSecretsFollowTheMethod(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	secrets := func() objects.StoredSecret {
		t.Helper()
		c, err := objects.New(db).Client(t.Context(), "web")
		if err != nil || len(c.Secrets) != 1 {
			t.Fatalf("%+v, %v", c, err)
		}
		return c.Secrets[0]
	}
	mustImport(t, db, ring, objects.ManagedByFile, signing(m{"client_secret_expires_at": 4102444800}))
	mustImport(t, db, ring, objects.ManagedByFile, with(m{"client_secret": nil}))
	if s := secrets(); s.Sealed != "" || !ring.Matches(s.Hash, longSecret) || s.ExpiresAt.Year() != 2100 {
		t.Errorf("from sealed to hashed: %+v", s)
	}
	_, err := importDocs(t, db, ring, objects.ManagedByFile, signing(m{"client_secret": nil}))
	if problems, ok := err.(objects.Problems); !ok || !slices.Equal(paths(problems), []string{"token_endpoint_auth_method"}) {
		t.Errorf("from hashed to sealed: %v", err)
	}
	r := mustImport(t, db, ring, objects.ManagedByFile, signing(m{"client_secret": nil, "generate_client_secret": true}))
	if got, err := secrets().Open(ring, "web"); err != nil || got != r.Secrets["web"] || len(got) != 86 {
		t.Errorf("a new one to sign with: %d characters, %v", len(got), err)
	}
	_, err = importDocs(t, db, ring, objects.ManagedByFile, signing(m{"client_secret": longSecret, "token_endpoint_auth_signing_alg": "HS512"}))
	if problems, ok := err.(objects.Problems); !ok || !slices.Equal(paths(problems), []string{"secrets[0]"}) {
		t.Errorf("too short a secret: %v", err)
	}
}

func TestNewSecretToSignWith(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	mustImport(t, db, ring, objects.ManagedByFile, signing(nil))
	var next keys.Secret
	if err := db.Write(t.Context(), func(tx *store.Tx) (err error) {
		_, next, err = objects.NewSecret(tx, ring, objects.ManagedByFile, "web", time.Hour, store.AnyRevision)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c, err := objects.New(db).Client(t.Context(), "web")
	if err != nil || len(c.Secrets) != 2 {
		t.Fatalf("%+v, %v", c, err)
	}
	for i, want := range []string{next.Reveal(), longSecret} {
		if got, err := c.Secrets[i].Open(ring, "web"); err != nil || got.Reveal() != want {
			t.Errorf("secret %d: %v", i, err)
		}
	}
}

func TestRewrapOfClients(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		file, db := filepath.Join(t.TempDir(), "ring.json"), root.For("acme")
		old, err := keys.CreateRing(file)
		ok(err)
		ring, err := keys.LoadRing(file)
		ok(err)
		mustImport(t, db, ring, objects.ManagedByFile, signing(nil), document("client", `{"client_id": "other", "redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "none"}`))
		young, err := keys.AddKey(file)
		ok(err)
		ok(keys.ActivateKey(file, young))
		ring, err = keys.LoadRing(file)
		ok(err)
		for _, want := range []int{1, 0} {
			var n int
			ok(db.Write(t.Context(), func(tx *store.Tx) (err error) {
				n, err = objects.Rewrap(tx, ring)
				return err
			}))
			if n != want {
				t.Errorf("%d were sealed again, want %d", n, want)
			}
		}
		ok(keys.CheckUnused(t.Context(), root, old))
		ok(keys.DropKey(file, old))
		ring, err = keys.LoadRing(file)
		ok(err)
		c, err := objects.New(db).Client(t.Context(), "web")
		ok(err)
		if s, err := c.Secrets[0].Open(ring, "web"); err != nil || s.Reveal() != longSecret {
			t.Errorf("opened: %v", err)
		}
	})
}
