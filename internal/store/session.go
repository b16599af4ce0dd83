package store

import "time"

// Factor is one thing a person did to prove who they are.
type Factor struct {
	Kind        string    `json:"kind"` // password, passkey, mailed_code
	At          time.Time `json:"at"`
	AMR         []string  `json:"amr,omitempty"` // RFC 8176
	PasskeyID   string    `json:"passkey_id,omitempty"`
	DeviceBound bool      `json:"device_bound,omitempty"`
}

// Session is a signed-in browser.
type Session struct {
	ID, SecretHash, AccountID string
	Factors                   []Factor
	ACR                       string
	AMR                       []string
	UserAgent, AddressPrefix  string
	AuthTime                  time.Time
	CreatedAt, LastUsedAt     time.Time
	IdleUntil, ExpiresAt      time.Time
	EndedAt                   time.Time
	Version                   int64 // 1 when added, one more with each put
}

// afterlife is how long rows that others may still refer to, and events about them, outlive what they are
// about: no access token lives longer than this.
const afterlife = 24 * time.Hour

const sessionColumns = `id, secret_hash, account_id, factors, acr, amr, user_agent, address_prefix, auth_time, created_at,
	last_used_at, idle_until, expires_at, ended_at, version`

func scanSession(s scanner) (v Session, err error) {
	err = s.Scan(&v.ID, &v.SecretHash, &v.AccountID, document{&v.Factors}, &v.ACR, document{&v.AMR}, &v.UserAgent,
		&v.AddressPrefix, (*instant)(&v.AuthTime), (*instant)(&v.CreatedAt), (*instant)(&v.LastUsedAt),
		(*instant)(&v.IdleUntil), (*instant)(&v.ExpiresAt), (*instant)(&v.EndedAt), &v.Version)
	return v, err
}

// Session loads a session, ended and expired ones included.
func (tx *Tx) Session(id string) (Session, error) {
	return one(tx, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE tenant = $1 AND shard = $2 AND id = $3",
		tx.tenant, shard(id), id)
}

// Sessions lists the sessions of an account that have neither ended nor expired, newest first.
func (tx *Tx) Sessions(accountID string) ([]Session, error) {
	return all(tx, scanSession, "SELECT "+sessionColumns+` FROM sessions
		WHERE tenant = $1 AND account_id = $2 AND ended_at = 0 AND expires_at > $3 AND idle_until > $3
		ORDER BY created_at DESC, id`, tx.tenant, accountID, micros(tx.Now))
}

// AddSession adds a session with version 1. ErrTaken: the id exists.
func (tx *Tx) AddSession(v Session) error {
	factors, amr, err := sessionJSON(v)
	if err != nil {
		return err
	}
	return tx.must(ErrTaken, `INSERT INTO sessions (tenant, shard, id, secret_hash, account_id, factors, acr, amr, user_agent,
			address_prefix, auth_time, created_at, last_used_at, idle_until, expires_at, ended_at, version, purge_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1, $17) ON CONFLICT DO NOTHING`,
		tx.tenant, shard(v.ID), v.ID, v.SecretHash, v.AccountID, factors, v.ACR, amr, v.UserAgent, v.AddressPrefix,
		micros(v.AuthTime), micros(v.CreatedAt), micros(v.LastUsedAt), micros(v.IdleUntil), micros(v.ExpiresAt),
		micros(v.EndedAt), micros(v.ExpiresAt.Add(afterlife)))
}

// PutSession replaces a live session whose version is still v.Version. ErrConflict: it is not, the session
// has ended, or it is gone.
func (tx *Tx) PutSession(v Session) error {
	factors, amr, err := sessionJSON(v)
	if err != nil {
		return err
	}
	return tx.must(ErrConflict, `UPDATE sessions SET version = version + 1, secret_hash = $4, account_id = $5, factors = $6,
			acr = $7, amr = $8, user_agent = $9, address_prefix = $10, auth_time = $11, last_used_at = $12,
			idle_until = $13, expires_at = $14, purge_at = $15
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND version = $16 AND ended_at = 0`,
		tx.tenant, shard(v.ID), v.ID, v.SecretHash, v.AccountID, factors, v.ACR, amr, v.UserAgent, v.AddressPrefix,
		micros(v.AuthTime), micros(v.LastUsedAt), micros(v.IdleUntil), micros(v.ExpiresAt),
		micros(v.ExpiresAt.Add(afterlife)), v.Version)
}

// TouchSession moves the idle limit of a live session and marks it used now.
func (tx *Tx) TouchSession(id string, idleUntil time.Time) error {
	return tx.must(ErrNotFound, `UPDATE sessions SET idle_until = $4, last_used_at = $5
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND ended_at = 0`,
		tx.tenant, shard(id), id, micros(idleUntil), micros(tx.Now))
}

// EndSession ends a session and announces it on the feed; ending it again does nothing.
func (tx *Tx) EndSession(id string) error {
	n, err := tx.exec(`UPDATE sessions SET ended_at = $4, version = version + 1, purge_at = $5
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND ended_at = 0`,
		tx.tenant, shard(id), id, micros(tx.Now), micros(tx.Now.Add(afterlife)))
	if err != nil {
		return err
	}
	if n == 0 {
		_, err := tx.Session(id)
		return err
	}
	return tx.AddEvent(Event{Kind: EventSession, Key: id, NotBefore: tx.Now, ExpiresAt: tx.Now.Add(afterlife)})
}

func sessionJSON(v Session) (factors, amr string, err error) {
	if factors, err = asJSON(v.Factors); err != nil {
		return "", "", err
	}
	amr, err = asJSON(v.AMR)
	return factors, amr, err
}
