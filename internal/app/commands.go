package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Serve runs a configuration until ctx ends.
func Serve(ctx context.Context, c *Console, file, applyFolder string) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	log, level := newLog(cfg.Log, c.Err)
	a, err := Open(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer a.Close()
	a.level = level
	if applyFolder != "" {
		if err := a.ApplyFolder(ctx, c, "", applyFolder); err != nil {
			return err
		}
	}
	return a.Run(ctx, func() {
		for _, t := range cfg.Tenants {
			fmt.Fprintf(c.Out, "ready: %s\n", t.Issuer)
		}
	})
}

// MigrationStatus shows the versions of the schemas.
func MigrationStatus(ctx context.Context, c *Console, file string) error {
	return withDatabases(ctx, file, func(name string, db *store.DB) error {
		have, want, err := db.MigrationStatus(ctx)
		switch {
		case errors.Is(err, store.ErrSchemaBehind):
			fmt.Fprintf(c.Out, "%sversion %d, behind: this release needs %d; run holdfast migrate up\n", name, have, want)
		case errors.Is(err, store.ErrSchemaAhead):
			fmt.Fprintf(c.Out, "%sversion %d, ahead: this release knows %d\n", name, have, want)
		case err != nil:
			return err
		default:
			fmt.Fprintf(c.Out, "%sversion %d, up to date\n", name, have)
		}
		return nil
	})
}

// MigrateUp brings the schemas up to date.
func MigrateUp(ctx context.Context, c *Console, file string) error {
	return withDatabases(ctx, file, func(name string, db *store.DB) error {
		if err := db.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		have, _, err := db.MigrationStatus(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%sversion %d, up to date\n", name, have)
		return nil
	})
}

// withDatabases does something with each database, whose name begins what is said if there are several.
func withDatabases(ctx context.Context, file string, do func(name string, db *store.DB) error) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	all := cfg.databases()
	for _, d := range all {
		name := ""
		if len(all) > 1 {
			name = d.key + ": "
		}
		if err := d.with(ctx, func(db *store.DB) error { return do(name, db) }); err != nil {
			return err
		}
	}
	return nil
}

// with opens the database for as long as do runs.
func (d database) with(ctx context.Context, do func(*store.DB) error) error {
	db, err := d.open(ctx, new(Clock).Now)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// withApp opens as much of a process as importing needs. It works beside a running server, which hears of the change
// through the database, and before the first start.
func withApp(ctx context.Context, cfg *Config, do func(*App) error) (err error) {
	a := &App{Config: cfg, Clock: new(Clock), log: slog.New(slog.DiscardHandler)}
	if a.passwords, err = authn.NewPasswords(); err != nil {
		return err
	}
	if a.Ring, err = keys.LoadRing(cfg.KeyRing); err != nil {
		return err
	}
	if err := a.openStore(ctx); err != nil {
		return errors.Join(err, a.Close())
	}
	if err := a.checkRing(ctx, a.Ring); err != nil {
		return errors.Join(err, a.Close())
	}
	return errors.Join(do(a), a.Close())
}

// withRing is withApp for the commands about the ring.
func withRing(ctx context.Context, file string, do func(*App) error) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	return withApp(ctx, cfg, do)
}

// Backup copies the database. That of sessions is left out: whoever had one logs in again.
func Backup(ctx context.Context, c *Console, file, to string) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	return cfg.databases()[0].with(ctx, func(db *store.DB) error {
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("%s exists already: choose another name", to)
		}
		if err := db.Backup(ctx, to); err != nil {
			return fmt.Errorf("back up: %w", err)
		}
		fmt.Fprintf(c.Out, "wrote %s\nIt is of no use without the key ring %s: keep a copy of that too, elsewhere.\n", to, cfg.KeyRing)
		return nil
	})
}

// RingInit creates a key ring.
func RingInit(c *Console, file string) error {
	id, err := keys.CreateRing(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "created %s with key %s\nKeep a copy of it apart from the database: without it nothing sealed can be opened again.\n", file, id)
	return nil
}

// RingAdd adds a key to a ring.
func RingAdd(c *Console, file string) error {
	id, err := keys.AddKey(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "added key %s; copy the file to every node, then run holdfast key ring rewrap\n", id)
	return nil
}

// RingRewrap activates the newest key and seals under it what older ones sealed.
func RingRewrap(ctx context.Context, c *Console, file string) error {
	return withRing(ctx, file, func(a *App) error {
		ids := a.Ring.IDs()
		if err := keys.ActivateKey(a.Config.KeyRing, ids[len(ids)-1]); err != nil {
			return err
		}
		ring, err := keys.LoadRing(a.Config.KeyRing)
		if err != nil {
			return err
		}
		var tenants []string
		for _, t := range a.Config.Tenants {
			tenants = append(tenants, t.Name)
		}
		n := 0
		for _, db := range a.databases() {
			more, err := ring.Rewrap(ctx, db, tenants)
			if err != nil {
				return err
			}
			n += more
		}
		for _, tenant := range tenants {
			var more int
			err := a.DB.For(tenant).Write(ctx, func(tx *store.Tx) (err error) {
				more, err = objects.Rewrap(tx, ring)
				return err
			})
			if err != nil {
				return fmt.Errorf("rewrap tenant %s: %w", tenant, err)
			}
			n += more
		}
		fmt.Fprintf(c.Out, "sealed %d values again under key %s, which seals from now on: copy the file to every node again\n", n, ring.ActiveID())
		return nil
	})
}

// RingDrop removes a key that nothing needs any more.
func RingDrop(ctx context.Context, c *Console, file, id string) error {
	return withRing(ctx, file, func(a *App) error {
		for _, db := range a.databases() {
			if err := keys.CheckUnused(ctx, db, id); err != nil {
				return err
			}
		}
		if err := keys.DropKey(a.Config.KeyRing, id); err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "dropped key %s; copy the file to every node\n", strings.TrimSpace(id))
		return nil
	})
}
