package authn

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Cost of new password hashes (argon2id, RFC 9106 §4, with the memory that OWASP advises for servers).
const (
	memoryKiB  = 19 * 1024
	iterations = 2
	saltLength = 16   // bytes
	tagLength  = 32   // bytes
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
		argon2.WithParallelism(1), argon2.WithSaltLength(saltLength), argon2.WithTagLength(tagLength))
	if err != nil {
		return nil, fmt.Errorf("prepare argon2id: %w", err)
	}
	decoder := crypt.NewDecoder()
	err = errors.Join(argon2.RegisterDecoder(decoder), bcrypt.RegisterDecoder(decoder), scrypt.RegisterDecoder(decoder),
		pbkdf2.RegisterDecoder(decoder), shacrypt.RegisterDecoder(decoder))
	if err != nil {
		return nil, fmt.Errorf("prepare password hashes: %w", err)
	}
	cores := int64(runtime.GOMAXPROCS(0))
	return &Passwords{
		hasher: hasher, decoder: decoder, decoy: decoy(),
		running: semaphore.NewWeighted(cores), queued: semaphore.NewWeighted(cores * (1 + waiting)),
	}, nil
}

// decoy is what somebody without an account is compared with: a hash of no known password, as costly to compare with as
// that of a real one. Making it takes no hashing.
func decoy() string {
	random := make([]byte, saltLength+tagLength)
	rand.Read(random) // never fails
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", memoryKiB, iterations, text(random[:saltLength]), text(random[saltLength:]))
}

// Hash makes the PHC string of a password.
func (p *Passwords) Hash(password string) (string, error) {
	if password == "" || len(password) > maxLength {
		return "", fmt.Errorf("a password has 1 to %d bytes", maxLength)
	}
	defer runtime.GC() // see Verify
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
// never right. renewed is the hash to store instead when the stored one is weaker than a new one, "" otherwise.
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
	// A hash takes a thousand times the memory of another request. The collector lets the heap grow in proportion to what
	// it finds, and would take that for the ordinary: under load the process would have twice what it needs.
	defer runtime.GC()
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
	if weaker(stored) {
		renewed, err = p.Hash(password)
	}
	return true, renewed, err
}

// weaker says whether a PHC string is of another kind than new ones, or cost less to make.
func weaker(stored string) bool {
	var version, memory, passes int
	_, err := fmt.Sscanf(stored, "$argon2id$v=%d$m=%d,t=%d,", &version, &memory, &passes)
	return err != nil || version < 0x13 || memory*passes < memoryKiB*iterations
}

// keep looks whether an account still has the password that was verified, and stores its renewed hash, if any. Somebody
// else who changes the account just now goes first: it will be renewed another time.
func keep(tx *store.Tx, verified *store.Account, renewed string) error {
	now, err := tx.Account(verified.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && (now.Disabled || now.PasswordHash != verified.PasswordHash) {
		return fmt.Errorf("%w: the account has changed meanwhile", ErrFailed)
	}
	if err != nil {
		return fmt.Errorf("load account: %w", err)
	}
	if renewed == "" {
		return nil
	}
	now.PasswordHash = renewed
	if err := tx.PutAccount(now); err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("renew password hash: %w", err)
	}
	return nil
}

// passwordFactor is what a verified password adds to a session.
func passwordFactor(tx *store.Tx) store.Factor {
	return store.Factor{Kind: session.Password, At: tx.Now, AMR: []string{"pwd"}}
}
