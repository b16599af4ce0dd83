package store

import (
	"context"
	"fmt"
)

// Setting is a small value by name.
type Setting struct {
	Name  string
	Value []byte
}

// Settings lists all settings of the tenant.
func (tx *Tx) Settings() ([]Setting, error) {
	return all(tx, func(s scanner) (v Setting, err error) {
		err = s.Scan(&v.Name, &v.Value)
		return v, err
	}, "SELECT name, value FROM settings WHERE tenant = $1 ORDER BY name", tx.tenant)
}

// HashedObjects is what RingUse calls the objects that RingObjects names.
const HashedObjects = "objects with hashed secrets"

func hashedUnder(id string) string { return `%"` + id + `:%` }

// RingObjects names the first objects, of all tenants together, that hold something hashed under a key of the master
// ring: "<kind> <name> of <tenant>".
func (db *DB) RingObjects(ctx context.Context, id string, limit int) (names []string, err error) {
	err = db.Read(ctx, func(tx *Tx) (err error) {
		names, err = all(tx, func(s scanner) (string, error) {
			var tenant, kind, name string
			err := s.Scan(&tenant, &kind, &name)
			return kind + " " + name + " of " + tenant, err
		}, "SELECT tenant, kind, name FROM objects WHERE body LIKE $1 ORDER BY tenant, kind, name LIMIT $2", hashedUnder(id), limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list uses of ring key: %w", err)
	}
	return names, nil
}

// RingUse counts, for all tenants together and by what they are, the records that hold something sealed or hashed
// under a key of the master ring: sealed values begin with its id, hashes with its id and a colon. Kinds without any
// are left out.
func (db *DB) RingUse(ctx context.Context, id string) (map[string]int64, error) {
	uses := map[string]int64{}
	err := db.Read(ctx, func(tx *Tx) error {
		clear(uses)
		for _, q := range []struct {
			what, query string
			prefix      any
		}{
			{"sealed settings", "SELECT COUNT(*) FROM settings WHERE substr(value, 1, 8) = $1", []byte(id)},
			{"sealed signing keys", "SELECT COUNT(*) FROM signing_keys WHERE substr(sealed, 1, 8) = $1", []byte(id)},
			// The hashes and sealed keys of an object are in its JSON.
			{HashedObjects, "SELECT COUNT(*) FROM objects WHERE body LIKE $1", hashedUnder(id)},
			{"sessions of applications", "SELECT COUNT(*) FROM app_sessions WHERE substr(sealed, 1, 8) = $1", []byte(id)},
			{"sessions", "SELECT COUNT(*) FROM sessions WHERE substr(secret_hash, 1, 9) = $1", id + ":"},
			{"codes", "SELECT COUNT(*) FROM codes WHERE substr(secret_hash, 1, 9) = $1", id + ":"},
			{"refresh tokens", "SELECT COUNT(*) FROM refresh_tokens WHERE substr(secret_hash, 1, 9) = $1", id + ":"},
			{"opaque access tokens", "SELECT COUNT(*) FROM access_tokens WHERE substr(secret_hash, 1, 9) = $1", id + ":"},
			{"pushed requests", "SELECT COUNT(*) FROM pushed_requests WHERE substr(secret_hash, 1, 9) = $1", id + ":"},
			// Which key sealed a message cannot be seen; they are gone within the hour.
			{"queued messages", "SELECT COUNT(*) FROM mails WHERE sent_at = 0 AND text_body <> $1", ""},
			{"mailed codes", "SELECT COUNT(*) FROM mailed_codes WHERE substr(code_hash, 1, 9) = $1", id + ":"},
		} {
			n, err := one(tx, scanInt, q.query, q.prefix)
			if err != nil {
				return err
			}
			if n > 0 {
				uses[q.what] = n
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count uses of ring key: %w", err)
	}
	return uses, nil
}
