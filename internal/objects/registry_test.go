package objects_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestDefaultsBindTokens(t *testing.T) {
	jwks := `"jwks": {"keys": [` + publicJWK + `]}`
	tests := []struct {
		name, body string
		dpop, cert bool
	}{
		{"secret", `{"client_id": "c", "redirect_uris": ["https://a.example/"], "client_secret": "` + longSecret + `"}`, true, false},
		{"public", `{"client_id": "c", "redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "none"}`, true, false},
		{"key", `{"client_id": "c", "redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "private_key_jwt", ` + jwks + `}`, true, false},
		{"key, bound to a certificate", `{"client_id": "c", "redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "private_key_jwt", "tls_client_certificate_bound_access_tokens": true, ` + jwks + `}`, false, true},
		{"certificate", `{"client_id": "c", "redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}`, false, true},
		{"certificate and DPoP", `{"client_id": "c", "redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example", "dpop_bound_access_tokens": true}`, true, false},
		{"bearer", `{"client_id": "c", "redirect_uris": ["https://a.example/"], "client_secret": "` + longSecret + `", "allow_bearer_tokens": true}`, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db := storetest.Open(t).For("acme")
			mustImport(t, db, keys.NewRing(), objects.ManagedByFile, document("client", test.body))
			c, err := objects.New(db).Client(t.Context(), "c")
			if err != nil {
				t.Fatal(err)
			}
			if c.DPoPBoundTokens != test.dpop || c.CertificateBoundTokens != test.cert {
				t.Errorf("DPoP %v, certificate %v", c.DPoPBoundTokens, c.CertificateBoundTokens)
			}
			if !c.AllowsGrant(oauth.GrantAuthorizationCode) || c.AllowsGrant(oauth.GrantClientCredentials) || !c.AllowsScope("openid") || c.AllowsScope("offline_access") || c.AllowsScope("") {
				t.Errorf("grants %v, scope %q", c.GrantTypes, c.Scope)
			}
		})
	}
}

func TestRegistryFollowsTheFeed(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		here, there := open(t, url), open(t, url)
		ring := keys.NewRing()
		f := feed.New(there, time.Now)
		r, other := objects.New(there.For("acme")), objects.New(there.For("beta"))
		f.Subscribe(r.Heard)
		f.Subscribe(other.Heard)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		t.Cleanup(func() { cancel(); <-done })

		title := func(r *objects.Registry) string {
			s, err := r.Scope(t.Context(), "read")
			if errors.Is(err, objects.ErrNotFound) {
				return "none"
			}
			if err != nil {
				t.Fatal(err)
			}
			return s.Title
		}
		becomes := func(want string) {
			t.Helper()
			for end := time.Now().Add(time.Second); title(r) != want; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it is %q a second later, want %q", title(r), want)
				}
			}
		}
		becomes("none")
		mustImport(t, here.For("acme"), ring, "admin", document("scope", `{"name": "read", "title": "One"}`))
		becomes("One")
		mustImport(t, here.For("acme"), ring, "admin", document("scope", `{"name": "read", "title": "Two"}`))
		becomes("Two")
		if got := title(other); got != "none" {
			t.Errorf("the other tenant sees %q", got)
		}
		err := here.For("acme").Write(t.Context(), func(tx *store.Tx) error { return objects.Delete(tx, "admin", "scope", "read", store.AnyRevision) })
		if err != nil {
			t.Fatal(err)
		}
		becomes("none")
	})
}

func TestRegistryCachesUntilToldOtherwise(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	r := objects.New(db)
	stale := false
	r.Stale = func() bool { return stale }
	mustImport(t, db, ring, "admin", document("api", `{"resource": "https://a", "name": "One"}`))
	name := func() string {
		a, err := r.API(t.Context(), "https://a")
		if err != nil {
			t.Fatal(err)
		}
		return a.Name
	}
	if name() != "One" {
		t.Fatal("not loaded")
	}
	first, _ := r.API(t.Context(), "https://a")
	second, _ := r.API(t.Context(), "https://a")
	if first != second {
		t.Error("decoded twice")
	}
	mustImport(t, db, ring, "admin", document("api", `{"resource": "https://a", "name": "Two"}`))
	if name() != "One" {
		t.Error("not cached")
	}
	stale = true
	if name() != "Two" {
		t.Error("the cache was believed although the feed is stale")
	}
	stale = false
	mustImport(t, db, ring, "admin", document("api", `{"resource": "https://a", "name": "Three"}`))
	r.Heard(store.Event{Tenant: "beta", Kind: store.EventObject, Key: "api/https://a"})
	r.Heard(store.Event{Tenant: "acme", Kind: store.EventGrant, Key: "api/https://a"})
	if name() != "Two" {
		t.Error("an event about something else was taken for this")
	}
	r.Heard(store.Event{Tenant: "acme", Kind: store.EventObject, Key: "api/https://a"})
	if name() != "Three" {
		t.Error("the event was not heard")
	}
	mustImport(t, db, ring, "admin", document("api", `{"resource": "https://a", "name": "Four"}`))
	r.Heard(store.Event{Kind: store.EventObject})
	if name() != "Four" {
		t.Error("everything may have changed, but was kept")
	}
}

func TestOIDCCore_5_4_StandardScopes(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	r := objects.New(db)
	for _, name := range objects.StandardScopes() {
		s, err := r.Scope(t.Context(), name)
		if err != nil || s.Name != name || s.Title == "" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if s, _ := r.Scope(t.Context(), "email"); !slices.Equal(s.Claims, []string{"email", "email_verified"}) {
		t.Errorf("claims %v", s.Claims)
	}
	mustImport(t, db, ring, "admin", document("scope", `{"name": "email", "title": "Mail"}`))
	r.Invalidate("scope", "email")
	if s, _ := r.Scope(t.Context(), "email"); s.Title != "Mail" {
		t.Errorf("title %q", s.Title)
	}
	if _, err := r.Scope(t.Context(), "other"); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("an unknown scope: %v", err)
	}
}

func open(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{Synchronous: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
