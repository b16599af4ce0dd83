package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestOpenRefuses(t *testing.T) {
	readable := filepath.Join(t.TempDir(), "readable.db")
	if err := os.WriteFile(readable, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url, synchronous, want string
	}{
		{"", "", "neither sqlite: nor postgres://"},
		{"mysql://x", "", "neither sqlite: nor postgres://"},
		{"sqlite:", "", "path of a file"},
		{"sqlite::memory:", "", "path of a file"},
		{"sqlite:" + filepath.Join(t.TempDir(), "none", "x.db"), "", "no such file"},
		{"sqlite:" + readable, "", "chmod 600"},
		{"sqlite:" + filepath.Join(t.TempDir(), "x.db"), "OFF", "synchronous"},
		{"postgres://u:secret@db.example/x", "", "verify-full"},
		{"postgres://u:secret@db.example/x?sslmode=disable", "", "verify-full"},
		{"postgres://u:secret@db.example/x?sslmode=require", "", "verify-full"},
		{"postgres://u:secret@db.example/x?sslmode=verify-ca", "", "verify-full"},
		{"postgres://u:secret@127.0.0.1,db.example/x?sslmode=disable", "", "verify-full"},
		{"postgres://u:secret@db.example:port/x", "", "port"},
	} {
		db, err := store.Open(t.Context(), c.url, store.Options{Synchronous: c.synchronous})
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", c.url)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %q, want one with %q and no secret", c.url, err, c.want)
		}
	}
	for _, url := range []string{
		"postgres://u:secret@db.example/x?sslmode=verify-full", "postgres://127.0.0.1/x?sslmode=disable",
		"postgres:///x?host=/run/postgresql", "postgresql://[::1]/x",
	} {
		db, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		db.Close()
	}
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a dir? with #odd%20 name")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	db := open(t, "sqlite:"+filepath.Join(dir, "x.db"))
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, db, "x", "1")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, %v; want the database, its log and its index", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

func put(t testing.TB, db *store.DB, name, value string) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.PutSetting(name, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func setting(t testing.TB, db *store.DB, name string) (value []byte) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
		value, err = tx.Setting(name)
		return err
	})
	if err != nil {
		t.Errorf("setting %s: %v", name, err)
	}
	return value
}

func TestBackup(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		put(t, db, "x", "1")
		path := filepath.Join(t.TempDir(), "it's a copy.db")
		err := db.Backup(t.Context(), path)
		if db.Engine() == store.PostgreSQL {
			if err == nil || !strings.Contains(err.Error(), "pg_dump") {
				t.Errorf("backup of PostgreSQL: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		put(t, db, "x", "2")
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the copy: %v, %v", info.Mode(), err)
		}
		if got := setting(t, open(t, "sqlite:"+path), "x"); !bytes.Equal(got, []byte("1")) {
			t.Errorf("the copy says %q", got)
		}
		if err := db.Backup(t.Context(), path); err == nil {
			t.Error("a backup overwrites a file")
		}
	})
}
