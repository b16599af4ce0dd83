package details

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// Type is one type of details as an API registers it: what its objects look like, and what they say to a person.
type Type struct {
	Name  string `json:"type"`
	Title string `json:"title,omitempty"` // what is asked for, in a few words
	// Words are the sentences a person reads. "{amount.value}" stands for that field; a sentence whose fields are not all
	// there is left out, and a field that no sentence shows is listed by its name.
	Words []string `json:"words,omitempty"`
	// Schema is JSON Schema 2020-12. Fields it does not know are refused unless it says additionalProperties or
	// unevaluatedProperties itself; type and locations are always known.
	Schema json.RawMessage `json:"schema,omitempty"`
	// AskEveryTime is for what is used up, such as a payment: what was allowed once says nothing about the next time.
	AskEveryTime bool `json:"ask_every_time,omitempty"`

	schema *jsonschema.Resolved
}

// Problem is something wrong in a registration.
type Problem struct{ Member, What, Remedy string }

// Error is for whoever reads a stored registration, which was checked before.
func (p *Problem) Error() string { return p.Member + " " + p.What }

// Prepare makes a type ready to check objects, and reports what is wrong with it.
func (t *Type) Prepare() *Problem {
	s := new(jsonschema.Schema)
	switch {
	case t.Name == "" || len(t.Name) > maxType || strings.ContainsFunc(t.Name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return &Problem{"type", "is not a name", "use up to 200 printable ASCII characters without spaces"}
	case len(t.Schema) == 0:
		return &Problem{"schema", "is missing", "describe the fields of the type in JSON Schema"}
	case json.Unmarshal(t.Schema, s) != nil || string(t.Schema) == "null":
		return &Problem{"schema", "is not a JSON Schema", "write an object with properties"}
	case !plain(t.Schema):
		return &Problem{"schema", "refers to where it could lead back to itself", `let $ref lead to "#/$defs/…" only, and definitions have none; leave out $dynamicRef`}
	case s.Schema != "" && s.Schema != dialect:
		return &Problem{"schema", "is of another dialect", "leave out $schema, or use " + dialect}
	}
	if at, field := t.unknownField(s); field != "" {
		return &Problem{at, "shows a field that schema.properties does not have", "correct the name in braces"}
	}
	t.close(s)
	var err error
	if t.schema, err = s.Resolve(nil); err != nil {
		return &Problem{"schema", "is not a JSON Schema: " + firstLine(err), "correct it"}
	}
	return nil
}

const dialect = "https://json-schema.org/draft/2020-12/schema"

// close refuses what the schema does not know (RFC 9396 §5), and makes known what every object may have.
func (t *Type) close(s *jsonschema.Schema) {
	if s.AdditionalProperties == nil && s.UnevaluatedProperties == nil {
		s.UnevaluatedProperties = &jsonschema.Schema{Not: new(jsonschema.Schema)}
	}
	if s.Properties == nil {
		s.Properties = map[string]*jsonschema.Schema{}
	}
	name := any(t.Name)
	s.Properties["type"] = &jsonschema.Schema{Const: &name}
	if s.Properties["locations"] == nil {
		s.Properties["locations"] = new(jsonschema.Schema) // a list of strings, as Parse holds
	}
}

// Conforms says whether an object is one of the type.
func (t *Type) Conforms(d Detail) bool {
	return t.schema != nil && t.schema.Validate(map[string]any(d)) == nil
}

// plain says whether references of a schema lead to definitions only, which have none themselves: whatever is checked,
// checking ends.
func plain(schema json.RawMessage) bool {
	var root any
	return json.Unmarshal(schema, &root) == nil && plainIn(root, false)
}

func plainIn(v any, defined bool) bool {
	switch v := v.(type) {
	case map[string]any:
		if _, dynamic := v["$dynamicRef"].(string); dynamic {
			return false
		}
		if ref, ok := v["$ref"].(string); ok && (defined || !strings.HasPrefix(ref, "#/$defs/")) {
			return false
		}
		for name, member := range v {
			if !plainIn(member, defined || name == "$defs") {
				return false
			}
		}
	case []any:
		for _, item := range v {
			if !plainIn(item, defined) {
				return false
			}
		}
	}
	return true
}

// unknownField finds a sentence that shows a field which the schema does not have, or whose braces do not match.
func (t *Type) unknownField(s *jsonschema.Schema) (member, field string) {
	for i, sentence := range t.Words {
		for _, p := range split(sentence) {
			if !p.field {
				if strings.ContainsAny(p.text, "{}") {
					return fmt.Sprintf("words[%d]", i), p.text
				}
				continue
			}
			name, _, _ := strings.Cut(p.text, ".")
			if s.Properties[name] == nil {
				return fmt.Sprintf("words[%d]", i), p.text
			}
		}
	}
	return "", ""
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
