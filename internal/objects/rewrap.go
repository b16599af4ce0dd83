package objects

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Rewrap seals under the active key of the ring what older keys have sealed in objects: the keys of applications. It
// says how many there were. Whoever manages an object goes on managing it.
func Rewrap(tx *store.Tx, ring *keys.Ring) (n int, err error) {
	const page = 100
	for after := ""; ; {
		list, err := tx.Objects(KindApplication, after, page)
		if err != nil {
			return n, fmt.Errorf("list applications: %w", err)
		}
		for _, o := range list {
			after = o.Name
			done, err := rewrapApplication(tx, ring, o)
			if err != nil {
				return n, fmt.Errorf("application %s: %w", o.Name, err)
			}
			if done {
				n++
			}
		}
		if len(list) < page {
			return n, nil
		}
	}
}

func rewrapApplication(tx *store.Tx, ring *keys.Ring, o store.Object) (done bool, err error) {
	var a Application
	if err := json.Unmarshal(o.Body, &a); err != nil {
		return false, fmt.Errorf("read: %w", err)
	}
	if strings.HasPrefix(a.SealedKey, ring.ActiveID()+":") {
		return false, nil
	}
	key, err := a.SigningKey(ring)
	if err != nil {
		return false, err
	}
	jwk, err := key.MarshalJSON()
	if err != nil {
		return false, fmt.Errorf("write key: %w", err)
	}
	a.SealedKey = sealApplicationKey(ring, a.Name, jwk)
	if o.Body, err = json.Marshal(a); err != nil {
		return false, fmt.Errorf("write: %w", err)
	}
	_, err = tx.PutObject(o, o.Revision)
	return err == nil, err
}

// sealApplicationKey seals a private JWK for the place in its application. The id of the ring's key stands before it, so
// that what a key is still needed for can be counted.
func sealApplicationKey(ring *keys.Ring, name string, jwk []byte) string {
	sealed := ring.Seal(keys.PurposeSeal, applicationKeyAt(name), jwk)
	return keys.SealedBy(sealed) + ":" + base64.RawURLEncoding.EncodeToString(sealed)
}
