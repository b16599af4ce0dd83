package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	canaryName = "ring_canary"
	canaryText = "holdfast"
)

// CheckCanary opens the sealed canary of the database, or puts one there if the database is new. A wrong ring is
// found here, at start, and not at the first cookie.
func (r *Ring) CheckCanary(ctx context.Context, db *store.DB) error {
	root := db.For("")
	var sealed []byte
	err := root.Read(ctx, func(tx *store.Tx) (err error) {
		sealed, err = tx.Setting(canaryName)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return r.putCanary(ctx, root)
	}
	if err != nil {
		return fmt.Errorf("read the key ring's canary: %w", err)
	}
	plain, err := r.Open(PurposeSeal, []byte(canaryName), sealed)
	if err != nil || string(plain) != canaryText {
		return fmt.Errorf("the key ring does not belong to this database, which was sealed under key %q (the ring has %v): name the right file in key_ring", SealedBy(sealed), r.IDs())
	}
	return nil
}

func (r *Ring) putCanary(ctx context.Context, root *store.DB) error {
	err := root.Write(ctx, func(tx *store.Tx) error {
		return tx.PutSetting(canaryName, r.Seal(PurposeSeal, []byte(canaryName), []byte(canaryText)))
	})
	if err != nil {
		return fmt.Errorf("write the key ring's canary: %w", err)
	}
	return nil
}

// Rewrap seals under the newest key what older keys sealed in the database: the canary and the signing keys of these
// tenants. It says how many it resealed. Hashes cannot be made again without the secrets; see InUse.
func (r *Ring) Rewrap(ctx context.Context, db *store.DB, tenants []string) (n int, err error) {
	newest := r.newest().id
	if err := r.CheckCanary(ctx, db); err != nil {
		return 0, err
	}
	if err := r.putCanary(ctx, db.For("")); err != nil {
		return 0, err
	}
	for _, tenant := range tenants {
		var done int
		err := db.For(tenant).Write(ctx, func(tx *store.Tx) error {
			done = 0
			all, err := tx.SigningKeys()
			if err != nil {
				return err
			}
			for _, k := range all {
				if len(k.Sealed) == 0 || SealedBy(k.Sealed) == newest {
					continue
				}
				plain, err := r.Open(PurposeSeal, sealedAs(tenant, k.ID), k.Sealed)
				if err != nil {
					return fmt.Errorf("signing key %s: %w", k.ID, err)
				}
				k.Sealed = r.Seal(PurposeSeal, sealedAs(tenant, k.ID), plain)
				if err := tx.PutSigningKeyState(k, k.State); err != nil {
					return err
				}
				done++
			}
			return nil
		})
		if err != nil {
			return n, fmt.Errorf("rewrap tenant %s: %w", tenant, err)
		}
		n += done
	}
	return n, nil
}

// InUse lists what in the database still needs a ring key: sealed signing keys, the canary, and the hashes that
// hashes yields for a tenant (the client secrets, which only their owners can give again).
func (r *Ring) InUse(ctx context.Context, db *store.DB, id string, tenants []string, hashes func(*store.Tx) (map[string]string, error)) ([]string, error) {
	var uses []string
	err := db.For("").Read(ctx, func(tx *store.Tx) error {
		sealed, err := tx.Setting(canaryName)
		if err == nil && SealedBy(sealed) == id {
			uses = append(uses, "the canary of the database")
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the key ring's canary: %w", err)
	}
	for _, tenant := range tenants {
		err := db.For(tenant).Read(ctx, func(tx *store.Tx) error {
			all, err := tx.SigningKeys()
			if err != nil {
				return err
			}
			for _, k := range all {
				if SealedBy(k.Sealed) == id {
					uses = append(uses, "signing key "+k.ID+" of "+tenant)
				}
			}
			named, err := hashes(tx)
			for name, hash := range named {
				if HashedBy(hash) == id {
					uses = append(uses, name+" of "+tenant)
				}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look for uses in tenant %s: %w", tenant, err)
		}
	}
	return uses, nil
}

// sealedAs binds a sealed signing key to its row.
func sealedAs(tenant, id string) []byte { return []byte("signing_key " + tenant + " " + id) }
