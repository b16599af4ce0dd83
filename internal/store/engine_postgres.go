package store

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// postgresEngine is a pool of connections to PostgreSQL. pgx prepares each statement once per connection.
type postgresEngine struct {
	config *pgx.ConnConfig
	pool   *sql.DB
}

const (
	defaultConnections = 16
	maxTries           = 10
)

func openPostgres(url string, connections int) (*postgresEngine, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	if err := checkTLS(config); err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement // never the simple protocol, whatever the URL says
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "holdfast"
	}
	if connections == 0 {
		connections = defaultConnections
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour)
	return &postgresEngine{config, pool}, nil
}

// checkTLS lets only a verified server, or this machine, be talked to.
func checkTLS(c *pgx.ConnConfig) error {
	verified := c.TLSConfig != nil && !c.TLSConfig.InsecureSkipVerify
	if !verified && !local(c.Host) {
		return errNotVerified
	}
	for _, f := range c.Fallbacks {
		if (f.TLSConfig == nil || f.TLSConfig.InsecureSkipVerify) && !local(f.Host) {
			return errNotVerified
		}
	}
	return nil
}

var errNotVerified = errors.New("the connection to PostgreSQL is not verified; add sslmode=verify-full to the URL")

// local reports whether host is a socket or this machine.
func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || err == nil && a.IsLoopback()
}

// read needs no transaction: in read committed each statement has its own snapshot anyway.
func (e *postgresEngine) read(ctx context.Context, run func(context.Context, queryer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return run(ctx, selecting{e.pool})
}

func (e *postgresEngine) write(ctx context.Context, run func(context.Context, queryer) error) error {
	return retry(ctx, func() error { return e.try(ctx, run) })
}

func (e *postgresEngine) once(ctx context.Context, run func(context.Context, queryer) error) error {
	return retry(ctx, func() error { return run(ctx, e.pool) })
}

func (e *postgresEngine) try(ctx context.Context, run func(context.Context, queryer) error) error {
	tx, err := e.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit; also for a panic
	if err := run(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// retry runs try again when PostgreSQL asks for it.
func retry(ctx context.Context, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == maxTries || !again(err) || pause(ctx, n) != nil {
			return err
		}
	}
}

// pause waits at random before the next try, longer each time.
func pause(ctx context.Context, tries int) error {
	timer := time.NewTimer(rand.N(time.Millisecond << tries))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// again recognises serialization_failure and deadlock_detected.
func again(err error) bool {
	e, ok := errors.AsType[sqlState](err)
	return ok && (e.SQLState() == "40001" || e.SQLState() == "40P01")
}

// sqlState is an error of PostgreSQL.
type sqlState interface {
	error
	SQLState() string
}

// selecting refuses everything but queries, as SQLite's readers do.
type selecting struct{ queryer }

var errReadOnly = errors.New("a write inside a Read")

// ExecContext implements queryer.
func (s selecting) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errReadOnly
}

// QueryContext implements queryer.
func (s selecting) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if !strings.HasPrefix(query, "SELECT ") {
		return nil, errReadOnly
	}
	return s.queryer.QueryContext(ctx, query, args...)
}

func (e *postgresEngine) migrator() (*migrator, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // each second, for 5 minutes
	if err != nil {
		return nil, err
	}
	return newMigrator(goose.DialectPostgres, stdlib.OpenDB(*e.config),
		"SELECT to_regclass('"+goose.DefaultTablename+"') IS NOT NULL", goose.WithSessionLocker(locker))
}

func (e *postgresEngine) close() error { return e.pool.Close() }
