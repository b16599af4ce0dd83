package objects

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// sealer is a kind of object that holds something sealed. rewrap seals it again where another key than the active one has
// sealed it.
type sealer struct {
	kind   string
	rewrap func(ring *keys.Ring, body json.RawMessage) (again json.RawMessage, done bool, err error)
}

var sealers = []sealer{{KindApplication, rewrapApplication}, {KindClient, rewrapClient}}

// Rewrap seals under the active key of the ring what older keys have sealed in objects: the keys of applications, and the
// secrets with which clients sign. It says how many objects there were. Whoever manages an object goes on managing it.
func Rewrap(tx *store.Tx, ring *keys.Ring) (n int, err error) {
	for _, s := range sealers {
		done, err := s.all(tx, ring)
		if n += done; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s sealer) all(tx *store.Tx, ring *keys.Ring) (n int, err error) {
	const page = 100
	for after := ""; ; {
		list, err := tx.Objects(s.kind, after, page)
		if err != nil {
			return n, fmt.Errorf("list %ss: %w", s.kind, err)
		}
		for _, o := range list {
			after = o.Name
			body, done, err := s.rewrap(ring, o.Body)
			if err == nil && done {
				o.Body = body
				_, err = tx.PutObject(o, o.Revision)
				n++
			}
			if err != nil {
				return n, fmt.Errorf("%s %s: %w", s.kind, o.Name, err)
			}
		}
		if len(list) < page {
			return n, nil
		}
	}
}

func rewrapApplication(ring *keys.Ring, body json.RawMessage) (json.RawMessage, bool, error) {
	var a Application
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, false, fmt.Errorf("read: %w", err)
	}
	if sealedByActive(ring, a.SealedKey) {
		return nil, false, nil
	}
	key, err := openText(ring, applicationKeyAt(a.Name), a.SealedKey)
	if err != nil {
		return nil, false, fmt.Errorf("open key: %w", err)
	}
	a.SealedKey = sealText(ring, applicationKeyAt(a.Name), key)
	again, err := json.Marshal(a)
	return again, true, err
}

func rewrapClient(ring *keys.Ring, body json.RawMessage) (_ json.RawMessage, done bool, err error) {
	var c Client
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, false, fmt.Errorf("read: %w", err)
	}
	for i, s := range c.Secrets {
		if s.Sealed == "" || sealedByActive(ring, s.Sealed) {
			continue
		}
		secret, err := s.Open(ring, c.ID)
		if err != nil {
			return nil, false, fmt.Errorf("open secret: %w", err)
		}
		c.Secrets[i].Sealed, done = sealText(ring, clientSecretAt(c.ID), []byte(secret.Reveal())), true
	}
	again, err := json.Marshal(&c)
	return again, done, err
}

// sealText seals a value for its place in an object. The id of the ring's key stands before it, so that what a key is
// still needed for can be counted.
func sealText(ring *keys.Ring, place, plaintext []byte) string {
	sealed := ring.Seal(keys.PurposeSeal, place, plaintext)
	return keys.SealedBy(sealed) + ":" + base64.RawURLEncoding.EncodeToString(sealed)
}

// openText opens what sealText returned for the same place. Error: keys.ErrSealed.
func openText(ring *keys.Ring, place []byte, text string) ([]byte, error) {
	_, encoded, ok := strings.Cut(text, ":")
	sealed, err := base64.RawURLEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return nil, keys.ErrSealed
	}
	return ring.Open(keys.PurposeSeal, place, sealed)
}

func sealedByActive(ring *keys.Ring, text string) bool {
	return strings.HasPrefix(text, ring.ActiveID()+":")
}
