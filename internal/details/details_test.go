package details_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/oauth"
)

func parse(t interface {
	Helper()
	Fatal(...any)
}, text string) details.List {
	t.Helper()
	l, err := details.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRFC9396_2_NormalForm(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: ``,
		` [ {"type":"order", "limit" : 1e2, "actions":["write","read","write"]} ] `:              `[{"actions":["write","read"],"limit":100,"type":"order"}]`,
		`[{"type":"order"},{"type":"pay","note":"é\u0041"},{"type":"order"}]`:                    `[{"type":"order"},{"note":"éA","type":"pay"}]`,
		`[{"type":"order","actions":["a","b"]},{"actions":["b","a","a"],"type":"order"}]`:        `[{"actions":["a","b"],"type":"order"}]`,
		`[{"type":"x","identifier":"i","privileges":["p"],"datatypes":["d"],"locations":["l"]}]`: `[{"datatypes":["d"],"identifier":"i","locations":["l"],"privileges":["p"],"type":"x"}]`,
	} {
		l := parse(t, text)
		if got := string(l.JSON()); got != want {
			t.Errorf("%s: got %s", text, got)
		}
		back, err := details.Read(l.JSON())
		if err != nil || !back.Covers(l) || !l.Covers(back) {
			t.Errorf("%s: after a journey %v, %v", text, back, err)
		}
	}
	if l, err := details.Read(nil); l != nil || err != nil {
		t.Errorf("nothing is %v, %v", l, err)
	}
	if _, err := details.Read(json.RawMessage(`{`)); err == nil {
		t.Error("read what is no JSON")
	}
}

func TestRFC9396_5_WhatIsNoDetail(t *testing.T) {
	nested := strings.Repeat(`{"a":`, 8) + `1` + strings.Repeat(`}`, 8)
	for name, text := range map[string]string{
		"nothing":                `null`,
		"an object":              `{"type":"order"}`,
		"no JSON":                `[{"type":"order"}`,
		"two values":             `[{"type":"order"}] []`,
		"no object":              `["order"]`,
		"null":                   `[null]`,
		"a member twice":         `[{"type":"order","limit":1,"limit":2}]`,
		"a type twice":           `[{"type":"order","type":"pay"}]`,
		"a nested member twice":  `[{"type":"order","a":{"b":1,"b":1}}]`,
		"not UTF-8":              "[{\"type\":\"\xff\"}]",
		"no type":                `[{"actions":["read"]}]`,
		"an empty type":          `[{"type":""}]`,
		"a number as type":       `[{"type":1}]`,
		"a long type":            `[{"type":"` + strings.Repeat("x", 201) + `"}]`,
		"one action":             `[{"type":"order","actions":"read"}]`,
		"no actions":             `[{"type":"order","actions":[]}]`,
		"a number as action":     `[{"type":"order","actions":["read",1]}]`,
		"no locations":           `[{"type":"order","locations":[]}]`,
		"null as locations":      `[{"type":"order","locations":null}]`,
		"objects as datatypes":   `[{"type":"order","datatypes":[{}]}]`,
		"privileges as object":   `[{"type":"order","privileges":{}}]`,
		"a number as identifier": `[{"type":"order","identifier":7}]`,
		"2^53":                   `[{"type":"order","limit":9007199254740993}]`,
		"-2^53":                  `[{"type":"order","limits":[{"x":-9007199254740992}]}]`,
		"a number beyond all":    `[{"type":"order","limit":1e999}]`,
		"nine levels":            `[{"type":"order","x":` + nested + `}]`,
		"too many":               `[` + strings.Repeat(`{"type":"a"},`, 32) + `{"type":"b"}]`,
		"too long":               `[{"type":"order","x":"` + strings.Repeat("x", 4<<10) + `"}]`,
		"far too long":           `[{"type":"order"}` + strings.Repeat(" ", 16<<10) + `]`,
	} {
		t.Run(name, func(t *testing.T) {
			l, err := details.Parse(text)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.Code != oauth.InvalidAuthorizationDetails || e.HTTPStatus() != 400 || l != nil {
				t.Errorf("got %v, %v", l, err)
			}
		})
	}
	eight := `[{"type":"order","x":` + nested[len(`{"a":`):len(nested)-1] + `}]`
	parse(t, eight)
	parse(t, `[{"type":"order","limit":9007199254740991}]`)
}

