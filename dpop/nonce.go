package dpop

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// step is how long a nonce is the current one; the two before it are accepted too.
const step = 30 * time.Second

// Nonces makes and recognises server nonces (§8) without storing any: a nonce is a MAC over the current half minute.
// All nodes of a server share the key.
type Nonces struct{ key []byte }

// NewNonces needs a secret key of 32 bytes that is used for nothing else.
func NewNonces(key []byte) *Nonces { return &Nonces{key: bytes.Clone(key)} }

// Current is the nonce to hand out now.
func (n *Nonces) Current(now time.Time) string { return n.at(now.Unix() / int64(step/time.Second)) }

// Valid says whether a nonce was handed out in the last 60 to 90 seconds.
func (n *Nonces) Valid(nonce string, now time.Time) bool {
	current, ok := now.Unix()/int64(step/time.Second), false
	for back := range int64(3) {
		if hmac.Equal([]byte(nonce), []byte(n.at(current-back))) {
			ok = true
		}
	}
	return ok
}

func (n *Nonces) at(count int64) string {
	mac := hmac.New(sha256.New, n.key)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(count))
	mac.Write(b[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
