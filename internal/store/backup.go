package store

import (
	"context"
	"errors"
	"fmt"
)

// Backup writes a consistent copy of a SQLite database to path, which must not exist. The copy has mode 0600.
func (db *DB) Backup(ctx context.Context, path string) error {
	lite, ok := db.engine.(*sqliteEngine)
	if !ok {
		return errors.New("back up store: use pg_dump for PostgreSQL")
	}
	if err := lite.backup(ctx, path); err != nil {
		return fmt.Errorf("back up store: %w", err)
	}
	return nil
}
