package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Apply brings the objects of a folder in.
func Apply(ctx context.Context, c *Console, file, tenant, folder string) error {
	return deliver(ctx, c, file, tenant, func() ([]objects.Document, error) { return readFolder(folder) })
}

// ImportClients brings clients in the form of RFC 7591 in.
func ImportClients(ctx context.Context, c *Console, file, tenant, name string) error {
	return deliver(ctx, c, file, tenant, func() ([]objects.Document, error) { return readList(name, objects.KindClient) })
}

// ImportUsers brings people in.
func ImportUsers(ctx context.Context, c *Console, file, tenant, name string) error {
	return deliver(ctx, c, file, tenant, func() ([]objects.Document, error) { return readList(name, objects.KindUser) })
}

// deliver brings documents in through the server that runs, which records who did it, or into the database where none
// does, and says which. What it reports is the same.
func deliver(ctx context.Context, c *Console, file, tenant string, read func() ([]objects.Document, error)) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	t, err := cfg.tenantNamed(tenant)
	if err != nil {
		return err
	}
	docs, err := read()
	if err != nil {
		return err
	}
	server, err := callServer(ctx, cfg.Admin.Socket)
	if err != nil {
		return err
	}
	if server != nil {
		fmt.Fprintf(c.Err, "note: through the server at %s\n", cfg.Admin.Socket)
		report, err := server.importAll(ctx, t.Name, docs)
		return c.report(report, err)
	}
	if cfg.Admin.Socket == "" {
		fmt.Fprintln(c.Err, "note: into the database, for there is no admin.socket")
	} else {
		fmt.Fprintf(c.Err, "note: into the database, for no server listens at %s\n", cfg.Admin.Socket)
	}
	return withApp(ctx, cfg, func(a *App) error {
		report, err := a.importAll(ctx, t.Name, docs)
		return c.report(report, err)
	})
}

// ApplyFolder brings the objects of a folder into an open process.
func (a *App) ApplyFolder(ctx context.Context, c *Console, tenant, folder string) error {
	docs, err := readFolder(folder)
	if err != nil {
		return err
	}
	t, err := a.Config.tenantNamed(tenant)
	if err != nil {
		return err
	}
	report, err := a.importAll(ctx, t.Name, docs)
	return c.report(report, err)
}

// report says what an import did, or that and why it did nothing.
func (c *Console) report(r objects.Report, err error) error {
	if err != nil {
		return asProblems(err)
	}
	for _, part := range []struct {
		what  string
		names []string
	}{{"created", r.Created}, {"updated", r.Updated}, {"left to its owner", r.Skipped}} {
		for _, name := range part.names {
			fmt.Fprintf(c.Out, "%s %s\n", part.what, name)
		}
	}
	for _, n := range r.Notices {
		fmt.Fprintf(c.Err, "note: %s\n", n)
	}
	for _, id := range slices.Sorted(maps.Keys(r.Secrets)) { // the one time that they are shown
		fmt.Fprintf(c.Out, "client_secret of %s: %s\n", id, r.Secrets[id].Reveal())
	}
	fmt.Fprintf(c.Out, "%d created, %d updated, %d unchanged, %d left to their owner\n",
		len(r.Created), len(r.Updated), len(r.Unchanged), len(r.Skipped))
	return nil
}

// importer brings things of one sort in.
type importer func(docs []objects.Document) (objects.Report, error)

// importBoth brings things in, and then people through their own importer, because hashing a password takes its time.
func importBoth(docs []objects.Document, things, people importer) (objects.Report, error) {
	var report objects.Report
	for _, part := range []struct {
		people bool
		bring  importer
	}{{false, things}, {true, people}} {
		var some []objects.Document
		for _, d := range docs {
			if (d.Kind == objects.KindUser) == part.people {
				some = append(some, d)
			}
		}
		if len(some) == 0 {
			continue
		}
		r, err := part.bring(some)
		if err != nil {
			return report, err
		}
		report.Created = append(report.Created, r.Created...)
		report.Updated = append(report.Updated, r.Updated...)
		report.Unchanged = append(report.Unchanged, r.Unchanged...)
		report.Skipped = append(report.Skipped, r.Skipped...)
		report.Notices = append(report.Notices, r.Notices...)
		if !part.people {
			report.Secrets = r.Secrets
		}
	}
	return report, nil
}

// importAll brings documents into the database. What files bring in, files manage.
func (a *App) importAll(ctx context.Context, tenant string, docs []objects.Document) (objects.Report, error) {
	db := a.DB.For(tenant)
	things := func(docs []objects.Document) (report objects.Report, err error) {
		if err := a.readSectors(ctx, db, docs); err != nil {
			return report, err
		}
		err = db.Write(ctx, func(tx *store.Tx) (err error) {
			report, err = objects.Import(tx, a.Ring, objects.ManagedByFile, docs)
			return err
		})
		return report, err
	}
	return importBoth(docs, things, func(docs []objects.Document) (objects.Report, error) {
		return objects.ImportUsers(ctx, db, a.passwords.Hash, objects.ManagedByFile, docs)
	})
}

// readSectors reads what clients refer to, by a connection of its own where none is open yet.
func (a *App) readSectors(ctx context.Context, db *store.DB, docs []objects.Document) error {
	out, err := newFetch(a.Config)
	if err != nil {
		return err
	}
	defer out.Close()
	return objects.ReadSectors(ctx, db, out.Get, docs)
}

// asProblems shows mistakes in documents as mistakes in the configuration are shown.
func asProblems(err error) error {
	found, ok := errors.AsType[objects.Problems](err)
	if !ok {
		return err
	}
	var out Problems
	for _, p := range found {
		out = append(out, Problem{File: p.Source, Path: p.Path, What: p.What, Remedy: p.Remedy})
	}
	return out
}
