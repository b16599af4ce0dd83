package jose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	strictjson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep objects and arrays may nest.
const maxDepth = 32

// Unmarshal reads one JSON value strictly: UTF-8, no duplicate member names, member names compared with their case,
// nothing after the value, at most 32 levels. It is what every JSON from outside is read with.
func Unmarshal(data []byte, v any) error {
	if err := checkDepth(data); err != nil {
		return err
	}
	return strictjson.Unmarshal(data, v)
}

func checkDepth(data []byte) error {
	depth, deep := 0, 0
	for _, b := range data { // brackets inside strings only make the bound stricter to reach, so look properly then
		switch b {
		case '{', '[':
			depth++
			deep = max(deep, depth)
		case '}', ']':
			depth--
		}
	}
	if deep <= maxDepth {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		_, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.StackDepth() > maxDepth {
			return fmt.Errorf("jose: JSON nests deeper than %d", maxDepth)
		}
	}
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

// Audience is the claim aud: one string or an array of them (RFC 7519 §4.1.3).
type Audience []string

// Single says that the claim was written as, or will be written as, one string.
func (a Audience) Single() bool { return len(a) == 1 }

// MarshalJSON writes a single audience as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON accepts both forms. An array of one keeps being an array only for who asks the raw payload.
func (a *Audience) UnmarshalJSON(data []byte) error {
	var one string
	if strictjson.Unmarshal(data, &one) == nil {
		*a = Audience{one}
		return nil
	}
	var many []string
	if err := strictjson.Unmarshal(data, &many); err != nil {
		return errors.New("jose: aud is neither a string nor an array of strings")
	}
	*a = many
	return nil
}
