package jose

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
)

// KeyAlg is how the key of the content comes to its reader (RFC 7518 §4.1).
type KeyAlg string

// The algorithms there are. RSA1_5, RSA-OAEP with SHA-1 and keys from passwords are not among them.
const (
	RSAOAEP256   KeyAlg = "RSA-OAEP-256"
	ECDHES       KeyAlg = "ECDH-ES"
	ECDHESA128KW KeyAlg = "ECDH-ES+A128KW"
	ECDHESA256KW KeyAlg = "ECDH-ES+A256KW"
	A128KW       KeyAlg = "A128KW"
	A256KW       KeyAlg = "A256KW"
	Direct       KeyAlg = "dir"
)

var agreements = []KeyAlg{ECDHES, ECDHESA128KW, ECDHESA256KW}

func (a KeyAlg) agrees() bool { return slices.Contains(agreements, a) }

// Supported says whether the algorithm is on the closed list.
func (a KeyAlg) Supported() bool {
	return a.agrees() || a == RSAOAEP256 || a == A128KW || a == A256KW || a == Direct
}

// ContentAlg encrypts the content and protects it from change (RFC 7518 §5.1).
type ContentAlg string

// The algorithms there are.
const (
	A128CBCHS256 ContentAlg = "A128CBC-HS256"
	A256CBCHS512 ContentAlg = "A256CBC-HS512"
	A128GCM      ContentAlg = "A128GCM"
	A256GCM      ContentAlg = "A256GCM"
)

// contents has the sizes in bytes (RFC 7518 §5.2.3, §5.2.5 and §5.3).
var contents = map[ContentAlg]struct{ key, iv, tag int }{
	A128CBCHS256: {32, 16, 16},
	A256CBCHS512: {64, 16, 32},
	A128GCM:      {16, 12, 16},
	A256GCM:      {32, 12, 16},
}

// Supported says whether the algorithm is on the closed list.
func (c ContentAlg) Supported() bool { return contents[c].key > 0 }

// ErrDecrypt says that a JWE is not for these keys, or was changed; which of the two is not told (RFC 7516 §11.5).
var ErrDecrypt = errors.New("jose: does not decrypt")

// IsEncrypted tells a compact JWE from a compact JWS (RFC 7516 §9).
func IsEncrypted(compact string) bool { return strings.Count(compact, ".") == 4 }

// Encrypter encrypts to one key. It is safe for concurrent use.
type Encrypter struct {
	to      jose.Recipient
	content jose.ContentEncryption
}

// NewEncrypter makes an encrypter of a public or shared key, by the two algorithms its owner asks for.
func NewEncrypter(k EncryptionKey, a KeyAlg, c ContentAlg) (*Encrypter, error) {
	if !a.Supported() || !c.Supported() {
		return nil, ErrAlgorithm
	}
	material := k.public
	if material == nil {
		material = k.private
	}
	if material == nil || !k.fits(a, c) {
		return nil, fmt.Errorf("%w: it is not for %s with %s", ErrKey, a, c)
	}
	to := jose.Recipient{Algorithm: jose.KeyAlgorithm(a), Key: material, KeyID: k.id}
	return &Encrypter{to: to, content: jose.ContentEncryption(c)}, nil
}

// Encrypt returns the content in a compact JWE with this typ.
func (e *Encrypter) Encrypt(typ string, content []byte) (string, error) {
	opts := new(jose.EncrypterOptions)
	if typ != "" {
		opts.WithType(jose.ContentType(typ))
	}
	return e.encrypt(content, opts)
}

// Nest signs the claims, then encrypts the token (RFC 7519 §11.2). typ is that of the signed token; the encrypted one says
// cty JWT (§5.2).
func (e *Encrypter) Nest(s *Signer, typ string, claims any) (string, error) {
	token, err := s.Sign(typ, claims)
	if err != nil {
		return "", err
	}
	return e.encrypt([]byte(token), new(jose.EncrypterOptions).WithContentType("JWT"))
}

func (e *Encrypter) encrypt(content []byte, opts *jose.EncrypterOptions) (string, error) {
	encrypter, err := jose.NewEncrypter(e.content, e.to, opts)
	if err != nil {
		return "", fmt.Errorf("prepare encryption: %w", err)
	}
	jwe, err := encrypter.Encrypt(content)
	if err != nil {
		return "", fmt.Errorf("encrypt: %w", err)
	}
	return jwe.CompactSerialize()
}

// Decrypter says what is accepted and has the keys to read it with. The zero Decrypter accepts nothing.
type Decrypter struct {
	Algs     []KeyAlg
	Contents []ContentAlg
	Keys     []EncryptionKey
}

// Message is what Decrypt returns. It was meant for the key; of whom it is, a public key cannot tell.
type Message struct {
	Alg        KeyAlg
	ContentAlg ContentAlg
	KeyID      string
	Type       string // typ, in lower case and without "application/"
	Content    []byte
}

// Claims reads the content strictly into v, as Unmarshal does; it must be a JSON object.
func (m *Message) Claims(v any) error { return claims(m.Content, v) }

// Decrypt reads a compact JWE with the keys that fit its header (kid where it names one, and the algorithms). It refuses
// a nested token, which is to be read by Unnest and verified.
func (d *Decrypter) Decrypt(compact string) (*Message, error) {
	m, nested, err := d.open(compact)
	if err == nil && nested {
		return nil, fmt.Errorf("%w: the content is a token", ErrMalformed)
	}
	return m, err
}

