// Package audit writes who did what: acts, which changed something, in the transaction of the act, and
// observations, which changed nothing, through a bounded queue of their own.
//
// It also decides whether an administrator may do something, so that there is no permitted act without its
// record. It is not the log: causes and stack traces go there. A record holds no secret, no token and no
// address in full.
package audit

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// Outcomes of a record.
const (
	Success = "success"
	Refused = "refused"
	Failure = "failure" // an internal fault
)

// Kinds of actor.
const (
	ActorAdmin   = "admin"   // somebody at the admin API
	ActorLocal   = "local"   // somebody at the local socket
	ActorAccount = "account" // a person
	ActorClient  = "client"
	ActorSystem  = "system" // a job
)

// Record is one row of the trail. Tenant matters to observations only: an act belongs to its transaction.
type Record struct {
	store.AuditRecord
	Tenant string
}

// Add records an act in its transaction.
func Add(tx *store.Tx, r Record) error {
	clean(&r.AuditRecord)
	if err := tx.AddAudit(r.AuditRecord); err != nil {
		return fmt.Errorf("add audit record: %w", err)
	}
	return nil
}

const (
	maxField  = 256 // bytes
	maxReason = 500 // bytes
)

// clean keeps secrets, control characters and overlong text out of a record. Much of it comes from outside.
func clean(r *store.AuditRecord) {
	for _, f := range []*string{
		&r.RequestID, &r.ActorKind, &r.ActorID, &r.Action, &r.ObjectKind, &r.ObjectID, &r.Client, &r.Outcome, &r.Code, &r.AddressPrefix,
	} {
		*f = plain(*f, maxField)
	}
	r.Reason = plain(opaque.ReplaceAllString(r.Reason, "[hidden]"), maxReason)
}

// opaque is what tokens, handles, hashes and keys look like, and no word of a sentence does.
var opaque = regexp.MustCompile(`[A-Za-z0-9_\-+/=.~]{40,}`)

func plain(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	s = strings.ToValidUTF8(s, "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// ErrDenied says that the actor may not do this.
var ErrDenied = errors.New("audit: not allowed")

// Actor is who asks.
type Actor struct {
	Kind, ID  string
	Client    string   // the client that holds the token
	Scopes    []string // admin.<noun>.<read|write>
	All       bool     // needs no scope: the operator of this machine
	RequestID string
	Prefix    string // address prefix
}

// reads are the verbs of actions that change nothing.
var reads = map[string]bool{"list": true, "read": true, "query": true, "preview": true}

// ScopeFor is the scope that an action needs: "clients.put" needs admin.clients.write, "clients.list"
// admin.clients.read.
func ScopeFor(action string) string {
	noun, verb, _ := strings.Cut(action, ".")
	if reads[verb] {
		return "admin." + noun + ".read"
	}
	return "admin." + noun + ".write"
}

// May decides without recording; for what changes nothing.
func (a Actor) May(action string) bool {
	if a.All {
		return true
	}
	need := ScopeFor(action)
	for _, s := range a.Scopes {
		if s == need {
			return true
		}
	}
	return false
}

// Record begins a record of this actor.
func (a Actor) Record(action, objectKind, objectID string) store.AuditRecord {
	return store.AuditRecord{
		RequestID: a.RequestID, ActorKind: a.Kind, ActorID: a.ID, Client: a.Client, AddressPrefix: a.Prefix,
		Action: action, ObjectKind: objectKind, ObjectID: objectID, Outcome: Success,
	}
}

// Allow decides whether the actor may do this to the object and records the answer, in one step, in the
// transaction of the act. A refusal is ErrDenied; commit it and refuse outside, so that its record stays.
func Allow(tx *store.Tx, who Actor, action, objectKind, objectID string) error {
	r := who.Record(action, objectKind, objectID)
	allowed := who.May(action)
	if !allowed {
		r.Outcome, r.Code, r.Reason = Refused, "insufficient_scope", "needs "+ScopeFor(action)
	}
	if err := Add(tx, Record{AuditRecord: r}); err != nil {
		return err
	}
	if !allowed {
		return ErrDenied
	}
	return nil
}
