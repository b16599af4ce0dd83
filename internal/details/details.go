// Package details is what rich authorization requests are made of (RFC 9396): the objects with which a client asks, what
// of them is within what was granted, the types that APIs register for them, and how a person reads them.
//
// It is values alone and knows neither clients nor requests: who may ask for what is decided in internal/objects, where
// details are asked for in internal/request and internal/grant, and what is remembered of them in internal/consents.
package details

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Bounds of what a request may ask with. Details travel in access tokens, so that the whole of them must leave room in a
// header, where 8 KiB are what servers commonly take.
const (
	maxText    = 16 << 10 // bytes as they come
	maxList    = 4 << 10  // bytes in normal form
	maxObjects = 32
	maxDepth   = 8 // of one object
	maxType    = 200
	maxNumber  = 1 << 53 // what every reader of JSON has exactly (RFC 7493 §2.2)
)

// shared are the fields of RFC 9396 §2.2 that list what is asked for. Together they mean every combination of their
// values, so that an object with fewer values asks for less, and one without the field may ask for more.
var shared = []string{"locations", "actions", "datatypes", "privileges"}

// Detail is one object of authorization_details, in the values that encoding/json uses.
type Detail map[string]any

// List is the value of authorization_details.
type List []Detail

// Type is the type of the object.
func (d Detail) Type() string { s, _ := d["type"].(string); return s }

// Locations are the APIs it names; none means any that knows its type.
func (d Detail) Locations() []string {
	values, _ := d["locations"].([]any)
	list := make([]string, len(values))
	for i, v := range values {
		list[i], _ = v.(string)
	}
	return list
}

// IsAt says whether the object is meant for an API as far as locations go.
func (d Detail) IsAt(resource string) bool {
	at := d.Locations()
	return len(at) == 0 || slices.Contains(at, resource)
}

func refuse(why string) error { return oauth.Refuse(oauth.InvalidAuthorizationDetails, why) }

// Parse reads the parameter authorization_details (RFC 9396 §2) into its normal form: no object and no value of a shared
// field twice. Whether the objects conform to their types is not asked here.
func Parse(text string) (List, error) {
	var all List
	if len(text) > maxText {
		return nil, refuse("authorization_details is too long")
	}
	if err := jose.Unmarshal([]byte(text), &all); err != nil || all == nil {
		return nil, refuse("authorization_details is not one JSON array of objects without repeated members")
	}
	if len(all) > maxObjects {
		return nil, refuse(fmt.Sprintf("authorization_details has more than %d objects", maxObjects))
	}
	list := make(List, 0, len(all))
	for i, d := range all {
		if why := d.normalise(); why != "" {
			return nil, refuse(fmt.Sprintf("authorization_details[%d] %s", i, why))
		}
		if !list.has(d) {
			list = append(list, d)
		}
	}
	if len(list.JSON()) > maxList {
		return nil, refuse("authorization_details is too long")
	}
	return list, nil
}

// Read reads what JSON wrote.
func Read(stored json.RawMessage) (List, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	var l List
	if err := json.Unmarshal(stored, &l); err != nil {
		return nil, fmt.Errorf("read authorization details: %w", err)
	}
	return l, nil
}

// JSON is how a list is stored and answered: members in order of their names; nil for an empty list.
func (l List) JSON() json.RawMessage {
	if len(l) == 0 {
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil // values of JSON have a text
	}
	return text
}

// normalise brings an object into its normal form, and says what keeps it from having one.
func (d Detail) normalise() string {
	switch kind, ok := d["type"].(string); {
	case d == nil:
		return "is not an object"
	case !ok || kind == "" || len(kind) > maxType:
		return "has no type, or one that is not a short string" // RFC 9396 §2
	case !bounded(map[string]any(d), maxDepth):
		return "nests too deep, or has a number of 2^53 or more"
	}
	if v, ok := d["identifier"]; ok {
		if _, ok := v.(string); !ok {
			return "has an identifier that is not a string" // RFC 9396 §2.2
		}
	}
	for _, name := range shared {
		v, ok := d[name]
		if !ok {
			continue
		}
		values, ok := distinct(v)
		if !ok {
			return "has a " + name + " that is not a list of strings, or is empty" // RFC 9396 §2.2
		}
		d[name] = values
	}
	return ""
}

// distinct is a list of strings without repetitions. An empty one, which could be taken for none at all, is not accepted.
func distinct(v any) ([]any, bool) {
	values, ok := v.([]any)
	if !ok || len(values) == 0 {
		return nil, false
	}
	var out []any
	for _, one := range values {
		if _, ok := one.(string); !ok {
			return nil, false
		}
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out, true
}

// bounded says whether a value nests at most so deep and has no number that others might read as another.
func bounded(v any, depth int) bool {
	inside := func(v any) bool { return bounded(v, depth-1) }
	switch v := v.(type) {
	case float64:
		return math.Abs(v) < maxNumber
	case map[string]any:
		for _, member := range v {
			if !inside(member) {
				return false
			}
		}
		return depth > 0
	case []any:
		return depth > 0 && !slices.ContainsFunc(v, func(v any) bool { return !inside(v) })
	}
	return true
}

// within says whether an object asks for nothing that another does not: it is the same, but for values that it lacks in
// shared fields (RFC 9396 §6.1).
func (d Detail) within(granted Detail) bool {
	if len(d) != len(granted) {
		return false
	}
	for name, theirs := range granted {
		mine, ok := d[name]
		if !ok || !slices.Contains(shared, name) && !reflect.DeepEqual(mine, theirs) {
			return false
		}
		if slices.Contains(shared, name) && !subset(mine, theirs) {
			return false
		}
	}
	return true
}

func subset(a, b any) bool {
	few, okFew := a.([]any)
	many, okMany := b.([]any)
	return okFew && okMany && !slices.ContainsFunc(few, func(v any) bool { return !slices.Contains(many, v) })
}

// Covers says whether what is granted includes all that is asked for: each object is within one of the list.
func (l List) Covers(asked List) bool {
	return !slices.ContainsFunc(asked, func(d Detail) bool { return !l.covers(d) })
}

func (l List) covers(asked Detail) bool {
	return slices.ContainsFunc(l, asked.within)
}

func (l List) has(d Detail) bool {
	return slices.ContainsFunc(l, func(other Detail) bool { return d.within(other) && other.within(d) })
}

// With adds objects to a list, and leaves out what others cover.
func (l List) With(more List) List {
	all := slices.Concat(l, more)
	out := make(List, 0, len(all))
	for i, d := range all {
		covered := func(other Detail) bool { return d.within(other) }
		// Of two that cover each other the later one stays.
		if slices.ContainsFunc(all[i+1:], covered) || out.covers(d) {
			continue
		}
		out = append(out, d)
	}
	return out
}

// Where keeps the objects that a rule accepts.
func (l List) Where(rule func(Detail) bool) List {
	out := make(List, 0, len(l))
	for _, d := range l {
		if rule(d) {
			out = append(out, d)
		}
	}
	return out
}
