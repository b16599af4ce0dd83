package admin

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// route is one thing the API can do. It has read, or act, or after.
type route struct {
	method, path string // under /admin/v1
	kind         string // of the object; "" where the path names it
	verb         string // of the action: <plural kind>.<verb>
	summary      string
	query        []string
	body         any  // a value of the type of the body; nil: none
	answer       any  // a value of the type of the answer; nil: none
	revision     bool // works on a revision: If-Match, ETag
	documents    bool // the body may be a document with problems, which are all answered

	read    func(*Endpoints, *store.Tx, *request) (*answer, error)
	prepare func(*Endpoints, context.Context, *request) error // slow work before the transaction
	gather  func(*Endpoints, context.Context, *request) error // the same, where act records who may not, too
	act     func(*Endpoints, *store.Tx, *request) (*answer, error)
	after   func(*Endpoints, context.Context, *request) (*answer, error) // what keeps its own transactions, after the decision
	decide  func(*request) []action                                      // what has to be allowed, where it is not one thing
}

// action is what has to be allowed.
type action struct{ action, kind, id string }

func (rt route) actions(q *request) []action {
	if rt.decide != nil {
		return rt.decide(q)
	}
	return []action{{plural(q.kind) + "." + rt.verb, q.kind, q.id}}
}

func (rt route) accepts(name string) bool {
	for _, known := range rt.query {
		if known == name {
			return true
		}
	}
	return false
}

const (
	kindUser  = objects.KindUser
	kindKey   = "key"
	kindAudit = "audit"
)

var paging = []string{"after", "limit"}

// routes is the API, whole.
var routes = []route{
	{method: "GET", path: "/clients", kind: objects.KindClient, verb: "list", summary: "List clients", query: paging, answer: page[objectView]{}, read: (*Endpoints).listObjects},
	{method: "GET", path: "/clients/{id}", kind: objects.KindClient, verb: "read", summary: "Read a client", answer: objectView{}, revision: true, read: (*Endpoints).readObject},
	{method: "PUT", path: "/clients/{id}", kind: objects.KindClient, verb: "put", summary: "Create or replace a client", body: objects.Client{}, answer: storedView{}, revision: true, documents: true, gather: (*Endpoints).readDocument, act: (*Endpoints).putObject},
	{method: "DELETE", path: "/clients/{id}", kind: objects.KindClient, verb: "delete", summary: "Delete a client and revoke its tokens", revision: true, act: (*Endpoints).deleteObject},
	{method: "POST", path: "/clients/{id}/secret", kind: objects.KindClient, verb: "new_secret", summary: "Give a client another secret", body: secretInput{}, answer: storedView{}, revision: true, act: (*Endpoints).newSecret},

	{method: "GET", path: "/objects/{kind}", verb: "list", summary: "List objects of a kind", query: paging, answer: page[objectView]{}, read: (*Endpoints).listObjects},
	{method: "GET", path: "/objects/{kind}/{id}", verb: "read", summary: "Read an object", answer: objectView{}, revision: true, read: (*Endpoints).readObject},
	{method: "PUT", path: "/objects/{kind}/{id}", verb: "put", summary: "Create or replace an object", body: anyDocument{}, answer: storedView{}, revision: true, documents: true, gather: (*Endpoints).readDocument, act: (*Endpoints).putObject},
	{method: "DELETE", path: "/objects/{kind}/{id}", verb: "delete", summary: "Delete an object", revision: true, act: (*Endpoints).deleteObject},
	{method: "POST", path: "/apply", verb: "apply", summary: "Bring a batch of documents in, idempotently", body: applyInput{}, answer: appliedView{}, documents: true, decide: kindsToApply, gather: (*Endpoints).readBatch, act: (*Endpoints).apply},

	{method: "GET", path: "/users", kind: kindUser, verb: "list", summary: "List people", query: append([]string{"username"}, paging...), answer: page[userView]{}, read: (*Endpoints).listUsers},
	{method: "POST", path: "/users", kind: kindUser, verb: "add", summary: "Add a person", body: objects.User{}, answer: userView{}, documents: true, prepare: (*Endpoints).readUser, act: (*Endpoints).addUser},
	{method: "POST", path: "/users/import", kind: kindUser, verb: "import", summary: "Bring a batch of people in, idempotently", body: importInput{}, answer: appliedView{}, documents: true, after: (*Endpoints).importUsers},
	{method: "GET", path: "/users/{id}", kind: kindUser, verb: "read", summary: "Read a person", answer: userView{}, revision: true, read: (*Endpoints).showUser},
	{method: "PUT", path: "/users/{id}", kind: kindUser, verb: "put", summary: "Change a person; disabling ends sessions and grants", body: objects.User{}, answer: userView{}, revision: true, documents: true, prepare: (*Endpoints).readUser, act: (*Endpoints).putUser},
	{method: "DELETE", path: "/users/{id}", kind: kindUser, verb: "delete", summary: "Delete a person, their sessions and grants", revision: true, act: (*Endpoints).deleteUser},
	{method: "PUT", path: "/users/{id}/password", kind: kindUser, verb: "set_password", summary: "Set a password; ends sessions and grants", body: passwordInput{}, prepare: (*Endpoints).readPassword, act: (*Endpoints).setPassword},
	{method: "DELETE", path: "/users/{id}/sessions", kind: kindUser, verb: "end_sessions", summary: "Sign a person out everywhere: ends sessions and grants", answer: endedView{}, act: (*Endpoints).endSessions},

	{method: "GET", path: "/keys", kind: kindKey, verb: "list", summary: "List signing keys", answer: page[keyView]{}, read: (*Endpoints).listKeys},
	{method: "POST", path: "/keys/rotate", kind: kindKey, verb: "rotate", summary: "Have a new key sign", body: rotateInput{}, prepare: (*Endpoints).readRotation, after: (*Endpoints).rotate},

	{method: "POST", path: "/token-preview", decide: toPreview, summary: "Show what a client would get, without issuing it", body: tokens.Trial{}, answer: tokens.Preview{}, prepare: (*Endpoints).readTrial, after: (*Endpoints).preview},

	{method: "GET", path: "/audit", kind: kindAudit, verb: "query", summary: "Query the audit trail, newest first", query: []string{"action", "client", "request_id", "since", "limit"}, answer: page[recordView]{}, read: (*Endpoints).queryAudit},
}
