package keys

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// ExternalKey is a key of the external signer that signs for a tenant.
type ExternalKey struct {
	Name   string   // the signer's own
	Public jose.Key // with its algorithm
}

func (k ExternalKey) id() string { return k.Public.Thumbprint() }

// tryExternal has every external key sign once, so that a signer that does not have it is found at the start.
func (s *Signing) tryExternal() error {
	for _, k := range s.cfg.ExternalKeys {
		if k.Public.Alg() == jose.EdDSA {
			return errors.New("external key: EdDSA signs messages, not digests, so it cannot be external")
		}
		if err := s.try(k); err != nil {
			return fmt.Errorf("try the external key %s for %s: %w", k.Name, k.Public.Alg(), err)
		}
	}
	return nil
}

func (s *Signing) try(k ExternalKey) error {
	signer, err := s.remote(k.Name, k.Public.Public().WithID(k.id()))
	if err != nil {
		return err
	}
	_, err = signer.Sign("trial", struct{}{}) // which verifies it
	return err
}

// external is the signer for a key of the database that lives elsewhere. The configuration knows its name best.
func (s *Signing) external(row store.SigningKey) (*jose.Signer, error) {
	public, err := jose.ParseKey(row.Public)
	if err != nil {
		return nil, err
	}
	name := row.External
	if k := s.configured(row.ID); k != nil {
		name = k.Name
	}
	return s.remote(name, public)
}

func (s *Signing) remote(name string, public jose.Key) (*jose.Signer, error) {
	r := s.cfg.External
	if r == nil {
		return nil, errors.New("the key lives in an external signer and none is configured")
	}
	return jose.NewRemoteSigner(public, func(a jose.Alg, input []byte) ([]byte, error) {
		digest := sha256.Sum256(input)
		signature, err := r.Sign(context.Background(), SignRequest{Key: name, Alg: a, Digest: digest[:]})
		if err != nil {
			return nil, oauth.Refuse(oauth.ServerError, "nothing can be signed at the moment").
				WithStatus(http.StatusServiceUnavailable).With(err)
		}
		return signature, nil
	})
}

// configured finds an external key; nil: the configuration does not have it.
func (s *Signing) configured(id string) *ExternalKey {
	for i := range s.cfg.ExternalKeys {
		if s.cfg.ExternalKeys[i].id() == id {
			return &s.cfg.ExternalKeys[i]
		}
	}
	return nil
}

// incoming is the external key for an algorithm that is to sign and has not been seen yet; nil: there is none. One that
// has been retired does not come back: whoever did that had a reason.
func (s *Signing) incoming(list []store.SigningKey, a string) *store.SigningKey {
	for _, k := range s.cfg.ExternalKeys {
		if string(k.Public.Alg()) != a || find(list, k.id()) {
			continue
		}
		jwk, err := json.Marshal(k.Public.Public().WithID(k.id()))
		if err != nil {
			continue // it has been tried
		}
		return &store.SigningKey{ID: k.id(), Alg: a, Use: useSignature, Public: jwk, External: k.Name}
	}
	return nil
}

func find(list []store.SigningKey, id string) bool {
	for _, k := range list {
		if k.ID == id {
			return true
		}
	}
	return false
}

// outgoing says that the active key of an algorithm is to have a successor of our own: it is old, or it lives elsewhere
// and the configuration does not name it any more.
func (s *Signing) outgoing(active *store.SigningKey, now time.Time) bool {
	if active.External != "" {
		return s.configured(active.ID) == nil
	}
	return now.Sub(active.ActivateAt) >= s.cfg.Rotate
}
