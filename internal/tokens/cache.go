package tokens

import (
	"crypto/sha256"
	"fmt"

	"github.com/maypok86/otter/v2"
)

// cacheSize is how many verified tokens are remembered, about 1 KiB each.
const cacheSize = 8192

// cache remembers what was read from a token, by its hash, so that the next request with it verifies and reads
// nothing. It holds no verdict: expiry, revocation, and whether the signing key is still published, are asked every
// time.
type cache struct {
	c *otter.Cache[[32]byte, known]
}

// known is a token that was read once.
type known struct {
	claims *Claims
	keyID  string // of the key that signed it; "" for an opaque one
}

func newCache() (*cache, error) {
	c, err := otter.New(&otter.Options[[32]byte, known]{MaximumSize: cacheSize})
	if err != nil {
		return nil, fmt.Errorf("make token cache: %w", err)
	}
	return &cache{c: c}, nil
}

func keyOf(token string) [32]byte { return sha256.Sum256([]byte(token)) }

func (c *cache) get(key [32]byte) (known, bool) { return c.c.GetIfPresent(key) }

func (c *cache) set(key [32]byte, v known) { c.c.Set(key, v) }
