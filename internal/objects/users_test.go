package objects_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

const phc = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b5dWRWJTmaaJObG"

func account(t *testing.T, db *store.DB, name string) (a store.Account) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
		a, err = tx.AccountByName(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestImportUsersIsIdempotent(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		db := root.For("acme")
		hashed := 0
		hash := func(password string) (string, error) { hashed++; return "hash of " + password[:1], nil }
		run := func(owner string, bodies ...string) objects.Report {
			t.Helper()
			var docs []objects.Document
			for _, b := range bodies {
				docs = append(docs, document("user", b))
			}
			r, err := objects.ImportUsers(t.Context(), db, hash, owner, docs)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		alice := `{"username": "Alice", "password": "correct horse", "name": "Alice", "email": "alice@example.com", "email_verified": true, "address": {"locality": "Ghent"}}`
		bob := `{"username": "bob", "password_hash": "` + phc + `"}`
		if r := run("file", alice, bob); len(r.Created) != 2 || hashed != 1 {
			t.Fatalf("first: %+v, %d hashed", r, hashed)
		}
		a := account(t, db, "alice")
		if a.PasswordHash != "hash of c" || a.PasswordChangedAt.IsZero() || len(a.UserHandle) != 64 || a.Username != "Alice" {
			t.Errorf("account %+v", a)
		}
		var claims objects.Claims
		if err := json.Unmarshal(a.Claims, &claims); err != nil || claims.EmailVerified == nil || !*claims.EmailVerified || claims.Address.Locality != "Ghent" || claims.Name != "Alice" {
			t.Errorf("claims %s, %v", a.Claims, err)
		}
		if b := account(t, db, "BOB"); b.PasswordHash != phc || string(b.Claims) != "{}" {
			t.Errorf("account %+v", b)
		}
		if r := run("file", alice, bob); len(r.Unchanged) != 2 || hashed != 1 {
			t.Errorf("second: %+v, %d hashed", r, hashed)
		}
		if r := run("file", strings.Replace(alice, "Ghent", "Bruges", 1)); len(r.Updated) != 1 || hashed != 1 {
			t.Errorf("third: %+v", r)
		}
		if again := account(t, db, "alice"); again.ID != a.ID || again.PasswordHash != a.PasswordHash || string(again.UserHandle) != string(a.UserHandle) {
			t.Errorf("account %+v", again)
		}
		if r := run("admin", bob); len(r.Skipped) != 1 {
			t.Errorf("another owner: %+v", r)
		}
		if r := run("file", `{"username": "carol"}`); len(r.Created) != 1 {
			t.Errorf("no password: %+v", r)
		}
		if r := run("file", `{"username": "carol", "password": "battery staple"}`); len(r.Updated) != 1 || account(t, db, "carol").PasswordHash == "" {
			t.Errorf("first password: %+v", r)
		}
	})
}

func TestOIDCCore_5_1_ClaimsOfUsers(t *testing.T) {
	tests := []struct {
		body string
		want []string
	}{
		{`{"username": "a", "email": "a@example.com", "email_verified": true, "birthdate": "1970-01-01", "phone_number": "+32 9 1", "phone_number_verified": true}`, nil},
		{`{"username": "a", "email_verified": "true", "name": 1, "address": "Ghent"}`, []string{"address", "email_verified", "name"}},
		{`{"username": "a", "email": "nobody", "birthdate": "1.1.1970", "website": "javascript:x", "picture": "http://x.example/"}`, []string{"birthdate", "email", "picture", "website"}},
		{`{"username": "a", "email_verified": true, "phone_number_verified": true}`, []string{"email_verified", "phone_number_verified"}},
		{`{"username": "a", "password": "short"}`, []string{"password"}},
		{`{"username": "a", "password": "long enough", "password_hash": "` + phc + `"}`, []string{"password"}},
		{`{"username": "a", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}`, []string{"password_hash"}},
		{`{"username": "a", "password_hash": "$plaintext$secret"}`, []string{"password_hash"}},
		{`{"username": " a"}`, []string{"username"}},
		{`{"name": "a"}`, []string{"username"}},
		{`{"username": "a", "shoe_size": 44}`, []string{"shoe_size"}},
	}
	for _, test := range tests {
		_, problems := objects.ParseUser(document("user", test.body))
		if got := paths(problems); !slices.Equal(got, test.want) {
			t.Errorf("%s: problems of %q, want %q", test.body, got, test.want)
		}
		for _, p := range problems {
			if text := p.String(); strings.Contains(text, "short") && p.Path != "password" || strings.Contains(text, "5f4dcc") {
				t.Errorf("a problem quotes a secret: %s", text)
			}
		}
	}
}

func TestProblemsRefuseAllUsers(t *testing.T) {
	db := storetest.Open(t).For("acme")
	hash := func(string) (string, error) { t.Error("hashed for nothing"); return "", nil }
	docs := []objects.Document{document("user", `{"username": "a"}`), document("user", `{"username": "A"}`), document("user", `{"username": "b", "password": "short"}`)}
	_, err := objects.ImportUsers(t.Context(), db, hash, "file", docs)
	if problems, ok := errors.AsType[objects.Problems](err); !ok || len(problems) != 2 {
		t.Errorf("error %v", err)
	}
	err = db.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.AccountByName("a"); return err })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("something was imported: %v", err)
	}
}
