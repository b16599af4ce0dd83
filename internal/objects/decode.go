package objects

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/jose"
)

// maxDocument bounds one document, in bytes.
const maxDocument = 256 << 10

// decode reads a JSON object into the struct v points at, member by member, so that every member of the
// wrong type is reported and not only the first. Members v has no field for are reported and left out.
func (p *preparation) decode(body json.RawMessage, v any) {
	if len(body) > maxDocument {
		p.report("", "is longer than 256 KiB", "split it")
		return
	}
	var members map[string]json.RawMessage
	if err := jose.Unmarshal(body, &members); err != nil || members == nil {
		p.report("", "is not one JSON object without repeated members", "correct the JSON")
		return
	}
	target := reflect.ValueOf(v).Elem()
	for _, f := range reflect.VisibleFields(target.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		raw, ok := members[name]
		if name == "" || !ok {
			continue
		}
		delete(members, name)
		field := target.FieldByIndex(f.Index)
		if err := jose.Unmarshal(raw, field.Addr().Interface()); err != nil {
			field.SetZero()
			p.report(name, "has the wrong type", "write "+typeName(f.Type))
		}
	}
	p.unknown(members)
}

// unknown reports the members that are left.
func (p *preparation) unknown(members map[string]json.RawMessage) {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		what, remedy := "is not known and was left out", "check the spelling, or remove it"
		if strings.Contains(name, "#") {
			what, remedy = "is a translation, which is not kept", "write the text without a language tag"
		}
		if len(name) > maxName {
			name = name[:maxName] + "…"
		}
		p.warn(strings.ToValidUTF8(name, "�"), what, remedy)
	}
}

// typeName says what JSON a field takes.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return "valid JSON"
		}
		if t.Elem().Kind() == reflect.String {
			return "a list of strings"
		}
		return "a list of objects"
	default:
		return "an object"
	}
}

// at is the path of an item of a list.
func at(member string, i int) string { return fmt.Sprintf("%s[%d]", member, i) }