func TestRFC9396_6_1_Within(t *testing.T) {
	granted := parse(t, `[
		{"type":"order","actions":["read","write"],"locations":["https://a","https://b"],"limit":{"value":10,"currency":"EUR"}},
		{"type":"pay","datatypes":["x","y"],"privileges":["p","q"],"items":[1,2]},
		{"type":"open"}]`)
	for name, c := range map[string]struct {
		asked string
		want  bool
	}{
		"all":                    {string(granted.JSON()), true},
		"none":                   {`[]`, true},
		"one object":             {`[{"type":"open"}]`, true},
		"fewer actions":          {`[{"type":"order","actions":["write"],"locations":["https://a","https://b"],"limit":{"currency":"EUR","value":10}}]`, true},
		"fewer of both":          {`[{"type":"order","actions":["write"],"locations":["https://b"],"limit":{"currency":"EUR","value":10}}]`, true},
		"fewer datatypes":        {`[{"type":"pay","datatypes":["y"],"privileges":["q"],"items":[1,2]}]`, true},
		"two parts of one":       {`[{"type":"pay","datatypes":["y"],"privileges":["q"],"items":[1,2]},{"type":"pay","datatypes":["x"],"privileges":["p"],"items":[1,2]}]`, true},
		"another action":         {`[{"type":"order","actions":["write","delete"],"locations":["https://a"],"limit":{"currency":"EUR","value":10}}]`, false},
		"another location":       {`[{"type":"order","actions":["write"],"locations":["https://c"],"limit":{"currency":"EUR","value":10}}]`, false},
		"actions gone":           {`[{"type":"order","locations":["https://a"],"limit":{"currency":"EUR","value":10}}]`, false},
		"locations gone":         {`[{"type":"order","actions":["read"],"limit":{"currency":"EUR","value":10}}]`, false},
		"limit gone":             {`[{"type":"order","actions":["read"],"locations":["https://a"]}]`, false},
		"a higher limit":         {`[{"type":"order","actions":["read"],"locations":["https://a"],"limit":{"currency":"EUR","value":11}}]`, false},
		"a lower limit":          {`[{"type":"order","actions":["read"],"locations":["https://a"],"limit":{"currency":"EUR","value":9}}]`, false},
		"fewer of a field apart": {`[{"type":"pay","datatypes":["y"],"privileges":["q"],"items":[1]}]`, false},
		"one field more":         {`[{"type":"open","actions":["read"]}]`, false},
		"another type":           {`[{"type":"opened"}]`, false},
		"one of two":             {`[{"type":"open"},{"type":"more"}]`, false},
	} {
		if got := granted.Covers(parse(t, c.asked)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWith(t *testing.T) {
	base := parse(t, `[{"type":"a","actions":["read"]},{"type":"b"}]`)
	for more, want := range map[string]string{
		`[]`:                                 `[{"actions":["read"],"type":"a"},{"type":"b"}]`,
		`[{"type":"a","actions":["write"]}]`: `[{"actions":["read"],"type":"a"},{"type":"b"},{"actions":["write"],"type":"a"}]`,
		`[{"type":"a","actions":["read","write"]}]`: `[{"type":"b"},{"actions":["read","write"],"type":"a"}]`,
		`[{"type":"b"}]`: `[{"actions":["read"],"type":"a"},{"type":"b"}]`,
	} {
		if d := cmp.Diff(want, string(base.With(parse(t, more)).JSON())); d != "" {
			t.Errorf("%s: %s", more, d)
		}
	}
}

func TestWhere(t *testing.T) {
	l := parse(t, `[{"type":"a","locations":["https://a"]},{"type":"b"},{"type":"c","locations":["https://b","https://c"]}]`)
	at := func(resource string) string {
		return string(l.Where(func(d details.Detail) bool { return d.IsAt(resource) }).JSON())
	}
	if at("https://a") != `[{"locations":["https://a"],"type":"a"},{"type":"b"}]` || at("https://d") != `[{"type":"b"}]` {
		t.Errorf("got %s and %s", at("https://a"), at("https://d"))
	}
	if at := l[2].Locations(); !slices.Equal(at, []string{"https://b", "https://c"}) || l[2].Type() != "c" {
		t.Errorf("locations %q", at)
	}
}

// someDetails draws objects that have something to do with each other.
func someDetails(t *rapid.T, name string) details.List {
	some := func(field string, n int) []any {
		values := rapid.SliceOfNDistinct(rapid.SampledFrom([]any{"x", "y", "z"}), 1, n, func(v any) any { return v })
		return values.Draw(t, field)
	}
	var l details.List
	for range rapid.IntRange(0, 3).Draw(t, name) {
		d := details.Detail{"type": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "type")}
		for _, field := range []string{"actions", "locations", "datatypes", "privileges"} {
			if rapid.Bool().Draw(t, "has "+field) {
				d[field] = some(field, 3)
			}
		}
		if rapid.Bool().Draw(t, "limited") {
			d["limit"] = map[string]any{"value": rapid.SampledFrom([]any{1.0, 2.0}).Draw(t, "limit")}
		}
		l = append(l, d)
	}
	return parse(t, string(asArray(l)))
}

func asArray(l details.List) []byte {
	if len(l) == 0 {
		return []byte("[]")
	}
	return l.JSON()
}

// meaning is every single thing that a list allows: its types with one value of each shared field, "any" where the field
// is not there, and with all that is not shared.
func meaning(l details.List) map[string]bool {
	all := map[string]bool{}
	for _, d := range l {
		rest := maps.Clone(d)
		each := []string{""}
		for _, field := range []string{"actions", "locations", "datatypes", "privileges"} {
			values, ok := d[field].([]any)
			if !ok {
				values = []any{"any"}
			}
			delete(rest, field)
			var more []string
			for _, before := range each {
				for _, v := range values {
					more = append(more, fmt.Sprint(before, " ", v))
				}
			}
			each = more
		}
		text, _ := json.Marshal(rest)
		for _, one := range each {
			all[string(text)+one] = true
		}
	}
	return all
}

func subset(a, b map[string]bool) bool {
	for one := range a {
		if !b[one] {
			return false
		}
	}
	return true
}

// Whatever is asked for: what is covered allows nothing that was not allowed before.
func TestNarrowingNeverGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		granted, asked := someDetails(t, "granted"), someDetails(t, "asked")
		if granted.Covers(asked) && !subset(meaning(asked), meaning(granted)) {
			t.Fatalf("%s covers %s", granted.JSON(), asked.JSON())
		}
		if len(asked) == 1 && len(granted) == 1 && !granted.Covers(asked) && subset(meaning(asked), meaning(granted)) {
			t.Fatalf("%s does not cover %s", granted.JSON(), asked.JSON())
		}
	})
}

