package jose

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	jose "github.com/go-jose/go-jose/v4"
)

// Signer makes tokens with one key. It is safe for concurrent use.
type Signer struct {
	key      jose.SigningKey
	public   Key
	byType   sync.Map // typ -> jose.Signer: building one costs more than a small signature
	headers  map[jose.HeaderKey]any
	embedded atomic.Pointer[Signer]
}

// NewSigner makes a signer of a private key that says its algorithm.
func NewSigner(k Key) (*Signer, error) {
	if !k.IsPrivate() || !k.alg.Supported() {
		return nil, fmt.Errorf("%w: a signer needs a private key with an algorithm", ErrKey)
	}
	jwk := jose.JSONWebKey{Key: k.private, KeyID: k.id, Algorithm: string(k.alg)}
	return &Signer{key: jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.alg), Key: jwk}, public: k.Public()}, nil
}

// NewRemoteSigner makes a signer whose key lives elsewhere. sign gets the signing input of RFC 7515 §5.1 and returns
// the signature in the form of RFC 7518 §3, which is verified before it is used.
func NewRemoteSigner(pub Key, sign func(a Alg, input []byte) ([]byte, error)) (*Signer, error) {
	if !pub.alg.Supported() {
		return nil, fmt.Errorf("%w: a remote signer needs a key with an algorithm", ErrKey)
	}
	r := remote{public: pub.Public(), kid: pub.id, sign: sign}
	return &Signer{key: jose.SigningKey{Algorithm: jose.SignatureAlgorithm(pub.alg), Key: r}, public: r.public}, nil
}

// Key is the public key.
func (s *Signer) Key() Key { return s.public }

// WithEmbeddedKey returns a signer that puts its public key into the header jwk and no kid (RFC 9449 §4.2). It is made
// once.
func (s *Signer) WithEmbeddedKey() (*Signer, error) {
	if e := s.embedded.Load(); e != nil {
		return e, nil
	}
	jwk, err := jose.JSONWebKey{Key: s.public.public}.MarshalJSON() // the members of RFC 7638 §3.2 and no more
	if err != nil {
		return nil, fmt.Errorf("embed key: %w", err)
	}
	e := &Signer{public: s.public, headers: map[jose.HeaderKey]any{"jwk": json.RawMessage(jwk)}}
	e.key.Algorithm = s.key.Algorithm
	switch key := s.key.Key.(type) {
	case jose.JSONWebKey:
		key.KeyID = ""
		e.key.Key = key
	case remote:
		key.kid = ""
		e.key.Key = key
	}
	s.embedded.Store(e)
	return e, nil
}

// Sign marshals the claims and returns the compact token with this typ.
func (s *Signer) Sign(typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("marshal claims: %w", err)
	}
	signer, err := s.typed(typ)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", typ, err)
	}
	return jws.CompactSerialize()
}

func (s *Signer) typed(typ string) (jose.Signer, error) {
	if found, ok := s.byType.Load(typ); ok {
		return found.(jose.Signer), nil
	}
	opts := new(jose.SignerOptions)
	if typ != "" {
		opts = opts.WithType(jose.ContentType(typ))
	}
	for name, value := range s.headers {
		opts = opts.WithHeader(name, value)
	}
	signer, err := jose.NewSigner(s.key, opts)
	if err != nil {
		return nil, fmt.Errorf("prepare signer: %w", err)
	}
	s.byType.Store(typ, signer)
	return signer, nil
}

// remote is a key behind a function, in the shape the JOSE library asks for.
type remote struct {
	public Key
	kid    string // for the header; "" where the key is embedded
	sign   func(a Alg, input []byte) ([]byte, error)
}

// Public is the JWK whose id goes into the header.
func (r remote) Public() *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: r.public.public, KeyID: r.kid, Algorithm: string(r.public.alg), Use: "sig"}
}

// Algs lists the one algorithm of the key.
func (r remote) Algs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.SignatureAlgorithm(r.public.alg)}
}

// SignPayload asks the other side, and believes nothing that does not verify.
func (r remote) SignPayload(input []byte, a jose.SignatureAlgorithm) ([]byte, error) {
	sig, err := r.sign(Alg(a), input)
	if err != nil {
		return nil, err
	}
	jws, err := parse(string(input)+"."+base64.RawURLEncoding.EncodeToString(sig), Alg(a))
	if err != nil {
		return nil, err
	}
	if !r.public.verifies(jws, Alg(a)) {
		return nil, ErrSignature
	}
	return sig, nil
}
