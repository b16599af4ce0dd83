// Package keys holds everything secret that Holdfast itself owns: the master ring, under which data is sealed and
// secrets are hashed, and the signing keys of each tenant with their rotation.
//
// The ring is a file and never in the database, so that a copy of the database alone opens nothing. The package does
// no protocol and no cryptography of its own: AEAD, HMAC and HKDF come from the Go project, signatures from jose.
package keys

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Purpose separates the keys derived from one ring key, so that what is made for one use means nothing in another.
type Purpose string

// The purposes there are.
const (
	PurposeSeal   Purpose = "seal"   // data at rest
	PurposeCookie Purpose = "cookie" // what a browser carries
	PurposeNonce  Purpose = "nonce"  // DPoP nonces
	PurposePepper Purpose = "pepper" // hashes of secrets and handles
	PurposeDecoy  Purpose = "decoy"  // answers about people who do not exist
)

// ErrSealed says that sealed data was made under another ring, for another use, or was tampered with.
var ErrSealed = errors.New("keys: cannot be opened")

// idLength is that of a ring key's id, in hex characters.
const idLength = 8

// ringKey is one master key with what is derived from it.
type ringKey struct {
	id      string
	seal    cipher.AEAD
	cookie  cipher.AEAD
	derived map[Purpose][]byte
}

// Ring is a set of master keys: the newest seals and hashes, all of them open and recognise. It is safe for
// concurrent use and can be replaced in place when its file changes.
type Ring struct{ keys atomic.Pointer[[]*ringKey] } // newest last

// NewRing makes a ring that no file holds, for tests.
func NewRing() *Ring {
	k, err := newFileKey().derive()
	if err != nil {
		return nil // a 32-byte key always derives
	}
	return ringOf([]*ringKey{k})
}

func ringOf(ks []*ringKey) *Ring {
	r := new(Ring)
	r.keys.Store(&ks)
	return r
}

func (r *Ring) all() []*ringKey { return *r.keys.Load() }

func (r *Ring) newest() *ringKey {
	ks := r.all()
	return ks[len(ks)-1]
}

func (r *Ring) find(id string) *ringKey {
	for _, k := range r.all() {
		if k.id == id {
			return k
		}
	}
	return nil
}

// Replace takes over the keys of another ring, as after a change of the file.
func (r *Ring) Replace(other *Ring) { r.keys.Store(other.keys.Load()) }

// IDs lists the ids of the ring's keys, oldest first.
func (r *Ring) IDs() []string {
	var ids []string
	for _, k := range r.all() {
		ids = append(ids, k.id)
	}
	return ids
}

// Seal encrypts plaintext and binds it to aad, which is not stored: whoever opens it has to know it. The form is
// key id | nonce | ciphertext.
func (r *Ring) Seal(p Purpose, aad, plaintext []byte) []byte {
	k := r.newest()
	aead := k.aead(p)
	out := make([]byte, idLength+aead.NonceSize(), idLength+aead.NonceSize()+len(plaintext)+aead.Overhead())
	copy(out, k.id)
	rand.Read(out[idLength:]) // never fails
	return aead.Seal(out, out[idLength:], plaintext, aad)
}

// Open decrypts what Seal made for the same purpose and aad.
func (r *Ring) Open(p Purpose, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < idLength {
		return nil, ErrSealed
	}
	k := r.find(string(sealed[:idLength]))
	if k == nil {
		return nil, fmt.Errorf("%w: the ring has no such key", ErrSealed)
	}
	aead, rest := k.aead(p), sealed[idLength:]
	if len(rest) < aead.NonceSize() {
		return nil, ErrSealed
	}
	plaintext, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], aad)
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

// SealText is Seal for cookies and forms: base64url, bound to a name.
func (r *Ring) SealText(name string, plaintext []byte) string {
	return base64.RawURLEncoding.EncodeToString(r.Seal(PurposeCookie, []byte(name), plaintext))
}

// OpenText opens what SealText made under the same name.
func (r *Ring) OpenText(name, sealed string) ([]byte, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, ErrSealed
	}
	return r.Open(PurposeCookie, []byte(name), data)
}

// SealedBy is the id of the ring key that sealed something.
func SealedBy(sealed []byte) string {
	if len(sealed) < idLength {
		return ""
	}
	return string(sealed[:idLength])
}

