package store

import (
	"context"
	"fmt"
	"time"
)

// Kinds of event: what Key names.
const (
	EventJTI         = "jti"
	EventGrant       = "grant"
	EventSession     = "session"
	EventClient      = "client"
	EventCertificate = "x5t"
	EventKey         = "jkt"
	EventInstance    = "instance"
	EventObject      = "object" // <kind>/<name>
)

// Event tells every node that something was revoked or has changed.
type Event struct {
	ID, Kind, Key string
	Tenant        string
	At            time.Time // when it was written
	NotBefore     time.Time // what was issued before this is revoked
	ExpiresAt     time.Time // nobody needs to know any more
}

// AddEvent adds an event in the transaction of what it tells of. ID, Tenant and At are set here.
func (tx *Tx) AddEvent(e Event) error {
	id := NewID()
	_, err := tx.exec(`INSERT INTO events (tenant, shard, id, at, kind, event_key, not_before, purge_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		tx.tenant, shard(id), id, micros(tx.Now), e.Kind, e.Key, micros(e.NotBefore), micros(e.ExpiresAt))
	tx.events = tx.events || err == nil
	return err
}

func scanEvent(s scanner) (e Event, err error) {
	err = s.Scan(&e.Tenant, &e.ID, (*instant)(&e.At), &e.Kind, &e.Key, (*instant)(&e.NotBefore), (*instant)(&e.ExpiresAt))
	return e, err
}

// Events lists the events of all tenants that have not expired and were written at since or later, by the
// clock of the node that wrote them, oldest first.
func (db *DB) Events(ctx context.Context, since time.Time) (list []Event, err error) {
	err = db.Read(ctx, func(tx *Tx) (err error) {
		list, err = all(tx, scanEvent, `SELECT tenant, id, at, kind, event_key, not_before, purge_at FROM events
			WHERE at >= $1 AND purge_at > $2 ORDER BY at, id`, micros(since), micros(tx.Now))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load events: %w", err)
	}
	return list, nil
}
