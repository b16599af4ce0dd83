package objects_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func stored(t *testing.T, db *store.DB, kind, name string) (o store.Object) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
		o, err = tx.Object(kind, name)
		return err
	})
	if err != nil {
		t.Fatalf("load %s/%s: %v", kind, name, err)
	}
	return o
}

func TestImportIsIdempotent(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		db, ring := root.For("acme"), keys.NewRing()
		docs := []objects.Document{
			with(nil),
			document("client", `{"client_id": "gen", "client_secret": null, "generate_client_secret": true, "redirect_uris": ["https://a.example/cb"]}`),
			document("client", `{"redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "none"}`),
			document("api", `{"resource": "https://api.example.com", "scopes": ["read"]}`),
			document("scope", `{"name": "read"}`),
		}
		first := mustImport(t, db, ring, objects.ManagedByFile, docs...)
		if len(first.Created) != 5 || len(first.Secrets) != 1 || len(first.Secrets["gen"]) < 43 {
			t.Fatalf("first import: %+v", first)
		}
		again := mustImport(t, db, ring, objects.ManagedByFile, docs...)
		if len(again.Unchanged) != 5 || len(again.Created)+len(again.Updated)+len(again.Secrets) != 0 {
			t.Errorf("second import: %+v", again)
		}
		if o := stored(t, db, "client", "web"); o.Revision != 1 {
			t.Errorf("revision %d", o.Revision)
		}
		docs[3] = document("api", `{"resource": "https://api.example.com", "scopes": ["read", "write"]}`)
		changed := mustImport(t, db, ring, objects.ManagedByFile, docs...)
		if !slices.Equal(changed.Updated, []string{"api/https://api.example.com"}) || len(changed.Unchanged) != 4 {
			t.Errorf("third import: %+v", changed)
		}
		err := root.For("beta").Read(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Object("client", "web")
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an import crossed tenants: %v", err)
		}
	})
}

func TestSecretsAreStoredHashed(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	mustImport(t, db, ring, objects.ManagedByFile, with(m{"client_secret_expires_at": 4102444800}))
	o := stored(t, db, "client", "web")
	if strings.Contains(string(o.Body), longSecret) {
		t.Error("the secret is stored in clear")
	}
	c, err := objects.New(db).Client(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Secrets) != 1 || !ring.Matches(c.Secrets[0].Hash, longSecret) || c.Secrets[0].Weak {
		t.Errorf("secrets %+v", c.Secrets)
	}
	if got := c.Secrets[0].ExpiresAt; got.Year() != 2100 {
		t.Errorf("expires %v", got)
	}
	if live := c.LiveSecrets(c.Secrets[0].ExpiresAt); len(live) != 0 {
		t.Error("an expired secret lives")
	}
	shown, err := objects.Public(o)
	if err != nil || strings.Contains(string(shown), "hash") || strings.Contains(string(shown), c.Secrets[0].Hash) {
		t.Errorf("shown %s, %v", shown, err)
	}
	// What is shown can be written back: the secret stays.
	again := mustImport(t, db, ring, objects.ManagedByFile, objects.Document{Kind: "client", Body: shown})
	if len(again.Unchanged) != 1 {
		t.Errorf("written back: %+v", again)
	}
	mustImport(t, db, ring, objects.ManagedByFile, with(m{"client_secret": longSecret + "2"}))
	if o := stored(t, db, "client", "web"); o.Revision != 2 {
		t.Errorf("another secret: revision %d", o.Revision)
	}
}

func TestImportLeavesOtherOwnersAlone(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	mustImport(t, db, ring, objects.ManagedByAdmin, document("scope", `{"name": "read", "title": "Admin's"}`))
	r := mustImport(t, db, ring, objects.ManagedByFile, document("scope", `{"name": "read", "title": "File's"}`), document("scope", `{"name": "write"}`))
	if !slices.Equal(r.Skipped, []string{"scope/read (managed by admin)"}) || !slices.Equal(r.Created, []string{"scope/write"}) {
		t.Errorf("%+v", r)
	}
	if o := stored(t, db, "scope", "read"); o.Revision != 1 || o.ManagedBy != objects.ManagedByAdmin || !strings.Contains(string(o.Body), "Admin's") {
		t.Errorf("changed: %+v", o)
	}
}

