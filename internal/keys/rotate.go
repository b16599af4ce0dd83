package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// States of a key, in the order it passes through them.
const (
	StateAnnounced = "announced" // published, so that caches know it when it begins to sign
	StateActive    = "active"    // signs, or is the first to encrypt to
	StateRetiring  = "retiring"  // published for what it has signed; or not, but decrypts for who has it cached
	StateGone      = "gone"      // withdrawn, its private part destroyed
)

// move is one change of one key: from is its state before, "" for a key that is new.
type move struct {
	key  store.SigningKey
	from string
}

// Step moves the keys to the states that are due by now: announces the successor of an old key, lets an announced
// key take over, retires its predecessor, destroys retired keys. It may run on every node at once and as often as one
// likes; without anything due it only reads. Keys of algorithms no longer configured are retired.
func (s *Signing) Step(ctx context.Context) error {
	return s.run(ctx, s.due)
}

// Announce publishes a successor for an algorithm now, unless there is one; it signs after the time to announce.
func (s *Signing) Announce(ctx context.Context, a string) error {
	return s.runFor(ctx, a, func(list []store.SigningKey, now time.Time) []move {
		if newest(list, a, StateAnnounced) != nil {
			return nil
		}
		return []move{s.announce(a, now)}
	})
}

// Rotate makes the successor for an algorithm sign now, an announced one if there is one. The key before stays
// published. Verifiers that have cached the key set need to fetch it again for the new key.
func (s *Signing) Rotate(ctx context.Context, a string) error {
	return s.runFor(ctx, a, func(list []store.SigningKey, now time.Time) []move {
		if next := newest(list, a, StateAnnounced); next != nil {
			return s.promote(list, *next, now)
		}
		return append(s.retire(list, a, now), s.first(a, now))
	})
}

// Replace is for a key that others may know: a new one signs now and all others for the algorithm are withdrawn
// at once, so that no token they have signed is valid any more.
func (s *Signing) Replace(ctx context.Context, a string) error {
	return s.runFor(ctx, a, func(list []store.SigningKey, now time.Time) (moves []move) {
		for _, k := range list {
			if k.Alg == a && k.State != StateGone {
				moves = append(moves, gone(k, now))
			}
		}
		return append(moves, s.first(a, now))
	})
}

func (s *Signing) runFor(ctx context.Context, a string, plan func([]store.SigningKey, time.Time) []move) error {
	if !s.Has(a) {
		return fmt.Errorf("the tenant has no keys for %s", a)
	}
	return s.run(ctx, plan)
}

// missing is the error of a plan that adds a key for an algorithm which has not been generated.
type missing string

func (a missing) Error() string { return "the keys for " + string(a) + " have changed meanwhile" }

// run makes the moves of a plan. The plan is made twice: on what a reading shows, to know which keys have to be
// generated before the transaction, and inside it, on what is true. If another node was at work between the two so
// that a key is missing, it is generated and the moves are tried again.
func (s *Signing) run(ctx context.Context, plan func([]store.SigningKey, time.Time) []move) error {
	var moves []move
	err := s.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		list, err := tx.SigningKeys()
		moves = plan(list, tx.Now)
		return err
	})
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	if len(moves) == 0 {
		return nil
	}
	fresh := map[string]store.SigningKey{}
	for _, m := range moves {
		if err := s.generate(m, fresh); err != nil {
			return err
		}
	}
	for {
		err := s.change(ctx, func(tx *store.Tx, list []store.SigningKey) error {
			for _, m := range plan(list, tx.Now) {
				if err := apply(tx, m, fresh); err != nil {
					return err
				}
			}
			return nil
		})
		lacks, ok := errors.AsType[missing](err)
		if !ok {
			return err
		}
		if err := s.generate(s.first(string(lacks), time.Time{}), fresh); err != nil {
			return err
		}
	}
}

func apply(tx *store.Tx, m move, fresh map[string]store.SigningKey) error {
	if m.from != "" {
		return tx.PutSigningKeyState(m.key, m.from)
	}
	if m.key.External == "" {
		made, ok := fresh[m.key.Alg]
		if !ok {
			return missing(m.key.Alg)
		}
		m.key.ID, m.key.Public, m.key.Sealed, m.key.Use = made.ID, made.Public, made.Sealed, made.Use
	}
	m.key.CreatedAt = tx.Now
	return tx.AddSigningKey(m.key)
}

