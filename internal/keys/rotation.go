package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// Step moves every key whose time has come: announced to active (its predecessor to retiring in the same write),
// retiring to gone, and announces successors of keys that have reached their age. It may run on any node at any time;
// every move is conditional on the state it starts from, so two nodes cannot make it twice.
func (s *Signing) Step(ctx context.Context) error {
	for _, alg := range s.Algs {
		if err := s.announce(ctx, alg, false); err != nil {
			return err
		}
	}
	err := s.DB.Write(ctx, s.advance)
	if err != nil && !errors.Is(err, store.ErrConflict) { // a conflict: another node has just done it
		return fmt.Errorf("advance signing keys: %w", err)
	}
	return s.Reload(ctx)
}

// advance makes the moves that are due.
func (s *Signing) advance(tx *store.Tx) error {
	all, err := tx.SigningKeys()
	if err != nil {
		return err
	}
	for _, k := range all {
		switch {
		case k.State == StateAnnounced && !k.ActivateAt.After(tx.Now):
			if err := s.activate(tx, all, k); err != nil {
				return err
			}
		case k.State == StateRetiring && !k.GoneAt.After(tx.Now):
			k.State, k.Sealed = StateGone, nil
			if err := tx.PutSigningKeyState(k, StateRetiring); err != nil {
				return err
			}
		case k.State == StateGone && k.GoneAt.Before(tx.Now.Add(-s.Retire)):
			if err := tx.DeleteSigningKey(k.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// activate makes k the signing key of its algorithm and retires the one before.
func (s *Signing) activate(tx *store.Tx, all []store.SigningKey, k store.SigningKey) error {
	for _, old := range all {
		if old.Alg != k.Alg || old.State != StateActive {
			continue
		}
		old.State, old.RetireAt, old.GoneAt = StateRetiring, tx.Now, tx.Now.Add(s.Retire)
		if err := tx.PutSigningKeyState(old, StateActive); err != nil {
			return err
		}
	}
	k.State = StateActive
	return tx.PutSigningKeyState(k, StateAnnounced)
}

// announce adds a successor if the active key is old enough (or regardless), unless one is waiting already.
func (s *Signing) announce(ctx context.Context, alg jose.Alg, regardless bool) error {
	due := func(all []store.SigningKey) bool {
		waiting := slices.ContainsFunc(all, func(k store.SigningKey) bool {
			return k.Alg == string(alg) && k.State == StateAnnounced
		})
		old := slices.ContainsFunc(all, func(k store.SigningKey) bool {
			return k.Alg == string(alg) && k.State == StateActive && !k.ActivateAt.Add(s.Lifetime).After(s.Now())
		})
		return !waiting && (old || regardless)
	}
	var all []store.SigningKey
	read := func(tx *store.Tx) (err error) {
		all, err = tx.SigningKeys()
		return err
	}
	if err := s.DB.Read(ctx, read); err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	if !due(all) {
		return nil
	}
	k, err := s.newKey(alg, StateAnnounced)
	if err != nil {
		return err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		again, err := tx.SigningKeys()
		if err != nil || !due(again) {
			return err
		}
		return tx.AddSigningKey(k)
	})
	if err != nil {
		return fmt.Errorf("announce %s key: %w", alg, err)
	}
	return nil
}
