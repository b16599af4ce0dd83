package store_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// eachEngine runs fn on each engine with the URL of a database without a schema.
func eachEngine(t *testing.T, fn func(t *testing.T, url string)) {
	for _, engine := range []string{store.SQLite, store.PostgreSQL} {
		t.Run(engine, func(t *testing.T) { fn(t, storetest.EmptyURL(t, engine)) })
	}
}

func open(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// rawSQL runs a statement past the store.
func rawSQL(t *testing.T, url, statement string) {
	t.Helper()
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite", path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func status(t *testing.T, db *store.DB, ahead int64, want error) {
	t.Helper()
	have, program, err := db.MigrationStatus(t.Context())
	if !errors.Is(err, want) || program < 1 || have != program+ahead {
		t.Errorf("schema %d, program %d, %v; want the schema %+d ahead, %v", have, program, err, ahead, want)
	}
}

func TestSchemaBehindAndAhead(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		db := open(t, url)
		_, want, _ := db.MigrationStatus(t.Context())
		for range 2 { // asking changes nothing
			status(t, db, -want, store.ErrSchemaBehind)
		}
		for range 2 {
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			status(t, db, 0, nil)
		}
		rawSQL(t, url, "INSERT INTO goose_db_version (version_id, is_applied) SELECT MAX(version_id) + 1, is_applied FROM goose_db_version GROUP BY is_applied")
		status(t, db, 1, nil)
		if err := db.Migrate(t.Context()); err != nil {
			t.Errorf("migrate one version ahead: %v", err)
		}
		status(t, db, 1, nil)
		rawSQL(t, url, "INSERT INTO goose_db_version (version_id, is_applied) SELECT MAX(version_id) + 1, is_applied FROM goose_db_version GROUP BY is_applied")
		status(t, db, 2, store.ErrSchemaAhead)
	})
}

func TestMigrateAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 4 {
			db := open(t, url)
			wg.Go(func() {
				if err := db.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		status(t, open(t, url), 0, nil)
	})
}

// A consent that an earlier release has written says nothing of what came later.
func TestConsentOfAnEarlierRelease(t *testing.T) {
	eachEngine(t, func(t *testing.T, url string) {
		root := open(t, url)
		if err := root.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		db := root.For("acme")
		put := func(tx *store.Tx) error {
			return tx.PutConsent(store.Consent{AccountID: "alice", ClientID: "app", Scope: []string{"openid"}, Allowed: map[string][]string{"": {"openid"}}})
		}
		if err := db.Write(t.Context(), put); err != nil {
			t.Fatal(err)
		}
		rawSQL(t, url, "UPDATE consents SET allowed = '', details = ''") // as the migration fills them in
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			c, err := tx.Consent("alice", "app")
			if c.Allowed != nil || c.Details != nil || len(c.Scope) != 1 {
				t.Errorf("got %+v", c)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
