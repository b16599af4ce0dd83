package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/holdfast-iam/holdfast/internal/store/migrate"
)

var (
	// ErrSchemaBehind says that the schema is older than this program.
	ErrSchemaBehind = errors.New("store: the schema is behind; run holdfast migrate up")
	// ErrSchemaAhead says that the schema is more than one version newer than this program.
	ErrSchemaAhead = errors.New("store: the schema is too far ahead of this version of holdfast")
)

// migrator is a goose provider with the connection it works on.
type migrator struct {
	*goose.Provider
	db     *sql.DB
	exists string // asks whether there is a table of versions
}

func newMigrator(dialect goose.Dialect, db *sql.DB, exists string, opts ...goose.ProviderOption) (*migrator, error) {
	p, err := goose.NewProvider(dialect, db, migrate.Files, opts...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &migrator{p, db, exists}, nil
}

// have is the version of the schema, 0 if there is none. It creates nothing, not even the table of versions.
func (m *migrator) have(ctx context.Context) (version int64, err error) {
	var exists bool
	if err := m.db.QueryRowContext(ctx, m.exists).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = m.db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+goose.DefaultTablename).Scan(&version)
	return version, err
}

// want is the version of this program.
func (m *migrator) want() (version int64) {
	for _, s := range m.ListSources() {
		version = max(version, s.Version)
	}
	return version
}

// Migrate brings the schema to the version of this program. Several may try at once.
func (db *DB) Migrate(ctx context.Context) error {
	m, err := db.engine.migrator()
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	defer m.Close()
	for n := 1; ; n++ {
		_, err := m.Up(ctx)
		if err == nil {
			return nil
		}
		// On SQLite, which goose does not lock, somebody else may just have done the same.
		if have, herr := m.have(ctx); herr == nil && have >= m.want() {
			return nil
		}
		if n == maxTries {
			return fmt.Errorf("migrate store: %w", err)
		}
		if err := pause(ctx, n); err != nil {
			return fmt.Errorf("migrate store: %w", err)
		}
	}
}

// MigrationStatus returns the version of the schema, 0 if there is none, and the one of this program. The
// error is ErrSchemaBehind if this program must not start on it yet, and ErrSchemaAhead if it must not start
// on it any more: one version ahead is how a rolling upgrade looks.
func (db *DB) MigrationStatus(ctx context.Context) (have, want int64, err error) {
	m, err := db.engine.migrator()
	if err != nil {
		return 0, 0, fmt.Errorf("load schema version: %w", err)
	}
	defer m.Close()
	want = m.want()
	if have, err = m.have(ctx); err != nil {
		return 0, want, fmt.Errorf("load schema version: %w", err)
	}
	switch {
	case have < want:
		return have, want, ErrSchemaBehind
	case have > want+1:
		return have, want, ErrSchemaAhead
	}
	return have, want, nil
}
