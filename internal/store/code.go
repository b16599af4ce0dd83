package store

import "time"

// Code is an authorization code (RFC 6749 §4.1.2). It is known by the id of the grant it will become.
type Code struct {
	GrantID, SecretHash string
	Auth                Authorization
	IssuedAt, ExpiresAt time.Time
	SpentAt             time.Time
}

const codeColumns = "grant_id, secret_hash, auth, issued_at, purge_at, spent_at"

func scanCode(s scanner) (c Code, err error) {
	err = s.Scan(&c.GrantID, &c.SecretHash, document{&c.Auth},
		(*instant)(&c.IssuedAt), (*instant)(&c.ExpiresAt), (*instant)(&c.SpentAt))
	return c, err
}

// AddCode adds a code. ErrTaken: there is one for this grant.
func (tx *Tx) AddCode(c Code) error {
	auth, err := asJSON(c.Auth)
	if err != nil {
		return err
	}
	return tx.must(ErrTaken, `INSERT INTO codes (tenant, shard, grant_id, secret_hash, auth, issued_at, purge_at, spent_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`, tx.tenant, shard(c.GrantID), c.GrantID,
		c.SecretHash, auth, micros(c.IssuedAt), micros(c.ExpiresAt), micros(c.SpentAt))
}

// Code loads a code, spent and expired ones included.
func (tx *Tx) Code(grantID string) (Code, error) {
	return one(tx, scanCode, "SELECT "+codeColumns+" FROM codes WHERE tenant = $1 AND shard = $2 AND grant_id = $3",
		tx.tenant, shard(grantID), grantID)
}

// SpendCode spends a code. ErrTaken: it was spent before; ErrNotFound: there is none. Secret and expiry are
// the caller's to check.
func (tx *Tx) SpendCode(grantID string) error {
	n, err := tx.exec("UPDATE codes SET spent_at = $4 WHERE tenant = $1 AND shard = $2 AND grant_id = $3 AND spent_at = 0",
		tx.tenant, shard(grantID), grantID, micros(tx.Now))
	if err != nil || n == 1 {
		return err
	}
	if _, err := tx.Code(grantID); err != nil {
		return err
	}
	return ErrTaken
}
