package jose_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

func TestRFC7519_2_NumericDate(t *testing.T) {
	var d jose.NumericDate
	for text, want := range map[string]time.Time{
		"0": time.Unix(0, 0).UTC(), "1732500000": time.Unix(1732500000, 0).UTC(), "1.5": time.Unix(1, 5e8).UTC(),
	} {
		if err := jose.Unmarshal([]byte(text), &d); err != nil || !d.Equal(want) {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"-1", "1e99", `"1"`, "true", "253402300800"} {
		if err := jose.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func TestRFC7519_2_NumericDateIsWrittenInWholeSeconds(t *testing.T) {
	got, err := json.Marshal(jose.At(time.Unix(1732500000, 999_999_999)))
	if err != nil || string(got) != "1732500000" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestRFC7519_4_1_3_Audience(t *testing.T) {
	for text, want := range map[string]jose.Audience{`"a"`: {"a"}, `["a"]`: {"a"}, `["a","b"]`: {"a", "b"}, `[]`: {}} {
		var a jose.Audience
		if err := jose.Unmarshal([]byte(text), &a); err != nil || !slices.Equal(a, want) {
			t.Errorf("%s: %v, %v", text, a, err)
		}
	}
	for _, text := range []string{"null", "1", "{}", "[1]", "[null]", `["a",null]`, `[["a"]]`} {
		var a jose.Audience
		if err := jose.Unmarshal([]byte(text), &a); err == nil {
			t.Errorf("%s: read as %v", text, a)
		}
	}
	for want, a := range map[string]jose.Audience{`"a"`: {"a"}, `["a","b"]`: {"a", "b"}} {
		if got, err := json.Marshal(a); err != nil || string(got) != want {
			t.Errorf("%v: %s, %v", a, got, err)
		}
	}
}

func TestRFC8259_UnmarshalIsStrict(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, text := range map[string]string{
		"repeated":              `{"a":1,"a":1}`,
		"repeated inside":       `[{"a":{"b":1,"b":1}}]`,
		"trailing":              `{} {}`,
		"33 levels":             nested(33),
		"behind brackets":       `["` + strings.Repeat("]", 100) + `",` + nested(32) + `]`,
		"behind a quoted quote": `["\"` + strings.Repeat("]", 100) + `",` + nested(32) + `]`,
		"longer":                `"` + strings.Repeat("a", jose.MaxJSON) + `"`,
		"not UTF-8":             "\"\xff\"",
		"half a surrogate":      `"\ud800"`,
		"empty":                 "",
		"comment":               "{}//",
	} {
		var v any
		if err := jose.Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for name, text := range map[string]string{
		"32 levels":        nested(32),
		"brackets in text": `"` + strings.Repeat("[", 100) + `"`,
		"many siblings":    "[" + strings.Repeat("[],", 100) + "[]]",
	} {
		var v any
		if err := jose.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var v struct {
		Sub string `json:"sub"`
	}
	if err := jose.Unmarshal([]byte(`{"SUB":"a","Sub":"b"}`), &v); err != nil || v.Sub != "" {
		t.Errorf("a name of another case was taken: %q, %v", v.Sub, err)
	}
}
