package discovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/discovery"
)

// RFC 9396 §10: the types are those that APIs register now, and the entity tag changes with them.
func TestRFC9396_10_TypesOfDetails(t *testing.T) {
	var types []string
	var fault error
	h := newHandler(t, &discovery.Endpoints{Offer: offer(), Signing: newSigning(t), DetailTypes: func(context.Context) ([]string, error) { return types, fault }})
	const path = "/acme/.well-known/openid-configuration"
	published := func() (list any, etag string) {
		t.Helper()
		w := get(t, h, path, "")
		var m map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return m["authorization_details_types_supported"], w.Header().Get("ETag")
	}
	fault = errors.New("no database")
	if w := get(t, h, path, ""); w.Code != 500 {
		t.Errorf("unknown from the start: %d", w.Code)
	}
	fault = nil
	none, before := published()
	if none != nil {
		t.Errorf("no types: %v", none)
	}
	types = []string{"order", "payment"}
	if w := get(t, h, path, before); w.Code != 200 {
		t.Errorf("the old entity tag still answers %d", w.Code)
	}
	two, after := published()
	if d := cmp.Diff([]any{"order", "payment"}, two); d != "" || after == before {
		t.Errorf("two types: %s, entity tag %s", d, after)
	}
	if w := get(t, h, path, after); w.Code != 304 {
		t.Errorf("unchanged: %d", w.Code)
	}
	fault = errors.New("no database")
	if again, etag := published(); cmp.Diff(two, again) != "" || etag != after {
		t.Errorf("while nobody knows: %v, entity tag %s", again, etag)
	}
}
