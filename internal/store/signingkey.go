package store

import (
	"encoding/json"
	"time"
)

// SigningKey is a key that signs tokens. The private part is sealed, or lives in an external signer.
type SigningKey struct {
	ID, Alg, Use, State string
	Public              json.RawMessage // public JWK
	Sealed              []byte          // sealed private JWK; empty when external
	External            string          // name of the key in the external signer
	CreatedAt           time.Time
	ActivateAt          time.Time
	RetireAt            time.Time
	GoneAt              time.Time
}

const signingKeyColumns = "id, alg, purpose, state, public_jwk, sealed, external_ref, created_at, activate_at, retire_at, gone_at"

func scanSigningKey(s scanner) (k SigningKey, err error) {
	err = s.Scan(&k.ID, &k.Alg, &k.Use, &k.State, (*raw)(&k.Public), &k.Sealed, &k.External,
		(*instant)(&k.CreatedAt), (*instant)(&k.ActivateAt), (*instant)(&k.RetireAt), (*instant)(&k.GoneAt))
	return k, err
}

// SigningKeys lists all keys of the tenant, oldest first.
func (tx *Tx) SigningKeys() ([]SigningKey, error) {
	return all(tx, scanSigningKey, "SELECT "+signingKeyColumns+` FROM signing_keys
		WHERE tenant = $1 ORDER BY created_at, id`, tx.tenant)
}

// AddSigningKey adds a key and announces it on the feed as object "signing_key/<id>". ErrTaken: the id exists.
func (tx *Tx) AddSigningKey(k SigningKey) error {
	err := tx.must(ErrTaken, `INSERT INTO signing_keys (tenant, id, alg, purpose, state, public_jwk, sealed, external_ref,
			created_at, activate_at, retire_at, gone_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`,
		tx.tenant, k.ID, k.Alg, k.Use, k.State, string(k.Public), blob(k.Sealed), k.External,
		micros(k.CreatedAt), micros(k.ActivateAt), micros(k.RetireAt), micros(k.GoneAt))
	if err != nil {
		return err
	}
	return tx.announceObject("signing_key", k.ID)
}

// PutSigningKeyState moves a key from state from to k.State, with the times and the sealed part of k, and
// announces it on the feed. ErrConflict: it is not in state from.
func (tx *Tx) PutSigningKeyState(k SigningKey, from string) error {
	err := tx.must(ErrConflict, `UPDATE signing_keys SET state = $3, sealed = $4, activate_at = $5, retire_at = $6, gone_at = $7
		WHERE tenant = $1 AND id = $2 AND state = $8`, tx.tenant, k.ID, k.State, blob(k.Sealed),
		micros(k.ActivateAt), micros(k.RetireAt), micros(k.GoneAt), from)
	if err != nil {
		return err
	}
	return tx.announceObject("signing_key", k.ID)
}

// DeleteSigningKey forgets a key for good and announces it on the feed.
func (tx *Tx) DeleteSigningKey(id string) error {
	err := tx.must(ErrNotFound, "DELETE FROM signing_keys WHERE tenant = $1 AND id = $2", tx.tenant, id)
	if err != nil {
		return err
	}
	return tx.announceObject("signing_key", id)
}
