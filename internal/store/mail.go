package store

import "time"

// Mail is a message waiting to be sent, or just sent.
type Mail struct {
	ID, To, Subject, Text, HTML string
	Attempts                    int
	NextAt                      time.Time // not to be tried before
	ClaimedUntil                time.Time // being tried by somebody until then
	SentAt                      time.Time
	ExpiresAt                   time.Time // given up and purged
	LastError                   string
}

const mailColumns = "id, recipient, subject, text_body, html_body, attempts, next_at, claimed_until, sent_at, expires_at, last_error"

func scanMail(s scanner) (m Mail, err error) {
	err = s.Scan(&m.ID, &m.To, &m.Subject, &m.Text, &m.HTML, &m.Attempts, (*instant)(&m.NextAt),
		(*instant)(&m.ClaimedUntil), (*instant)(&m.SentAt), (*instant)(&m.ExpiresAt), &m.LastError)
	return m, err
}

// QueueMail adds a message. ErrTaken: the id exists.
func (tx *Tx) QueueMail(m Mail) error {
	return tx.must(ErrTaken, `INSERT INTO mails (tenant, shard, id, recipient, subject, text_body, html_body, attempts, next_at,
			claimed_until, sent_at, expires_at, last_error, purge_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING`,
		tx.tenant, shard(m.ID), m.ID, m.To, m.Subject, m.Text, m.HTML, int64(m.Attempts), micros(m.NextAt),
		micros(m.ClaimedUntil), micros(m.SentAt), micros(m.ExpiresAt), m.LastError, micros(m.ExpiresAt))
}

// ClaimMail takes up to limit due messages for this caller alone until claimUntil, and counts an attempt.
func (tx *Tx) ClaimMail(limit int, claimUntil time.Time) ([]Mail, error) {
	return all(tx, scanMail, `UPDATE mails SET claimed_until = $2, attempts = attempts + 1
		WHERE (tenant, shard, id) IN (SELECT tenant, shard, id FROM mails
			WHERE tenant = $1 AND sent_at = 0 AND next_at <= $3 AND claimed_until <= $3 AND expires_at > $3
			ORDER BY next_at LIMIT $4)
		AND sent_at = 0 AND claimed_until <= $3 RETURNING `+mailColumns,
		tx.tenant, micros(claimUntil), micros(tx.Now), int64(limit))
}

// MailSent marks a message as sent and forgets what it said, which may have been a code.
func (tx *Tx) MailSent(id string) error {
	return tx.must(ErrNotFound, `UPDATE mails SET sent_at = $4, purge_at = $4, text_body = '', html_body = '', last_error = ''
		WHERE tenant = $1 AND shard = $2 AND id = $3`, tx.tenant, shard(id), id, micros(tx.Now))
}

// MailFailed gives a claimed message back, to be tried again at next.
func (tx *Tx) MailFailed(id, reason string, next time.Time) error {
	return tx.must(ErrNotFound, `UPDATE mails SET next_at = $4, claimed_until = 0, last_error = $5
		WHERE tenant = $1 AND shard = $2 AND id = $3 AND sent_at = 0`, tx.tenant, shard(id), id, micros(next), reason)
}
