package objects

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Transform is one step of a mapping.
type Transform struct {
	Do   string `json:"do"`             // its name
	With string `json:"with,omitempty"` // its argument, where it takes one
}

// transforms are all there are. Each makes a value of a value: text, number, boolean, list of texts or object; nil is
// nothing, and so is what does not fit.
var transforms = []struct {
	name     string
	argument bool
	apply    func(v any, with string) any
}{
	{"lower", false, func(v any, _ string) any { return eachText(v, strings.ToLower) }},
	{"upper", false, func(v any, _ string) any { return eachText(v, strings.ToUpper) }},
	{"prefix", true, func(v any, with string) any { return eachText(v, func(s string) string { return with + s }) }},
	{"split", true, split},
	{"first", false, first},
	{"join", true, join},
	{"default", true, func(v any, with string) any { return orText(v, with) }},
	{"boolean", false, boolean},
	{"member", true, member},
}

const maxTransforms = 10

func checkTransforms(p *preparation, m *ClaimMapping) {
	var names []string
	for _, t := range transforms {
		names = append(names, t.name)
	}
	if len(m.Transforms) > maxTransforms {
		p.report("transforms", "has more than 10 steps", "shorten it")
	}
	for i, step := range m.Transforms {
		k := slices.Index(names, step.Do)
		switch {
		case k < 0:
			p.report(at("transforms", i), "is unknown", "use "+strings.Join(names, ", "))
		case transforms[k].argument && step.With == "":
			p.report(at("transforms", i), "lacks its argument", "write it as with")
		case !transforms[k].argument && step.With != "":
			p.report(at("transforms", i), "takes no argument", "remove with")
		case len(step.With) > maxName:
			p.report(at("transforms", i), "has an argument of more than 200 bytes", "shorten it")
		}
	}
}

// Transform takes a value as JSON, nil for nothing, through the steps.
func (m *ClaimMapping) Transform(value json.RawMessage) any {
	v := plain(read(value))
	for _, step := range m.Transforms {
		for _, t := range transforms {
			if t.name == step.Do {
				v = plain(t.apply(v, step.With))
			}
		}
	}
	return v
}

// read decodes a value and keeps numbers as they are written.
func read(value json.RawMessage) (v any) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// plain is a value in one of the forms that transforms know. An empty text or list is nothing.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		if v == "" {
			return nil
		}
	case []string:
		if len(v) == 0 {
			return nil
		}
	case []any:
		var texts []string
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil
			}
			texts = append(texts, text)
		}
		return plain(texts)
	}
	return v
}

// isPlain says whether a value is one that a constant or an attribute can be.
func isPlain(value json.RawMessage) bool {
	switch plain(read(value)).(type) {
	case string, bool, json.Number, []string:
		return true
	}
	return false
}

// eachText changes a text, a number as its text, or every text of a list.
func eachText(v any, change func(string) string) any {
	switch v := v.(type) {
	case string:
		return change(v)
	case json.Number:
		return change(v.String())
	case []string:
		changed := make([]string, len(v))
		for i, s := range v {
			changed[i] = change(s)
		}
		return changed
	}
	return nil
}

// split makes a list of a text; blanks around the parts, and empty parts, go.
func split(v any, sep string) any {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	var parts []string
	for part := range strings.SplitSeq(text, sep) {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// first is the first of a list; what is none stays.
func first(v any, _ string) any {
	if list, ok := v.([]string); ok {
		return list[0] // plain leaves no empty list
	}
	return v
}

// join makes a text of a list; a text stays.
func join(v any, sep string) any {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		return strings.Join(v, sep)
	}
	return nil
}

func orText(v any, text string) any {
	if v == nil {
		return text
	}
	return v
}

// boolean reads the usual words; anything else is nothing, which is neither.
func boolean(v any, _ string) any {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			return true
		case "false", "no", "off", "0":
			return false
		}
	}
	return nil
}

// member is one of an object, as the country of an address.
func member(v any, name string) any {
	if object, ok := v.(map[string]any); ok {
		return object[name]
	}
	return nil
}