// Adding forgets nothing and invents nothing.
func TestWithIsTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := someDetails(t, "before"), someDetails(t, "more")
		sum := a.With(b)
		if !sum.Covers(a) || !sum.Covers(b) {
			t.Fatalf("%s and %s make %s", a.JSON(), b.JSON(), sum.JSON())
		}
		if !subset(meaning(sum), meaning(slices.Concat(a, b))) {
			t.Fatalf("%s and %s make %s", a.JSON(), b.JSON(), sum.JSON())
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`[{"type":"order","actions":["read","write","read"],"locations":["https://a"],"limit":{"value":1e2}}]`)
	f.Add(`[{"type":"a","x":[[[[[[["\u0000\ud800"]]]]]]]},{"type":"a","type":"b"},null,-0]`)
	f.Add(`[{"type":"pay","identifier":"i","privileges":[1],"y":9007199254740993}]`)
	typ := details.Type{Name: "order", Words: []string{"Up to {limit.value}", "{actions}"}, Schema: json.RawMessage(`{"properties":{"actions":{},"limit":{}}}`)}
	if p := typ.Prepare(); p != nil {
		f.Fatal(p)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := details.Parse(text)
		if err != nil {
			if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.InvalidAuthorizationDetails {
				t.Fatal(err)
			}
			return
		}
		again, err := details.Parse(string(asArray(l)))
		if err != nil || string(again.JSON()) != string(l.JSON()) || !l.Covers(again) || !again.Covers(l) {
			t.Fatalf("%s is not its own normal form: %s, %v", l.JSON(), again.JSON(), err)
		}
		for _, d := range l {
			typ.Conforms(d)
			if w := typ.Describe(d); w.Title == "" {
				t.Fatalf("no title for %v", d)
			}
		}
	})
}
