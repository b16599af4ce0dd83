package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqliteEngine is one file with a write-ahead log: one connection writes, several read.
type sqliteEngine struct {
	path    string
	writing *sql.DB
	reading *sql.DB
	group   *group
	readers chan *preparing
	all     []*preparing
}

func openSQLite(ctx context.Context, path, synchronous string) (_ *sqliteEngine, err error) {
	if synchronous == "" {
		synchronous = "FULL"
	}
	if !slices.Contains([]string{"NORMAL", "FULL", "EXTRA"}, synchronous) {
		return nil, errors.New("synchronous is none of NORMAL, FULL and EXTRA")
	}
	if err := keepPrivate(path); err != nil {
		return nil, err
	}
	e := &sqliteEngine{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.writing, err = sql.Open("sqlite", sqliteDSN(path, "rw", "journal_mode(WAL)", "synchronous("+synchronous+")", "cache_size(-16000)")); err != nil {
		return nil, err
	}
	w, err := newPreparing(ctx, e.writing)
	if err != nil {
		return nil, err
	}
	e.all = append(e.all, w)
	e.group = &group{conn: w}
	if e.reading, err = sql.Open("sqlite", sqliteDSN(path, "ro")); err != nil {
		return nil, err
	}
	n := max(4, runtime.GOMAXPROCS(0))
	e.readers = make(chan *preparing, n)
	for range n {
		r, err := newPreparing(ctx, e.reading)
		if err != nil {
			return nil, err
		}
		e.all = append(e.all, r)
		e.readers <- r
	}
	return e, nil
}

// keepPrivate creates the file for its owner alone and refuses one that others can read. SQLite gives the
// log the mode of the file.
func keepPrivate(path string) error {
	if path == "" || strings.HasPrefix(path, ":") {
		return errors.New("SQLite needs the path of a file")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others than the owner have access to %s; run chmod 600 on it", path)
	}
	return err
}

func sqliteDSN(path, mode string, pragmas ...string) string {
	q := url.Values{
		"mode": {mode}, "_defensive": {"1"},
		"_pragma": append([]string{"busy_timeout(10000)", "trusted_schema(0)", "temp_store(2)"}, pragmas...),
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func (e *sqliteEngine) write(ctx context.Context, run func(context.Context, queryer) error) error {
	return e.group.write(ctx, run)
}

func (e *sqliteEngine) once(ctx context.Context, run func(context.Context, queryer) error) error {
	return e.group.write(ctx, run)
}

// read lends a connection out, with a snapshot taken by its first statement.
func (e *sqliteEngine) read(ctx context.Context, run func(context.Context, queryer) error) (err error) {
	var r *preparing
	select {
	case r = <-e.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { e.readers <- r }()
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // quicker than being able to stop what takes microseconds
	if err := r.do(ctx, "BEGIN"); err != nil {
		return err
	}
	defer func() {
		if eerr := r.do(ctx, "ROLLBACK"); err == nil {
			err = eerr
		}
	}()
	return run(ctx, r)
}

func (e *sqliteEngine) migrator() (*migrator, error) {
	db, err := sql.Open("sqlite", sqliteDSN(e.path, "rw", "synchronous(FULL)"))
	if err != nil {
		return nil, err
	}
	return newMigrator(goose.DialectSQLite3, db,
		"SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '"+goose.DefaultTablename+"')")
}

// backup copies the database as one reader sees it.
func (e *sqliteEngine) backup(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // SQLite fills an empty file
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", sqliteDSN(e.path, "ro"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO $1", path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// close may be called twice.
func (e *sqliteEngine) close() error {
	var errs []error
	for _, c := range e.all {
		if err := c.close(); !errors.Is(err, sql.ErrConnDone) {
			errs = append(errs, err)
		}
	}
	for _, db := range []*sql.DB{e.reading, e.writing} { // the writer last: it folds the log into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
