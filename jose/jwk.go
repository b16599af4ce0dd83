package jose

import (
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
)

// document has the members of a JWK that are checked before the JOSE library reads it (RFC 7517 §4, RFC 7518 §6,
// RFC 8037 §2). Its numbers are strings of base64url.
type document struct {
	Alg string   `json:"alg"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
	N   string   `json:"n"`
	E   string   `json:"e"`
	X   string   `json:"x"`
	Y   string   `json:"y"`
	D   string   `json:"d"`
	P   string   `json:"p"`
	Q   string   `json:"q"`
	DP  string   `json:"dp"`
	DQ  string   `json:"dq"`
	QI  string   `json:"qi"`
}

// ParseKey reads one JWK (RFC 7517 §4): public or private, never symmetric, at most 16 KiB. It refuses a key whose use
// or key_ops speak against signatures, whose alg does not fit its type, or whose members are not canonical base64url.
// Every error is an ErrKey.
func ParseKey(data []byte) (Key, error) {
	jwk, err := readJWK(data, (*document).checkSigning)
	if err != nil {
		return Key{}, err
	}
	if signer, ok := jwk.Key.(crypto.Signer); ok {
		k, err := FromPrivate(signer, Alg(jwk.Algorithm))
		return k.WithID(jwk.KeyID), err
	}
	k, err := FromPublic(jwk.Key, Alg(jwk.Algorithm))
	return k.WithID(jwk.KeyID), err
}

// readJWK hands a JWK to the JOSE library once its document has passed.
func readJWK(data []byte, check func(*document) error) (*jose.JSONWebKey, error) {
	if len(data) > maxKey {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKey)
	}
	var doc document
	if err := Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := check(&doc); err != nil {
		return nil, err
	}
	for _, number := range []string{doc.N, doc.E, doc.X, doc.Y, doc.D, doc.P, doc.Q, doc.DP, doc.DQ, doc.QI} {
		if _, err := decode(number); err != nil {
			return nil, fmt.Errorf("%w: a member is not canonical base64url", ErrKey)
		}
	}
	jwk := new(jose.JSONWebKey)
	if err := jwk.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if p, ok := jwk.Key.(*rsa.PrivateKey); ok {
		p.Precompute() // crypto/rsa would do it again for every use
	}
	return jwk, nil
}

func (d *document) checkSigning() error {
	op := "verify"
	if d.D != "" {
		op = "sign"
	}
	switch {
	case d.Use != "" && d.Use != "sig":
		return fmt.Errorf("%w: use is not sig", ErrKey)
	case !d.allows([]string{"sign", "verify"}, op):
		return fmt.Errorf("%w: key_ops does not list %s, lists it twice or lists what is no signing", ErrKey, op)
	case d.Alg != "" && !Alg(d.Alg).Supported():
		return fmt.Errorf("%w: alg is not supported", ErrKey)
	}
	return nil
}

// encryptionOps are for the side that encrypts, for the one that decrypts, and for both (RFC 7517 §4.3).
var encryptionOps = []string{"encrypt", "wrapKey", "decrypt", "unwrapKey", "deriveKey", "deriveBits"}

func (d *document) checkEncryption() error {
	ops := []string{"encrypt", "wrapKey", "deriveKey", "deriveBits"}
	if d.D != "" {
		ops = []string{"decrypt", "unwrapKey", "deriveKey", "deriveBits"}
	}
	switch {
	case d.Use != "" && d.Use != "enc":
		return fmt.Errorf("%w: use is not enc", ErrKey)
	case !d.allows(encryptionOps, ops...):
		return fmt.Errorf("%w: key_ops does not list %s, lists it twice or lists what is no encryption", ErrKey, ops[0])
	}
	return nil
}

// allows says whether key_ops, where it is there, has one of the needed operations and none that is not related to
// them, each once (RFC 7517 §4.3).
func (d *document) allows(related []string, needed ...string) bool {
	if d.Ops == nil {
		return true
	}
	found := false
	for i, op := range d.Ops {
		if !slices.Contains(related, op) || slices.Contains(d.Ops[:i], op) {
			return false
		}
		found = found || slices.Contains(needed, op)
	}
	return found
}

// holdsSecret says whether a JWK of whatever type has a member that only private and symmetric keys have, or cannot be
// read at all (RFC 7518 §6.2.2, §6.3.2, §6.4, RFC 9964 for priv).
func holdsSecret(data []byte) bool {
	var members map[string]rawValue
	if err := Unmarshal(data, &members); err != nil {
		return true
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, ok := members[name]; ok {
			return true
		}
	}
	return false
}

// Set is a JWK set (RFC 7517 §5).
type Set struct {
	Keys       []Key           // that verify signatures
	Encryption []EncryptionKey // to encrypt to
}

// ParseSet reads a set of public keys. A key is one to encrypt to where its use, its key_ops or its alg say so, as OpenID
// Connect Registration §2 asks of sets with both kinds, and else one that verifies. Keys of types, uses or algorithms
// this package does not know are skipped, as RFC 7517 §5 asks; a private or symmetric key makes the whole set refused,
// for its owner has a leak to mend.
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
		if holdsSecret(raw) {
			return Set{}, fmt.Errorf("%w: the set publishes a private or symmetric key", ErrKey)
		}
		if k, err := ParseKey(raw); err == nil {
			s.Keys = append(s.Keys, k)
		} else if k, err := ParseEncryptionKey(raw); err == nil {
			s.Encryption = append(s.Encryption, k)
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

// FindEncryption lists the keys to encrypt to by this algorithm, and of this kid unless it is "". Their owner's order is
// kept: who asks for one takes the first.
func (s Set) FindEncryption(kid string, a KeyAlg) []EncryptionKey {
	var found []EncryptionKey
	for _, k := range s.Encryption {
		if k.Fits(a) && (kid == "" || k.id == "" || k.id == kid) {
			found = append(found, k)
		}
	}
	return found
}

// MarshalJSON writes {"keys":[…]} with public parts only.
func (s Set) MarshalJSON() ([]byte, error) {
	public := make([]any, 0, len(s.Keys)+len(s.Encryption))
	for i := range s.Keys {
		public = append(public, s.Keys[i].Public())
	}
	for i := range s.Encryption {
		public = append(public, s.Encryption[i].Public())
	}
	return json.Marshal(struct {
		Keys []any `json:"keys"`
	}{public})
}
