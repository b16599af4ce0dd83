package objects_test

import (
	"slices"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
)

func TestMeetsACR(t *testing.T) {
	for _, c := range []struct {
		worth, asked string
		want         bool
	}{
		{"phrh", "phrh", true}, {"phrh", "phr", true}, {"phrh", "1", true},
		{"phr", "phrh", false}, {"phr", "phr", true}, {"phr", "1", true},
		{"1", "phrh", false}, {"1", "phr", false}, {"1", "1", true},
		{"", "1", false}, {"", "", false}, {"1", "", false}, {"gold", "1", false}, {"phrh", "gold", false}, {"gold", "gold", false},
	} {
		if got := objects.MeetsACR(c.worth, c.asked); got != c.want {
			t.Errorf("%q where %q is asked for: %v", c.worth, c.asked, got)
		}
	}
}

func TestACRsFrom(t *testing.T) {
	for asked, want := range map[string][]string{
		"phrh": {"phrh"}, "phr": {"phr", "phrh"}, "1": {"1", "phr", "phrh"}, "": nil, "gold": nil,
	} {
		if got := objects.ACRsFrom(asked); !slices.Equal(got, want) {
			t.Errorf("from %q: %q", asked, got)
		}
	}
	if objects.ACRValues[0] != "phrh" {
		t.Error("the list of all has changed")
	}
}
