// Package authn verifies what a person shows to prove who they are, and turns each success into a factor of a
// session: passwords, passkeys (WebAuthn L3), codes sent by mail. One file per factor.
//
// Verifying and remembering are apart: a Proof is verified without a write, and its Use belongs to the one write of
// what it allows. Whoever fails too often has to wait, and no answer tells whether an account exists. Pages are in
// internal/login and internal/account, what factors are worth is in internal/session.
package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// ErrFailed says that what was shown proves nothing; the text says why, for the log.
var ErrFailed = errors.New("authn: not verified")

// SlowError says that there were too many failures, and how long to wait before the next try.
type SlowError struct{ Wait time.Duration }

func (e *SlowError) Error() string { return fmt.Sprintf("authn: too many failures; wait %v", e.Wait) }

// Attempts are tries of the people of one tenant to prove who they are.
type Attempts struct {
	DB        *store.DB
	Passwords *Passwords
	Passkeys  *Passkeys
	Failures  *limit.Failures
}

// Proof is something that has been verified, but not remembered yet.
type Proof struct {
	Account store.Account // whose it is, as they were then
	use     func(*store.Tx) (store.Factor, error)
}

// Use spends what works once, notes the success and returns the factor for the session, all in the caller's write.
// ErrFailed: since it was verified it has lost its worth; the caller commits and refuses.
func (p *Proof) Use(tx *store.Tx) (store.Factor, error) { return p.use(tx) }

// Password tries a password for a user name. Errors: ErrFailed, *SlowError, and temporarily_unavailable when too many
// are waiting.
func (a *Attempts) Password(ctx context.Context, name, password string) (*Proof, error) {
	counted := []limit.Key{limit.Account(name), limit.Address(web.EventOf(ctx).Peer.Prefix)}
	if err := a.slow(ctx, counted...); err != nil {
		return nil, err
	}
	account, err := a.find(ctx, name)
	if err != nil {
		return nil, err
	}
	ok, renewed, err := a.Passwords.Verify(ctx, account, password)
	if err != nil {
		return nil, err
	}
	if !ok {
		if err := a.Failures.FailNow(ctx, counted...); err != nil {
			return nil, fmt.Errorf("count failure: %w", err)
		}
		return nil, fmt.Errorf("%w: wrong user name or password", ErrFailed)
	}
	return &Proof{Account: *account, use: func(tx *store.Tx) (store.Factor, error) {
		if err := keep(tx, account, renewed); err != nil {
			return store.Factor{}, err
		}
		// What others have tried from this address is not forgiven by one success.
		return passwordFactor(tx), a.Failures.Clear(tx, counted[0])
	}}, nil
}

// find looks an account up by name; nil if there is none. The log says whom a failure was about.
func (a *Attempts) find(ctx context.Context, name string) (*store.Account, error) {
	if name == "" || len(name) > maxName {
		return nil, nil
	}
	var found store.Account
	err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.AccountByName(name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load account: %w", err)
	}
	web.EventOf(ctx).SetSubject(found.ID)
	return &found, nil
}

const maxName = 256 // bytes of a user name that is looked up

// Passkey tries the answer to a challenge that BeginLogin made for the same place. A challenge serves one answer, right
// or wrong. Errors: ErrFailed, *DeclinedError, *SlowError.
func (a *Attempts) Passkey(ctx context.Context, place, state, response string) (*Proof, error) {
	if err := declined(response); err != nil {
		return nil, err
	}
	counted := limit.Passkeys(web.EventOf(ctx).Peer.Prefix)
	if err := a.slow(ctx, counted); err != nil {
		return nil, err
	}
	challenge, err := a.Passkeys.open(kindLogin, place, state)
	if err != nil {
		return nil, err
	}
	proof, err := a.Passkeys.check(ctx, challenge, response)
	if !errors.Is(err, ErrFailed) {
		return proof, err
	}
	failed := err
	err = a.DB.Write(ctx, func(tx *store.Tx) error {
		if err := tx.Spend(challenge.spend()); err != nil && !errors.Is(err, store.ErrTaken) {
			return err
		}
		return a.Failures.Fail(tx, counted)
	})
	if err != nil {
		return nil, fmt.Errorf("count failure: %w", err)
	}
	return nil, failed
}

// slow refuses who has to wait.
func (a *Attempts) slow(ctx context.Context, counted ...limit.Key) error {
	wait, err := a.Failures.Wait(ctx, counted...)
	if err != nil {
		return err
	}
	if wait > 0 {
		return &SlowError{wait}
	}
	return nil
}

// DeclinedError says that the browser's ceremony ended without an answer. Name is the name of its DOMException
// (WebAuthn L3 §5.1.3 and §5.1.4): NotAllowedError if the person gave up, InvalidStateError if there is a passkey
// already.
type DeclinedError struct{ Name string }

func (e *DeclinedError) Error() string { return "authn: the browser's ceremony ended: " + e.Name }

// declined recognises what our script sends in the place of an answer.
func declined(response string) error {
	var said struct {
		Error string `json:"error"`
	}
	if len(response) > 256 || json.Unmarshal([]byte(response), &said) != nil || said.Error == "" {
		return nil
	}
	return &DeclinedError{said.Error}
}
