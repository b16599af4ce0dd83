package keys

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// SigningConfig is what the signing keys of one tenant need. Durations that are 0 get their default.
type SigningConfig struct {
	DB   *store.DB // of the tenant
	Ring *Ring
	Algs []jose.Alg // one key signs for each; the first is the default
	// Encryption are the algorithms by which others encrypt to the tenant, with one key for each. May be empty.
	Encryption []jose.KeyAlg
	Rotate     time.Duration // age at which a successor is announced; 30 days
	Announce   time.Duration // published before it signs: longer than key sets are cached, 15 min; 24 h
	Retire     time.Duration // published after it signed last: longer than tokens live; 24 h
	External   *RemoteSigner // for keys that live elsewhere; may be nil
	// ExternalKeys are those of them that sign, at most one for an algorithm. One that is new is announced first, unless
	// nothing has signed before; one that is not named any more is succeeded by a key of our own.
	ExternalKeys []ExternalKey
}

// Signing holds the keys that sign the tokens of one tenant, and those that others encrypt to. Keys pass through the states announced, active,
// retiring and gone in the database; every node works with what it has read last. Safe for concurrent use.
type Signing struct {
	cfg     SigningConfig
	algs    []string // of either kind
	reading sync.Mutex
	view    atomic.Pointer[view]
}

// view is what a node knows of the keys.
type view struct {
	signers   map[jose.Alg]*jose.Signer
	public    []jose.Key
	decrypter *jose.Decrypter
	jwks      []byte
	etag      string
}

// NewSigning prepares the keys of a tenant. Call Load before anything else.
func NewSigning(c SigningConfig) *Signing {
	for d, otherwise := range map[*time.Duration]time.Duration{
		&c.Rotate: 30 * 24 * time.Hour, &c.Announce: 24 * time.Hour, &c.Retire: 24 * time.Hour,
	} {
		if *d == 0 {
			*d = otherwise
		}
	}
	s := &Signing{cfg: c}
	for _, a := range c.Algs {
		s.algs = append(s.algs, string(a))
	}
	for _, a := range c.Encryption {
		s.algs = append(s.algs, string(a))
	}
	s.view.Store(&view{decrypter: new(jose.Decrypter)})
	return s
}

// Load reads the keys. What has no key yet gets one that signs at once, for nobody has cached a key set without it.
func (s *Signing) Load(ctx context.Context) error {
	if err := s.tryExternal(); err != nil {
		return err
	}
	if err := s.Step(ctx); err != nil {
		return err
	}
	return s.Reload(ctx)
}

// Reload reads the keys again. Call it on the feed event object "signing_key/…". After an error the node keeps
// working with the keys it had.
func (s *Signing) Reload(ctx context.Context) error {
	s.reading.Lock() // or an older reading might be stored after a newer one
	defer s.reading.Unlock()
	list, err := s.list(ctx)
	if err != nil {
		return err
	}
	v, err := s.look(list)
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	s.view.Store(v)
	return nil
}

func (s *Signing) list(ctx context.Context) (list []store.SigningKey, err error) {
	err = s.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return list, nil
}

// look makes the view of the keys.
func (s *Signing) look(list []store.SigningKey) (*view, error) {
	v := &view{}
	if err := s.lookAtSignatures(v, list); err != nil {
		return nil, err
	}
	encryption, err := s.lookAtEncryption(v, list)
	if err != nil {
		return nil, err
	}
	if v.jwks, err = json.Marshal(jose.Set{Keys: v.public, Encryption: encryption}); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(v.jwks)
	v.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	return v, nil
}

// lookAtSignatures finds the active keys with their signers, then all that are published besides.
func (s *Signing) lookAtSignatures(v *view, list []store.SigningKey) error {
	v.signers = map[jose.Alg]*jose.Signer{}
	for _, a := range s.cfg.Algs {
		row := newest(list, string(a), StateActive)
		if row == nil {
			continue
		}
		signer, err := s.signer(*row)
		if err != nil {
			return fmt.Errorf("key %s: %w", row.ID, err)
		}
		v.signers[a] = signer
		v.public = append(v.public, signer.Key())
	}
	for _, row := range list {
		known := slices.ContainsFunc(v.public, func(k jose.Key) bool { return k.ID() == row.ID })
		if row.State == StateGone || row.Use != useSignature || known {
			continue
		}
		public, err := jose.ParseKey(row.Public)
		if err != nil {
			return fmt.Errorf("key %s: %w", row.ID, err)
		}
		v.public = append(v.public, public)
	}
	return nil
}

func (s *Signing) signer(row store.SigningKey) (*jose.Signer, error) {
	if row.External != "" {
		return s.external(row)
	}
	private, err := s.open(row)
	if err != nil {
		return nil, err
	}
	k, err := jose.ParseKey(private)
	if err != nil {
		return nil, err
	}
	return jose.NewSigner(k)
}

// open is the private JWK of a key.
func (s *Signing) open(row store.SigningKey) ([]byte, error) {
	return s.cfg.Ring.Open(PurposeSeal, keyPlace(s.cfg.DB.Tenant(), row.ID), row.Sealed)
}

// Has says whether the tenant has keys for an algorithm, of either kind.
func (s *Signing) Has(a string) bool { return slices.Contains(s.algs, a) }

// Signer returns the signer for an algorithm.
func (s *Signing) Signer(a jose.Alg) (*jose.Signer, error) {
	signer, ok := s.view.Load().signers[a]
	if !ok {
		return nil, fmt.Errorf("no signing key for %s is active", a)
	}
	return signer, nil
}

// JWKS returns the published key set (RFC 7517 §5) and its strong entity tag. Do not change the body.
func (s *Signing) JWKS() (body []byte, etag string) {
	v := s.view.Load()
	return v.jwks, v.etag
}

// PublicKeys lists the published keys that sign: what may have signed a token that is still alive. Do not change the list.
func (s *Signing) PublicKeys() []jose.Key { return s.view.Load().public }

// change runs fn on the keys as they are, one change at a time over all nodes.
func (s *Signing) change(ctx context.Context, fn func(*store.Tx, []store.SigningKey) error) error {
	err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		list, err := lockSigningKeys(tx)
		if err != nil {
			return err
		}
		return fn(tx, list)
	})
	if err != nil {
		return fmt.Errorf("change signing keys: %w", err)
	}
	return s.Reload(ctx)
}

// lockSigningKeys lists the keys and keeps other changes waiting until this transaction is over, by writing first to
// a setting that stands for all of them.
func lockSigningKeys(tx *store.Tx) ([]store.SigningKey, error) {
	if err := tx.PutSetting("signing_keys_changed", nil); err != nil {
		return nil, err
	}
	return tx.SigningKeys()
}
