package store

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Account is a person. Username is unique in the tenant whatever its case, UserHandle (WebAuthn L3 §5.4.3)
// unique as it is; either may be empty.
type Account struct {
	ID, Username      string
	UserHandle        []byte
	Disabled          bool
	Claims            json.RawMessage
	PasswordHash      string
	ManagedBy         string
	PasswordChangedAt time.Time
	CreatedAt         time.Time
	UpdatedAt         time.Time
	Version           int64 // 1 when added, one more with each put
}

const accountColumns = `id, username, user_handle, disabled, claims, password_hash, managed_by, password_changed_at,
	created_at, updated_at, version`

func scanAccount(s scanner) (a Account, err error) {
	err = s.Scan(&a.ID, &a.Username, &a.UserHandle, &a.Disabled, (*raw)(&a.Claims), &a.PasswordHash, &a.ManagedBy,
		(*instant)(&a.PasswordChangedAt), (*instant)(&a.CreatedAt), (*instant)(&a.UpdatedAt), &a.Version)
	return a, err
}

// fold makes names comparable: Alice and alice are the same person.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// Account loads a person by id.
func (tx *Tx) Account(id string) (Account, error) {
	return one(tx, scanAccount, "SELECT "+accountColumns+" FROM accounts WHERE tenant = $1 AND shard = $2 AND id = $3",
		tx.tenant, shard(id), id)
}

// AccountByName loads a person by user name, whatever its case.
func (tx *Tx) AccountByName(name string) (Account, error) {
	name = fold(name)
	id, err := one(tx, scanText, "SELECT account_id FROM account_names WHERE tenant = $1 AND shard = $2 AND name = $3",
		tx.tenant, shard(name), name)
	if err != nil {
		return Account{}, err
	}
	return tx.Account(id)
}

// AccountByHandle loads a person by WebAuthn user handle.
func (tx *Tx) AccountByHandle(handle []byte) (Account, error) {
	id, err := one(tx, scanText, "SELECT account_id FROM account_handles WHERE tenant = $1 AND shard = $2 AND handle = $3",
		tx.tenant, shard(string(handle)), blob(handle))
	if err != nil {
		return Account{}, err
	}
	return tx.Account(id)
}

// Accounts lists up to limit people with ids after the given one, in order of id.
func (tx *Tx) Accounts(after string, limit int) ([]Account, error) {
	return all(tx, scanAccount, "SELECT "+accountColumns+` FROM accounts
		WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`, tx.tenant, after, int64(limit))
}

// AddAccount adds a person with version 1. ErrTaken: the id, the name or the handle is in use; let the
// transaction fail then.
func (tx *Tx) AddAccount(a Account) error {
	if err := tx.addName(a.Username, a.ID); err != nil {
		return err
	}
	if err := tx.addHandle(a.UserHandle, a.ID); err != nil {
		return err
	}
	return tx.must(ErrTaken, `INSERT INTO accounts (tenant, shard, id, username, user_handle, disabled, claims, password_hash,
			managed_by, password_changed_at, created_at, updated_at, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1) ON CONFLICT DO NOTHING`,
		tx.tenant, shard(a.ID), a.ID, a.Username, blob(a.UserHandle), a.Disabled, string(a.Claims), a.PasswordHash,
		a.ManagedBy, micros(a.PasswordChangedAt), micros(a.CreatedAt), micros(a.UpdatedAt))
}

// PutAccount replaces a person whose version is still a.Version, and sets UpdatedAt. ErrConflict: it is
// not, or the person is gone; ErrTaken: the new name or handle is in use; let the transaction fail then.
func (tx *Tx) PutAccount(a Account) error {
	old, err := tx.Account(a.ID)
	if err == nil && old.Version != a.Version || errors.Is(err, ErrNotFound) {
		return ErrConflict
	}
	if err != nil {
		return err
	}
	err = tx.must(ErrConflict, `UPDATE accounts SET version = version + 1, username = $4, user_handle = $5, disabled = $6,
			claims = $7, password_hash = $8, managed_by = $9, password_changed_at = $10, updated_at = $11
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND version = $12`,
		tx.tenant, shard(a.ID), a.ID, a.Username, blob(a.UserHandle), a.Disabled, string(a.Claims), a.PasswordHash,
		a.ManagedBy, micros(a.PasswordChangedAt), micros(tx.Now), a.Version)
	if err != nil {
		return err
	}
	if fold(old.Username) != fold(a.Username) {
		if err := tx.dropName(old.Username); err != nil {
			return err
		}
		if err := tx.addName(a.Username, a.ID); err != nil {
			return err
		}
	}
	if string(old.UserHandle) != string(a.UserHandle) {
		if err := tx.dropHandle(old.UserHandle); err != nil {
			return err
		}
		return tx.addHandle(a.UserHandle, a.ID)
	}
	return nil
}

// DeleteAccount removes a person with name, passkeys, consents and mailed codes. Sessions and grants are the
// caller's to end and revoke.
func (tx *Tx) DeleteAccount(id string) error {
	a, err := one(tx, scanAccount, `DELETE FROM accounts WHERE tenant = $1 AND shard = $2 AND id = $3
		RETURNING `+accountColumns, tx.tenant, shard(id), id)
	if err != nil {
		return err
	}
	if err := tx.dropName(a.Username); err != nil {
		return err
	}
	if err := tx.dropHandle(a.UserHandle); err != nil {
		return err
	}
	if err := tx.dropPasskeys(id); err != nil {
		return err
	}
	for _, query := range []string{
		"DELETE FROM consents WHERE tenant = $1 AND shard = $2 AND account_id = $3",
		"DELETE FROM mailed_codes WHERE tenant = $1 AND shard = $2 AND account_id = $3",
	} {
		if _, err := tx.exec(query, tx.tenant, shard(id), id); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) addName(name, accountID string) error {
	if name = fold(name); name == "" {
		return nil
	}
	return tx.must(ErrTaken, `INSERT INTO account_names (tenant, shard, name, account_id) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, tx.tenant, shard(name), name, accountID)
}

func (tx *Tx) dropName(name string) error {
	name = fold(name)
	_, err := tx.exec("DELETE FROM account_names WHERE tenant = $1 AND shard = $2 AND name = $3", tx.tenant, shard(name), name)
	return err
}

func (tx *Tx) addHandle(handle []byte, accountID string) error {
	if len(handle) == 0 {
		return nil
	}
	return tx.must(ErrTaken, `INSERT INTO account_handles (tenant, shard, handle, account_id) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, tx.tenant, shard(string(handle)), handle, accountID)
}

func (tx *Tx) dropHandle(handle []byte) error {
	_, err := tx.exec("DELETE FROM account_handles WHERE tenant = $1 AND shard = $2 AND handle = $3",
		tx.tenant, shard(string(handle)), blob(handle))
	return err
}
