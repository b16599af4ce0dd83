// Package jose signs, verifies, encrypts and decrypts tokens with closed lists of algorithms and keys.
//
// It is for compact JWS (RFC 7515) and JWE (RFC 7516), for JWK and JWK sets (RFC 7517), their thumbprints (RFC 7638) and
// JWT claims (RFC 7519), under the advice of RFC 8725. It is not for unsecured tokens, for the JSON serialisations, for
// compression, for keys from passwords, or for choosing a key on the word of a token: keys come from the caller, and the
// headers jku, x5u, x5c, crit, b64 and zip are refused. Everything from outside is read strictly: canonical base64url,
// no duplicate members, no more than MaxToken bytes.
//
// What a key or an algorithm is for is in its type: a Key and an Alg are for signatures, an EncryptionKey, a KeyAlg and a
// ContentAlg for encryption, a Secret and a MAC for shared secrets. A list of one kind lets nothing of another in.
package jose

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
)

// Alg is a signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
type Alg string

// The algorithms there are.
const (
	ES256 Alg = "ES256"
	EdDSA Alg = "EdDSA"
	PS256 Alg = "PS256"
	RS256 Alg = "RS256"
)

// Supported says whether the algorithm is on the closed list.
func (a Alg) Supported() bool {
	return a == ES256 || a == EdDSA || a == PS256 || a == RS256
}

// Bounds on tokens from outside, in bytes.
const (
	MaxToken  = 64 << 10 // the longest compact JWS or JWE that is read
	maxHeader = 8 << 10  // the longest JOSE header; the largest key that may be in one needs 1 KiB
)

// Errors of whatever reads a token.
var (
	ErrMalformed = errors.New("jose: malformed token")
	ErrAlgorithm = errors.New("jose: algorithm not allowed")
	ErrSignature = errors.New("jose: signature does not verify")
	ErrNoKey     = errors.New("jose: no key for this token")
)

// Token is a JWS. What Peek returns is unverified.
type Token struct {
	Alg     Alg
	KeyID   string
	Type    string // typ, in lower case and without "application/" (RFC 7515 §4.1.9)
	JWK     *Key   // only from VerifyEmbedded
	Payload []byte
}

// Claims reads the payload strictly into v, as Unmarshal does; it must be a JSON object (RFC 7519 §7.2).
func (t *Token) Claims(v any) error { return claims(t.Payload, v) }

func claims(data []byte, v any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return fmt.Errorf("%w: the content is not a JSON object", ErrMalformed)
	}
	return Unmarshal(data, v)
}

// header has the members of RFC 7515 §4.1, RFC 7516 §4.1 and RFC 7518 §4 that mean something here, if only refusal.
type header struct {
	Alg  string   `json:"alg"`
	Enc  rawValue `json:"enc"`
	Kid  string   `json:"kid"`
	Typ  string   `json:"typ"`
	Cty  string   `json:"cty"`
	EPK  rawValue `json:"epk"`
	APU  string   `json:"apu"`
	APV  string   `json:"apv"`
	JWK  rawValue `json:"jwk"`
	JKU  rawValue `json:"jku"`
	X5U  rawValue `json:"x5u"`
	X5C  rawValue `json:"x5c"`
	Crit rawValue `json:"crit"`
	B64  rawValue `json:"b64"`
	Zip  rawValue `json:"zip"`
	P2C  rawValue `json:"p2c"`
	P2S  rawValue `json:"p2s"`
}

// Peek reads a token without verifying it, to find whose it says it is.
func Peek(compact string) (*Token, error) {
	h, payload, err := splitKeyless(compact)
	if err != nil {
		return nil, err
	}
	return h.token(payload), nil
}

// Verify checks the signature with the keys that fit the header (kid where it names one, and the algorithm) and
// returns the token.
func Verify(compact string, algs []Alg, keys ...Key) (*Token, error) {
	h, payload, err := splitKeyless(compact)
	if err != nil {
		return nil, err
	}
	alg, err := allowed(h.Alg, algs)
	if err != nil {
		return nil, err
	}
	keys = Set{Keys: keys}.Find(h.Kid, alg)
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	jws, err := parse(compact, alg)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.verifies(jws, alg) {
			return h.token(payload), nil
		}
	}
	return nil, ErrSignature
}

