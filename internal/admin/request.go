package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// maxBody bounds a body, in bytes: a batch of many documents.
const maxBody = 8 << 20

// request is one call, read.
type request struct {
	actor  audit.Actor
	spends []store.Spend

	kind, id string // of the object, from the path
	query    url.Values
	body     json.RawMessage
	ifMatch  string // If-Match, "" for none
	ifNone   bool   // If-None-Match: *

	input any // what prepare made of the body
}

// parse reads a call. It does not look at who makes it.
func parse(r *http.Request, rt route) (*request, error) {
	query, err := web.Query(r)
	if err != nil {
		return nil, err
	}
	for name := range query {
		if !rt.accepts(name) {
			return nil, oauth.Refuse(oauth.InvalidRequest, "a query parameter is not known here")
		}
	}
	q := &request{kind: rt.kind, id: r.PathValue("id"), query: query}
	if kind := r.PathValue("kind"); kind != "" {
		q.kind = kind
	}
	if q.ifMatch, q.ifNone, err = preconditions(r.Header); err != nil {
		return nil, err
	}
	if rt.body != nil {
		q.body, err = readBody(r)
	}
	return q, err
}

func readBody(r *http.Request) (json.RawMessage, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body must be application/json").WithStatus(http.StatusUnsupportedMediaType)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body is too large").WithStatus(http.StatusRequestEntityTooLarge)
	}
	if err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body could not be read").With(err)
	}
	return body, nil
}

// decode reads the body strictly into a value without members of its own invention.
func (q *request) decode(v any) error {
	if err := jose.Unmarshal(q.body, v); err != nil {
		return oauth.Refuse(oauth.InvalidRequest, "the body is not the JSON that belongs here").With(err)
	}
	unknown, err := oauth.UnknownMembers(q.body, v)
	if err != nil || len(unknown) > 0 {
		return oauth.Refuse(oauth.InvalidRequest, "the body has members that are not known here").With(err)
	}
	return nil
}

// preconditions reads If-Match and If-None-Match (RFC 9110 §13.1): one strong entity tag, or * for any.
func preconditions(h http.Header) (ifMatch string, ifNone bool, err error) {
	refuse := oauth.Refuse(oauth.InvalidRequest, "If-Match takes one entity tag, If-None-Match takes *")
	match, none := h.Values("If-Match"), h.Values("If-None-Match")
	if len(match) > 1 || len(none) > 1 || len(match) == 1 && len(none) == 1 || len(none) == 1 && none[0] != "*" {
		return "", false, refuse
	}
	if len(match) == 1 {
		ifMatch = match[0]
		if _, ok := revisionOf(ifMatch); ifMatch != "*" && !ok {
			return "", false, refuse
		}
	}
	return ifMatch, len(none) == 1, nil
}

// etag is the strong entity tag of a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

func revisionOf(tag string) (int64, bool) {
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return 0, false
	}
	n, err := strconv.ParseInt(tag[1:len(tag)-1], 10, 64)
	return n, err == nil && n > 0 && etag(n) == tag
}

// expect is the revision a change starts from. exists says whether there is anything now. Without a
// precondition the change is refused: two administrators would overwrite each other (RFC 6585 §3).
func (q *request) expect(exists bool) (int64, error) {
	switch {
	case q.ifNone && exists:
		return 0, failed()
	case q.ifNone:
		return store.NoRevision, nil
	case q.ifMatch == "":
		return 0, oauth.Refuse(oauth.InvalidRequest, "send If-Match with the entity tag you have read, or If-None-Match: * to create").
			WithStatus(http.StatusPreconditionRequired)
	case !exists:
		return 0, failed()
	case q.ifMatch == "*":
		return store.AnyRevision, nil
	}
	n, _ := revisionOf(q.ifMatch)
	return n, nil
}

func failed() error {
	return oauth.Refuse(oauth.InvalidRequest, "it has changed since you read it").WithStatus(http.StatusPreconditionFailed)
}

const (
	defaultPage = 100
	maxPage     = 500
)

// page reads after and limit.
func (q *request) page() (after string, limit int, err error) {
	limit = defaultPage
	if text := q.query.Get("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxPage {
			return "", 0, oauth.Refuse(oauth.InvalidRequest, "limit is not a number from 1 to 500")
		}
	}
	return q.query.Get("after"), limit, nil
}

// since reads a time of RFC 3339.
func (q *request) since() (time.Time, error) {
	text := q.query.Get("since")
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, oauth.Refuse(oauth.InvalidRequest, "since is not a time like 2006-01-02T15:04:05Z")
	}
	return t, nil
}

// answer is a response that is not yet written.
type answer struct {
	status   int // 0: 200, or 204 without a body
	etag     string
	location string
	body     any
}

func (a *answer) write(w http.ResponseWriter) error {
	if a.etag != "" {
		w.Header().Set("ETag", a.etag)
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if a.body == nil {
		web.NoStore(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return web.WriteJSON(w, a.status, a.body)
}

// plural is the noun of a kind in scopes and actions.
func plural(kind string) string {
	if kind == kindAudit {
		return kind
	}
	return kind + "s"
}
