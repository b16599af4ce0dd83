package admin

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// toPreview says whose tokens are to be shown, of which client, and of which person.
func toPreview(q *request) []action {
	const show = "tokens.preview"
	var trial tokens.Trial
	_ = q.decode(&trial) // what is wrong is said later, to those who may ask
	list := []action{{show, objects.KindClient, trial.ClientID}}
	if trial.User != "" {
		list = append(list, action{show, kindUser, trial.User})
	}
	return list
}

// readTrial reads the question.
func (e *Endpoints) readTrial(_ context.Context, q *request) error {
	trial := new(tokens.Trial)
	if err := q.decode(trial); err != nil {
		return err
	}
	if trial.ClientID == "" {
		return oauth.Refuse(oauth.InvalidRequest, "client_id is missing")
	}
	q.input = trial
	return nil
}

// preview shows what a client would get of a person. It is recorded as an act, for it tells about people.
func (e *Endpoints) preview(ctx context.Context, q *request) (*answer, error) {
	shown, err := e.Preview(ctx, *q.input.(*tokens.Trial))
	if err != nil {
		return nil, err
	}
	return &answer{body: shown}, nil
}