// Nested is a signed token that came encrypted, of which nothing is verified yet.
type Nested struct {
	JWS string
}

// Unnest reads a compact JWE whose cty is JWT and whose content is a compact JWS (RFC 7519 §5.2); deeper it does not go.
func (d *Decrypter) Unnest(compact string) (*Nested, error) {
	m, nested, err := d.open(compact)
	switch {
	case err != nil:
		return nil, err
	case !nested:
		return nil, fmt.Errorf("%w: header cty is not JWT", ErrMalformed)
	}
	if _, _, err := split(string(m.Content)); err != nil {
		return nil, err
	}
	return &Nested{JWS: string(m.Content)}, nil
}

// Peek is Peek of the signed token.
func (n *Nested) Peek() (*Token, error) { return Peek(n.JWS) }

// Verify is Verify of the signed token.
func (n *Nested) Verify(algs []Alg, keys ...Key) (*Token, error) { return Verify(n.JWS, algs, keys...) }

// open says also whether the content says it is a token.
func (d *Decrypter) open(compact string) (*Message, bool, error) {
	s, err := unseal(compact)
	if err != nil {
		return nil, false, err
	}
	a, err := allowed(s.header.Alg, d.Algs)
	if err != nil {
		return nil, false, err
	}
	c, err := allowed(s.enc, d.Contents)
	if err != nil {
		return nil, false, err
	}
	if err := s.check(a, c); err != nil {
		return nil, false, err
	}
	jwe, err := jose.ParseEncryptedCompact(compact, []jose.KeyAlgorithm{jose.KeyAlgorithm(a)}, []jose.ContentEncryption{jose.ContentEncryption(c)})
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	err = ErrNoKey
	for _, k := range d.Keys {
		if !k.IsPrivate() || !k.fits(a, c) || s.header.Kid != "" && k.id != "" && k.id != s.header.Kid {
			continue
		}
		err = ErrDecrypt
		if len(s.key) != k.wrapped(a, c) {
			continue
		}
		if content, wrong := jwe.Decrypt(k.private); wrong == nil {
			m := &Message{Alg: a, ContentAlg: c, KeyID: s.header.Kid, Type: mediaType(s.header.Typ), Content: content}
			return m, mediaType(s.header.Cty) == "jwt", nil
		}
	}
	return nil, false, err
}

func (k EncryptionKey) fits(a KeyAlg, c ContentAlg) bool {
	return k.Fits(a) && (k.content == "" || k.content == c)
}

// wrapped is the length of a content key as it travels. Nothing travels where the key is agreed or shared (RFC 7516 §5.2
// step 10), and key wrapping adds 8 bytes (RFC 3394 §2.2.1).
func (k EncryptionKey) wrapped(a KeyAlg, c ContentAlg) int {
	if p, ok := k.public.(*rsa.PublicKey); ok {
		return p.Size()
	}
	if a == ECDHES || a == Direct {
		return 0
	}
	return contents[c].key + 8
}

// sealed is a compact JWE in its parts, as far as they are looked at.
type sealed struct {
	header  *header
	enc     string
	key     []byte
	iv, tag int // lengths
}

// unseal takes a compact JWE apart and refuses what RFC 7516 §5.2 and RFC 8725 §3 tell to refuse.
func unseal(compact string) (*sealed, error) {
	if len(compact) > MaxToken {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxToken)
	}
	if !IsEncrypted(compact) {
		return nil, fmt.Errorf("%w: not a compact JWE", ErrMalformed)
	}
	var parts [5][]byte
	for i, part := range strings.Split(compact, ".") {
		var err error
		if parts[i], err = decode(part); err != nil {
			return nil, fmt.Errorf("%w: part %d is not base64url", ErrMalformed, i+1)
		}
	}
	h, err := readHeader(parts[0])
	switch {
	case err != nil:
		return nil, err
	case h.JWK != nil:
		return nil, fmt.Errorf("%w: header jwk is not accepted", ErrMalformed)
	}
	s := &sealed{header: h, key: parts[1], iv: len(parts[2]), tag: len(parts[4])}
	if err := json.Unmarshal(h.Enc, &s.enc); err != nil {
		return nil, fmt.Errorf("%w: header enc is not a string", ErrMalformed)
	}
	return s, nil
}

// check refuses an initialization vector or a tag of another length than the algorithm's: with a longer tag, the same
// content could be written in more than one way. Of a key agreement it checks what the sender put in (RFC 7518 §4.6.1).
func (s *sealed) check(a KeyAlg, c ContentAlg) error {
	if s.iv != contents[c].iv || s.tag != contents[c].tag {
		return fmt.Errorf("%w: initialization vector or tag of another length than for %s", ErrMalformed, c)
	}
	if !a.agrees() {
		return nil
	}
	for _, party := range []string{s.header.APU, s.header.APV} {
		if _, err := decode(party); err != nil {
			return fmt.Errorf("%w: header apu or apv is not base64url", ErrMalformed)
		}
	}
	if holdsSecret(s.header.EPK) { // or is not there
		return fmt.Errorf("%w: header epk is missing or is not a public key", ErrMalformed)
	}
	k, err := ParseEncryptionKey(s.header.EPK)
	if err != nil {
		return fmt.Errorf("%w: header epk: %w", ErrMalformed, err)
	}
	if _, ok := k.public.(*ecdsa.PublicKey); !ok {
		return fmt.Errorf("%w: header epk is not on the curve of the key", ErrMalformed)
	}
	return nil
}
