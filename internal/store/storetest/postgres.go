package storetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/migrate"
)

// PostgresURL returns the URL of a migrated, empty database on the server that HOLDFAST_TEST_POSTGRES names,
// dropped when the test ends. Without the variable the test is skipped.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server(t)
	template, err := postgresTemplate()
	if err != nil {
		t.Fatalf("make a PostgreSQL template: %v", err)
	}
	return createDatabase(t, template)
}

// EmptyURL returns the URL of a database of an engine without a schema.
func EmptyURL(t testing.TB, engine string) string {
	t.Helper()
	if engine == store.PostgreSQL {
		return createDatabase(t, "template0")
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "holdfast.db")
}

func server(t testing.TB) string {
	t.Helper()
	server := os.Getenv("HOLDFAST_TEST_POSTGRES")
	if server == "" {
		t.Skip("HOLDFAST_TEST_POSTGRES is not set")
	}
	return server
}

func createDatabase(t testing.TB, template string) string {
	t.Helper()
	server := server(t)
	db := "holdfast_" + hex.EncodeToString([]byte(store.NewID())[:12])
	if err := postgres(server, "CREATE DATABASE "+db+" TEMPLATE "+template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres(server, "DROP DATABASE "+db+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return withDatabase(server, db)
}

// postgresTemplate makes the database that the others are copied from, once a server and schema: packages are
// tested at the same time.
var postgresTemplate = sync.OnceValues(func() (string, error) {
	server := os.Getenv("HOLDFAST_TEST_POSTGRES")
	sum := sha256.New()
	err := fs.WalkDir(migrate.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := migrate.Files.ReadFile(name)
		fmt.Fprintf(sum, "%s\n%s\n", name, text)
		return err
	})
	if err != nil {
		return "", err
	}
	name := "holdfast_template_" + hex.EncodeToString(sum.Sum(nil)[:8])
	return name, locked(server, func(conn *sql.Conn) error {
		var have bool
		err := conn.QueryRowContext(context.Background(), "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&have)
		if err != nil || have {
			return err
		}
		if err := postgres(server, "CREATE DATABASE "+name+"_new"); err != nil {
			return err
		}
		if err := migrateURL(withDatabase(server, name+"_new")); err != nil {
			return err
		}
		return postgres(server, "ALTER DATABASE "+name+"_new RENAME TO "+name) // complete, or not there
	})
})

// locked runs fn while no other process does.
func locked(server string, fn func(*sql.Conn) error) error {
	db, err := sql.Open("pgx", server)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(context.Background(), "SELECT pg_advisory_lock(4857431)"); err != nil {
		return err
	}
	return fn(conn)
}

func postgres(server, statement string) error {
	db, err := sql.Open("pgx", server)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(context.Background(), statement)
	return err
}

func migrateURL(url string) error {
	db, err := store.Open(context.Background(), url, store.Options{Synchronous: "NORMAL"})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(context.Background())
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	u.Path = "/" + name
	return u.String()
}
