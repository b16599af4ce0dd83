// Package storetest opens migrated databases for the tests of every package, and holds the contract that each
// storage engine has to keep.
//
// It is for tests only. SQLite is always there; PostgreSQL is used if HOLDFAST_TEST_POSTGRES holds the URL of
// a server on which databases may be created.
package storetest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// Open returns a migrated SQLite database in a folder of its own, closed when the test ends. Options are those
// of store.Open, of which it takes the first; commits do not wait for the disk unless Synchronous says so.
func Open(t testing.TB, opts ...store.Options) *store.DB {
	t.Helper()
	return openURL(t, SQLiteURL(t), opts)
}

// Engines runs fn as a subtest on each engine there is, with a migrated, empty database.
func Engines(t *testing.T, fn func(t *testing.T, db *store.DB), opts ...store.Options) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { fn(t, openURL(t, url, opts)) })
}

// EachURL runs fn as a subtest on each engine there is, with the URL of a migrated, empty database: for tests
// that open it several times.
func EachURL(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	t.Run(store.SQLite, func(t *testing.T) { fn(t, SQLiteURL(t)) })
	t.Run(store.PostgreSQL, func(t *testing.T) { fn(t, PostgresURL(t)) })
}

// SQLiteURL returns the URL of a migrated, empty SQLite database in a folder of its own.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	file, err := template()
	if err != nil {
		t.Fatalf("make a SQLite template: %v", err)
	}
	path := filepath.Join(t.TempDir(), "holdfast.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// template is the content of a migrated, empty SQLite file: copying it is quicker than migrating each time.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "storetest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	if err := migrateURL("sqlite:" + path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func openURL(t testing.TB, url string, opts []store.Options) *store.DB {
	t.Helper()
	var o store.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Synchronous == "" {
		o.Synchronous = "NORMAL"
	}
	db, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return db
}
