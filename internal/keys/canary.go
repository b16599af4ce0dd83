package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	canaryName = "ring_canary"
	canaryText = "holdfast"
)

// SettingPlace is the aad under which the value of a setting is sealed, for Seal and Open with PurposeSeal. Settings
// sealed so are found by Rewrap.
func SettingPlace(tenant, name string) []byte { return []byte(name + "\x00" + tenant) }

// keyPlace is the aad of a sealed signing key.
func keyPlace(tenant, id string) []byte { return []byte("signing_key\x00" + tenant + "\x00" + id) }

// CheckCanary opens the sealed canary of the database, or puts one there if the database is new. So a wrong ring is
// found at start, and not when a person meets it.
func (r *Ring) CheckCanary(ctx context.Context, db *store.DB) error {
	root, place := db.For(""), SettingPlace("", canaryName)
	var sealed []byte
	read := func(tx *store.Tx) (err error) {
		sealed, err = tx.Setting(canaryName)
		return err
	}
	err := root.Read(ctx, read)
	if errors.Is(err, store.ErrNotFound) {
		if err = root.Write(ctx, r.putCanary); err == nil {
			err = root.Read(ctx, read) // it may be another node's
		}
	}
	if err != nil {
		return fmt.Errorf("read the canary of the key ring: %w", err)
	}
	if text, err := r.Open(PurposeSeal, place, sealed); err != nil || string(text) != canaryText {
		return fmt.Errorf("the key ring (keys %v) does not belong to this database, which was sealed under key %q: name the right file as key_ring", r.IDs(), SealedBy(sealed))
	}
	return nil
}

// putCanary writes the canary unless another node is quicker, perhaps with another ring: the spend lets one through.
func (r *Ring) putCanary(tx *store.Tx) error {
	err := tx.Spend(store.Spend{Kind: "setting", Key: canaryName, Until: tx.Now.Add(time.Hour)})
	if errors.Is(err, store.ErrTaken) {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.PutSetting(canaryName, r.Seal(PurposeSeal, SettingPlace("", canaryName), []byte(canaryText)))
}

// Rewrap seals under the active key what other keys of the ring have sealed: the settings of the database and of
// these tenants, and the tenants' signing keys. It says how many. Hashes cannot be made again without the secrets.
func (r *Ring) Rewrap(ctx context.Context, db *store.DB, tenants []string) (n int, err error) {
	for _, tenant := range append([]string{""}, tenants...) {
		var done int
		err := db.For(tenant).Write(ctx, func(tx *store.Tx) error {
			settings, err := r.rewrapSettings(tx)
			if err != nil {
				return err
			}
			signing, err := r.rewrapSigningKeys(tx)
			done = settings + signing
			return err
		})
		if err != nil {
			return n, fmt.Errorf("rewrap tenant %q: %w", tenant, err)
		}
		n += done
	}
	return n, nil
}

func (r *Ring) rewrapSettings(tx *store.Tx) (n int, err error) {
	list, err := tx.Settings()
	for _, s := range list {
		if !r.stale(s.Value) {
			continue
		}
		sealed, err := r.rewrap(SettingPlace(tx.Tenant(), s.Name), s.Value)
		if err == nil {
			err = tx.PutSetting(s.Name, sealed)
		}
		if err != nil {
			return 0, fmt.Errorf("setting %s: %w", s.Name, err)
		}
		n++
	}
	return n, err
}

func (r *Ring) rewrapSigningKeys(tx *store.Tx) (n int, err error) {
	list, err := lockSigningKeys(tx)
	for _, k := range list {
		if !r.stale(k.Sealed) {
			continue
		}
		if k.Sealed, err = r.rewrap(keyPlace(tx.Tenant(), k.ID), k.Sealed); err == nil {
			err = tx.PutSigningKeyState(k, k.State)
		}
		if err != nil {
			return 0, fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		n++
	}
	return n, err
}

// stale says that a value was sealed by a key of the ring that is not the active one.
func (r *Ring) stale(sealed []byte) bool {
	id := SealedBy(sealed)
	return id != r.ActiveID() && slices.Contains(r.IDs(), id)
}

func (r *Ring) rewrap(place, sealed []byte) ([]byte, error) {
	plaintext, err := r.Open(PurposeSeal, place, sealed)
	if err != nil {
		return nil, err
	}
	return r.Seal(PurposeSeal, place, plaintext), nil
}

// CheckUnused refuses while anything in the database still needs the ring key: what is sealed (rewrap first), hashed
// secrets of clients (their owners have to get new ones: the first are named), and what people hold, such as sessions
// (wait for its end).
func CheckUnused(ctx context.Context, db *store.DB, id string) error {
	uses, err := db.RingUse(ctx, id)
	if err != nil {
		return err
	}
	var found []error
	for _, what := range slices.Sorted(maps.Keys(uses)) {
		which := ""
		if what == store.HashedObjects {
			if which, err = named(ctx, db, id, uses[what]); err != nil {
				return err
			}
		}
		found = append(found, fmt.Errorf("key %s is still needed for %d %s%s", id, uses[what], what, which))
	}
	return errors.Join(found...)
}

const namedAtMost = 10

// named lists the objects that need a key.
func named(ctx context.Context, db *store.DB, id string, of int64) (string, error) {
	names, err := db.RingObjects(ctx, id, namedAtMost)
	if err != nil {
		return "", err
	}
	text := ": " + strings.Join(names, ", ")
	if more := of - int64(len(names)); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text, nil
}
