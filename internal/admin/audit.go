package admin

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// recordView is one record of the audit trail.
type recordView struct {
	ID            string          `json:"id"`
	At            time.Time       `json:"at"`
	RequestID     string          `json:"request_id,omitempty"`
	ActorKind     string          `json:"actor_kind,omitempty"`
	ActorID       string          `json:"actor_id,omitempty"`
	Action        string          `json:"action"`
	ObjectKind    string          `json:"object_kind,omitempty"`
	ObjectID      string          `json:"object_id,omitempty"`
	Client        string          `json:"client,omitempty"`
	Outcome       string          `json:"outcome"`
	Code          string          `json:"code,omitempty"`
	Reason        string          `json:"reason,omitempty"`
	AddressPrefix string          `json:"address_prefix,omitempty"`
	Detail        json.RawMessage `json:"detail,omitempty"`
}

func (e *Endpoints) queryAudit(tx *store.Tx, q *request) (*answer, error) {
	_, limit, err := q.page()
	if err != nil {
		return nil, err
	}
	since, err := q.since()
	if err != nil {
		return nil, err
	}
	list, err := tx.Audits(store.AuditFilter{
		Action: q.query.Get("action"), Client: q.query.Get("client"), RequestID: q.query.Get("request_id"), Since: since, Limit: limit,
	})
	if err != nil {
		return nil, err
	}
	views := make([]recordView, len(list))
	for i, r := range list {
		views[i] = recordView{
			r.ID, r.At, r.RequestID, r.ActorKind, r.ActorID, r.Action, r.ObjectKind, r.ObjectID, r.Client, r.Outcome, r.Code,
			r.Reason, r.AddressPrefix, r.Detail,
		}
	}
	return &answer{body: page[recordView]{Items: views}}, nil
}

// addSessions adds what is recorded in the database of sessions, in the same order.
func (e *Endpoints) addSessions(ctx context.Context, q *request, a *answer) (*answer, error) {
	if e.Sessions == nil {
		return a, nil
	}
	_, limit, err := q.page()
	if err != nil {
		return nil, err
	}
	list := a.body.(page[recordView]).Items
	err = e.Sessions.Read(ctx, func(tx *store.Tx) error {
		more, err := e.queryAudit(tx, q)
		if err == nil {
			list = append(list, more.body.(page[recordView]).Items...)
		}
		return err
	})
	slices.SortStableFunc(list, func(a, b recordView) int { return b.At.Compare(a.At) })
	return &answer{body: page[recordView]{Items: list[:min(limit, len(list))]}}, err
}
