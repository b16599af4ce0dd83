package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// ErrNoSecret says that the client does not authenticate with a secret.
var ErrNoSecret = errors.New("objects: the client does not use a secret")

// NewSecret gives a client of this owner another secret. What it had before works for keep longer, which lets
// a client change over; 0 ends it at once. Errors: ErrOwner, ErrNoSecret, store.ErrNotFound, store.ErrConflict.
func NewSecret(tx *store.Tx, ring *keys.Ring, managedBy, clientID string, keep time.Duration, expect int64) (store.Object, keys.Secret, error) {
	o, err := tx.Object(KindClient, clientID)
	switch {
	case err != nil:
		return store.Object{}, "", err
	case o.ManagedBy != managedBy:
		return store.Object{}, "", ErrOwner
	}
	var c Client
	if err := json.Unmarshal(o.Body, &c); err != nil {
		return store.Object{}, "", fmt.Errorf("read stored client: %w", err)
	}
	full := c
	if full.withDefaults(); !full.usesSecret() {
		return store.Object{}, "", ErrNoSecret
	}
	secret := full.newSecret()
	ends := tx.Now.Add(keep)
	next := []StoredSecret{full.storeSecret(ring, secret.Reveal())}
	for _, s := range c.LiveSecrets(tx.Now) {
		if keep <= 0 {
			break
		}
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(ends) {
			s.ExpiresAt = ends
		}
		next = append(next, s)
	}
	c.Secrets = next
	if o.Body, err = json.Marshal(&c); err != nil {
		return store.Object{}, "", fmt.Errorf("write client: %w", err)
	}
	o, err = tx.PutObject(o, expect)
	return o, secret, err
}
