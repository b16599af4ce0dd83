package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
)

// Bounds on keys from outside.
const (
	maxKey  = 16 << 10  // bytes of one JWK
	maxSet  = 256 << 10 // bytes of a JWK set
	maxKeys = 100       // keys of a set
	minRSA  = 2048      // bits; RFC 7518 §3.3, §3.5
	maxRSA  = 8192      // bits; a bound on what one verification may cost
)

// ErrKey says that a JWK is not one this package works with; the text says why.
var ErrKey = errors.New("jose: unusable key")

// Key is an asymmetric key: P-256, Ed25519 or RSA. It prints as its id and never as its material.
type Key struct {
	id      string
	alg     Alg // "" for an RSA key that does not say PS256 or RS256
	public  crypto.PublicKey
	private crypto.Signer // nil for a public key
}

// GenerateKey makes a key for the algorithm; its id is its thumbprint.
func GenerateKey(a Alg) (Key, error) {
	var signer crypto.Signer
	var err error
	switch a {
	case ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case PS256, RS256:
		signer, err = rsa.GenerateKey(rand.Reader, minRSA)
	default:
		return Key{}, ErrAlgorithm
	}
	if err != nil {
		return Key{}, fmt.Errorf("generate %s key: %w", a, err)
	}
	k, err := FromPrivate(signer, a)
	if err != nil {
		return Key{}, err
	}
	return k.WithID(k.Thumbprint()), nil
}

// FromPrivate wraps a private key. For RSA, a says what it signs with.
func FromPrivate(signer crypto.Signer, a Alg) (Key, error) {
	k, err := FromPublic(signer.Public(), a)
	k.private = signer
	return k, err
}

// FromPublic wraps a public key. a may be "" where the key type says it, and for RSA verification with either padding.
func FromPublic(pub crypto.PublicKey, a Alg) (Key, error) {
	var fits []Alg
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("%w: the curve is not P-256", ErrKey)
		}
		fits = []Alg{ES256}
	case ed25519.PublicKey:
		fits = []Alg{EdDSA}
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSA || bits > maxRSA {
			return Key{}, fmt.Errorf("%w: RSA keys have %d to %d bits", ErrKey, minRSA, maxRSA)
		}
		if p.E < 65537 || p.E%2 == 0 {
			return Key{}, fmt.Errorf("%w: the RSA exponent is small or even", ErrKey)
		}
		fits = []Alg{PS256, RS256}
	default:
		return Key{}, fmt.Errorf("%w: the key type is neither EC, OKP nor RSA", ErrKey)
	}
	if a == "" && len(fits) == 1 {
		a = fits[0]
	}
	if a != "" && !slices.Contains(fits, a) {
		return Key{}, fmt.Errorf("%w: alg does not fit the key type", ErrKey)
	}
	return Key{alg: a, public: pub}, nil
}

// ParseKey reads one JWK (RFC 7517 §4): public or private, never symmetric. A key whose use or key_ops speak against
// signatures is refused.
func ParseKey(data []byte) (Key, error) {
	if len(data) > maxKey {
		return Key{}, fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKey)
	}
	var purpose struct {
		Alg string   `json:"alg"`
		Use string   `json:"use"`
		Ops []string `json:"key_ops"`
		X5U rawValue `json:"x5u"`
	}
	if err := Unmarshal(data, &purpose); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	switch {
	case purpose.Use != "" && purpose.Use != "sig":
		return Key{}, fmt.Errorf("%w: use is not sig", ErrKey)
	case len(purpose.Ops) > 0 && !slices.Contains(purpose.Ops, "verify") && !slices.Contains(purpose.Ops, "sign"):
		return Key{}, fmt.Errorf("%w: key_ops has neither sign nor verify", ErrKey)
	case purpose.Alg != "" && !Alg(purpose.Alg).Supported():
		return Key{}, fmt.Errorf("%w: alg is not supported", ErrKey)
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(data); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return fromJWK(jwk, Alg(purpose.Alg))
}

