package keys_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

var encryptionAlgs = []jose.KeyAlg{jose.RSAOAEP256, jose.ECDHES}

func newEncrypting(t *testing.T, db *store.DB, ring *keys.Ring, algs ...jose.KeyAlg) *keys.Signing {
	t.Helper()
	s := keys.NewSigning(keys.SigningConfig{
		DB: db, Ring: ring, Algs: []jose.Alg{jose.ES256}, Encryption: algs, Rotate: rotate, Announce: announce, Retire: retire,
	})
	must(t, s.Load(t.Context()))
	return s
}

// toEncrypt are the published keys for an algorithm, in their order.
func toEncrypt(t *testing.T, s *keys.Signing, a jose.KeyAlg) []jose.EncryptionKey {
	t.Helper()
	body, _ := s.JWKS()
	set, err := jose.ParseSet(body)
	must(t, err)
	return set.FindEncryption("", a)
}

func encrypt(t *testing.T, k jose.EncryptionKey, a jose.KeyAlg, c jose.ContentAlg) string {
	t.Helper()
	e, err := jose.NewEncrypter(k, a, c)
	must(t, err)
	text, err := e.Encrypt("", []byte(`{"sub":"x"}`))
	must(t, err)
	return text
}

func TestKeysToEncryptTo(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		ring := keys.NewRing()
		s := newEncrypting(t, root.For("t"), ring, encryptionAlgs...)
		node := newEncrypting(t, root.For("t"), ring, encryptionAlgs...)
		other := newEncrypting(t, root.For("u"), ring, encryptionAlgs...)
		for _, a := range encryptionAlgs {
			found := toEncrypt(t, s, a)
			if len(found) != 1 {
				t.Fatalf("%s: %d keys", a, len(found))
			}
			for _, c := range keys.EncryptionEncs {
				text := encrypt(t, found[0], a, c)
				if m, err := node.Decrypter().Decrypt(text); err != nil || string(m.Content) != `{"sub":"x"}` || m.KeyID != found[0].ID() {
					t.Errorf("%s with %s: %+v, %v", a, c, m, err)
				}
				if _, err := other.Decrypter().Decrypt(text); !errors.Is(err, jose.ErrNoKey) {
					t.Errorf("%s with %s: another tenant says %v", a, c, err)
				}
			}
		}
		if len(s.PublicKeys()) != 1 {
			t.Errorf("%d keys verify signatures", len(s.PublicKeys()))
		}
	})
}

// What is published says what it is for, so that nobody verifies with a key to encrypt to (OIDC Registration §2).
func TestRFC7517_4_2_Use(t *testing.T) {
	s := newEncrypting(t, storetest.Open(t).For("t"), keys.NewRing(), encryptionAlgs...)
	body, _ := s.JWKS()
	var doc struct{ Keys []map[string]any }
	must(t, json.Unmarshal(body, &doc))
	uses := map[any]any{}
	for _, k := range doc.Keys {
		uses[k["alg"]] = k["use"]
		if k["d"] != nil || k["p"] != nil || k["kid"] == nil {
			t.Errorf("a published key is %v", k)
		}
	}
	if len(doc.Keys) != 3 || uses["ES256"] != "sig" || uses["RSA-OAEP-256"] != "enc" || uses["ECDH-ES"] != "enc" {
		t.Errorf("uses %v", uses)
	}
}

func TestWithoutKeysToEncryptTo(t *testing.T) {
	db := storetest.Open(t)
	s := newEncrypting(t, db.For("t"), keys.NewRing())
	with := newEncrypting(t, db.For("u"), keys.NewRing(), jose.ECDHES)
	text := encrypt(t, toEncrypt(t, with, jose.ECDHES)[0], jose.ECDHES, jose.A128GCM)
	if _, err := s.Decrypter().Decrypt(text); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("decrypts: %v", err)
	}
	unread := keys.NewSigning(keys.SigningConfig{})
	if _, err := unread.Decrypter().Decrypt(text); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("decrypts before anything is read: %v", err)
	}
}

func TestRotationOfKeysToEncryptTo(t *testing.T) {
	c := newClock()
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		s := newEncrypting(t, root.For("t"), keys.NewRing(), jose.ECDHES)
		ids := func() (list []string) {
			for _, k := range toEncrypt(t, s, jose.ECDHES) {
				list = append(list, k.ID())
			}
			return list
		}
		first := ids()[0]
		text := encrypt(t, toEncrypt(t, s, jose.ECDHES)[0], jose.ECDHES, jose.A128CBCHS256)
		decrypts := func(want error) {
			t.Helper()
			if _, err := s.Decrypter().Decrypt(text); !errors.Is(err, want) {
				t.Errorf("decrypting: %v, want %v", err, want)
			}
		}
		must(t, s.Announce(t.Context(), string(jose.ECDHES)))
		if got := ids(); len(got) != 2 || got[0] != first {
			t.Errorf("announced: %q", got)
		}
		next := ids()[1]
		early := encrypt(t, toEncrypt(t, s, jose.ECDHES)[1], jose.ECDHES, jose.A128CBCHS256)
		if _, err := s.Decrypter().Decrypt(early); err != nil {
			t.Errorf("what was encrypted to the successor early: %v", err)
		}
		c.add(announce)
		must(t, s.Step(t.Context()))
		if got := ids(); len(got) != 1 || got[0] != next {
			t.Errorf("after it took over: %q", got)
		}
		decrypts(nil)
		c.add(retire)
		must(t, s.Step(t.Context()))
		decrypts(jose.ErrNoKey)

		text = early
		must(t, s.Rotate(t.Context(), string(jose.ECDHES)))
		decrypts(nil)
		must(t, s.Replace(t.Context(), string(jose.ECDHES))) // somebody else may know the keys
		if got := ids(); len(got) != 1 || got[0] == next {
			t.Errorf("after a replacement: %q", got)
		}
		decrypts(jose.ErrNoKey)
	}, store.Options{Now: c.Now})
}

func TestRewrapOfKeysToEncryptTo(t *testing.T) {
	db, path := storetest.Open(t), filepath.Join(t.TempDir(), "ring")
	old, err := keys.CreateRing(path)
	must(t, err)
	ring := load(t, path)
	s := newEncrypting(t, db.For("t"), ring, jose.ECDHES)
	text := encrypt(t, toEncrypt(t, s, jose.ECDHES)[0], jose.ECDHES, jose.A128GCM)
	_, err = keys.AddKey(path)
	must(t, err)
	must(t, keys.ActivateKey(path, ""))
	if n, err := load(t, path).Rewrap(t.Context(), db, []string{"t"}); err != nil || n != 2 { // with the one that signs
		t.Fatalf("%d, %v", n, err)
	}
	must(t, keys.CheckUnused(t.Context(), db, old))
	must(t, keys.DropKey(path, old))
	if _, err := newEncrypting(t, db.For("t"), load(t, path), jose.ECDHES).Decrypter().Decrypt(text); err != nil {
		t.Error(err)
	}
}
