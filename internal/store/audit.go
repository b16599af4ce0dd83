package store

import (
	"encoding/json"
	"time"
)

// AuditRecord says who did what to which object, and how it went.
type AuditRecord struct {
	ID, RequestID        string
	ActorKind, ActorID   string
	Action               string
	ObjectKind, ObjectID string
	Client               string
	Outcome, Code        string
	Reason               string
	AddressPrefix        string
	At                   time.Time
	Detail               json.RawMessage
}

// AuditFilter chooses records; zero fields choose everything.
type AuditFilter struct {
	Action, Client, RequestID string
	Since                     time.Time
	Limit                     int // 0: 100
}

const auditColumns = `id, request_id, actor_kind, actor_id, action, object_kind, object_id, client, outcome, code, reason,
	address_prefix, at, detail`

func scanAudit(s scanner) (r AuditRecord, err error) {
	err = s.Scan(&r.ID, &r.RequestID, &r.ActorKind, &r.ActorID, &r.Action, &r.ObjectKind, &r.ObjectID, &r.Client,
		&r.Outcome, &r.Code, &r.Reason, &r.AddressPrefix, (*instant)(&r.At), (*raw)(&r.Detail))
	return r, err
}

// AddAudit adds records. An empty ID and a zero At are filled in.
func (tx *Tx) AddAudit(records ...AuditRecord) error {
	for _, r := range records {
		if r.ID == "" {
			r.ID = NewID()
		}
		if r.At.IsZero() {
			r.At = tx.Now
		}
		_, err := tx.exec(`INSERT INTO audits (tenant, shard, id, request_id, actor_kind, actor_id, action, object_kind, object_id,
				client, outcome, code, reason, address_prefix, at, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
			tx.tenant, shard(r.ID), r.ID, r.RequestID, r.ActorKind, r.ActorID, r.Action, r.ObjectKind, r.ObjectID,
			r.Client, r.Outcome, r.Code, r.Reason, r.AddressPrefix, micros(r.At), string(r.Detail))
		if err != nil {
			return err
		}
	}
	return nil
}

// Audits lists the records a filter chooses, newest first.
func (tx *Tx) Audits(f AuditFilter) ([]AuditRecord, error) {
	if f.Limit == 0 {
		f.Limit = 100
	}
	return all(tx, scanAudit, "SELECT "+auditColumns+` FROM audits
		WHERE tenant = $1 AND at >= $2 AND (action = $3 OR $3 = '') AND (client = $4 OR $4 = '')
			AND (request_id = $5 OR $5 = '')
		ORDER BY at DESC, id LIMIT $6`,
		tx.tenant, micros(f.Since), f.Action, f.Client, f.RequestID, int64(f.Limit))
}
