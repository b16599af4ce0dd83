// Package objects holds the declarative objects of a tenant: clients, APIs, scopes, applications, routes, claim
// mappings. It reads their documents and finds every problem in them, imports them idempotently, and gives every node a
// cached, decoded view that follows the feed. People are imported here too, because they arrive in the same files.
//
// A client document is the JSON of RFC 7591 §2 with the members of OpenID Connect Registration and the RFCs
// that extend it, and a few of Holdfast's own. What is weaker than the default needs a member whose name
// says so. The package is not for reading YAML, for authenticating clients or for deciding what they get.
package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Kinds of object.
const (
	KindClient = "client"
	KindAPI    = "api"
	KindScope  = "scope"
	KindRoute  = "route"
)

// Owners of objects: who may change them.
const (
	ManagedByFile         = "file"
	ManagedByAdmin        = "admin"
	ManagedByRegistration = "registration"
	ManagedByPartner      = "partner"
)

var (
	// ErrNotFound says that there is no such object in the tenant.
	ErrNotFound = errors.New("objects: not found")
	// ErrOwner says that the object is managed by somebody else.
	ErrOwner = errors.New("objects: managed by another owner")
	// ErrKind says that there is no such kind of object.
	ErrKind = errors.New("objects: no such kind")
)

// kind is what the package must know of a kind of object.
type kind struct {
	name string
	// prepare reads a document for storing. old is what is stored now, nil for nothing.
	prepare func(p *preparation, old json.RawMessage)
	// public is the stored body without what nobody needs to see.
	public func(body json.RawMessage) (json.RawMessage, error)
}

// kinds lists every kind of object there is.
var kinds = []kind{
	{KindClient, prepareClient, publicClient},
	{KindAPI, prepareAPI, asStored},
	{KindScope, prepareScope, asStored},
	{KindApplication, prepareApplication, publicApplication},
	{KindRoute, prepareRoute, asStored},
	{KindClaimMapping, prepareClaimMapping, asStored},
}

// Kinds are the names of all kinds.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

func kindOf(name string) (kind, bool) {
	for _, k := range kinds {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

// Document is one object as somebody wrote it.
type Document struct {
	Kind   string          `json:"kind"`
	Name   string          `json:"name,omitempty"` // may be left out where the body names it
	Body   json.RawMessage `json:"body"`
	Source string          `json:"-"` // for messages: file and line
	sector *sector         // of a client, where ReadSectors has read it
}

// Problem is something wrong in a document, and what to do about it. It never quotes a secret.
type Problem struct {
	Source  string `json:"source,omitempty"`
	Object  string `json:"object,omitempty"` // <kind>/<name>
	Path    string `json:"path,omitempty"`   // member, like redirect_uris[1]
	What    string `json:"what"`
	Remedy  string `json:"remedy,omitempty"`
	Warning bool   `json:"warning,omitempty"` // worth knowing, but the document is accepted
}

// String is the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	for _, part := range []string{p.Source, p.Object, p.Path} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(p.What)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems is the error of documents that are refused.
type Problems []Problem

// Error lists all problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// split tells what refuses a document from what is only worth knowing.
func (p Problems) split() (refused, notices Problems) {
	for _, one := range p {
		if one.Warning {
			notices = append(notices, one)
		} else {
			refused = append(refused, one)
		}
	}
	return refused, notices
}

// preparation is one document on its way into the store.
type preparation struct {
	ring     *keys.Ring
	doc      Document
	name     string          // the object's name, found in the body
	body     json.RawMessage // what is stored
	secret   keys.Secret     // one that was generated
	problems Problems
}

func (p *preparation) report(path, what, remedy string) {
	p.problems = append(p.problems, Problem{Path: path, What: what, Remedy: remedy})
}

func (p *preparation) warn(path, what, remedy string) {
	p.problems = append(p.problems, Problem{Path: path, What: what, Remedy: remedy, Warning: true})
}

// named settles the name of an object that its document and its body may both give.
func (p *preparation) named(member, inBody string) string {
	switch {
	case inBody == "" && p.doc.Name == "":
		p.report(member, "is missing", "give the object its name")
	case inBody != "" && p.doc.Name != "" && inBody != p.doc.Name:
		p.report(member, "differs from the name of the document", "write the same in both places, or in one only")
	case inBody == "":
		return p.doc.Name
	}
	return inBody
}

// store keeps v as the body.
func (p *preparation) store(v any) {
	body, err := json.Marshal(v)
	if err != nil {
		p.report("", "cannot be written as JSON", "correct the document")
		return
	}
	p.body = body
}

// prepare reads one document against what is stored under its name. find loads that, nil for nothing.
func prepare(ring *keys.Ring, d Document, find func(kind, name string) (json.RawMessage, error)) (*preparation, error) {
	p := &preparation{ring: ring, doc: d}
	k, ok := kindOf(d.Kind)
	if !ok {
		p.report("", "is of an unknown kind", "use one of "+strings.Join(Kinds(), ", "))
		p.seal()
		return p, nil
	}
	old, err := find(d.Kind, nameIn(d))
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", d.Kind, err)
	}
	k.prepare(p, old)
	p.seal()
	return p, nil
}

// seal names the document in its problems.
func (p *preparation) seal() {
	object := p.doc.Kind
	if p.name != "" {
		object += "/" + p.name
	}
	for i := range p.problems {
		p.problems[i].Source, p.problems[i].Object = p.doc.Source, object
	}
}

// nameMembers is where the body of each kind names its object.
var nameMembers = map[string]string{KindClient: "client_id", KindAPI: "resource", KindScope: "name", KindApplication: "name", KindRoute: "name", KindClaimMapping: "name"}

// nameIn finds the name of an object before its document is read as a whole; "" if there is none.
func nameIn(d Document) string {
	if d.Name != "" {
		return d.Name
	}
	var members map[string]json.RawMessage
	var name string
	if json.Unmarshal(d.Body, &members) != nil || json.Unmarshal(members[nameMembers[d.Kind]], &name) != nil || name == "" {
		if d.Kind == KindClient {
			return derivedID(d.Body)
		}
		return ""
	}
	return name
}

// Validate finds every problem of a document as if nothing of its name were stored yet.
func Validate(d Document) []Problem {
	p, err := prepare(nil, d, func(string, string) (json.RawMessage, error) { return nil, nil })
	if err != nil {
		return []Problem{{Source: d.Source, What: err.Error()}}
	}
	return p.problems
}

// Public is the body of an object without the hashes of secrets, for showing it.
func Public(o store.Object) (json.RawMessage, error) {
	k, ok := kindOf(o.Kind)
	if !ok {
		return nil, ErrKind
	}
	return k.public(o.Body)
}

func asStored(body json.RawMessage) (json.RawMessage, error) { return body, nil }