// VerifyEmbedded checks a token that carries its own public key in the header jwk, as a DPoP proof does
// (RFC 9449 §4.2). It proves possession of that key and nothing else.
func VerifyEmbedded(compact string, algs []Alg) (*Token, error) {
	h, payload, err := split(compact)
	if err != nil {
		return nil, err
	}
	alg, err := allowed(h.Alg, algs)
	if err != nil {
		return nil, err
	}
	if h.JWK == nil {
		return nil, fmt.Errorf("%w: header jwk is missing", ErrMalformed)
	}
	if holdsSecret(h.JWK) {
		return nil, fmt.Errorf("%w: header jwk is not a public key", ErrMalformed)
	}
	k, err := ParseKey(h.JWK)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: header jwk: %w", ErrMalformed, err)
	case !k.Fits(alg):
		return nil, ErrAlgorithm
	}
	jws, err := parse(compact, alg)
	if err != nil {
		return nil, err
	}
	if !k.verifies(jws, alg) {
		return nil, ErrSignature
	}
	t := h.token(payload)
	t.JWK = &k
	return t, nil
}

func (h *header) token(payload []byte) *Token {
	return &Token{Alg: Alg(h.Alg), KeyID: h.Kid, Type: mediaType(h.Typ), Payload: payload}
}

// mediaType is typ or cty in lower case and without "application/" (RFC 7515 §4.1.9 and §4.1.10).
func mediaType(s string) string { return strings.TrimPrefix(strings.ToLower(s), "application/") }

// allowed finds the name in the caller's list, of which only what this package supports counts. Each kind of algorithm
// has a type of its own, so that a list of one kind never answers for another (RFC 8725 §3.1).
func allowed[A interface {
	~string
	Supported() bool
}](name string, list []A) (A, error) {
	for _, a := range list {
		if string(a) == name && a.Supported() {
			return a, nil
		}
	}
	return "", ErrAlgorithm
}

// strict is base64url without padding whose last character has no stray bits.
var strict = base64.RawURLEncoding.Strict()

// decode reads canonical base64url (RFC 7515 §2). encoding/base64 skips line breaks, so those are looked for first.
func decode(s string) ([]byte, error) {
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return strict.DecodeString(s)
}

// splitKeyless is split for tokens that bring no key of their own, which anybody could (RFC 7515 §4.1.3).
func splitKeyless(compact string) (*header, []byte, error) {
	h, payload, err := split(compact)
	if err == nil && h.JWK != nil {
		return nil, nil, fmt.Errorf("%w: header jwk is not accepted", ErrMalformed)
	}
	return h, payload, err
}

// split takes a compact JWS apart and refuses what RFC 7515 §5.2 and RFC 8725 §3 tell to refuse.
func split(compact string) (*header, []byte, error) {
	if len(compact) > MaxToken {
		return nil, nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxToken)
	}
	if strings.Count(compact, ".") != 2 {
		return nil, nil, fmt.Errorf("%w: not a compact JWS", ErrMalformed)
	}
	first, rest, _ := strings.Cut(compact, ".")
	second, third, _ := strings.Cut(rest, ".")
	rawHeader, err := decode(first)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: header is not base64url", ErrMalformed)
	}
	payload, err := decode(second)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: payload is not base64url", ErrMalformed)
	}
	if _, err := decode(third); err != nil || third == "" {
		return nil, nil, fmt.Errorf("%w: signature is not base64url", ErrMalformed)
	}
	h, err := readHeader(rawHeader)
	switch {
	case err != nil:
		return nil, nil, err
	case h.Enc != nil: // RFC 7516 §9: then it is not a JWS
		return nil, nil, fmt.Errorf("%w: header enc is not accepted", ErrMalformed)
	}
	return h, payload, nil
}

// readHeader reads a JOSE header and refuses the members that nothing here may act on.
func readHeader(data []byte) (*header, error) {
	if len(data) > maxHeader {
		return nil, fmt.Errorf("%w: header is longer than %d bytes", ErrMalformed, maxHeader)
	}
	h := new(header)
	if err := Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	for _, refused := range []struct {
		name  string
		value rawValue
	}{
		{"jku", h.JKU}, {"x5u", h.X5U}, {"x5c", h.X5C}, {"crit", h.Crit}, {"b64", h.B64}, {"zip", h.Zip},
		{"p2c", h.P2C}, {"p2s", h.P2S},
	} {
		if refused.value != nil {
			return nil, fmt.Errorf("%w: header %s is not accepted", ErrMalformed, refused.name)
		}
	}
	return h, nil
}

// parse hands a token that split has taken to the JOSE library, which may use this one algorithm.
func parse(compact string, alg Alg) (*jose.JSONWebSignature, error) {
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return jws, nil
}

// rawValue keeps the bytes of a JSON value; nil where the member is absent.
type rawValue []byte

// UnmarshalJSON keeps a copy of the bytes.
func (r *rawValue) UnmarshalJSON(data []byte) error {
	*r = bytes.Clone(data)
	return nil
}
