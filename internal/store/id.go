package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// NewID returns 128 random bits as 22 characters of base64url.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// shard puts an id into one of 65,536 buckets: FNV-1a of its text, folded to 16 bits. It is part of every
// stored key, so it can never change.
func shard(id string) int64 {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int64(h>>16 ^ h&0xffff)
}

// digest names what must be findable but not readable, or would be too long for a key.
func digest(kind, key string) []byte {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(key))
	return h.Sum(nil)
}
