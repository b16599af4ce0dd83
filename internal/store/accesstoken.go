package store

import (
	"encoding/json"
	"time"
)

// AccessToken is an opaque access token; self-contained ones are not stored.
type AccessToken struct {
	ID, SecretHash      string
	GrantID, ClientID   string
	Claims              json.RawMessage // what introspection answers
	IssuedAt, ExpiresAt time.Time
	RevokedAt           time.Time
}

const accessTokenColumns = "id, secret_hash, grant_id, client_id, claims, issued_at, purge_at, revoked_at"

func scanAccessToken(s scanner) (t AccessToken, err error) {
	err = s.Scan(&t.ID, &t.SecretHash, &t.GrantID, &t.ClientID, (*raw)(&t.Claims),
		(*instant)(&t.IssuedAt), (*instant)(&t.ExpiresAt), (*instant)(&t.RevokedAt))
	return t, err
}

// AddAccessToken adds a token. ErrTaken: the same id and hash exist.
func (tx *Tx) AddAccessToken(t AccessToken) error {
	return tx.must(ErrTaken, `INSERT INTO access_tokens (tenant, shard, id, secret_hash, grant_id, client_id, claims,
			issued_at, purge_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		tx.tenant, shard(t.ID), t.ID, t.SecretHash, t.GrantID, t.ClientID, string(t.Claims),
		micros(t.IssuedAt), micros(t.ExpiresAt), micros(t.RevokedAt))
}

// AccessTokens lists the tokens with this id, which several tokens of one grant may share, newest first,
// revoked and expired ones included.
func (tx *Tx) AccessTokens(id string) ([]AccessToken, error) {
	return all(tx, scanAccessToken, "SELECT "+accessTokenColumns+` FROM access_tokens
		WHERE tenant = $1 AND shard = $2 AND id = $3 ORDER BY issued_at DESC, secret_hash`, tx.tenant, shard(id), id)
}

// RevokeAccessToken revokes one token; doing it again does nothing. ErrNotFound: there is none.
func (tx *Tx) RevokeAccessToken(id, secretHash string) error {
	return tx.must(ErrNotFound, `UPDATE access_tokens SET revoked_at = CASE WHEN revoked_at = 0 THEN $5 ELSE revoked_at END
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND secret_hash = $4`,
		tx.tenant, shard(id), id, secretHash, micros(tx.Now))
}
