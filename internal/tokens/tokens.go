// Package tokens makes, reads and ends the tokens of one issuer: access tokens (RFC 9068 JWTs, or opaque
// handles with a stored row), refresh tokens, and ID tokens (OpenID Connect Core §2). What userinfo tells is
// gathered here too (§5.3), because the same rules decide it.
//
// It decides nothing about who may have a token: the grants do that and hand over a Plan. It knows no endpoint
// and never signs inside a transaction: what needs a row is added with Access.Add, what needs a signature is
// made afterwards with Minter.Mint and Minter.IDToken.
package tokens

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// Lifetimes are the default times of an issuer. Zero means the default named beside each.
type Lifetimes struct {
	Access          time.Duration // 5 min; an API may say less or more for its own
	IDToken         time.Duration // 5 min
	RefreshIdle     time.Duration // 14 days without use
	RefreshAbsolute time.Duration // 90 days from the code
	// RefreshRetryWindow lets an unbound refresh token be used once more within this time of its first use,
	// for clients that lose answers. It is 0 unless an operator says so: within the window a thief may do
	// the same.
	RefreshRetryWindow time.Duration
}

func (l Lifetimes) withDefaults() Lifetimes {
	set := func(d *time.Duration, by time.Duration) {
		if *d == 0 {
			*d = by
		}
	}
	set(&l.Access, 5*time.Minute)
	set(&l.IDToken, 5*time.Minute)
	set(&l.RefreshIdle, 14*24*time.Hour)
	set(&l.RefreshAbsolute, 90*24*time.Hour)
	return l
}

// Config is what a Minter needs. DB is the view of one tenant.
type Config struct {
	Issuer    string // issuer identifier, the iss of every token
	DB        *store.DB
	Ring      *keys.Ring
	Signing   *keys.Signing
	Registry  *objects.Registry
	Feed      *feed.Feed
	Now       func() time.Time
	Lifetimes Lifetimes
	// AccessAlg signs access tokens; ES256 when empty.
	AccessAlg jose.Alg
	// Encrypter encrypts to a client by the two algorithms it has registered; nil: nothing is encrypted here.
	Encrypter func(ctx context.Context, c *objects.Client, alg, enc string) (*jose.Encrypter, error)
}

// Minter mints, inspects and revokes the tokens of one issuer. It is safe for use by many goroutines.
type Minter struct {
	Config
	read     *cache
	pairwise []byte // key of pairwise subjects
}

// New makes the minter of one issuer. It reads the database, and on the first start writes the key of pairwise subjects.
func New(ctx context.Context, c Config) (*Minter, error) {
	switch {
	case c.Issuer == "":
		return nil, errors.New("tokens: no issuer")
	case c.DB == nil || c.Ring == nil || c.Signing == nil || c.Registry == nil || c.Feed == nil || c.Now == nil:
		return nil, errors.New("tokens: a part is missing")
	}
	c.Lifetimes = c.Lifetimes.withDefaults()
	if c.Lifetimes.Access > maxAccess {
		return nil, errors.New("tokens: access tokens live at most 24 hours")
	}
	if c.AccessAlg == "" {
		c.AccessAlg = jose.ES256
	}
	m := &Minter{Config: c}
	read, err := newCache()
	if err != nil {
		return nil, err
	}
	m.read = read
	if err := m.loadPairwise(ctx); err != nil {
		return nil, err
	}
	return m, nil
}