// Hash is what is stored of a secret: "<key id>:<HMAC-SHA-256 under the pepper>". Secrets have 128 bits or more, so
// nothing slower is needed; passwords are not hashed here.
func (r *Ring) Hash(secret string) string {
	k := r.newest()
	return k.id + ":" + base64.RawURLEncoding.EncodeToString(k.mac(PurposePepper, []byte(secret)))
}

// Matches compares a secret with a stored hash in constant time.
func (r *Ring) Matches(stored, secret string) bool {
	id, want, _ := strings.Cut(stored, ":")
	k := r.find(id)
	if k == nil {
		return false
	}
	got := base64.RawURLEncoding.EncodeToString(k.mac(PurposePepper, []byte(secret)))
	return hmac.Equal([]byte(got), []byte(want))
}

// HashedBy is the id of the ring key under which a hash was made.
func HashedBy(stored string) string {
	id, _, _ := strings.Cut(stored, ":")
	return id
}

// MAC authenticates data for a purpose under the newest key.
func (r *Ring) MAC(p Purpose, data []byte) []byte { return r.newest().mac(p, data) }

// Derive is the 32-byte key of a purpose under the oldest key: the same on all nodes, and unchanged by adding a key.
func (r *Ring) Derive(p Purpose) []byte { return slices.Clone(r.all()[0].derived[p]) }

// String names the ring without showing it.
func (r *Ring) String() string { return fmt.Sprintf("ring %v", r.IDs()) }

// GoString is String.
func (r *Ring) GoString() string { return r.String() }

// LogValue is String.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

func (k *ringKey) mac(p Purpose, data []byte) []byte {
	h := hmac.New(sha256.New, k.derived[p])
	h.Write(data)
	return h.Sum(nil)
}

func (k *ringKey) aead(p Purpose) cipher.AEAD {
	if p == PurposeCookie {
		return k.cookie
	}
	return k.seal
}

// fileKey is a master key as the file holds it.
type fileKey struct {
	ID  string `json:"id"`
	Key string `json:"key"` // base64url, 32 bytes
}

func newFileKey() fileKey {
	id := make([]byte, idLength/2)
	rand.Read(id) // never fails
	return fileKey{ID: hex.EncodeToString(id), Key: NewSecret().Reveal()}
}

func (f fileKey) derive() (*ringKey, error) {
	master, err := base64.RawURLEncoding.Strict().DecodeString(f.Key)
	if err != nil || len(master) != 32 {
		return nil, errors.New("a key is not 32 bytes of base64url")
	}
	if _, err := hex.DecodeString(f.ID); err != nil || len(f.ID) != idLength {
		return nil, fmt.Errorf("a key id is not %d hex characters", idLength)
	}
	k := &ringKey{id: f.ID, derived: map[Purpose][]byte{}}
	for _, p := range []Purpose{PurposeSeal, PurposeCookie, PurposeNonce, PurposePepper, PurposeDecoy} {
		if k.derived[p], err = hkdf.Key(sha256.New, master, nil, "holdfast "+string(p), 32); err != nil {
			return nil, fmt.Errorf("derive %s: %w", p, err)
		}
	}
	if k.seal, err = chacha20poly1305.NewX(k.derived[PurposeSeal]); err != nil {
		return nil, fmt.Errorf("prepare cipher: %w", err)
	}
	if k.cookie, err = chacha20poly1305.NewX(k.derived[PurposeCookie]); err != nil {
		return nil, fmt.Errorf("prepare cipher: %w", err)
	}
	return k, nil
}

// parseRing reads the content of a ring file.
func parseRing(data []byte) ([]fileKey, *Ring, error) {
	var doc struct {
		Keys []fileKey `json:"keys"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, nil, errors.New("is not the JSON that holdfast key ring init writes")
	}
	if len(doc.Keys) == 0 {
		return nil, nil, errors.New("has no keys")
	}
	var ks []*ringKey
	for _, f := range doc.Keys {
		k, err := f.derive()
		if err != nil {
			return nil, nil, err
		}
		if slices.ContainsFunc(ks, func(o *ringKey) bool { return o.id == k.id }) {
			return nil, nil, errors.New("has one key id twice")
		}
		ks = append(ks, k)
	}
	return doc.Keys, ringOf(ks), nil
}
