package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// database is one that the configuration names.
type database struct {
	key string // under which it does
	*DatabaseConfig
}

// databases are the one that everything is in, and the one for sessions if there is one.
func (c *Config) databases() []database {
	all := []database{{"database", &c.Database}}
	if c.SessionsDatabase.URL != "" {
		all = append(all, database{"sessions_database", &c.SessionsDatabase})
	}
	return all
}

// databases are those that are open, in the same order.
func (a *App) databases() (open []*store.DB) {
	if a.DB != nil {
		open = append(open, a.DB)
	}
	if a.Sessions != nil && a.Sessions != a.DB {
		open = append(open, a.Sessions)
	}
	return open
}

// openStore opens the databases and sees to their schema: SQLite is brought up to date, PostgreSQL only by migrate up.
func (a *App) openStore(ctx context.Context) error {
	for _, d := range a.Config.databases() {
		db, err := d.open(ctx, a.Clock.Now)
		if err != nil {
			return err
		}
		if a.DB == nil {
			a.DB = db
		}
		a.Sessions = db
		if db.Engine() == store.SQLite {
			if err := db.Migrate(ctx); err != nil {
				return fmt.Errorf("migrate %s: %w", d.URL, err)
			}
		}
		if err := d.checkSchema(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

func (d database) open(ctx context.Context, now func() time.Time) (*store.DB, error) {
	db, err := store.Open(ctx, d.URL, store.Options{Now: now, Synchronous: d.Synchronous})
	if err != nil {
		return nil, fmt.Errorf("open the database of %s.url: %w", d.key, err)
	}
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the database of %s.url does not answer: %w; is it running, and may this user connect?", d.key, err), db.Close())
	}
	return db, nil
}

func (d database) checkSchema(ctx context.Context, db *store.DB) error {
	have, want, err := db.MigrationStatus(ctx)
	schema := "the schema"
	if d.key != "database" {
		schema += " of " + d.key
	}
	switch {
	case errors.Is(err, store.ErrSchemaBehind):
		return fmt.Errorf("%s is at version %d and this release needs %d: run holdfast migrate up", schema, have, want)
	case errors.Is(err, store.ErrSchemaAhead):
		return fmt.Errorf("%s is at version %d, made by a newer release than this one (%d): run that release", schema, have, want)
	case err != nil:
		return fmt.Errorf("read the version of %s: %w", schema, err)
	}
	return nil
}

// checkRing finds out whether a ring belongs to the databases.
func (a *App) checkRing(ctx context.Context, ring *keys.Ring) error {
	for _, db := range a.databases() {
		if err := ring.CheckCanary(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

const purgeBatch = 500 // rows a table and pass

// purge removes what has expired. A database that does not answer keeps no other from it.
func (a *App) purge(ctx context.Context) (err error) {
	for _, db := range a.databases() {
		n, perr := purgeBatch, error(nil)
		for perr == nil && n >= purgeBatch {
			n, perr = db.Purge(ctx, purgeBatch)
		}
		err = errors.Join(err, perr)
	}
	return err
}
