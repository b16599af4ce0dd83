package details_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/details"
)

const schema = `{
	"type": "object",
	"properties": {
		"actions": {"items": {"enum": ["read", "write"]}},
		"limit": {"$ref": "#/$defs/money"},
		"to": {"type": "array"}, "note": {"type": "string", "maxLength": 10}, "urgent": {"type": "boolean"}
	},
	"required": ["actions"],
	"$defs": {"money": {"type": "object", "properties": {"value": {"type": "integer", "minimum": 1}, "currency": {"type": "string"}}, "required": ["value"], "additionalProperties": false}}
}`

func order(t testing.TB, words ...string) *details.Type {
	t.Helper()
	typ := &details.Type{Name: "order", Title: "Order for you", Words: words, Schema: json.RawMessage(schema)}
	if p := typ.Prepare(); p != nil {
		t.Fatal(p)
	}
	return typ
}

// RFC 9396 §5 lists what makes an object not conform.
func TestRFC9396_5_Conforms(t *testing.T) {
	typ := order(t)
	for name, c := range map[string]struct {
		object string
		want   bool
	}{
		"right":                   {`{"type":"order","actions":["read"],"limit":{"value":3}}`, true},
		"with locations":          {`{"type":"order","actions":["read"],"locations":["https://a"]}`, true},
		"another type":            {`{"type":"pay","actions":["read"]}`, false},
		"an unknown field":        {`{"type":"order","actions":["read"],"privileges":["admin"]}`, false},
		"an unknown nested field": {`{"type":"order","actions":["read"],"limit":{"value":3,"x":1}}`, false},
		"a field of another type": {`{"type":"order","actions":["read"],"urgent":"yes"}`, false},
		"an invalid value":        {`{"type":"order","actions":["delete"]}`, false},
		"an invalid nested value": {`{"type":"order","actions":["read"],"limit":{"value":0}}`, false},
		"no whole number":         {`{"type":"order","actions":["read"],"limit":{"value":1.5}}`, false},
		"too long":                {`{"type":"order","actions":["read"],"note":"01234567890"}`, false},
		"a required field lacks":  {`{"type":"order"}`, false},
	} {
		if got := typ.Conforms(parse(t, `[`+c.object+`]`)[0]); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	open := &details.Type{Name: "any", Schema: json.RawMessage(`{"additionalProperties":true}`)}
	if p := open.Prepare(); p != nil || !open.Conforms(details.Detail{"type": "any", "x": 1.0}) {
		t.Errorf("an open schema is closed: %v", p)
	}
	if new(details.Type).Conforms(details.Detail{"type": ""}) {
		t.Error("conforms to a type that was not prepared")
	}
}

func TestRegistrationIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		typ    details.Type
		member string
	}{
		"no name":                   {details.Type{Schema: json.RawMessage(`{}`)}, "type"},
		"a name with a space":       {details.Type{Name: "a b", Schema: json.RawMessage(`{}`)}, "type"},
		"a long name":               {details.Type{Name: strings.Repeat("x", 201), Schema: json.RawMessage(`{}`)}, "type"},
		"no schema":                 {details.Type{Name: "a"}, "schema"},
		"null":                      {details.Type{Name: "a", Schema: json.RawMessage(`null`)}, "schema"},
		"a string":                  {details.Type{Name: "a", Schema: json.RawMessage(`"x"`)}, "schema"},
		"a type that is none":       {details.Type{Name: "a", Schema: json.RawMessage(`{"type":7}`)}, "schema"},
		"a bad pattern":             {details.Type{Name: "a", Schema: json.RawMessage(`{"properties":{"x":{"pattern":"("}}}`)}, "schema"},
		"another dialect":           {details.Type{Name: "a", Schema: json.RawMessage(`{"$schema":"http://json-schema.org/draft-07/schema#"}`)}, "schema"},
		"a reference to itself":     {details.Type{Name: "a", Schema: json.RawMessage(`{"$ref":"#"}`)}, "schema"},
		"a reference elsewhere":     {details.Type{Name: "a", Schema: json.RawMessage(`{"properties":{"x":{"$ref":"https://example.com/x"}}}`)}, "schema"},
		"a dynamic reference":       {details.Type{Name: "a", Schema: json.RawMessage(`{"properties":{"x":{"$dynamicRef":"#x"}}}`)}, "schema"},
		"definitions in a circle":   {details.Type{Name: "a", Schema: json.RawMessage(`{"allOf":[{"$ref":"#/$defs/x"}],"$defs":{"x":{"anyOf":[{"$ref":"#/$defs/x"}]}}}`)}, "schema"},
		"a definition that is gone": {details.Type{Name: "a", Schema: json.RawMessage(`{"properties":{"x":{"$ref":"#/$defs/x"}}}`)}, "schema"},
		"words of another field":    {details.Type{Name: "a", Schema: json.RawMessage(`{"properties":{"x":{}}}`), Words: []string{"{x}", "up to {y.z}"}}, "words[1]"},
		"an open brace":             {details.Type{Name: "a", Schema: json.RawMessage(`{"properties":{"x":{}}}`), Words: []string{"{x"}}, "words[0]"},
		"a closing brace":           {details.Type{Name: "a", Schema: json.RawMessage(`{"properties":{"x":{}}}`), Words: []string{"{x} }"}}, "words[0]"},
		"right":                     {details.Type{Name: "https://example.com/a", Schema: json.RawMessage(`{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"x":{}}}`), Words: []string{"{x}"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.typ.Prepare()
			if (p == nil) != (c.member == "") || p != nil && (p.Member != c.member || p.What == "" || p.Remedy == "" || p.Error() == "") {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestWords(t *testing.T) {
	typ := order(t, "May {actions}", "Up to {limit.value} {limit.currency} in all", "Delivers to {to}")
	for object, want := range map[string]details.Words{
		`{"type":"order","actions":["read","write"],"limit":{"value":1e6,"currency":"EUR"},"locations":["https://a"]}`: {
			Title: "Order for you",
			Lines: []details.Line{
				{{"May ", false}, {"read, write", true}},
				{{"Up to ", false}, {"1000000", true}, {" ", false}, {"EUR", true}, {" in all", false}},
			},
		},
		// The currency lacks, so the sentence is left out and the limit is listed.
		`{"type":"order","actions":["read"],"limit":{"value":0.5}}`: {
			Title: "Order for you", Lines: []details.Line{{{"May ", false}, {"read", true}}},
			Fields: []details.Field{{"limit.value", "0.5"}},
		},
		`{"type":"order","to":[{"city":"Kiel","zip":null},"Bonn"],"urgent":true,"note":"","x":[],"y":{},"z":false}`: {
			Title:  "Order for you",
			Lines:  []details.Line{{{"Delivers to ", false}, {"1.city: Kiel, 1.zip: none, 2: Bonn", true}}},
			Fields: []details.Field{{"note", "none"}, {"urgent", "yes"}, {"x", "none"}, {"y", "none"}, {"z", "no"}},
		},
		// Two fields that read alike are both shown.
		`{"type":"order","limit.value":7,"limit":{"value":8,"currency":"EUR"}}`: {
			Title: "Order for you",
			Lines: []details.Line{{{"Up to ", false}, {"8, 7", true}, {" ", false}, {"EUR", true}, {" in all", false}}},
		},
		// What is not seen, or turns the direction, is.
		`{"type":"order","note":"a\u202eb\nc\u0000\u200b","\u202ex":1}`: {
			Title: "Order for you", Fields: []details.Field{{"note", "a�b c��"}, {"�x", "1"}},
		},
	} {
		if d := cmp.Diff(want, typ.Describe(parse(t, `[`+object+`]`)[0])); d != "" {
			t.Errorf("%s: %s", object, d)
		}
	}
	unknown := new(details.Type).Describe(details.Detail{"type": "pay\u202ement", "amount": 3.0})
	if d := cmp.Diff(details.Words{Title: "pay�ment", Fields: []details.Field{{"amount", "3"}}}, unknown); d != "" {
		t.Error(d)
	}
}
