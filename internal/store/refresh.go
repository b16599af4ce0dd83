package store

import "time"

// Refresh is a refresh token (RFC 6749 §1.5) of a grant. A bound grant has one, a bearer grant one for each
// rotation, of which all but the last are spent.
type Refresh struct {
	GrantID, SecretHash  string
	IssuedAt, LastUsedAt time.Time
	IdleUntil, ExpiresAt time.Time
	SpentAt              time.Time
}

const refreshColumns = "grant_id, secret_hash, issued_at, last_used_at, idle_until, expires_at, spent_at"

func scanRefresh(s scanner) (r Refresh, err error) {
	err = s.Scan(&r.GrantID, &r.SecretHash, (*instant)(&r.IssuedAt), (*instant)(&r.LastUsedAt),
		(*instant)(&r.IdleUntil), (*instant)(&r.ExpiresAt), (*instant)(&r.SpentAt))
	return r, err
}

// AddRefresh adds a refresh token. ErrTaken: the grant has one with this hash.
func (tx *Tx) AddRefresh(r Refresh) error {
	return tx.must(ErrTaken, `INSERT INTO refresh_tokens (tenant, shard, grant_id, secret_hash, issued_at, last_used_at,
			idle_until, expires_at, spent_at, purge_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		tx.tenant, shard(r.GrantID), r.GrantID, r.SecretHash, micros(r.IssuedAt), micros(r.LastUsedAt),
		micros(r.IdleUntil), micros(r.ExpiresAt), micros(r.SpentAt), micros(earlier(r.IdleUntil, r.ExpiresAt)))
}

// Refreshes lists the refresh tokens of a grant, newest first, spent and expired ones included. After many
// rotations these are many; Refresh finds one.
func (tx *Tx) Refreshes(grantID string) ([]Refresh, error) {
	return all(tx, scanRefresh, "SELECT "+refreshColumns+` FROM refresh_tokens
		WHERE tenant = $1 AND shard = $2 AND grant_id = $3 ORDER BY issued_at DESC, secret_hash`,
		tx.tenant, shard(grantID), grantID)
}

// Refresh loads the refresh token of a grant with this hash, spent and expired ones included.
func (tx *Tx) Refresh(grantID, secretHash string) (Refresh, error) {
	return one(tx, scanRefresh, "SELECT "+refreshColumns+` FROM refresh_tokens
		WHERE tenant = $1 AND shard = $2 AND grant_id = $3 AND secret_hash = $4`,
		tx.tenant, shard(grantID), grantID, secretHash)
}

// SpendRefresh spends a refresh token. ErrTaken: it was spent before; ErrNotFound: there is none.
func (tx *Tx) SpendRefresh(grantID, secretHash string) error {
	n, err := tx.exec(`UPDATE refresh_tokens SET spent_at = $5, last_used_at = $5
		WHERE tenant = $1 AND shard = $2 AND grant_id = $3 AND secret_hash = $4 AND spent_at = 0`,
		tx.tenant, shard(grantID), grantID, secretHash, micros(tx.Now))
	if err != nil || n == 1 {
		return err
	}
	if _, err := tx.Refresh(grantID, secretHash); err != nil {
		return err
	}
	return ErrTaken
}

// TouchRefresh moves the idle limit of an unspent refresh token, never past its expiry.
func (tx *Tx) TouchRefresh(grantID, secretHash string, lastUsed, idleUntil time.Time) error {
	return tx.must(ErrNotFound, `UPDATE refresh_tokens SET last_used_at = $5, idle_until = $6,
			purge_at = CASE WHEN expires_at = 0 OR expires_at > $6 THEN $6 ELSE expires_at END
		WHERE tenant = $1 AND shard = $2 AND grant_id = $3 AND secret_hash = $4 AND spent_at = 0`,
		tx.tenant, shard(grantID), grantID, secretHash, micros(lastUsed), micros(idleUntil))
}
