package store

import (
	"errors"
	"time"
)

// AppSession is a browser's session of an application at the token handler.
type AppSession struct {
	ID              string
	Application     string // name of its object
	Issuer          string // who signed the person in
	ClientID        string // of the application at that issuer
	Subject, SID    string // of the ID token; "" where there is none
	Sealed          []byte // tokens and keys; opens with the secret in the cookie only
	CreatedAt       time.Time
	LastUsedAt      time.Time
	IdleUntil       time.Time
	ExpiresAt       time.Time
	EndedAt         time.Time
	RefreshedAt     time.Time // when Sealed was last replaced by a refresh
	RefreshingUntil time.Time // somebody is refreshing and has until then
	Refresher       string    // who that is; "" for nobody
	Version         int64     // 1 when added, one more with each lease, release, refresh and end
}

const appSessionColumns = `id, application, issuer, client_id, subject, sid, sealed, created_at, last_used_at, idle_until,
	expires_at, ended_at, refreshed_at, refreshing_until, refresher, version`

func scanAppSession(s scanner) (v AppSession, err error) {
	err = s.Scan(&v.ID, &v.Application, &v.Issuer, &v.ClientID, &v.Subject, &v.SID, &v.Sealed,
		(*instant)(&v.CreatedAt), (*instant)(&v.LastUsedAt), (*instant)(&v.IdleUntil), (*instant)(&v.ExpiresAt),
		(*instant)(&v.EndedAt), (*instant)(&v.RefreshedAt), (*instant)(&v.RefreshingUntil), &v.Refresher, &v.Version)
	return v, err
}

// AppSession loads a session, ended and expired ones included.
func (tx *Tx) AppSession(id string) (AppSession, error) {
	return one(tx, scanAppSession, "SELECT "+appSessionColumns+" FROM app_sessions WHERE tenant = $1 AND shard = $2 AND id = $3",
		tx.tenant, shard(id), id)
}

// AppSessionsOf lists the sessions of an application that have not ended, of one subject of one issuer, or of one
// sid, or where both are given of both. With neither there are none. Oldest first.
func (tx *Tx) AppSessionsOf(application, issuer, subject, sid string) ([]AppSession, error) {
	where, key := "subject = $4 AND ($5 = '' OR sid = $5)", []any{subject, sid}
	switch {
	case sid != "":
		where, key = "sid = $4 AND ($5 = '' OR subject = $5)", []any{sid, subject}
	case subject == "":
		return nil, nil
	}
	return all(tx, scanAppSession, "SELECT "+appSessionColumns+` FROM app_sessions
		WHERE tenant = $1 AND application = $2 AND issuer = $3 AND `+where+` AND ended_at = 0
		ORDER BY created_at, id`, append([]any{tx.tenant, application, issuer}, key...)...)
}

// AddAppSession adds a session with version 1 that nobody refreshes. ErrTaken: the id exists.
func (tx *Tx) AddAppSession(v AppSession) error {
	return tx.must(ErrTaken, `INSERT INTO app_sessions (tenant, shard, id, application, issuer, client_id, subject, sid, sealed,
			created_at, last_used_at, idle_until, expires_at, ended_at, refreshed_at, refreshing_until, refresher, version, purge_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0, '', 1, $14) ON CONFLICT DO NOTHING`,
		tx.tenant, shard(v.ID), v.ID, v.Application, v.Issuer, v.ClientID, v.Subject, v.SID, blob(v.Sealed),
		micros(v.CreatedAt), micros(v.LastUsedAt), micros(v.IdleUntil), micros(v.ExpiresAt),
		micros(earlier(v.IdleUntil, v.ExpiresAt)))
}

// TouchAppSession moves the idle limit of a session that has not ended, and marks it used now.
func (tx *Tx) TouchAppSession(id string, idleUntil time.Time) error {
	return tx.must(ErrNotFound, `UPDATE app_sessions SET idle_until = $4, last_used_at = $5,
			purge_at = CASE WHEN expires_at < $4 THEN expires_at ELSE $4 END
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND ended_at = 0`,
		tx.tenant, shard(id), id, micros(idleUntil), micros(tx.Now))
}

// LeaseAppSession lets one caller at a time refresh a live session: holder, until the given time. It returns the
// session as it is at that moment. ErrTaken: somebody else is refreshing it, or it has ended, expired or is gone.
func (tx *Tx) LeaseAppSession(id, holder string, until time.Time) (AppSession, error) {
	v, err := one(tx, scanAppSession, `UPDATE app_sessions SET refresher = $4, refreshing_until = $5, version = version + 1
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND ended_at = 0 AND expires_at > $6 AND idle_until > $6
			AND refreshing_until <= $6
		RETURNING `+appSessionColumns, tx.tenant, shard(id), id, holder, micros(until), micros(tx.Now))
	if errors.Is(err, ErrNotFound) {
		return v, ErrTaken
	}
	return v, err
}

// ReleaseAppSession gives a lease up without a result. If it is no longer the holder's, nothing happens.
func (tx *Tx) ReleaseAppSession(id, holder string) error {
	_, err := tx.exec(`UPDATE app_sessions SET refresher = '', refreshing_until = 0, version = version + 1
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND refresher = $4`, tx.tenant, shard(id), id, holder)
	return err
}

// PutAppSession stores what the holder of the lease v.Refresher has refreshed: content, subject, sid and limits.
// The lease ends. ErrConflict: it is the lease of somebody else by now, or the session has ended.
func (tx *Tx) PutAppSession(v AppSession) error {
	return tx.must(ErrConflict, `UPDATE app_sessions SET sealed = $5, subject = $6, sid = $7, idle_until = $8, expires_at = $9,
			purge_at = $10, refreshed_at = $11, last_used_at = $11, refresher = '', refreshing_until = 0, version = version + 1
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND refresher = $4 AND ended_at = 0`,
		tx.tenant, shard(v.ID), v.ID, v.Refresher, blob(v.Sealed), v.Subject, v.SID, micros(v.IdleUntil), micros(v.ExpiresAt),
		micros(earlier(v.IdleUntil, v.ExpiresAt)), micros(tx.Now))
}

// EndAppSession ends a session, forgets what is sealed in it, and announces it on the feed. ended is false if it had
// ended before. ErrNotFound: there is none.
func (tx *Tx) EndAppSession(id string) (ended bool, err error) {
	n, err := tx.exec(`UPDATE app_sessions SET ended_at = $4, sealed = $5, refresher = '', refreshing_until = 0,
			version = version + 1, purge_at = $4
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND ended_at = 0`, tx.tenant, shard(id), id, micros(tx.Now), blob(nil))
	if err != nil {
		return false, err
	}
	if n == 0 {
		_, err := tx.AppSession(id)
		return false, err
	}
	// All of it is meant, also what a node whose clock is ahead has begun in it.
	return true, tx.AddEvent(Event{Kind: EventSession, Key: id, ExpiresAt: tx.Now.Add(afterlife)})
}
