package keys

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// States of a signing key. It is published in all but the last, and signs in the second only.
const (
	StateAnnounced = "announced" // published, so that every cache knows it before it signs
	StateActive    = "active"
	StateRetiring  = "retiring" // signs no more, published until the last token it signed has expired
	StateGone      = "gone"
)

// SigningConfig says which keys a tenant has and at what pace they change.
type SigningConfig struct {
	DB       *store.DB // view of the tenant
	Ring     *Ring
	Now      func() time.Time
	Algs     []jose.Alg    // one active key of each
	Lifetime time.Duration // age at which a successor is announced
	Announce time.Duration // time between announced and active; longer than any cache of the key set
	Retire   time.Duration // time between retiring and gone; longer than any token lives
	// External makes the signer of a key that lives outside; nil where there is no external signer.
	External func(name string, public jose.Key) (*jose.Signer, error)
}

// Signing is the signing keys of one tenant. It is safe for concurrent use; Reload brings in what other nodes did.
type Signing struct {
	SigningConfig
	reload sync.Mutex // one reader of the database at a time, so that an older view never replaces a newer
	mu     sync.RWMutex
	view   view
}

// view is everything a request needs, prepared.
type view struct {
	signers map[jose.Alg]*jose.Signer
	public  []jose.Key
	jwks    []byte
	etag    string
}

// NewSigning prepares the keys of a tenant; call Load before use.
func NewSigning(c SigningConfig) *Signing { return &Signing{SigningConfig: c} }

// Load reads the keys, and makes the first of each algorithm, active at once because nothing can have cached others.
func (s *Signing) Load(ctx context.Context) error {
	if err := s.addMissing(ctx); err != nil {
		return err
	}
	return s.Reload(ctx)
}

func (s *Signing) addMissing(ctx context.Context) error {
	var have []store.SigningKey
	read := func(tx *store.Tx) (err error) {
		have, err = tx.SigningKeys()
		return err
	}
	if err := s.DB.Read(ctx, read); err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	for _, alg := range s.Algs {
		usable := func(k store.SigningKey) bool { return k.Alg == string(alg) && k.State != StateGone }
		if slices.ContainsFunc(have, usable) {
			continue
		}
		k, err := s.newKey(alg, StateActive)
		if err != nil {
			return err
		}
		err = s.DB.Write(ctx, func(tx *store.Tx) error {
			again, err := tx.SigningKeys()
			if err != nil || slices.ContainsFunc(again, usable) { // another node was first
				return err
			}
			return tx.AddSigningKey(k)
		})
		if err != nil {
			return fmt.Errorf("add first %s key: %w", alg, err)
		}
	}
	return nil
}

// newKey makes a key outside any transaction: RSA takes a while.
func (s *Signing) newKey(alg jose.Alg, state string) (store.SigningKey, error) {
	key, err := jose.GenerateKey(alg)
	if err != nil {
		return store.SigningKey{}, err
	}
	public, err := json.Marshal(key.Public())
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("marshal public key: %w", err)
	}
	private, err := json.Marshal(key)
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("marshal private key: %w", err)
	}
	now := s.Now()
	k := store.SigningKey{ID: key.ID(), Alg: string(alg), Use: "sig", State: state, Public: public, CreatedAt: now, ActivateAt: now}
	if state == StateAnnounced {
		k.ActivateAt = now.Add(s.Announce)
	}
	k.Sealed = s.Ring.Seal(PurposeSeal, sealedAs(s.DB.Tenant(), k.ID), private)
	return k, nil
}

// Reload reads the keys again and prepares what requests need.
func (s *Signing) Reload(ctx context.Context) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	var have []store.SigningKey
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		have, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	v := view{signers: map[jose.Alg]*jose.Signer{}}
	for _, k := range have {
		if k.State == StateGone {
			continue
		}
		public, err := jose.ParseKey(k.Public)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		v.public = append(v.public, public)
		if k.State != StateActive {
			continue
		}
		if v.signers[public.Alg()], err = s.signer(k, public); err != nil {
			return err
		}
	}
	if v.jwks, err = json.Marshal(jose.Set{Keys: v.public}); err != nil {
		return fmt.Errorf("marshal key set: %w", err)
	}
	sum := sha256.Sum256(v.jwks)
	v.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	s.mu.Lock()
	s.view = v
	s.mu.Unlock()
	return nil
}

func (s *Signing) signer(k store.SigningKey, public jose.Key) (*jose.Signer, error) {
	if k.External != "" {
		if s.External == nil {
			return nil, fmt.Errorf("signing key %s lives in an external signer, and none is configured", k.ID)
		}
		return s.External(k.External, public)
	}
	plain, err := s.Ring.Open(PurposeSeal, sealedAs(s.DB.Tenant(), k.ID), k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	key, err := jose.ParseKey(plain)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	return jose.NewSigner(key)
}

// Signer is the active signer of an algorithm.
func (s *Signing) Signer(alg jose.Alg) (*jose.Signer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if signer := s.view.signers[alg]; signer != nil {
		return signer, nil
	}
	return nil, fmt.Errorf("keys: no active %s key", alg)
}

// JWKS is the published key set and its strong entity tag. The bytes are shared: do not change them.
func (s *Signing) JWKS() (body []byte, etag string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.jwks, s.view.etag
}

// PublicKeys are all published keys.
func (s *Signing) PublicKeys() []jose.Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.view.public
}

// Rotate announces a successor of the active key, whatever its age.
func (s *Signing) Rotate(ctx context.Context, alg jose.Alg) error {
	if !slices.Contains(s.Algs, alg) {
		return fmt.Errorf("keys: this tenant has no %s key", alg)
	}
	if err := s.announce(ctx, alg, true); err != nil {
		return err
	}
	return s.Reload(ctx)
}

// Revoke ends a leaked key at once: it is gone from the key set, and a new one signs from now on. What it signed is
// refused by whoever reads the key set again.
func (s *Signing) Revoke(ctx context.Context, id string) error {
	now := s.Now()
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		all, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		for _, k := range all {
			if k.ID == id && k.State != StateGone {
				from := k.State
				k.State, k.RetireAt, k.GoneAt, k.Sealed = StateGone, now, now, nil
				return tx.PutSigningKeyState(k, from)
			}
		}
		return store.ErrNotFound
	})
	if err != nil {
		return fmt.Errorf("revoke signing key: %w", err)
	}
	return s.activateOrAdd(ctx)
}

// activateOrAdd gives every algorithm an active key now: a waiting one, or a new one.
func (s *Signing) activateOrAdd(ctx context.Context) error {
	now := s.Now()
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		all, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		for i, k := range all {
			if k.State != StateAnnounced || hasActive(all, k.Alg) {
				continue
			}
			k.State, k.ActivateAt = StateActive, now
			if err := tx.PutSigningKeyState(k, StateAnnounced); err != nil {
				return err
			}
			all[i] = k
		}
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("activate successor: %w", err)
	}
	return s.Load(ctx)
}

func hasActive(all []store.SigningKey, alg string) bool {
	return slices.ContainsFunc(all, func(k store.SigningKey) bool { return k.Alg == alg && k.State == StateActive })
}
