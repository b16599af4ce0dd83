package store

import "time"

// Passkey is a WebAuthn credential of an account.
type Passkey struct {
	ID                string // credential id, base64url; unique in the tenant
	AccountID         string
	RPID, Name        string
	PublicKey         []byte // COSE key
	AAGUID            []byte
	SignCount         uint32
	Flags             byte
	Transports        []string
	AttestationFormat string
	CreatedAt         time.Time
	LastUsedAt        time.Time
}

const passkeyColumns = `id, account_id, rp_id, name, public_key, aaguid, sign_count, flags, transports, attestation_format,
	created_at, last_used_at`

func scanPasskey(s scanner) (p Passkey, err error) {
	err = s.Scan(&p.ID, &p.AccountID, &p.RPID, &p.Name, &p.PublicKey, &p.AAGUID, &p.SignCount, &p.Flags,
		document{&p.Transports}, &p.AttestationFormat, (*instant)(&p.CreatedAt), (*instant)(&p.LastUsedAt))
	return p, err
}

// Passkey loads a passkey by credential id.
func (tx *Tx) Passkey(id string) (Passkey, error) {
	account, err := one(tx, scanText, "SELECT account_id FROM passkey_ids WHERE tenant = $1 AND shard = $2 AND id = $3",
		tx.tenant, shard(id), id)
	if err != nil {
		return Passkey{}, err
	}
	return one(tx, scanPasskey, "SELECT "+passkeyColumns+` FROM passkeys
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND id = $4`, tx.tenant, shard(account), account, id)
}

// Passkeys lists the passkeys of an account, oldest first.
func (tx *Tx) Passkeys(accountID string) ([]Passkey, error) {
	return all(tx, scanPasskey, "SELECT "+passkeyColumns+` FROM passkeys
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 ORDER BY created_at, id`, tx.tenant, shard(accountID), accountID)
}

// AddPasskey adds a passkey. ErrTaken: the credential id exists (WebAuthn L3 §7.1 step 26).
func (tx *Tx) AddPasskey(p Passkey) error {
	transports, err := asJSON(p.Transports)
	if err != nil {
		return err
	}
	err = tx.must(ErrTaken, `INSERT INTO passkey_ids (tenant, shard, id, account_id) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, tx.tenant, shard(p.ID), p.ID, p.AccountID)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO passkeys (tenant, shard, id, account_id, rp_id, name, public_key, aaguid, sign_count, flags,
			transports, attestation_format, created_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		tx.tenant, shard(p.AccountID), p.ID, p.AccountID, p.RPID, p.Name, blob(p.PublicKey), blob(p.AAGUID),
		int64(p.SignCount), int64(p.Flags), transports, p.AttestationFormat, micros(p.CreatedAt), micros(p.LastUsedAt))
	return err
}

// UsePasskey remembers a login: signature counter and flags of p, and the time of tx.
func (tx *Tx) UsePasskey(p Passkey) error {
	return tx.must(ErrNotFound, `UPDATE passkeys SET sign_count = $5, flags = $6, last_used_at = $7
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND id = $4`, tx.tenant, shard(p.AccountID), p.AccountID, p.ID,
		int64(p.SignCount), int64(p.Flags), micros(tx.Now))
}

// RenamePasskey gives a passkey of an account another name.
func (tx *Tx) RenamePasskey(accountID, id, name string) error {
	return tx.must(ErrNotFound, `UPDATE passkeys SET name = $5
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND id = $4`, tx.tenant, shard(accountID), accountID, id, name)
}

// DeletePasskey removes a passkey of an account.
func (tx *Tx) DeletePasskey(accountID, id string) error {
	err := tx.must(ErrNotFound, "DELETE FROM passkeys WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND id = $4",
		tx.tenant, shard(accountID), accountID, id)
	if err != nil {
		return err
	}
	return tx.dropPasskeyID(id)
}

func (tx *Tx) dropPasskeys(accountID string) error {
	ids, err := all(tx, scanText, "DELETE FROM passkeys WHERE tenant = $1 AND shard = $2 AND account_id = $3 RETURNING id",
		tx.tenant, shard(accountID), accountID)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := tx.dropPasskeyID(id); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) dropPasskeyID(id string) error {
	_, err := tx.exec("DELETE FROM passkey_ids WHERE tenant = $1 AND shard = $2 AND id = $3", tx.tenant, shard(id), id)
	return err
}
