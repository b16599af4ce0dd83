package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
)

// EncryptionKey is a key to encrypt to: RSA, P-256, or bytes that two parties share. It is no Key, so that what signs
// never decrypts. It prints as its id and never as its material.
type EncryptionKey struct {
	_       [0]func() // not comparable; compare thumbprints
	id      string
	alg     KeyAlg     // "" for a P-256 key that does not say how a content key comes of it
	content ContentAlg // of a key for Direct, which is the content key itself
	public  any        // *rsa.PublicKey or *ecdsa.PublicKey; nil for shared bytes
	private any        // *rsa.PrivateKey, *ecdsa.PrivateKey or []byte; nil for a public key
}

// GenerateEncryptionKey makes a key pair for the algorithm; its id is its thumbprint.
func GenerateEncryptionKey(a KeyAlg) (EncryptionKey, error) {
	var private crypto.PrivateKey
	var err error
	switch {
	case a == RSAOAEP256:
		private, err = rsa.GenerateKey(rand.Reader, minRSA)
	case a.agrees():
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return EncryptionKey{}, ErrAlgorithm
	}
	if err != nil {
		return EncryptionKey{}, fmt.Errorf("generate %s key: %w", a, err)
	}
	k, err := newEncryptionKey(private, a)
	if err != nil {
		return EncryptionKey{}, err
	}
	return k.WithID(k.Thumbprint()), nil
}

// WrapKey is a shared key that wraps content keys, of 16 bytes for A128KW and of 32 for A256KW.
func WrapKey(shared []byte, a KeyAlg) (EncryptionKey, error) {
	if size := map[KeyAlg]int{A128KW: 16, A256KW: 32}[a]; size == 0 || len(shared) != size {
		return EncryptionKey{}, fmt.Errorf("%w: A128KW needs 16 bytes and A256KW 32", ErrKey)
	}
	return EncryptionKey{alg: a, private: bytes.Clone(shared)}, nil
}

// DirectKey is a shared key that encrypts content itself. With A128GCM and A256GCM it may do so 2³² times and no more,
// for its nonces are random (NIST SP 800-38D §8.3); WrapKey has no such bound.
func DirectKey(shared []byte, c ContentAlg) (EncryptionKey, error) {
	if !c.Supported() || len(shared) != contents[c].key {
		return EncryptionKey{}, fmt.Errorf("%w: the length is not that of a key of the content algorithm", ErrKey)
	}
	return EncryptionKey{alg: Direct, content: c, private: bytes.Clone(shared)}, nil
}

// ParseEncryptionKey reads one JWK (RFC 7517 §4): public or private, never symmetric, at most 16 KiB. It refuses a key
// whose use, key_ops or alg speak against encryption, and what ParseKey refuses for its form. Every error is an ErrKey.
func ParseEncryptionKey(data []byte) (EncryptionKey, error) {
	jwk, err := readJWK(data, (*document).checkEncryption)
	if err != nil {
		return EncryptionKey{}, err
	}
	k, err := newEncryptionKey(jwk.Key, KeyAlg(jwk.Algorithm))
	return k.WithID(jwk.KeyID), err
}

func newEncryptionKey(material any, a KeyAlg) (EncryptionKey, error) {
	k := EncryptionKey{alg: a, public: material}
	if pair, ok := material.(crypto.Signer); ok { // as every private key of the standard library is
		k.public, k.private = pair.Public(), material
	}
	var err error
	var fits []KeyAlg
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		fits, err = []KeyAlg{RSAOAEP256}, checkRSA(p)
	case *ecdsa.PublicKey:
		fits, err = agreements, checkEC(p)
	default:
		err = fmt.Errorf("%w: the key type is neither RSA nor EC", ErrKey)
	}
	if p, ok := k.private.(*ecdsa.PrivateKey); ok && err == nil && !matches(p) {
		err = fmt.Errorf("%w: the private part is not that of the public one", ErrKey)
	}
	if err != nil {
		return EncryptionKey{}, err
	}
	if a == "" && len(fits) == 1 {
		k.alg = fits[0]
	}
	if k.alg != "" && !slices.Contains(fits, k.alg) {
		return EncryptionKey{}, fmt.Errorf("%w: alg does not fit the key type", ErrKey)
	}
	return k, nil
}

// ID is the kid.
func (k EncryptionKey) ID() string { return k.id }

// WithID returns the key under another kid.
func (k EncryptionKey) WithID(id string) EncryptionKey {
	k.id = id
	return k
}

// Alg is the algorithm the key is for; "" for a P-256 key that does not say.
func (k EncryptionKey) Alg() KeyAlg { return k.alg }

// Fits says whether content keys may come of this key by this algorithm.
func (k EncryptionKey) Fits(a KeyAlg) bool {
	if k.alg != "" {
		return k.alg == a
	}
	return k.public != nil && a.agrees()
}

// IsPrivate says whether the key can decrypt.
func (k EncryptionKey) IsPrivate() bool { return k.private != nil }

// Public is the key without its private part; of shared bytes nothing is left.
func (k EncryptionKey) Public() EncryptionKey {
	k.private = nil
	return k
}

// Thumbprint is the RFC 7638 SHA-256 thumbprint, base64url; "" for shared bytes, which it could give away (§7).
func (k EncryptionKey) Thumbprint() string {
	jwk := jose.JSONWebKey{Key: k.public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// MarshalJSON writes the JWK, with its private part where there is one. Shared bytes have no JWK here.
func (k EncryptionKey) MarshalJSON() ([]byte, error) {
	if k.public == nil {
		return nil, fmt.Errorf("%w: it has no public part to write", ErrKey)
	}
	jwk := jose.JSONWebKey{Key: k.public, KeyID: k.id, Algorithm: string(k.alg), Use: "enc"}
	if k.private != nil {
		jwk.Key = k.private
	}
	return jwk.MarshalJSON()
}

// String names the key without showing it.
func (k EncryptionKey) String() string { return "key " + k.id }

// Format is String for every verb, %d and %x included, which would show shared bytes.
func (k EncryptionKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String, for a JSON log would otherwise write the JWK.
func (k EncryptionKey) LogValue() slog.Value { return slog.StringValue(k.String()) }
