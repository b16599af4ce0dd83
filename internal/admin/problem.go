package admin

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// problem is RFC 9457 with the members of this API.
type problem struct {
	Type     string           `json:"type"`
	Title    string           `json:"title"`
	Status   int              `json:"status"`
	Code     oauth.Code       `json:"code"`
	Detail   string           `json:"detail,omitempty"`
	Instance string           `json:"instance,omitempty"` // the request id
	Problems objects.Problems `json:"problems,omitempty"` // of the documents sent
}

// door is web.ProblemDoor; a document with problems is answered with all of them.
func door(w http.ResponseWriter, r *http.Request, err error) {
	problems, ok := errors.AsType[objects.Problems](err)
	refusal, visible := errors.AsType[*oauth.Error](err)
	if !ok || !visible {
		web.ProblemDoor(w, r, err)
		return
	}
	status := refusal.HTTPStatus()
	body, err := json.Marshal(problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: refusal.Code, Detail: refusal.Detail,
		Instance: web.EventOf(r.Context()).RequestID, Problems: problems,
	})
	if err != nil {
		web.ProblemDoor(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	web.NoStore(w.Header())
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone cannot be told
}

// translate says what the errors of the core mean to a caller.
func translate(err error) error {
	refuse := func(status int, detail string) error {
		return oauth.Refuse(oauth.InvalidRequest, detail).WithStatus(status).With(err)
	}
	if _, ok := errors.AsType[*oauth.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[objects.Problems](err); ok {
		return refuse(http.StatusUnprocessableEntity, "the document has problems")
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, objects.ErrNotFound), errors.Is(err, objects.ErrKind):
		return refuse(http.StatusNotFound, "there is no such thing")
	case errors.Is(err, store.ErrConflict):
		return refuse(http.StatusPreconditionFailed, "it has changed since you read it")
	case errors.Is(err, store.ErrTaken):
		return refuse(http.StatusConflict, "the name is in use")
	case errors.Is(err, objects.ErrOwner):
		return refuse(http.StatusConflict, "it is managed elsewhere: change it there, or delete it there first")
	case errors.Is(err, objects.ErrNoSecret):
		return refuse(http.StatusConflict, "this client does not authenticate with a secret")
	}
	return err
}

func insufficient(action string) error {
	return oauth.Refuse(oauth.InsufficientScope, "this needs the scope "+audit.ScopeFor(action)).WithStatus(http.StatusForbidden)
}
