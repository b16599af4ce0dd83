package keys

import (
	"fmt"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// EncryptionEncs are the content algorithms in which the tenant can be written to, for the metadata too.
var EncryptionEncs = []jose.ContentAlg{jose.A128CBCHS256, jose.A256CBCHS512, jose.A128GCM, jose.A256GCM}

// lookAtEncryption makes the decrypter of all keys that are not gone, and returns what is published of them: the active
// keys, then their successors. Whoever asks for one key takes the first. A key that retires is not published any more, so
// that nobody begins to use it, and decrypts for those who have it cached.
func (s *Signing) lookAtEncryption(v *view, list []store.SigningKey) (published []jose.EncryptionKey, err error) {
	v.decrypter = &jose.Decrypter{Contents: EncryptionEncs}
	for _, state := range []string{StateActive, StateAnnounced, StateRetiring} {
		for _, row := range list {
			if row.Use != useEncryption || row.State != state {
				continue
			}
			key, err := s.encryptionKey(row)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", row.ID, err)
			}
			v.decrypter.Keys = append(v.decrypter.Keys, key)
			if !slices.Contains(v.decrypter.Algs, key.Alg()) {
				v.decrypter.Algs = append(v.decrypter.Algs, key.Alg())
			}
			if state != StateRetiring {
				published = append(published, key.Public())
			}
		}
	}
	return published, nil
}

func (s *Signing) encryptionKey(row store.SigningKey) (jose.EncryptionKey, error) {
	private, err := s.open(row)
	if err != nil {
		return jose.EncryptionKey{}, err
	}
	return jose.ParseEncryptionKey(private)
}

// Decrypter reads what was encrypted to the tenant, with the key that its kid names. One without any keys accepts
// nothing. Do not change it.
func (s *Signing) Decrypter() *jose.Decrypter { return s.view.Load().decrypter }
