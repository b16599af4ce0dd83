package objects

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Report is what an import did. Objects are named <kind>/<name>.
type Report struct {
	Created   []string               `json:"created,omitempty"`
	Updated   []string               `json:"updated,omitempty"`
	Unchanged []string               `json:"unchanged,omitempty"`
	Skipped   []string               `json:"skipped,omitempty"` // managed by another owner, who is named
	Notices   Problems               `json:"notices,omitempty"` // worth knowing
	Secrets   map[string]keys.Secret `json:"-"`                 // generated, by client id; shown once and never again
}

// Import brings the objects of documents into the tenant of tx. It is idempotent, leaves the objects of other
// owners alone, and removes nothing. Documents with problems are all refused together: the error is Problems
// and the transaction must fail.
func Import(tx *store.Tx, ring *keys.Ring, managedBy string, docs []Document) (Report, error) {
	r := Report{Secrets: map[string]keys.Secret{}}
	var refused Problems
	seen := map[string]bool{}
	for _, d := range docs {
		p, err := prepareIn(tx, ring, d)
		if err != nil {
			return Report{}, err
		}
		if key := d.Kind + "/" + p.name; seen[key] {
			p.report("", "is given twice", "keep one document for each object")
			p.seal()
		} else {
			seen[key] = true
		}
		bad, notices := p.problems.split()
		refused = append(refused, bad...)
		r.Notices = append(r.Notices, notices...)
		if len(refused) > 0 {
			continue // read on for the sake of the other problems
		}
		if err := r.apply(tx, managedBy, p); err != nil {
			return Report{}, err
		}
	}
	if len(refused) > 0 {
		return Report{Notices: r.Notices}, refused
	}
	return r, nil
}

func prepareIn(tx *store.Tx, ring *keys.Ring, d Document) (*preparation, error) {
	return prepare(ring, d, func(kind, name string) (json.RawMessage, error) {
		o, err := tx.Object(kind, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		return o.Body, err
	})
}

// apply stores what was prepared, if it differs from what is there and is ours.
func (r *Report) apply(tx *store.Tx, managedBy string, p *preparation) error {
	key := p.doc.Kind + "/" + p.name
	old, err := tx.Object(p.doc.Kind, p.name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.Created = append(r.Created, key)
	case err != nil:
		return fmt.Errorf("load object: %w", err)
	case old.ManagedBy != managedBy:
		r.Skipped = append(r.Skipped, key+" (managed by "+old.ManagedBy+")")
		return nil
	case bytes.Equal(old.Body, p.body):
		r.Unchanged = append(r.Unchanged, key)
		return nil
	default:
		r.Updated = append(r.Updated, key)
	}
	if _, err := tx.PutObject(p.object(managedBy), old.Revision); err != nil {
		return fmt.Errorf("store object: %w", err)
	}
	if p.secret != "" {
		r.Secrets[p.name] = p.secret
	}
	return nil
}

func (p *preparation) object(managedBy string) store.Object {
	return store.Object{Kind: p.doc.Kind, Name: p.name, ManagedBy: managedBy, Body: p.body}
}

// Put stores one object if it has the expected revision (store.AnyRevision, store.NoRevision or a number) and
// the same owner or none yet. generated is the secret that was made, "" for none. Errors: Problems, ErrOwner,
// store.ErrTaken, store.ErrConflict. notices are what is worth knowing.
func Put(tx *store.Tx, ring *keys.Ring, managedBy string, d Document, expect int64) (o store.Object, generated keys.Secret, notices Problems, err error) {
	p, err := prepareIn(tx, ring, d)
	if err != nil {
		return store.Object{}, "", nil, err
	}
	refused, notices := p.problems.split()
	if len(refused) > 0 {
		return store.Object{}, "", notices, refused
	}
	if err := checkOwner(tx, managedBy, d.Kind, p.name); err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Object{}, "", nil, err
	}
	o, err = tx.PutObject(p.object(managedBy), expect)
	return o, p.secret, notices, err
}

func checkOwner(tx *store.Tx, managedBy, kind, name string) error {
	o, err := tx.Object(kind, name)
	if err == nil && o.ManagedBy != managedBy {
		return ErrOwner
	}
	return err
}

// Delete removes an object of this owner if it has the expected revision. The tokens of a deleted client are
// revoked everywhere. Errors: ErrOwner, store.ErrNotFound, store.ErrConflict.
func Delete(tx *store.Tx, managedBy, kind, name string, expect int64) error {
	if err := checkOwner(tx, managedBy, kind, name); err != nil {
		return err
	}
	if err := tx.DeleteObject(kind, name, expect); err != nil || kind != KindClient {
		return err
	}
	// No token lives longer than maxLifetime.
	return tx.AddEvent(store.Event{Kind: store.EventClient, Key: name, NotBefore: tx.Now, ExpiresAt: tx.Now.Add(maxLifetime * time.Second)})
}