func fromJWK(jwk jose.JSONWebKey, a Alg) (Key, error) {
	if signer, ok := jwk.Key.(crypto.Signer); ok {
		k, err := FromPrivate(signer, a)
		return k.WithID(jwk.KeyID), err
	}
	k, err := FromPublic(jwk.Key, a)
	return k.WithID(jwk.KeyID), err
}

// ID is the kid.
func (k Key) ID() string { return k.id }

// WithID returns the key under another kid.
func (k Key) WithID(id string) Key {
	k.id = id
	return k
}

// Alg is the algorithm the key is for; "" for an RSA key that does not say.
func (k Key) Alg() Alg { return k.alg }

// Fits says whether the key verifies signatures of this algorithm.
func (k Key) Fits(a Alg) bool {
	if k.alg != "" {
		return k.alg == a
	}
	return k.public != nil && (a == PS256 || a == RS256)
}

// IsPrivate says whether the key can sign.
func (k Key) IsPrivate() bool { return k.private != nil }

// Public is the key without its private part.
func (k Key) Public() Key {
	k.private = nil
	return k
}

// CryptoPublic is the key as crypto/x509 and crypto/tls know it.
func (k Key) CryptoPublic() crypto.PublicKey { return k.public }

// CryptoSigner is the private key as crypto/x509 and crypto/tls know it; nil for a public key.
func (k Key) CryptoSigner() crypto.Signer { return k.private }

// Thumbprint is the RFC 7638 SHA-256 thumbprint, base64url; "" for the zero Key.
func (k Key) Thumbprint() string {
	jwk := jose.JSONWebKey{Key: k.public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// MarshalJSON writes the JWK, with its private part where there is one.
func (k Key) MarshalJSON() ([]byte, error) {
	jwk := jose.JSONWebKey{Key: k.public, KeyID: k.id, Algorithm: string(k.alg), Use: "sig"}
	if k.private != nil {
		jwk.Key = k.private
	}
	return jwk.MarshalJSON()
}

// String names the key without showing it.
func (k Key) String() string { return "key " + k.id }

// GoString is String, so that %#v shows no material either.
func (k Key) GoString() string { return k.String() }

// Set is a JWK set (RFC 7517 §5).
type Set struct {
	Keys []Key
}

// ParseSet reads a set of public keys. Keys of types, uses or algorithms this package does not know are skipped, as
// RFC 7517 §5 asks; a private or symmetric key makes the whole set refused, for its owner has a leak to mend.
func ParseSet(data []byte) (Set, error) {
	if len(data) > maxSet {
		return Set{}, fmt.Errorf("%w: the set is longer than %d bytes", ErrKey, maxSet)
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := Unmarshal(data, &doc); err != nil {
		return Set{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if doc.Keys == nil || len(doc.Keys) > maxKeys {
		return Set{}, fmt.Errorf("%w: a set has a member keys with at most %d keys", ErrKey, maxKeys)
	}
	var s Set
	for _, raw := range doc.Keys {
		var secret struct {
			D rawValue `json:"d"`
			K rawValue `json:"k"`
		}
		if err := Unmarshal(raw, &secret); err != nil {
			return Set{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		if secret.D != nil || secret.K != nil {
			return Set{}, fmt.Errorf("%w: the set publishes a private or symmetric key", ErrKey)
		}
		if k, err := ParseKey(raw); err == nil {
			s.Keys = append(s.Keys, k)
		}
	}
	return s, nil
}

// Find lists the keys that may have made a signature: of this algorithm, and of this kid unless it is "".
func (s Set) Find(kid string, a Alg) []Key {
	var found []Key
	for _, k := range s.Keys {
		if k.Fits(a) && (kid == "" || k.id == "" || k.id == kid) {
			found = append(found, k)
		}
	}
	return found
}

// MarshalJSON writes {"keys":[…]} with public parts only.
func (s Set) MarshalJSON() ([]byte, error) {
	public := make([]Key, len(s.Keys))
	for i := range s.Keys {
		public[i] = s.Keys[i].Public()
	}
	return json.Marshal(struct {
		Keys []Key `json:"keys"`
	}{public})
}
