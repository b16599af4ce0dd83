package keys_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/keys/signertest"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// outside is a signer with one key for each algorithm, and the configuration that has them sign.
func outside(t *testing.T, db *store.DB, ring *keys.Ring, algs ...jose.Alg) keys.SigningConfig {
	t.Helper()
	server := signertest.Signer{Keys: map[string]jose.Key{}, UID: me}
	c := keys.SigningConfig{DB: db.For("t"), Ring: ring, Algs: algs, Rotate: rotate, Announce: announce, Retire: retire}
	for _, a := range algs {
		k := newKey(t, a)
		server.Keys["hsm-"+string(a)] = k
		c.ExternalKeys = append(c.ExternalKeys, keys.ExternalKey{Name: "hsm-" + string(a), Public: k.Public()})
	}
	remote, err := keys.DialSigner(t.Context(), server.Start(t), me)
	must(t, err)
	c.External = remote
	return c
}

func begin(t *testing.T, c keys.SigningConfig) *keys.Signing {
	t.Helper()
	s := keys.NewSigning(c)
	must(t, s.Load(t.Context()))
	return s
}

func TestExternalKeysSignAtOnceWhereNothingHas(t *testing.T) {
	db := storetest.Open(t)
	c := outside(t, db, keys.NewRing(), jose.ES256, jose.PS256, jose.RS256)
	s := begin(t, c)
	for _, k := range c.ExternalKeys {
		if signs(t, s, k.Public.Alg()) != k.Public.Thumbprint() {
			t.Errorf("%s: the external key does not sign", k.Public.Alg())
		}
	}
	for _, k := range rows(t, db) {
		if k.External == "" || len(k.Sealed) != 0 {
			t.Errorf("%s: not an external key alone", k.ID)
		}
	}
	c.ExternalKeys[0].Name = "other"
	if err := keys.NewSigning(c).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "try the external key other for ES256") {
		t.Errorf("a key that the signer does not have: %v", err)
	}
	c.External, c.ExternalKeys = nil, nil
	if err := keys.NewSigning(c).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "external signer") {
		t.Errorf("without the signer: %v", err)
	}
}

func TestExternalKeysComeAndGoAnnounced(t *testing.T) {
	clock := newClock()
	db := storetest.Open(t, store.Options{Now: clock.Now})
	ring := keys.NewRing()
	own := newSigning(t, db, ring, jose.ES256)
	first := signs(t, own, jose.ES256)
	must(t, own.Announce(t.Context(), string(jose.ES256)))

	c := outside(t, db, ring, jose.ES256)
	id := c.ExternalKeys[0].Public.Thumbprint()
	s := begin(t, c)
	if signs(t, s, jose.ES256) != first || !published(s, id) || len(s.PublicKeys()) != 2 {
		t.Errorf("it is not announced first, or not instead of another: %v", s.PublicKeys())
	}
	clock.add(announce)
	must(t, s.Step(t.Context()))
	if signs(t, s, jose.ES256) != id {
		t.Error("it does not sign after its announcement")
	}
	clock.add(2 * rotate)
	if must(t, s.Step(t.Context())); signs(t, s, jose.ES256) != id || len(s.PublicKeys()) != 1 {
		t.Error("it is rotated by itself")
	}

	c.ExternalKeys = nil // but the signer is still there
	s = begin(t, c)
	if signs(t, s, jose.ES256) != id || len(s.PublicKeys()) != 2 {
		t.Error("its successor is not announced")
	}
	clock.add(announce)
	must(t, s.Step(t.Context()))
	c.External = nil
	if s = begin(t, c); signs(t, s, jose.ES256) == id || !published(s, id) {
		t.Error("its successor does not sign, or what it has signed cannot be verified")
	}
}

func TestRetiredExternalKeysDoNotComeBack(t *testing.T) {
	c := outside(t, storetest.Open(t), keys.NewRing(), jose.ES256)
	s := begin(t, c)
	must(t, s.Replace(t.Context(), string(jose.ES256)))
	must(t, s.Step(t.Context()))
	if id := c.ExternalKeys[0].Public.Thumbprint(); signs(t, begin(t, c), jose.ES256) == id || published(s, id) {
		t.Error("a withdrawn key signs again")
	}
}

func TestExternalKeysAreTried(t *testing.T) {
	c := outside(t, storetest.Open(t), keys.NewRing(), jose.ES256)
	for name, k := range map[string]keys.ExternalKey{
		"another public key": {Name: "hsm-ES256", Public: newKey(t, jose.ES256)},
		"EdDSA":              {Name: "hsm-ES256", Public: newKey(t, jose.EdDSA)},
	} {
		c.ExternalKeys = []keys.ExternalKey{k}
		s := keys.NewSigning(c)
		if err := s.Load(t.Context()); err == nil || len(s.PublicKeys()) != 0 {
			t.Errorf("%s: %v, published %v", name, err, s.PublicKeys())
		}
	}
}

func TestWhatCannotBeSignedIsUnavailable(t *testing.T) {
	k := newKey(t, jose.ES256)
	socket := signertest.Signer{Keys: map[string]jose.Key{"a": k}, UID: me}.Start(t)
	remote, err := keys.DialSigner(t.Context(), socket, me)
	must(t, err)
	s := begin(t, keys.SigningConfig{DB: storetest.Open(t).For("t"), Ring: keys.NewRing(), Algs: []jose.Alg{jose.ES256},
		External: remote, ExternalKeys: []keys.ExternalKey{{Name: "a", Public: k.Public()}}})
	must(t, os.Remove(socket))
	signer, err := s.Signer(jose.ES256)
	must(t, err)
	_, err = signer.Sign("JWT", struct{}{})
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok || refusal.HTTPStatus() != http.StatusServiceUnavailable || refusal.Code != oauth.ServerError || !errors.Is(err, keys.ErrSigner) {
		t.Errorf("got %v", err)
	}
}
