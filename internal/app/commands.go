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

// Check does everything Serve does up to listening, and then grades what it found.
func Check(ctx context.Context, c *Console, file string) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	a, err := Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Fprintf(c.Out, "%s: everything that is needed to serve is in order\n", file)
	return a.posture(ctx, c)
}

// posture names each weakness that somebody has chosen, with its remedy.
func (a *App) posture(ctx context.Context, c *Console) error {
	for _, w := range a.Config.weaknesses() {
		fmt.Fprintln(c.Out, w)
	}
	for _, t := range a.current.Load().tenants {
		for _, k := range t.Keys.Signer.Keys {
			fmt.Fprintf(c.Out, "%s: %s is signed by the external signer at %s with its key %s\n", t.Name, k.Algorithm, t.Keys.Signer.Socket, k.Name)
		}
		var all []store.Object
		err := t.db.Read(ctx, func(tx *store.Tx) (err error) {
			all, err = tx.Objects(objects.KindClient, "", 10_000)
			return err
		})
		if err != nil {
			return fmt.Errorf("list clients: %w", err)
		}
		weak := 0
		for _, o := range all {
			client, err := t.registry.Client(ctx, o.Name)
			if err != nil {
				return fmt.Errorf("client %s: %w", o.Name, err)
			}
			for _, w := range weaknesses(client) {
				fmt.Fprintf(c.Out, "%s: client %s: %s\n", t.Name, o.Name, w)
				weak++
			}
		}
		fmt.Fprintf(c.Out, "%s: %d clients, %d chosen weaknesses\n", t.Name, len(all), weak)
	}
	return nil
}

// weaknesses are those of the configuration.
func (c *Config) weaknesses() (found []string) {
	if c.Environment == "test" {
		found = append(found, "environment: test: the clock can be moved and a bearer token administers; use production")
	}
	if c.Database.Synchronous == "NORMAL" {
		found = append(found, "database.synchronous NORMAL: a power cut forgets the newest writes, spent codes among them; leave it out")
	}
	for _, t := range c.Tenants {
		if t.RefreshRetryWindow > 0 {
			found = append(found, t.Name+": refresh_retry_window: within it a stolen unbound refresh token works beside its owner's; leave it out")
		}
		if t.AdminURL == "" && c.Admin.Socket == "" {
			found = append(found, t.Name+": neither admin_url nor admin.socket: nobody can administer it or ask whether it is ready")
		}
	}
	return found
}

func weaknesses(c *objects.Client) (found []string) {
	for _, w := range []struct {
		chosen bool
		text   string
	}{
		{c.AllowBearerTokens, "allow_bearer_tokens: a stolen token works for the thief; bind tokens by DPoP or a certificate"},
		{c.AllowWeakSecret, "allow_weak_secret: its secret may be guessed; give it a generated one, or private_key_jwt"},
		{c.AllowCustomSchemeRedirects, "allow_custom_scheme_redirects: another app may take the answer; use claimed https redirects"},
		{c.AllowTokenEndpointAudience, "allow_token_endpoint_audience: its assertions may be replayed elsewhere; use the issuer as the only audience"},
		{c.AllowUnpushedRequests, "allow_unpushed_requests: browsers can read and change its requests; push them (RFC 9126)"},
		{c.AllowUnsignedRequests, "allow_unsigned_requests: nobody can prove later what it asked for; sign its requests (RFC 9101)"},
		{c.AllowPlainResponses, "allow_plain_responses: nobody can prove later what it was answered; use response_mode jwt"},
		{!c.RequiresPKCE(), "profile oidc: its requests need no PKCE; use oauth21 once it sends a code_challenge"},
	} {
		if w.chosen {
			found = append(found, w.text)
		}
	}
	return found
}

// MigrationStatus shows the version of the schema.
func MigrationStatus(ctx context.Context, c *Console, file string) error {
	return withDatabase(ctx, file, func(_ *Config, db *store.DB) error {
		have, want, err := db.MigrationStatus(ctx)
		switch {
		case errors.Is(err, store.ErrSchemaBehind):
			fmt.Fprintf(c.Out, "version %d, behind: this release needs %d; run holdfast migrate up\n", have, want)
		case errors.Is(err, store.ErrSchemaAhead):
			fmt.Fprintf(c.Out, "version %d, ahead: this release knows %d\n", have, want)
		case err != nil:
			return err
		default:
			fmt.Fprintf(c.Out, "version %d, up to date\n", have)
		}
		return nil
	})
}

// MigrateUp brings the schema up to date.
func MigrateUp(ctx context.Context, c *Console, file string) error {
	return withDatabase(ctx, file, func(_ *Config, db *store.DB) error {
		if err := db.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		have, _, err := db.MigrationStatus(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "version %d, up to date\n", have)
		return nil
	})
}

func withDatabase(ctx context.Context, file string, do func(*Config, *store.DB) error) (err error) {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, cfg, new(Clock).Now)
	if err != nil {
		return err
	}
	return errors.Join(do(cfg, db), db.Close())
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
	if err := a.Ring.CheckCanary(ctx, a.DB); err != nil {
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

// Backup copies the database.
func Backup(ctx context.Context, c *Console, file, to string) error {
	return withDatabase(ctx, file, func(cfg *Config, db *store.DB) error {
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
		n, err := ring.Rewrap(ctx, a.DB, tenants)
		if err != nil {
			return err
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
		if err := keys.CheckUnused(ctx, a.DB, id); err != nil {
			return err
		}
		if err := keys.DropKey(a.Config.KeyRing, id); err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "dropped key %s; copy the file to every node\n", strings.TrimSpace(id))
		return nil
	})
}
