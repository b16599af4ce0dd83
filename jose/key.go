package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
)

// Bounds on keys from outside.
const (
	maxKey  = 16 << 10  // bytes of one JWK
	maxSet  = 256 << 10 // bytes of a JWK set
	maxKeys = 100       // keys of a set
)

// ErrKey says that a JWK is not one this package works with; the text says why.
var ErrKey = errors.New("jose: unusable key")

// Key is an asymmetric key: P-256, Ed25519 or RSA. It prints as its id and never as its material.
type Key struct {
	_       [0]func() // not comparable: == on an Ed25519 key would panic; compare thumbprints
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
	if err != nil {
		return Key{}, err
	}
	if p, ok := signer.(*ecdsa.PrivateKey); ok && !matches(p) {
		return Key{}, fmt.Errorf("%w: the private part is not that of the public one", ErrKey)
	}
	k.private = signer
	return k, nil
}

// matches says whether d makes the point; the JOSE library checks that for Ed25519 and RSA only.
func matches(p *ecdsa.PrivateKey) bool {
	d, err := p.Bytes()
	if err != nil {
		return false
	}
	derived, err := ecdsa.ParseRawPrivateKey(p.Curve, d)
	return err == nil && derived.PublicKey.Equal(&p.PublicKey)
}

// FromPublic wraps a public key. a may be "" where the key type says it, and for RSA verification with either padding.
func FromPublic(pub crypto.PublicKey, a Alg) (Key, error) {
	var fits []Alg
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		if err := checkEC(p); err != nil {
			return Key{}, err
		}
		fits = []Alg{ES256}
	case ed25519.PublicKey:
		if _, err := (&jose.JSONWebKey{Key: p}).Thumbprint(crypto.SHA256); err != nil {
			return Key{}, fmt.Errorf("%w: the Ed25519 key is of another length than 32 bytes, or of low order", ErrKey)
		}
		fits = []Alg{EdDSA}
	case *rsa.PublicKey:
		if err := checkRSA(p); err != nil {
			return Key{}, err
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

func checkEC(p *ecdsa.PublicKey) error {
	if p.Curve != elliptic.P256() {
		return fmt.Errorf("%w: the curve is not P-256", ErrKey)
	}
	if _, err := p.ECDH(); err != nil {
		return fmt.Errorf("%w: the point is not on the curve", ErrKey)
	}
	return nil
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

func (k Key) verifies(jws *jose.JSONWebSignature, a Alg) bool {
	var by any = k.public
	if p, ok := k.public.(*rsa.PublicKey); ok && a == PS256 {
		by = pss{p}
	}
	_, err := jws.Verify(by)
	return err == nil
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

// LogValue is String, for a JSON log would otherwise write the JWK.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
