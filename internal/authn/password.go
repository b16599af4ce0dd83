// Package authn verifies what a person shows to prove who they are, and turns each success into a factor of a
// session: passwords, passkeys, codes sent by mail. One file per factor.
//
// It verifies and remembers; pages are in internal/login and internal/account, what factors are worth is in
// internal/session. An answer never tells whether an account exists.
package authn

import (
	"context"
	"fmt"
	"net/http"
	"runtime"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Cost of new password hashes (argon2id, RFC 9106 §4, with the memory that OWASP advises for servers).
const (
	memoryKiB  = 19 * 1024
	iterations = 2
	maxLength  = 1024 // bytes of a password
	waiting    = 16   // hashes that may wait for each running one
)

// Passwords hashes and verifies. Hashing is slow on purpose, so only as many run at once as there are processors, a
// bounded number waits, and the rest is told to come back. Safe for concurrent use.
type Passwords struct {
	hasher  *argon2.Hasher
	decoder *crypt.Decoder
	decoy   string
	running *semaphore.Weighted
	queued  *semaphore.Weighted
}

// NewPasswords prepares the hashes that are understood: argon2, and for people who come from elsewhere bcrypt, scrypt,
// PBKDF2 and sha-crypt, all as PHC strings.
func NewPasswords() (*Passwords, error) {
	hasher, err := argon2.New(argon2.WithVariantID(), argon2.WithMemoryInKiB(memoryKiB), argon2.WithIterations(iterations),
		argon2.WithParallelism(1), argon2.WithSaltLength(16), argon2.WithTagLength(32))
	if err != nil {
		return nil, fmt.Errorf("prepare argon2id: %w", err)
	}
	decoder, err := crypt.NewDefaultDecoder()
	if err != nil {
		return nil, fmt.Errorf("prepare password hashes: %w", err)
	}
	cores := int64(runtime.GOMAXPROCS(0))
	p := &Passwords{hasher: hasher, decoder: decoder, running: semaphore.NewWeighted(cores), queued: semaphore.NewWeighted(cores * waiting)}
	// What somebody without an account is compared with costs as much as a real comparison.
	p.decoy, err = p.Hash("the password of nobody")
	return p, err
}

// Hash makes the PHC string of a password.
func (p *Passwords) Hash(password string) (string, error) {
	if password == "" || len(password) > maxLength {
		return "", fmt.Errorf("a password has 1 to %d bytes", maxLength)
	}
	digest, err := p.hasher.Hash(password)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return digest.Encode(), nil
}

// errBusy is the answer when too many wait.
var errBusy = oauth.Refuse(oauth.TemporarilyUnavailable, "the server is busy; try again in a moment").
	WithHeader("Retry-After", "2").WithStatus(http.StatusServiceUnavailable)

// Verify compares a password with that of an account; a nil account, or one without a password, costs as much and is
// never right. renewed is the hash to store instead when the stored one is of another kind, "" otherwise.
func (p *Passwords) Verify(ctx context.Context, account *store.Account, password string) (ok bool, renewed string, err error) {
	stored := p.decoy
	real := account != nil && account.PasswordHash != "" && !account.Disabled
	if real {
		stored = account.PasswordHash
	}
	if len(password) > maxLength {
		password, real = "", false
	}
	if !p.queued.TryAcquire(1) {
		return false, "", errBusy
	}
	defer p.queued.Release(1)
	if err := p.running.Acquire(ctx, 1); err != nil {
		return false, "", fmt.Errorf("wait to hash: %w", err)
	}
	defer p.running.Release(1)
	digest, err := p.decoder.Decode(stored)
	if err != nil {
		return false, "", fmt.Errorf("read stored password hash: %w", err)
	}
	match, err := digest.MatchAdvanced(password)
	if err != nil {
		return false, "", fmt.Errorf("compare password: %w", err)
	}
	if !match || !real {
		return false, "", nil
	}
	if _, current := digest.(*argon2.Digest); !current {
		renewed, err = p.Hash(password)
	}
	return true, renewed, err
}

// PasswordFactor is what a verified password adds to a session.
func PasswordFactor(tx *store.Tx) store.Factor {
	return store.Factor{Kind: session.Password, At: tx.Now, AMR: []string{"pwd"}}
}
