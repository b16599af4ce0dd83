package store

import (
	"encoding/json"
	"time"
)

// Object is a configured thing (a client, an API, a scope): a JSON document with an owner and a revision.
type Object struct {
	Kind, Name string
	Revision   int64  // 1 when created, one more with each put
	ManagedBy  string // who may change it: file, admin, registration, partner
	Body       json.RawMessage
	UpdatedAt  time.Time
}

// Revisions that PutObject and DeleteObject expect.
const (
	AnyRevision int64 = -1
	NoRevision  int64 = 0 // the object must not exist
)

// objectEventLife is how long a change of an object is announced. A node that starts later reads the object.
const objectEventLife = time.Hour

const objectColumns = "kind, name, revision, managed_by, body, updated_at"

func scanObject(s scanner) (o Object, err error) {
	err = s.Scan(&o.Kind, &o.Name, &o.Revision, &o.ManagedBy, (*raw)(&o.Body), (*instant)(&o.UpdatedAt))
	return o, err
}

// Object loads one object.
func (tx *Tx) Object(kind, name string) (Object, error) {
	return one(tx, scanObject, "SELECT "+objectColumns+" FROM objects WHERE tenant = $1 AND kind = $2 AND name = $3",
		tx.tenant, kind, name)
}

// Objects lists up to limit objects of a kind with names after the given one, in order of name.
func (tx *Tx) Objects(kind, after string, limit int) ([]Object, error) {
	return all(tx, scanObject, "SELECT "+objectColumns+` FROM objects
		WHERE tenant = $1 AND kind = $2 AND name > $3 ORDER BY name LIMIT $4`, tx.tenant, kind, after, int64(limit))
}

// ObjectsWithMember lists the objects of a kind in whose JSON a member of this name is written, at whatever depth.
func (tx *Tx) ObjectsWithMember(kind, member string) ([]Object, error) {
	return all(tx, scanObject, "SELECT "+objectColumns+` FROM objects
		WHERE tenant = $1 AND kind = $2 AND body LIKE $3 ORDER BY name`, tx.tenant, kind, `%"`+member+`"%`)
}

// PutObject creates or replaces an object and announces it on the feed. expect is the revision it must
// have now, AnyRevision or NoRevision. It returns what is stored. ErrTaken: it exists although it must not;
// ErrConflict: it has another revision, or none.
func (tx *Tx) PutObject(o Object, expect int64) (Object, error) {
	o.UpdatedAt = tx.Now
	var err error
	switch {
	case expect == NoRevision:
		o.Revision = 1
		err = tx.must(ErrTaken, `INSERT INTO objects (tenant, kind, name, revision, managed_by, body, updated_at)
			VALUES ($1, $2, $3, 1, $4, $5, $6) ON CONFLICT DO NOTHING`,
			tx.tenant, o.Kind, o.Name, o.ManagedBy, string(o.Body), micros(tx.Now))
	case expect == AnyRevision:
		o.Revision, err = one(tx, scanInt, `INSERT INTO objects (tenant, kind, name, revision, managed_by, body, updated_at)
			VALUES ($1, $2, $3, 1, $4, $5, $6)
			ON CONFLICT (tenant, kind, name) DO UPDATE SET revision = objects.revision + 1,
				managed_by = excluded.managed_by, body = excluded.body, updated_at = excluded.updated_at
			RETURNING revision`, tx.tenant, o.Kind, o.Name, o.ManagedBy, string(o.Body), micros(tx.Now))
	default:
		o.Revision = expect + 1
		err = tx.must(ErrConflict, `UPDATE objects SET revision = revision + 1, managed_by = $4, body = $5, updated_at = $6
			WHERE tenant = $1 AND kind = $2 AND name = $3 AND revision = $7`,
			tx.tenant, o.Kind, o.Name, o.ManagedBy, string(o.Body), micros(tx.Now), expect)
	}
	if err != nil {
		return Object{}, err
	}
	return o, tx.announceObject(o.Kind, o.Name)
}

// DeleteObject removes an object with the expected revision, or any, and announces it on the feed.
// ErrNotFound: there is none; ErrConflict: it has another revision.
func (tx *Tx) DeleteObject(kind, name string, expect int64) error {
	n, err := tx.exec(`DELETE FROM objects WHERE tenant = $1 AND kind = $2 AND name = $3 AND (revision = $4 OR $4 = -1)`,
		tx.tenant, kind, name, expect)
	if err != nil {
		return err
	}
	if n == 0 {
		if _, err := tx.Object(kind, name); err != nil {
			return err
		}
		return ErrConflict
	}
	return tx.announceObject(kind, name)
}

func (tx *Tx) announceObject(kind, name string) error {
	return tx.AddEvent(Event{Kind: EventObject, Key: kind + "/" + name, ExpiresAt: tx.Now.Add(objectEventLife)})
}
