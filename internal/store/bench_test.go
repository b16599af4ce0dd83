package store_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// Each benchmark of the store stands beside the least that could do the same in the same run: a fsynced
// append, or the bare database/sql statement. Commits wait for the disk, as in production.

const concurrent = 64

func BenchmarkFloorFsyncedAppend(b *testing.B) {
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	row := bytes.Repeat([]byte{1}, 400)
	for b.Loop() {
		if _, err := f.Write(row); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// bare opens a database past the store, with one table.
func bare(b *testing.B, url string) *sql.DB {
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(b.Context(), "CREATE TABLE bare (id TEXT PRIMARY KEY, body TEXT NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	return db
}

func eachBenchmark(b *testing.B, run func(b *testing.B, url string)) {
	b.Run(store.SQLite, func(b *testing.B) { run(b, storetest.SQLiteURL(b)) })
	b.Run(store.PostgreSQL, func(b *testing.B) { run(b, storetest.PostgresURL(b)) })
}

func durable(b *testing.B, url string) *store.DB {
	db, err := store.Open(b.Context(), url, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db.For("acme")
}

func BenchmarkFloorBareInsert(b *testing.B) {
	eachBenchmark(b, func(b *testing.B, url string) {
		db := bare(b, url)
		insert, err := db.PrepareContext(b.Context(), "INSERT INTO bare (id, body) VALUES ($1, $2)")
		if err != nil {
			b.Fatal(err)
		}
		defer insert.Close()
		body := strings.Repeat("x", 400)
		for b.Loop() {
			if _, err := insert.ExecContext(b.Context(), store.NewID(), body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFloorBareSelect(b *testing.B) {
	eachBenchmark(b, func(b *testing.B, url string) {
		db := bare(b, url)
		if _, err := db.ExecContext(b.Context(), "INSERT INTO bare (id, body) VALUES ('a', $1)", strings.Repeat("x", 400)); err != nil {
			b.Fatal(err)
		}
		get, err := db.PrepareContext(b.Context(), "SELECT id, body FROM bare WHERE id = $1")
		if err != nil {
			b.Fatal(err)
		}
		defer get.Close()
		for b.Loop() {
			var id, body string
			if err := get.QueryRowContext(b.Context(), "a").Scan(&id, &body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func addCode(tx *store.Tx) error {
	return tx.AddCode(store.Code{
		GrantID: store.NewID(), SecretHash: "ring:0123456789012345678901234567890123456789012",
		Auth: store.Authorization{
			ClientID: "app", AccountID: "account", RedirectURI: "https://app.example/callback", ACR: "phr", AMR: []string{"hwk", "user"},
			Scope: []string{"openid", "profile"}, AuthTime: tx.Now,
		},
		IssuedAt: tx.Now, ExpiresAt: tx.Now.Add(time.Minute),
	})
}

func BenchmarkWrite(b *testing.B) {
	eachBenchmark(b, func(b *testing.B, url string) {
		db := durable(b, url)
		for b.Loop() {
			if err := db.Write(b.Context(), addCode); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWriteConcurrent(b *testing.B) {
	eachBenchmark(b, func(b *testing.B, url string) {
		db := durable(b, url)
		parallel(b, func() error { return db.Write(b.Context(), addCode) })
	})
}

func BenchmarkSpend(b *testing.B) {
	eachBenchmark(b, func(b *testing.B, url string) {
		db := durable(b, url)
		for b.Loop() {
			if err := spendOne(b, db); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSpendConcurrent(b *testing.B) {
	eachBenchmark(b, func(b *testing.B, url string) {
		db := durable(b, url)
		parallel(b, func() error { return spendOne(b, db) })
	})
}

func spendOne(b *testing.B, db *store.DB) error {
	return db.Spend(b.Context(), store.Spend{Kind: "dpop", Key: store.NewID(), Until: time.Now().Add(time.Minute)})
}

func BenchmarkReadGrant(b *testing.B) {
	eachBenchmark(b, func(b *testing.B, url string) {
		db := durable(b, url)
		err := db.Write(b.Context(), func(tx *store.Tx) error {
			return tx.AddGrant(store.Grant{ID: "g", Auth: store.Authorization{ClientID: "app", Scope: []string{"openid"}}, ExpiresAt: tx.Now.Add(time.Hour)})
		})
		if err != nil {
			b.Fatal(err)
		}
		read := func() error {
			return db.Read(b.Context(), func(tx *store.Tx) error {
				_, err := tx.Grant("g")
				return err
			})
		}
		b.Run("one", func(b *testing.B) {
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("concurrent", func(b *testing.B) { parallel(b, read) })
	})
}

// parallel runs fn from 64 goroutines.
func parallel(b *testing.B, fn func() error) {
	b.SetParallelism(max(1, concurrent/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := fn(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
