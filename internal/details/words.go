package details

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Words is an object as a person reads it. All of the object is in it, but for its locations.
type Words struct {
	Title  string
	Lines  []Line
	Fields []Field // what no line shows
}

// Line is a sentence.
type Line []Part

// Part is a piece of a sentence: its own text, or a value, which came from the client.
type Part struct {
	Text  string
	Value bool
}

// Field is a value beside its name.
type Field struct{ Name, Value string }

// Describe puts an object into words. The zero Type describes those of a type that nobody knows any more.
func (t *Type) Describe(d Detail) Words {
	w := Words{Title: t.Title}
	if w.Title == "" {
		w.Title = clean(d.Type())
	}
	all := fieldsOf(d)
	shown := map[string]bool{}
	for _, sentence := range t.Words {
		if line, fields, ok := fill(sentence, all); ok {
			w.Lines = append(w.Lines, line)
			for _, name := range fields {
				shown[name] = true
			}
		}
	}
	for _, f := range all {
		if !shown[f.Name] {
			w.Fields = append(w.Fields, f)
		}
	}
	return w
}

// fieldsOf lists all values of an object by their dotted names, in order, without what is shown otherwise.
func fieldsOf(d Detail) []Field {
	var all []Field
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if name != "type" && name != "locations" {
			all = appendFields(all, name, d[name])
		}
	}
	return all
}

func appendFields(all []Field, name string, v any) []Field {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			break
		}
		for _, member := range slices.Sorted(maps.Keys(v)) {
			all = appendFields(all, name+"."+member, v[member])
		}
		return all
	case []any:
		if !slices.ContainsFunc(v, composed) {
			break
		}
		for i, item := range v {
			all = appendFields(all, fmt.Sprintf("%s.%d", name, i+1), item)
		}
		return all
	}
	return append(all, Field{clean(name), text(v)})
}

func composed(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// text is a value as people write it.
func text(v any) string {
	switch v := v.(type) {
	case string:
		if strings.TrimSpace(v) != "" {
			return clean(v)
		}
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = text(item)
		}
		if len(items) > 0 {
			return strings.Join(items, ", ")
		}
	}
	return "none"
}

// clean takes out of a text what is not seen and could make it look like another: control characters, and those that
// turn the direction of what follows. The two joiners are letters of some languages.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsGraphic(r), r == '\u200c', r == '\u200d':
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// piece is a part of a sentence before it is filled in.
type piece struct {
	text  string
	field bool
}

// split takes a sentence apart at its fields in braces.
func split(sentence string) []piece {
	var out []piece
	for sentence != "" {
		before, rest, open := strings.Cut(sentence, "{")
		name, after, closed := strings.Cut(rest, "}")
		if !open || !closed {
			return append(out, piece{text: sentence})
		}
		if before != "" {
			out = append(out, piece{text: before})
		}
		out, sentence = append(out, piece{name, true}), after
	}
	return out
}

// fill fills in a sentence; fields are the names of the values it shows. Not ok: one of them is not there.
func fill(sentence string, all []Field) (line Line, fields []string, ok bool) {
	for _, p := range split(sentence) {
		if !p.field {
			line = append(line, Part{Text: p.text})
			continue
		}
		var values []string
		for _, f := range all {
			rest, inside := strings.CutPrefix(f.Name, p.text+".")
			switch {
			case f.Name == p.text:
				values = append(values, f.Value)
			case inside:
				values = append(values, rest+": "+f.Value)
			default:
				continue
			}
			fields = append(fields, f.Name)
		}
		if values == nil {
			return nil, nil, false
		}
		line = append(line, Part{strings.Join(values, ", "), true})
	}
	return line, fields, true
}
