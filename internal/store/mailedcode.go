package store

import "time"

// MailedCode is a short code sent by mail. An account has at most one for each purpose.
type MailedCode struct {
	AccountID, Purpose, CodeHash string
	Tries                        int
	SentAt, ExpiresAt            time.Time
	SpentAt                      time.Time
}

const mailedCodeColumns = "account_id, purpose, code_hash, tries, sent_at, purge_at, spent_at"

func scanMailedCode(s scanner) (c MailedCode, err error) {
	err = s.Scan(&c.AccountID, &c.Purpose, &c.CodeHash, &c.Tries,
		(*instant)(&c.SentAt), (*instant)(&c.ExpiresAt), (*instant)(&c.SpentAt))
	return c, err
}

// PutMailedCode writes a code; the one before, of the same account and purpose, is gone.
func (tx *Tx) PutMailedCode(c MailedCode) error {
	_, err := tx.exec(`INSERT INTO mailed_codes (tenant, shard, account_id, purpose, code_hash, tries, sent_at, purge_at, spent_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (tenant, shard, account_id, purpose) DO UPDATE SET code_hash = excluded.code_hash,
			tries = excluded.tries, sent_at = excluded.sent_at, purge_at = excluded.purge_at, spent_at = excluded.spent_at`,
		tx.tenant, shard(c.AccountID), c.AccountID, c.Purpose, c.CodeHash, int64(c.Tries),
		micros(c.SentAt), micros(c.ExpiresAt), micros(c.SpentAt))
	return err
}

// MailedCode loads a code, spent and expired ones included, and counts nothing.
func (tx *Tx) MailedCode(accountID, purpose string) (MailedCode, error) {
	return one(tx, scanMailedCode, "SELECT "+mailedCodeColumns+` FROM mailed_codes
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND purpose = $4`,
		tx.tenant, shard(accountID), accountID, purpose)
}

// TryMailedCode counts a try and loads the code, for the caller to compare and to refuse when Tries is over
// its limit. The try counts only if the transaction commits. ErrNotFound: there is no code that is neither
// spent nor expired.
func (tx *Tx) TryMailedCode(accountID, purpose string) (MailedCode, error) {
	return one(tx, scanMailedCode, `UPDATE mailed_codes SET tries = tries + 1
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND purpose = $4 AND spent_at = 0 AND purge_at > $5
		RETURNING `+mailedCodeColumns, tx.tenant, shard(accountID), accountID, purpose, micros(tx.Now))
}

// SpendMailedCode spends a code. ErrTaken: it was spent before; ErrNotFound: there is none.
func (tx *Tx) SpendMailedCode(accountID, purpose string) error {
	n, err := tx.exec(`UPDATE mailed_codes SET spent_at = $5
		WHERE tenant = $1 AND shard = $2 AND account_id = $3 AND purpose = $4 AND spent_at = 0`,
		tx.tenant, shard(accountID), accountID, purpose, micros(tx.Now))
	if err != nil || n == 1 {
		return err
	}
	if _, err := tx.MailedCode(accountID, purpose); err != nil {
		return err
	}
	return ErrTaken
}
