package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// userView is a person as an administrator sees them.
type userView struct {
	ID                string          `json:"id"`
	Username          string          `json:"username"`
	Disabled          bool            `json:"disabled"`
	Claims            json.RawMessage `json:"claims"`
	HasPassword       bool            `json:"has_password"`
	ManagedBy         string          `json:"managed_by"`
	PasswordChangedAt time.Time       `json:"password_changed_at,omitzero"`
	CreatedAt         time.Time       `json:"created_at"`
	UpdatedAt         time.Time       `json:"updated_at"`
	Version           int64           `json:"version"`
}

type importInput struct {
	ManagedBy string            `json:"managed_by,omitempty"` // file, or admin when left out
	Documents []json.RawMessage `json:"documents"`
}

type passwordInput struct {
	Password string `json:"password"`
}

type endedView struct {
	Sessions int `json:"sessions"`
	Grants   int `json:"grants"`
}

func viewUser(a store.Account) userView {
	claims := a.Claims
	if claims == nil {
		claims = json.RawMessage("{}")
	}
	return userView{
		ID: a.ID, Username: a.Username, Disabled: a.Disabled, Claims: claims, HasPassword: a.PasswordHash != "", ManagedBy: a.ManagedBy,
		PasswordChangedAt: a.PasswordChangedAt, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, Version: a.Version,
	}
}

func (e *Endpoints) listUsers(tx *store.Tx, q *request) (*answer, error) {
	after, limit, err := q.page()
	if err != nil {
		return nil, err
	}
	var list []store.Account
	if name := q.query.Get("username"); name != "" {
		a, err := tx.AccountByName(name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			list = append(list, a)
		}
	} else if list, err = tx.Accounts(after, limit+1); err != nil {
		return nil, err
	}
	views := make([]userView, len(list))
	for i, a := range list {
		views[i] = viewUser(a)
	}
	return &answer{body: pageOf(views, limit, func(v userView) string { return v.ID })}, nil
}

func (e *Endpoints) showUser(tx *store.Tx, q *request) (*answer, error) {
	a, err := tx.Account(q.id)
	return &answer{etag: etag(a.Version), body: viewUser(a)}, err
}

// readUser reads the document of a person and hashes its password, before the transaction.
func (e *Endpoints) readUser(_ context.Context, q *request) error {
	u, problems := objects.ParseUser(objects.Document{Kind: kindUser, Body: q.body})
	if u.PasswordHash != "" || u.Password != "" && q.id != "" {
		problems = append(problems, objects.Problem{Path: "password", What: "cannot be set like this", Remedy: "use PUT …/password"})
	}
	for _, p := range problems {
		if !p.Warning {
			return problems
		}
	}
	if u.Password != "" {
		hash, err := e.HashPassword(u.Password.Reveal())
		if err != nil {
			return err
		}
		u.PasswordHash = hash
	}
	q.input = u
	return nil
}

func (e *Endpoints) addUser(tx *store.Tx, q *request) (*answer, error) {
	u, ok := q.input.(*objects.User)
	if !ok {
		return nil, errNotPrepared
	}
	a, err := objects.AddUser(tx, objects.ManagedByAdmin, u)
	return &answer{status: http.StatusCreated, etag: etag(a.Version), location: e.AdminURL + base + "/users/" + a.ID, body: viewUser(a)}, err
}

var errNotPrepared = errors.New("the request was not prepared")

func (e *Endpoints) putUser(tx *store.Tx, q *request) (*answer, error) {
	u, ok := q.input.(*objects.User)
	if !ok {
		return nil, errNotPrepared
	}
	a, err := q.account(tx)
	if err != nil {
		return nil, err
	}
	if a, err = objects.SetUser(tx, a, u); err != nil {
		return nil, err
	}
	if a.Disabled {
		if _, err := endAll(tx, a.ID); err != nil {
			return nil, err
		}
	}
	return &answer{etag: etag(a.Version), body: viewUser(a)}, nil
}

// account loads the person a change is about, with the version it starts from.
func (q *request) account(tx *store.Tx) (store.Account, error) {
	a, err := tx.Account(q.id)
	if err != nil {
		return a, err
	}
	expect, err := q.expect(true)
	if err != nil {
		return a, err
	}
	if expect != store.AnyRevision && expect != a.Version {
		return a, failed()
	}
	return a, nil
}

func (e *Endpoints) deleteUser(tx *store.Tx, q *request) (*answer, error) {
	a, err := q.account(tx)
	if err != nil {
		return nil, err
	}
	if _, err := endAll(tx, a.ID); err != nil {
		return nil, err
	}
	return &answer{}, tx.DeleteAccount(a.ID)
}

const minPassword, maxPassword = 8, 1024 // bytes

// readPassword hashes the password, before the transaction.
func (e *Endpoints) readPassword(_ context.Context, q *request) error {
	var in passwordInput
	if err := q.decode(&in); err != nil {
		return err
	}
	if len(in.Password) < minPassword || len(in.Password) > maxPassword {
		return oauth.Refuse(oauth.InvalidRequest, "the password is not between 8 and 1024 bytes long")
	}
	hash, err := e.HashPassword(in.Password)
	q.input = hash
	return err
}

// setPassword ends what was signed in with the old password: it may have been known to others.
func (e *Endpoints) setPassword(tx *store.Tx, q *request) (*answer, error) {
	hash, ok := q.input.(string)
	if !ok {
		return nil, errNotPrepared
	}
	a, err := tx.Account(q.id)
	if err != nil {
		return nil, err
	}
	a.PasswordHash, a.PasswordChangedAt = hash, tx.Now
	if err := tx.PutAccount(a); err != nil {
		return nil, err
	}
	_, err = endAll(tx, a.ID)
	return &answer{}, err
}

func (e *Endpoints) endSessions(tx *store.Tx, q *request) (*answer, error) {
	if _, err := tx.Account(q.id); err != nil {
		return nil, err
	}
	ended, err := endAll(tx, q.id)
	return &answer{body: ended}, err
}

// tokenLife bounds how long any token lives, and so how long a revocation has to be known.
const tokenLife = 24 * time.Hour

// endAll ends the sessions of a person and revokes the grants.
func endAll(tx *store.Tx, accountID string) (ended endedView, err error) {
	sessions, err := tx.Sessions(accountID)
	if err != nil {
		return ended, err
	}
	for _, s := range sessions {
		if err := tx.EndSession(s.ID); err != nil {
			return ended, err
		}
	}
	grants, err := tx.Grants(accountID)
	if err != nil {
		return ended, err
	}
	for _, g := range grants {
		if err := tx.RevokeGrant(g.ID, tx.Now.Add(tokenLife)); err != nil {
			return ended, err
		}
	}
	return endedView{len(sessions), len(grants)}, nil
}

func (e *Endpoints) importUsers(ctx context.Context, q *request) (*answer, error) {
	var in importInput
	if err := q.decode(&in); err != nil {
		return nil, err
	}
	owner, err := ownerOf(in.ManagedBy)
	if err != nil {
		return nil, err
	}
	docs := make([]objects.Document, len(in.Documents))
	for i, body := range in.Documents {
		docs[i] = objects.Document{Kind: kindUser, Body: body, Source: source(i)}
	}
	report, err := objects.ImportUsers(ctx, e.DB, e.HashPassword, owner, docs)
	return &answer{body: applied(report)}, err
}
