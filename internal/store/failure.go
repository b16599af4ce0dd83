package store

import (
	"errors"
	"time"
)

// Failure counts what went wrong for an account, an address or a client. Only a hash of Key is stored: what
// people type into the wrong field may be a password.
type Failure struct {
	Key          string
	Count        int
	LastAt       time.Time
	BlockedUntil time.Time
	ExpiresAt    time.Time // counted anew after
}

func scanFailure(s scanner) (f Failure, err error) {
	err = s.Scan(&f.Count, (*instant)(&f.LastAt), (*instant)(&f.BlockedUntil), (*instant)(&f.ExpiresAt))
	return f, err
}

// Failures loads the unexpired counts of those keys that have one.
func (tx *Tx) Failures(keys ...string) ([]Failure, error) {
	var list []Failure
	for _, key := range keys {
		id := digest("failure", key)
		f, err := one(tx, scanFailure, `SELECT failed, last_at, blocked_until, purge_at FROM failures
			WHERE tenant = $1 AND shard = $2 AND id = $3 AND purge_at > $4`, tx.tenant, shard(string(id)), id, micros(tx.Now))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f.Key = key
		list = append(list, f)
	}
	return list, nil
}

// AddFailure counts one more failure and returns how many there are now. The count is kept until expires.
func (tx *Tx) AddFailure(key string, expires time.Time) (count int, err error) {
	id := digest("failure", key)
	n, err := one(tx, scanInt, `INSERT INTO failures (tenant, shard, id, failed, last_at, blocked_until, purge_at)
		VALUES ($1, $2, $3, 1, $4, 0, $5)
		ON CONFLICT (tenant, shard, id) DO UPDATE SET
			failed = CASE WHEN failures.purge_at <= excluded.last_at THEN 1 ELSE failures.failed + 1 END,
			last_at = excluded.last_at, purge_at = excluded.purge_at
		RETURNING failed`, tx.tenant, shard(string(id)), id, micros(tx.Now), micros(expires))
	return int(n), err
}

// BlockFailure blocks a key that has failed until the given time, and keeps its count as long.
func (tx *Tx) BlockFailure(key string, until time.Time) error {
	id := digest("failure", key)
	return tx.must(ErrNotFound, `UPDATE failures SET blocked_until = $4, purge_at = CASE WHEN purge_at < $4 THEN $4 ELSE purge_at END
		WHERE tenant = $1 AND shard = $2 AND id = $3`, tx.tenant, shard(string(id)), id, micros(until))
}

// ClearFailure forgets the failures of a key.
func (tx *Tx) ClearFailure(key string) error {
	id := digest("failure", key)
	_, err := tx.exec("DELETE FROM failures WHERE tenant = $1 AND shard = $2 AND id = $3", tx.tenant, shard(string(id)), id)
	return err
}
