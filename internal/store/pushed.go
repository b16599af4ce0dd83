package store

import (
	"encoding/json"
	"time"
)

// PushedRequest is a pushed authorization request (RFC 9126). It may be opened until OpenUntil, and completed
// by whoever has opened it until PurgeAt.
type PushedRequest struct {
	ID, SecretHash, ClientID string
	Params                   json.RawMessage
	OpenUntil, PurgeAt       time.Time
	SpentAt                  time.Time
}

const pushedColumns = "id, secret_hash, client_id, params, open_until, purge_at, spent_at"

func scanPushed(s scanner) (p PushedRequest, err error) {
	err = s.Scan(&p.ID, &p.SecretHash, &p.ClientID, (*raw)(&p.Params),
		(*instant)(&p.OpenUntil), (*instant)(&p.PurgeAt), (*instant)(&p.SpentAt))
	return p, err
}

// AddPushedRequest adds a pushed request. ErrTaken: the id exists.
func (tx *Tx) AddPushedRequest(p PushedRequest) error {
	return tx.must(ErrTaken, `INSERT INTO pushed_requests (tenant, shard, id, secret_hash, client_id, params, open_until, purge_at, spent_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`, tx.tenant, shard(p.ID), p.ID, p.SecretHash,
		p.ClientID, string(p.Params), micros(p.OpenUntil), micros(p.PurgeAt), micros(p.SpentAt))
}

// PushedRequest loads a pushed request, spent and expired ones included.
func (tx *Tx) PushedRequest(id string) (PushedRequest, error) {
	return one(tx, scanPushed, "SELECT "+pushedColumns+" FROM pushed_requests WHERE tenant = $1 AND shard = $2 AND id = $3",
		tx.tenant, shard(id), id)
}

// SpendPushedRequest spends a pushed request. ErrTaken: it was spent before; ErrNotFound: there is none.
func (tx *Tx) SpendPushedRequest(id string) error {
	n, err := tx.exec("UPDATE pushed_requests SET spent_at = $4 WHERE tenant = $1 AND shard = $2 AND id = $3 AND spent_at = 0",
		tx.tenant, shard(id), id, micros(tx.Now))
	if err != nil || n == 1 {
		return err
	}
	if _, err := tx.PushedRequest(id); err != nil {
		return err
	}
	return ErrTaken
}
