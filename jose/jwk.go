package jose

import (
	"crypto"
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
	if len(data) > maxKey {
		return Key{}, fmt.Errorf("%w: longer than %d bytes", ErrKey, maxKey)
	}
	var doc document
	if err := Unmarshal(data, &doc); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := doc.check(); err != nil {
		return Key{}, err
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(data); err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if signer, ok := jwk.Key.(crypto.Signer); ok {
		k, err := FromPrivate(signer, Alg(doc.Alg))
		return k.WithID(jwk.KeyID), err
	}
	k, err := FromPublic(jwk.Key, Alg(doc.Alg))
	return k.WithID(jwk.KeyID), err
}

func (d *document) check() error {
	op := "verify"
	if d.D != "" {
		op = "sign"
	}
	switch {
	case d.Use != "" && d.Use != "sig":
		return fmt.Errorf("%w: use is not sig", ErrKey)
	case d.Ops != nil && !slices.Contains(d.Ops, op):
		return fmt.Errorf("%w: key_ops does not list %s", ErrKey, op)
	case d.Alg != "" && !Alg(d.Alg).Supported():
		return fmt.Errorf("%w: alg is not supported", ErrKey)
	}
	for _, number := range []string{d.N, d.E, d.X, d.Y, d.D, d.P, d.Q, d.DP, d.DQ, d.QI} {
		if _, err := decode(number); err != nil {
			return fmt.Errorf("%w: a member is not canonical base64url", ErrKey)
		}
	}
	return nil
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
		if holdsSecret(raw) {
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
