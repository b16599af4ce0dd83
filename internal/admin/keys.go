package admin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// keyView is a key without its private part.
type keyView struct {
	ID         string          `json:"id"`
	Alg        string          `json:"alg"`
	Use        string          `json:"use"`   // sig or enc
	State      string          `json:"state"` // announced, active, retiring or gone
	External   string          `json:"external,omitempty"`
	Public     json.RawMessage `json:"public"`
	CreatedAt  time.Time       `json:"created_at"`
	ActivateAt time.Time       `json:"activate_at,omitzero"`
	RetireAt   time.Time       `json:"retire_at,omitzero"`
	GoneAt     time.Time       `json:"gone_at,omitzero"`
}

type rotateInput struct {
	Alg string `json:"alg"`
	// Compromised withdraws all keys of the algorithm at once: nothing they have signed is valid any more.
	Compromised bool `json:"compromised,omitempty"`
}

func (e *Endpoints) listKeys(tx *store.Tx, _ *request) (*answer, error) {
	list, err := tx.SigningKeys()
	if err != nil {
		return nil, err
	}
	views := make([]keyView, len(list))
	for i, k := range list {
		views[i] = keyView{k.ID, k.Alg, k.Use, k.State, k.External, k.Public, k.CreatedAt, k.ActivateAt, k.RetireAt, k.GoneAt}
	}
	return &answer{body: page[keyView]{Items: views}}, nil
}

// readRotation makes sure, before the decision is recorded, that there is something to rotate.
func (e *Endpoints) readRotation(_ context.Context, q *request) error {
	in := new(rotateInput)
	if err := q.decode(in); err != nil {
		return err
	}
	if !e.Signing.Has(in.Alg) {
		return oauth.Refuse(oauth.InvalidRequest, "this issuer has no keys for this algorithm")
	}
	q.id, q.input = in.Alg, in
	return nil
}

func (e *Endpoints) rotate(ctx context.Context, q *request) (*answer, error) {
	in, ok := q.input.(*rotateInput)
	if !ok {
		return nil, errNotPrepared
	}
	turn := e.Signing.Rotate
	if in.Compromised {
		turn = e.Signing.Replace
	}
	return &answer{}, turn(ctx, in.Alg)
}
