package tokens_test

import (
	"errors"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// FuzzRecognise looks for texts that are taken for a token of ours, or upset the reader.
func FuzzRecognise(f *testing.F) {
	r := newRig(f, tokens.Lifetimes{})
	c := client()
	jwt, _ := r.mint(f, tokens.Plan{Client: c, API: api(), Subject: "shop", Scope: []string{"read"}})
	c.AccessTokenFormat = objects.FormatOpaque
	opaque, _ := r.mint(f, tokens.Plan{Client: c, API: api(), Subject: "shop", Scope: []string{"read"}})
	refresh := r.addRefresh(f, r.grant(f, false))
	known := map[string]bool{jwt: true, opaque: true, refresh: true}
	for token := range known {
		f.Add(token)
		f.Add(token[1:])
		f.Add(token + ".")
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, err := r.minter.Recognise(t.Context(), token)
		if err == nil && !known[token] {
			t.Errorf("%q was recognised", token)
		}
		if err != nil && !errors.Is(err, tokens.ErrInactive) {
			t.Error(err)
		}
	})
}
