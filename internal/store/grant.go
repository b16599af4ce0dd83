package store

import (
	"encoding/json"
	"time"
)

// Authorization is what a person agreed to for a client: what a code carries to the token endpoint and a
// grant keeps from then on. It is stored as JSON.
type Authorization struct {
	ClientID      string          `json:"client_id"`
	AccountID     string          `json:"account_id,omitempty"`
	SessionID     string          `json:"session_id,omitempty"`
	RedirectURI   string          `json:"redirect_uri,omitempty"`
	Nonce         string          `json:"nonce,omitempty"`
	CodeChallenge string          `json:"code_challenge,omitempty"`
	ACR           string          `json:"acr,omitempty"`
	AMR           []string        `json:"amr,omitempty"`
	Scope         []string        `json:"scope,omitempty"`
	Resources     []string        `json:"resources,omitempty"`
	AuthTime      time.Time       `json:"auth_time,omitzero"`
	DPoPJKT       string          `json:"dpop_jkt,omitempty"`
	Claims        json.RawMessage `json:"claims,omitempty"`                // OIDC Core §5.5
	Details       json.RawMessage `json:"authorization_details,omitempty"` // RFC 9396 §2
}

// Grant is a standing authorization: the parent of every token minted under it.
type Grant struct {
	ID        string
	Auth      Authorization
	JKT, X5T  string // the key or certificate its refresh token is bound to
	Bearer    bool   // its refresh token is bound to nothing, and rotated
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt time.Time
	Version   int64 // 1 when added, one more with each touch
}

const grantColumns = "id, auth, jkt, x5t, bearer, created_at, expires_at, revoked_at, version"

func scanGrant(s scanner) (g Grant, err error) {
	err = s.Scan(&g.ID, document{&g.Auth}, &g.JKT, &g.X5T, &g.Bearer,
		(*instant)(&g.CreatedAt), (*instant)(&g.ExpiresAt), (*instant)(&g.RevokedAt), &g.Version)
	return g, err
}

// AddGrant adds a grant with version 1. ErrTaken: the id exists.
func (tx *Tx) AddGrant(g Grant) error {
	auth, err := asJSON(g.Auth)
	if err != nil {
		return err
	}
	return tx.must(ErrTaken, `INSERT INTO grants (tenant, shard, id, account_id, auth, jkt, x5t, bearer, created_at, expires_at,
			revoked_at, version, purge_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12) ON CONFLICT DO NOTHING`,
		tx.tenant, shard(g.ID), g.ID, g.Auth.AccountID, auth, g.JKT, g.X5T, g.Bearer,
		micros(g.CreatedAt), micros(g.ExpiresAt), micros(g.RevokedAt), micros(g.ExpiresAt.Add(afterlife)))
}

// Grant loads a grant, revoked and expired ones included.
func (tx *Tx) Grant(id string) (Grant, error) {
	return one(tx, scanGrant, "SELECT "+grantColumns+" FROM grants WHERE tenant = $1 AND shard = $2 AND id = $3",
		tx.tenant, shard(id), id)
}

// TouchGrant loads a grant that is neither revoked nor expired and keeps everybody else from changing it
// until this transaction ends. Every mint begins with it. ErrNotFound: there is no such live grant.
func (tx *Tx) TouchGrant(id string) (Grant, error) {
	return one(tx, scanGrant, `UPDATE grants SET version = version + 1
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND revoked_at = 0 AND expires_at > $4
		RETURNING `+grantColumns, tx.tenant, shard(id), id, micros(tx.Now))
}

// RevokeGrant revokes a grant and announces it on the feed until the last token minted under it has expired;
// doing it again does nothing. ErrNotFound: there is none.
func (tx *Tx) RevokeGrant(id string, until time.Time) error {
	n, err := tx.exec(`UPDATE grants SET revoked_at = $4, version = version + 1
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND revoked_at = 0`, tx.tenant, shard(id), id, micros(tx.Now))
	if err != nil {
		return err
	}
	if n == 0 {
		_, err := tx.Grant(id)
		return err
	}
	// A revoked grant mints nothing any more, so all its tokens are meant, also those of a node whose clock is ahead.
	return tx.AddEvent(Event{Kind: EventGrant, Key: id, NotBefore: until, ExpiresAt: until})
}

// Grants lists the live grants of an account, newest first.
func (tx *Tx) Grants(accountID string) ([]Grant, error) {
	return all(tx, scanGrant, "SELECT "+grantColumns+` FROM grants
		WHERE tenant = $1 AND account_id = $2 AND revoked_at = 0 AND expires_at > $3
		ORDER BY created_at DESC, id`, tx.tenant, accountID, micros(tx.Now))
}
