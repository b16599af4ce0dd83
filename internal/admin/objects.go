package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// page is a part of a list. Next is the after of the part that follows; "" at the end.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// pageOf makes a page of a list that holds one item more than wanted where there is more.
func pageOf[T any](items []T, limit int, key func(T) string) page[T] {
	p := page[T]{Items: items}
	if len(items) > limit {
		p.Items = items[:limit]
		p.Next = key(items[limit-1])
	}
	if p.Items == nil {
		p.Items = []T{}
	}
	return p
}

// objectView is an object as it is shown: without the hashes of secrets.
type objectView struct {
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	Revision  int64           `json:"revision"`
	ManagedBy string          `json:"managed_by"`
	UpdatedAt time.Time       `json:"updated_at"`
	Body      json.RawMessage `json:"body"`
}

// storedView is an object after a change. A secret that was made is shown here and never again.
type storedView struct {
	objectView
	ClientSecret string           `json:"client_secret,omitempty"`
	Notices      objects.Problems `json:"notices,omitempty"`
}

// anyDocument stands for the document of any kind.
type anyDocument map[string]json.RawMessage

type secretInput struct {
	// KeepSeconds is how much longer the old secret works; 0 ends it at once.
	KeepSeconds int64 `json:"keep_seconds,omitempty"`
}

// maxKeep is how long two secrets may work at once, seconds: a month.
const maxKeep = 31 * 24 * 60 * 60

type applyInput struct {
	ManagedBy string             `json:"managed_by,omitempty"` // file, or admin when left out
	Documents []objects.Document `json:"documents"`
}

type appliedView struct {
	objects.Report
	Secrets map[string]string `json:"secrets,omitempty"` // made by this call, by client id; never shown again
}

func view(o store.Object) (objectView, error) {
	body, err := objects.Public(o)
	return objectView{o.Kind, o.Name, o.Revision, o.ManagedBy, o.UpdatedAt, body}, err
}

func (e *Endpoints) listObjects(tx *store.Tx, q *request) (*answer, error) {
	after, limit, err := q.page()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(objects.Kinds(), q.kind) {
		return nil, objects.ErrKind
	}
	list, err := tx.Objects(q.kind, after, limit+1)
	if err != nil {
		return nil, err
	}
	views := make([]objectView, len(list))
	for i, o := range list {
		if views[i], err = view(o); err != nil {
			return nil, err
		}
	}
	return &answer{body: pageOf(views, limit, func(v objectView) string { return v.Name })}, nil
}

func (e *Endpoints) readObject(tx *store.Tx, q *request) (*answer, error) {
	o, err := tx.Object(q.kind, q.id)
	if err != nil {
		return nil, err
	}
	v, err := view(o)
	return &answer{etag: etag(o.Revision), body: v}, err
}

// readDocument makes a document of a body, with what it refers to elsewhere.
func (e *Endpoints) readDocument(ctx context.Context, q *request) error {
	docs := []objects.Document{{Kind: q.kind, Name: q.id, Body: q.body}}
	q.input = docs
	return e.ReadSectors(ctx, docs)
}

func (e *Endpoints) putObject(tx *store.Tx, q *request) (*answer, error) {
	_, err := tx.Object(q.kind, q.id)
	exists := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	expect, err := q.expect(exists)
	if err != nil {
		return nil, err
	}
	d := q.input.([]objects.Document)[0]
	o, secret, notices, err := objects.Put(tx, e.Ring, objects.ManagedByAdmin, d, expect)
	if err != nil {
		return nil, err
	}
	a, err := stored(o, secret.Reveal(), notices)
	if err == nil && !exists {
		a.status = http.StatusCreated
	}
	return a, err
}

func stored(o store.Object, secret string, notices objects.Problems) (*answer, error) {
	v, err := view(o)
	return &answer{etag: etag(o.Revision), body: storedView{v, secret, notices}}, err
}

func (e *Endpoints) deleteObject(tx *store.Tx, q *request) (*answer, error) {
	if _, err := tx.Object(q.kind, q.id); err != nil {
		return nil, err
	}
	expect, err := q.expect(true)
	if err != nil {
		return nil, err
	}
	return &answer{}, objects.Delete(tx, objects.ManagedByAdmin, q.kind, q.id, expect)
}

func (e *Endpoints) newSecret(tx *store.Tx, q *request) (*answer, error) {
	var in secretInput
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	if in.KeepSeconds < 0 || in.KeepSeconds > maxKeep {
		return nil, oauth.Refuse(oauth.InvalidRequest, "keep_seconds is not between 0 and 2678400")
	}
	expect := store.AnyRevision // no change is lost by another secret
	if q.ifMatch != "" {
		var err error
		if expect, err = q.expect(true); err != nil {
			return nil, err
		}
	}
	keep := time.Duration(in.KeepSeconds) * time.Second
	o, secret, err := objects.NewSecret(tx, e.Ring, objects.ManagedByAdmin, q.id, keep, expect)
	if err != nil {
		return nil, err
	}
	return stored(o, secret.Reveal(), nil)
}

// kindsToApply are the actions of a batch: one for each kind in it.
func kindsToApply(q *request) (list []action) {
	var in applyInput
	if q.decode(&in) != nil || len(in.Documents) == 0 {
		return []action{{"objects.apply", "", ""}} // refused by apply; until then it needs authority of its own
	}
	for _, d := range in.Documents {
		a := action{plural(d.Kind) + ".apply", d.Kind, ""}
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// readBatch makes documents of a body, with what they refer to elsewhere.
func (e *Endpoints) readBatch(ctx context.Context, q *request) error {
	in := new(applyInput)
	if err := q.decode(in); err != nil {
		return err
	}
	if len(in.Documents) == 0 {
		return oauth.Refuse(oauth.InvalidRequest, "there are no documents")
	}
	for i := range in.Documents {
		in.Documents[i].Source = source(i)
	}
	q.input = in
	return e.ReadSectors(ctx, in.Documents)
}

func (e *Endpoints) apply(tx *store.Tx, q *request) (*answer, error) {
	in := q.input.(*applyInput)
	owner, err := ownerOf(in.ManagedBy)
	if err != nil {
		return nil, err
	}
	report, err := objects.Import(tx, e.Ring, owner, in.Documents)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Concat(report.Created, report.Updated) {
		kind, id, _ := strings.Cut(name, "/")
		if err := audit.Add(tx, audit.Record{AuditRecord: q.actor.Record(plural(kind)+".put", kind, id)}); err != nil {
			return nil, err
		}
	}
	return &answer{body: applied(report)}, nil
}

// source tells the documents of a batch apart in what is said of them.
func source(i int) string { return "documents[" + strconv.Itoa(i) + "]" }

func applied(r objects.Report) appliedView {
	v := appliedView{Report: r, Secrets: map[string]string{}}
	for id, secret := range r.Secrets {
		v.Secrets[id] = secret.Reveal()
	}
	return v
}

// ownerOf is who will manage what is imported: whoever keeps the files, or administrators.
func ownerOf(managedBy string) (string, error) {
	switch managedBy {
	case "", objects.ManagedByAdmin:
		return objects.ManagedByAdmin, nil
	case objects.ManagedByFile:
		return objects.ManagedByFile, nil
	}
	return "", oauth.Refuse(oauth.InvalidRequest, "managed_by is neither file nor admin")
}
