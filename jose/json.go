package jose

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	strictjson "github.com/go-json-experiment/json"
)

// Bounds on JSON from outside.
const (
	MaxJSON  = 8 << 20 // bytes; whoever reads less has its own, smaller bound
	maxDepth = 32      // how deep objects and arrays may nest
)

// Unmarshal reads one JSON value strictly: UTF-8, no duplicate member names, member names compared with their case,
// nothing after the value, at most MaxJSON bytes and 32 levels (RFC 8259 §4 and §9, RFC 8725 §2.8). It is what every
// JSON from outside is read with.
func Unmarshal(data []byte, v any) error {
	if len(data) > MaxJSON {
		return fmt.Errorf("jose: JSON is longer than %d bytes", MaxJSON)
	}
	if deeper(data, maxDepth) {
		return fmt.Errorf("jose: JSON nests deeper than %d", maxDepth)
	}
	return strictjson.Unmarshal(data, v)
}

// deeper counts open brackets outside strings. Up to the first syntax error, where the parser stops, it sees the same
// structure as the parser.
func deeper(data []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// NumericDate is a time in a claim: seconds since 1970 UTC, possibly with a fraction (RFC 7519 §2). Zero is absent.
type NumericDate struct{ time.Time }

// At makes a NumericDate of whole seconds.
func At(t time.Time) NumericDate { return NumericDate{t.Truncate(time.Second)} }

// MarshalJSON writes whole seconds.
func (d NumericDate) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, d.Unix(), 10), nil
}

// UnmarshalJSON accepts a JSON number between the years 1970 and 9999.
func (d *NumericDate) UnmarshalJSON(data []byte) error {
	f, err := strconv.ParseFloat(string(data), 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 253402300799 {
		return errors.New("jose: not a NumericDate")
	}
	whole, fraction := math.Modf(f)
	d.Time = time.Unix(int64(whole), int64(fraction*1e9)).UTC()
	return nil
}

// Audience is the claim aud: one string or an array of strings (RFC 7519 §4.1.3). Both forms read into a list; whoever
// has to tell them apart, as FAPI 2.0 §5.3.2.1 does, reads the claim as raw JSON first.
type Audience []string

// MarshalJSON writes a single audience as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON accepts both forms, and null in neither.
func (a *Audience) UnmarshalJSON(data []byte) error {
	var one *string
	if strictjson.Unmarshal(data, &one) == nil && one != nil {
		*a = Audience{*one}
		return nil
	}
	var many []*string
	if err := strictjson.Unmarshal(data, &many); err != nil || many == nil || slices.Contains(many, nil) {
		return errors.New("jose: aud is neither a string nor an array of strings")
	}
	*a = make(Audience, len(many))
	for i, s := range many {
		(*a)[i] = *s
	}
	return nil
}
