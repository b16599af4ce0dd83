package store

import (
	"encoding/json"
	"time"
)

// Consent is what an account has allowed a client. There is at most one for each pair.
type Consent struct {
	AccountID, ClientID string
	Scope, Resources    []string            // all of it together
	Allowed             map[string][]string // scopes by API, "" for none; nil: every scope at every API
	Details             json.RawMessage     // RFC 9396
	GrantedAt           time.Time
	RevokedAt           time.Time
}

const consentColumns = "account_id, client_id, scope, resources, allowed, details, granted_at, revoked_at"

func scanConsent(s scanner) (c Consent, err error) {
	err = s.Scan(&c.AccountID, &c.ClientID, document{&c.Scope}, document{&c.Resources}, document{&c.Allowed}, (*raw)(&c.Details),
		(*instant)(&c.GrantedAt), (*instant)(&c.RevokedAt))
	return c, err
}

// Consent loads what an account allowed a client, revoked or not.
func (tx *Tx) Consent(accountID, clientID string) (Consent, error) {
	return one(tx, scanConsent, "SELECT "+consentColumns+` FROM consents
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND client_id = $4`,
		tx.tenant, shard(accountID), accountID, clientID)
}

// PutConsent writes a consent, whatever it was before.
func (tx *Tx) PutConsent(c Consent) error {
	var texts [3]string
	for i, v := range []any{c.Scope, c.Resources, c.Allowed} {
		var err error
		if texts[i], err = asJSON(v); err != nil {
			return err
		}
	}
	_, err := tx.exec(`INSERT INTO consents (tenant, shard, account_id, client_id, scope, resources, allowed, details, granted_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (tenant, shard, account_id, client_id) DO UPDATE SET scope = excluded.scope, resources = excluded.resources,
			allowed = excluded.allowed, details = excluded.details, granted_at = excluded.granted_at, revoked_at = excluded.revoked_at`,
		tx.tenant, shard(c.AccountID), c.AccountID, c.ClientID, texts[0], texts[1], texts[2], string(c.Details), micros(c.GrantedAt), micros(c.RevokedAt))
	return err
}

// Consents lists the consents of an account that are not revoked, newest first.
func (tx *Tx) Consents(accountID string) ([]Consent, error) {
	return all(tx, scanConsent, "SELECT "+consentColumns+` FROM consents
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND revoked_at = 0
		ORDER BY granted_at DESC, client_id`, tx.tenant, shard(accountID), accountID)
}

// RevokeConsent revokes a consent; doing it again does nothing. ErrNotFound: there is none.
func (tx *Tx) RevokeConsent(accountID, clientID string) error {
	return tx.must(ErrNotFound, `UPDATE consents SET revoked_at = CASE WHEN revoked_at = 0 THEN $5 ELSE revoked_at END
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND client_id = $4`,
		tx.tenant, shard(accountID), accountID, clientID, micros(tx.Now))
}
