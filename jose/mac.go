package jose

import (
	"bytes"
	"fmt"
	"io"
)

// MAC is a keyed hash (RFC 7518 §3.2). It is no Alg, and a Secret is no Key, so that no list and no call can mix
// them up: a public key never becomes the secret of an HMAC (RFC 8725 §2.1).
type MAC string

// The keyed hashes there are.
const (
	HS256 MAC = "HS256"
	HS384 MAC = "HS384"
	HS512 MAC = "HS512"
)

// Supported says whether the algorithm is on the closed list.
func (m MAC) Supported() bool { return m.size() > 0 }

// size is the length of the hash in bytes, and the least of its secret.
func (m MAC) size() int {
	switch m {
	case HS256:
		return 32
	case HS384:
		return 48
	case HS512:
		return 64
	}
	return 0
}

// Secret is shared by two parties, as a client secret is. It prints as [hidden].
type Secret struct {
	_     [0]func() // not comparable: == takes a time that tells
	value []byte
}

// NewSecret wraps the bytes of a secret, of which there are at least 32 (RFC 7518 §3.2).
func NewSecret(value []byte) (Secret, error) {
	if len(value) < HS256.size() {
		return Secret{}, fmt.Errorf("%w: a secret has at least %d bytes", ErrKey, HS256.size())
	}
	return Secret{value: bytes.Clone(value)}, nil
}

const hidden = "[hidden]"

// Format is for fmt, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText is for JSON and for logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// VerifyMAC checks a token that was made with a shared secret, as client_secret_jwt is (OpenID Connect Core §9). Secrets
// shorter than the hash are passed over. It is for that and nothing else: whoever can check such a token can make it.
func VerifyMAC(compact string, macs []MAC, secrets ...Secret) (*Token, error) {
	h, payload, err := splitKeyless(compact)
	if err != nil {
		return nil, err
	}
	m, err := allowed(h.Alg, macs)
	if err != nil {
		return nil, err
	}
	jws, err := parse(compact, Alg(m))
	if err != nil {
		return nil, err
	}
	err = ErrNoKey
	for _, s := range secrets {
		if len(s.value) < m.size() {
			continue
		}
		if _, wrong := jws.Verify(s.value); wrong == nil {
			return h.token(payload), nil
		}
		err = ErrSignature
	}
	return nil, err
}