// generate makes the key that a move adds, if it adds one that does not live elsewhere.
func (s *Signing) generate(m move, fresh map[string]store.SigningKey) error {
	if m.from != "" || m.key.External != "" {
		return nil
	}
	id, use, private, public, err := newKey(m.key.Alg)
	if err != nil {
		return fmt.Errorf("make key for %s: %w", m.key.Alg, err)
	}
	fresh[m.key.Alg] = store.SigningKey{ID: id, Use: use, Public: public,
		Sealed: s.cfg.Ring.Seal(PurposeSeal, keyPlace(s.cfg.DB.Tenant(), id), private)}
	return nil
}

// What keys are for (RFC 7517 §4.2).
const (
	useSignature  = "sig"
	useEncryption = "enc"
)

// newKey makes a key for an algorithm, which says what it is for, and writes both its JWKs.
func newKey(a string) (id, use string, private, public []byte, err error) {
	if jose.KeyAlg(a).Supported() {
		k, err := jose.GenerateEncryptionKey(jose.KeyAlg(a))
		if err != nil {
			return "", "", nil, nil, err
		}
		private, public, err := bothJWKs(k, k.Public())
		return k.ID(), useEncryption, private, public, err
	}
	k, err := jose.GenerateKey(jose.Alg(a))
	if err != nil {
		return "", "", nil, nil, err
	}
	private, public, err = bothJWKs(k, k.Public())
	return k.ID(), useSignature, private, public, err
}

func bothJWKs(private, public json.Marshaler) (_, _ []byte, err error) {
	a, aerr := private.MarshalJSON()
	b, berr := public.MarshalJSON()
	return a, b, errors.Join(aerr, berr)
}

// due plans a Step.
func (s *Signing) due(list []store.SigningKey, now time.Time) (moves []move) {
	for _, a := range s.algs {
		moves = append(moves, s.dueFor(list, a, now)...)
	}
	for _, k := range list {
		switch {
		case k.State == StateRetiring && !now.Before(k.GoneAt):
			moves = append(moves, gone(k, now))
		case (k.State == StateActive || k.State == StateAnnounced) && !slices.Contains(s.algs, k.Alg):
			moves = append(moves, s.retired(k, now))
		}
	}
	return moves
}

// dueFor plans it for one algorithm.
func (s *Signing) dueFor(list []store.SigningKey, a string, now time.Time) []move {
	active, next, external := newest(list, a, StateActive), newest(list, a, StateAnnounced), s.incoming(list, a)
	switch {
	case next != nil && (active == nil || !now.Before(next.ActivateAt)):
		return s.promote(list, *next, now)
	case active == nil && external != nil:
		external.State, external.ActivateAt = StateActive, now
		return []move{{key: *external}}
	case active == nil:
		return []move{s.first(a, now)}
	case external != nil:
		external.State, external.ActivateAt = StateAnnounced, now.Add(s.cfg.Announce)
		if next != nil {
			return []move{gone(*next, now), {key: *external}}
		}
		return []move{{key: *external}}
	case next == nil && s.outgoing(active, now):
		return []move{s.announce(a, now)}
	}
	return nil
}

func (s *Signing) first(a string, now time.Time) move {
	return move{key: store.SigningKey{Alg: a, State: StateActive, ActivateAt: now}}
}

func (s *Signing) announce(a string, now time.Time) move {
	return move{key: store.SigningKey{Alg: a, State: StateAnnounced, ActivateAt: now.Add(s.cfg.Announce)}}
}

// promote makes next active and retires what was.
func (s *Signing) promote(list []store.SigningKey, next store.SigningKey, now time.Time) []move {
	moves := s.retire(list, next.Alg, now)
	next.State, next.ActivateAt = StateActive, now
	return append(moves, move{next, StateAnnounced})
}

// retire plans the end of all active keys for an algorithm.
func (s *Signing) retire(list []store.SigningKey, a string, now time.Time) (moves []move) {
	for _, k := range list {
		if k.Alg == a && k.State == StateActive {
			moves = append(moves, s.retired(k, now))
		}
	}
	return moves
}

func (s *Signing) retired(k store.SigningKey, now time.Time) move {
	from := k.State
	k.State, k.RetireAt, k.GoneAt = StateRetiring, now, now.Add(s.cfg.Retire)
	return move{k, from}
}

func gone(k store.SigningKey, now time.Time) move {
	from := k.State
	k.State, k.GoneAt, k.Sealed = StateGone, now, nil
	return move{k, from}
}

// newest is the key for an algorithm in a state that was last to be, or will be last to be, active; nil without any.
func newest(list []store.SigningKey, a string, state string) (found *store.SigningKey) {
	for i, k := range list {
		if k.Alg == a && k.State == state && (found == nil || k.ActivateAt.After(found.ActivateAt)) {
			found = &list[i]
		}
	}
	return found
}
