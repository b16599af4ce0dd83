// Package store keeps every record of Holdfast in SQLite or PostgreSQL and holds all SQL there is.
//
// A *DB is concrete: there is no storage interface and nothing to mock. Records are read in db.Read and
// written in db.Write through the methods of Tx, all of which see one tenant only. Both engines run the same
// SQL text. It is not for rules of a protocol: it knows what happens once, what expires and what excludes
// what, and nothing of OAuth (RFC 6749), of passkeys or of pages.
//
// Conventions: random text ids, times in microseconds UTC with 0 for none, JSON as text, no time of the
// database. Secrets arrive hashed or sealed; the keys they are hashed under never do.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

var (
	// ErrNotFound says that there is no such record in this tenant.
	ErrNotFound = errors.New("store: not found")
	// ErrTaken says that the name or id is in use, or that what works once has been spent.
	ErrTaken = errors.New("store: taken")
	// ErrConflict says that the record has changed since it was read.
	ErrConflict = errors.New("store: changed since it was read")
	// ErrStuck says that the one writer of SQLite did not come free: most likely a Write inside a Write.
	ErrStuck = errors.New("store: waited too long for the writer; is there a Write inside a Write")
)

// Engine names, as DB.Engine returns them.
const (
	SQLite     = "sqlite"
	PostgreSQL = "postgres"
)

// Options are what Open needs besides the URL. The zero value is right for production.
type Options struct {
	Now         func() time.Time // nil: time.Now
	Synchronous string           // SQLite only: "" or FULL, NORMAL (forgets the last writes on power loss), EXTRA
	Connections int              // PostgreSQL only: at most so many for reads and so many for writes; 0: 16
}

// DB is a view of one database for one tenant. Views share the engine, are cheap, and are safe for
// concurrent use.
type DB struct {
	tenant string
	*shared
}

// shared is what all views of one database have in common.
type shared struct {
	engine  engine
	name    string
	now     func() time.Time
	spender spender

	mu      sync.Mutex
	onEvent []func()
}

// engine is the little that differs between SQLite and PostgreSQL.
type engine interface {
	read(ctx context.Context, run func(context.Context, queryer) error) error
	write(ctx context.Context, run func(context.Context, queryer) error) error
	once(ctx context.Context, run func(context.Context, queryer) error) error // a write of one statement
	migrator() (*migrator, error)
	close() error
}

// Open opens "sqlite:PATH" or "postgres://…" for the tenant "". It neither creates nor checks the schema:
// see Migrate and MigrationStatus. A new SQLite file gets mode 0600; one that others can read is refused.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &shared{now: o.Now}
	var err error
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		s.name = SQLite
		s.engine, err = openSQLite(ctx, path, o.Synchronous)
	} else if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		s.name = PostgreSQL
		s.engine, err = openPostgres(url, o.Connections)
	} else {
		err = errors.New("the database URL begins with neither sqlite: nor postgres://")
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.spender.run = s.insertSpends
	return &DB{shared: s}, nil
}

// Close waits for nobody: end all reads and writes first. It closes every view.
func (db *DB) Close() error { return db.engine.close() }

// For returns the view for a tenant.
func (db *DB) For(tenant string) *DB { return &DB{tenant: tenant, shared: db.shared} }

// Tenant returns the tenant of this view, "" for the root.
func (db *DB) Tenant() string { return db.tenant }

// Engine returns SQLite or PostgreSQL.
func (db *DB) Engine() string { return db.name }

// Ping asks the database for one value.
func (db *DB) Ping(ctx context.Context) error {
	return db.Read(ctx, func(tx *Tx) error {
		_, err := one(tx, scanInt, "SELECT CAST(1 AS BIGINT)")
		return err
	})
}

// Read runs fn on a connection that cannot write. On SQLite fn sees one snapshot; on PostgreSQL each
// statement sees what was committed before it.
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error {
	return db.engine.read(ctx, func(ctx context.Context, q queryer) error {
		return fn(db.tx(ctx, q))
	})
}

// Write runs fn in a transaction and commits if it returns nil. An error, a panic or a call of
// runtime.Goexit rolls back what fn did, and nothing else. fn must use only tx, must not wait for
// anything but the database, must not call Write again, and may be run twice: it assigns results and
// touches nothing else. Writes on SQLite share commits.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	var tx *Tx
	err := db.engine.write(ctx, func(ctx context.Context, q queryer) error {
		tx = db.tx(ctx, q)
		return fn(tx)
	})
	if err == nil && tx.events {
		db.wake()
	}
	return err
}

func (db *DB) tx(ctx context.Context, q queryer) *Tx {
	return &Tx{Now: db.now().UTC().Truncate(time.Microsecond), ctx: ctx, tenant: db.tenant, q: q}
}

// OnEvent has fn called after each commit of this process that added an event, in the goroutine that
// committed. fn must return at once.
func (db *DB) OnEvent(fn func()) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.onEvent = append(db.onEvent[:len(db.onEvent):len(db.onEvent)], fn)
}

func (s *shared) wake() {
	s.mu.Lock()
	fns := s.onEvent
	s.mu.Unlock()
	for _, fn := range fns {
		fn()
	}
}
