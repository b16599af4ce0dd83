package tokens_test

import (
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// TestAllocations holds the ways that every request takes to what they allocate now. Mint is not among them: of its
// allocations most are those of the signature and its envelope. The race detector adds one.
func TestAllocations(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	r.catchUp(t)
	p := plan(r, r.grant(t, false))
	p.Account, p.Mappings = alice(r), new(objects.ClaimMappings) // which a tenant without mappings has
	token, _ := r.mint(t, p)
	for name, tc := range map[string]struct {
		most float64
		fn   func()
	}{
		"Access: itself, id, scope, audience, binding": {6, func() { r.minter.Access(p) }},
		"Inspect of a known token: the bytes to hash":  {1, func() { _, _ = r.minter.Inspect(t.Context(), token) }},
	} {
		if got := testing.AllocsPerRun(200, tc.fn); got > tc.most {
			t.Errorf("%s: %v allocations, at most %v", name, got, tc.most)
		}
	}
}
