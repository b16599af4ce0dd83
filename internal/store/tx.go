package store

import (
	"context"
	"database/sql"
	"time"
)

// Tx is one transaction of one tenant. It must not be used after the function it was given to has returned,
// nor by two goroutines.
type Tx struct {
	// Now is the time of this transaction, UTC, in whole microseconds.
	Now time.Time

	ctx    context.Context // of the call that made it, which it does not outlive
	tenant string
	q      queryer
	events bool // an event was added: wake the feed after commit
}

// Tenant returns the tenant that every method of tx is confined to.
func (tx *Tx) Tenant() string { return tx.tenant }

// queryer is what both engines run statements on. Statements are prepared once per connection.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// scanner is a row.
type scanner interface {
	Scan(dest ...any) error
}

// exec runs a statement and returns how many rows it touched.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	res, err := tx.q.ExecContext(tx.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// must runs a statement and returns otherwise if it touched no row.
func (tx *Tx) must(otherwise error, query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err == nil && n == 0 {
		return otherwise
	}
	return err
}

// one reads the only row of a query; ErrNotFound if there is none.
func one[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) (v T, err error) {
	rows, err := tx.q.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return v, err
	}
	defer func() { err = closed(rows, err) }()
	if !rows.Next() {
		if err = rows.Err(); err == nil {
			err = ErrNotFound
		}
		return v, err
	}
	if v, err = scan(rows); err != nil {
		return v, err
	}
	rows.Next() // lets the statement run to its end: what it changes, it changes by then
	return v, rows.Err()
}

// all reads every row of a query.
func all[T any](tx *Tx, scan func(scanner) (T, error), query string, args ...any) (list []T, err error) {
	rows, err := tx.q.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = closed(rows, err) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// closed closes rows and returns the first thing that went wrong.
func closed(rows *sql.Rows, err error) error {
	if cerr := rows.Close(); err == nil {
		return cerr
	}
	return err
}