func TestProblemsRefuseTheWholeImport(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	r, err := importDocs(t, db, ring, objects.ManagedByFile,
		document("scope", `{"name": "read", "colour": "red"}`), document("scope", `{"name": "a b"}`), document("nonsense", `{}`), document("scope", `{"name": "read"}`))
	problems, ok := errors.AsType[objects.Problems](err)
	if !ok || len(problems) != 3 {
		t.Fatalf("error %v", err)
	}
	for _, p := range problems {
		if p.Source != "clients.json:1" {
			t.Errorf("%v does not say where", p)
		}
	}
	if len(r.Created) != 0 || len(r.Notices) != 1 || r.Notices[0].Path != "colour" {
		t.Errorf("report %+v", r)
	}
	err = db.Read(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Object("scope", "read")
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("something was imported: %v", err)
	}
}

func TestPutNeedsRevisionAndOwner(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	put := func(owner, body string, expect int64) error {
		return db.Write(t.Context(), func(tx *store.Tx) error {
			_, _, _, err := objects.Put(tx, ring, owner, document("scope", body), expect)
			return err
		})
	}
	if err := put("admin", `{"name": "read"}`, store.NoRevision); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		owner  string
		expect int64
		want   error
	}{{"admin", store.NoRevision, store.ErrTaken}, {"admin", 7, store.ErrConflict}, {"file", 1, objects.ErrOwner}, {"admin", 1, nil}} {
		if err := put(test.owner, `{"name": "read", "title": "x"}`, test.expect); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if _, ok := errors.AsType[objects.Problems](put("admin", `{"name": ""}`, store.AnyRevision)); !ok {
		t.Error("problems were not found")
	}
}

func TestDeletedClientsTokensAreRevoked(t *testing.T) {
	root := storetest.Open(t)
	db, ring := root.For("acme"), keys.NewRing()
	mustImport(t, db, ring, objects.ManagedByAdmin, with(nil))
	remove := func(owner string, expect int64) error {
		return db.Write(t.Context(), func(tx *store.Tx) error { return objects.Delete(tx, owner, "client", "web", expect) })
	}
	if err := remove("file", 1); !errors.Is(err, objects.ErrOwner) {
		t.Errorf("by another owner: %v", err)
	}
	if err := remove("admin", 2); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another revision: %v", err)
	}
	if err := remove("admin", 1); err != nil {
		t.Fatal(err)
	}
	if err := remove("admin", store.AnyRevision); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	events, err := root.Events(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e store.Event) bool {
		return e.Kind == store.EventClient && e.Key == "web" && e.Tenant == "acme" && !e.NotBefore.IsZero()
	}) {
		t.Errorf("no revocation among %+v", events)
	}
}

func TestNewSecretLetsTheOldOneWorkForAWhile(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	mustImport(t, db, ring, objects.ManagedByAdmin, with(nil), document("client", `{"client_id": "pub", "token_endpoint_auth_method": "none", "redirect_uris": ["https://a.example/"]}`))
	rotate := func(owner, id string, keep time.Duration, expect int64) (secret keys.Secret, err error) {
		err = db.Write(t.Context(), func(tx *store.Tx) (err error) {
			_, secret, err = objects.NewSecret(tx, ring, owner, id, keep, expect)
			return err
		})
		return secret, err
	}
	secret, err := rotate("admin", "web", time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}
	client := func() *objects.Client {
		c, err := objects.New(db).Client(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := client()
	if len(c.Secrets) != 2 || !ring.Matches(c.Secrets[0].Hash, secret.Reveal()) || !ring.Matches(c.Secrets[1].Hash, longSecret) {
		t.Fatalf("secrets %+v", c.Secrets)
	}
	if !c.Secrets[0].ExpiresAt.IsZero() || c.Secrets[1].ExpiresAt.IsZero() {
		t.Errorf("the wrong one expires: %+v", c.Secrets)
	}
	if _, err := rotate("admin", "web", 0, 2); err != nil {
		t.Fatal(err)
	}
	if c := client(); len(c.Secrets) != 1 {
		t.Errorf("secrets %+v", c.Secrets)
	}
	for _, test := range []struct {
		owner, id string
		expect    int64
		want      error
	}{{"file", "web", 3, objects.ErrOwner}, {"admin", "pub", 1, objects.ErrNoSecret}, {"admin", "none", 1, store.ErrNotFound}, {"admin", "web", 1, store.ErrConflict}} {
		if _, err := rotate(test.owner, test.id, 0, test.expect); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
