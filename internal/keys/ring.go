// Package keys holds the secrets of the server: the master ring that seals and hashes, the secrets that are
// given out, and the keys that sign tokens, with their rotation.
//
// It is not for the secrets of users (package authn) nor for TLS certificates (package ca). The ring is a file and
// never in the database, so that a copy of the database alone opens nothing. Sealing is XChaCha20-Poly1305
// (draft-irtf-cfrg-xchacha-03) under keys that HKDF (RFC 5869) derives per purpose; hashes are HMAC-SHA-256
// (RFC 2104) and are for secrets of full entropy only. Key sets are those of RFC 7517.
package keys

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrSealed says that a sealed value cannot be opened: it was sealed by another ring, for another purpose or
// place, or has been changed.
var ErrSealed = errors.New("keys: sealed value does not open")

// Purpose separates the uses of the master ring: what is made for one purpose means nothing for another.
type Purpose string

// The purposes there are.
const (
	PurposeSeal   Purpose = "seal"   // values in the database
	PurposeCookie Purpose = "cookie" // values that travel through browsers
	PurposeNonce  Purpose = "nonce"  // nonces that are stored nowhere
	PurposePepper Purpose = "pepper" // hashes of secrets
	PurposeDecoy  Purpose = "decoy"  // invented answers about people who do not exist
)

// Ring is the master ring: several keys, of which the active one makes new values and all of them open old ones.
// It is safe for concurrent use and can be replaced in place.
type Ring struct{ content atomic.Pointer[content] }

// content is the ring between two replacements.
type content struct {
	active *ringKey
	keys   []*ringKey // oldest first
}

// ringKey is one master key with what is derived from it for each purpose, and within it for each use.
type ringKey struct {
	id    string
	aeads map[Purpose]cipher.AEAD
	macs  map[Purpose][]byte
	raws  map[Purpose][]byte
}

// NewRing makes a ring of one key that no file holds, for tests and for what a restart may forget.
func NewRing() *Ring { return newFile().ring() }

func newRingKey(id string, master []byte) *ringKey {
	k := &ringKey{id, map[Purpose]cipher.AEAD{}, map[Purpose][]byte{}, map[Purpose][]byte{}}
	for _, p := range []Purpose{PurposeSeal, PurposeCookie, PurposeNonce, PurposePepper, PurposeDecoy} {
		k.aeads[p], _ = chacha20poly1305.NewX(derive(master, p, "aead")) // fails for other lengths than 32 only
		k.macs[p] = derive(master, p, "mac")
		k.raws[p] = derive(master, p, "raw")
	}
	return k
}

func derive(master []byte, p Purpose, use string) []byte {
	key, _ := hkdf.Key(sha256.New, master, nil, "holdfast ring "+string(p)+" "+use, 32) // fails above 8160 bytes only
	return key
}

func (c *content) find(id string) *ringKey {
	for _, k := range c.keys {
		if k.id == id {
			return k
		}
	}
	return nil
}

// Replace takes over the keys of another ring, as after a change of its file.
func (r *Ring) Replace(other *Ring) { r.content.Store(other.content.Load()) }

// ActiveID is the id of the key that makes new values.
func (r *Ring) ActiveID() string { return r.content.Load().active.id }

// IDs lists the ids of the ring's keys, oldest first.
func (r *Ring) IDs() (ids []string) {
	for _, k := range r.content.Load().keys {
		ids = append(ids, k.id)
	}
	return ids
}

// String names the ring by the ids of its keys, which are no secret.
func (r *Ring) String() string { return fmt.Sprintf("ring %v", r.IDs()) }

// GoString is String.
func (r *Ring) GoString() string { return r.String() }

// LogValue is String.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Seal encrypts plaintext for a purpose. aad names the place the value is for, such as tenant, table and row: it is
// not in the result, and Open needs the same. The result is key id (8 bytes), nonce (24), ciphertext.
func (r *Ring) Seal(p Purpose, aad, plaintext []byte) []byte {
	const head = idLength + chacha20poly1305.NonceSizeX
	k := r.content.Load().active
	out := make([]byte, head, head+len(plaintext)+chacha20poly1305.Overhead)
	copy(out, k.id)
	rand.Read(out[idLength:])
	return k.aeads[p].Seal(out, out[idLength:], plaintext, aad)
}

// Open returns what was sealed for the same purpose and place. Error: ErrSealed.
func (r *Ring) Open(p Purpose, aad, sealed []byte) ([]byte, error) {
	k := r.content.Load().find(SealedBy(sealed))
	if k == nil || len(sealed) < idLength+chacha20poly1305.NonceSizeX {
		return nil, ErrSealed
	}
	nonce, box := sealed[idLength:idLength+chacha20poly1305.NonceSizeX], sealed[idLength+chacha20poly1305.NonceSizeX:]
	plaintext, err := k.aeads[p].Open(nil, nonce, box, aad)
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

// SealText seals what travels through browsers, bound to a name, as base64url.
func (r *Ring) SealText(name string, plaintext []byte) string {
	return base64.RawURLEncoding.EncodeToString(r.Seal(PurposeCookie, []byte(name), plaintext))
}

// OpenText opens what SealText returned for the same name. Error: ErrSealed.
func (r *Ring) OpenText(name, sealed string) ([]byte, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, ErrSealed
	}
	return r.Open(PurposeCookie, []byte(name), data)
}

// SealedBy is the id of the ring key that sealed a value, "" for what is too short to be sealed.
func SealedBy(sealed []byte) string {
	if len(sealed) < idLength {
		return ""
	}
	return string(sealed[:idLength])
}

// Hash is how a secret of full entropy is stored: "<ring key id>:<HMAC-SHA-256 in base64url>".
func (r *Ring) Hash(secret string) string { return r.content.Load().active.hash(secret) }

// Matches says in constant time whether stored is the hash of secret.
func (r *Ring) Matches(stored, secret string) bool {
	k := r.content.Load().find(HashedBy(stored))
	return k != nil && hmac.Equal([]byte(k.hash(secret)), []byte(stored))
}

// HashedBy is the id of the ring key under which a hash was made.
func HashedBy(stored string) string {
	id, _, _ := strings.Cut(stored, ":")
	return id
}

// MAC returns the HMAC-SHA-256 of data under the active key, 32 bytes.
func (r *Ring) MAC(p Purpose, data []byte) []byte { return r.content.Load().active.mac(p, data) }

// Derive returns a key of 32 bytes for a purpose, for algorithms of other packages. It is of the oldest key of the
// ring, so that it stays as it is when keys are added.
func (r *Ring) Derive(p Purpose) []byte { return slices.Clone(r.content.Load().keys[0].raws[p]) }

// Equal compares two secrets in constant time.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return hmac.Equal(x[:], y[:])
}

func (k *ringKey) mac(p Purpose, data []byte) []byte {
	mac := hmac.New(sha256.New, k.macs[p])
	mac.Write(data)
	return mac.Sum(nil)
}

func (k *ringKey) hash(secret string) string {
	return k.id + ":" + base64.RawURLEncoding.EncodeToString(k.mac(PurposePepper, []byte(secret)))
}
