package store

import (
	"errors"
	"time"
)

// TakeLease gives holder the lease of this name until the given time if nobody else holds it. fence is one
// more with every change of holder or lapse and unchanged by a renewal: whoever acts under a lease passes it
// on, so that a late holder is recognised. A holder gives its lease up by taking it until tx.Now.
func (tx *Tx) TakeLease(name, holder string, until time.Time) (fence int64, ok bool, err error) {
	fence, err = one(tx, scanInt, `INSERT INTO leases (tenant, name, holder, fence, held_until) VALUES ($1, $2, $3, 1, $4)
		ON CONFLICT (tenant, name) DO UPDATE SET
			fence = CASE WHEN leases.holder = excluded.holder AND leases.held_until > $5 THEN leases.fence ELSE leases.fence + 1 END,
			holder = excluded.holder, held_until = excluded.held_until
		WHERE leases.held_until <= $5 OR leases.holder = excluded.holder
		RETURNING fence`, tx.tenant, name, holder, micros(until), micros(tx.Now))
	if errors.Is(err, ErrNotFound) {
		return 0, false, nil
	}
	return fence, err == nil, err
}
