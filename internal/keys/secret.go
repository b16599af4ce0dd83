package keys

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"strings"
)

// hidden is what every secret prints as.
const hidden = "[hidden]"

// Secret is a value that must not be seen: it prints as [hidden] in text, JSON and logs. Reveal is the one way out.
type Secret string

// NewSecret makes a secret of 256 random bits, 43 characters of base64url.
func NewSecret() Secret {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return Secret(base64.RawURLEncoding.EncodeToString(b))
}

// Reveal gives the value to whoever may send it to its owner.
func (s Secret) Reveal() string { return string(s) }

// String hides the value.
func (Secret) String() string { return hidden }

// GoString hides the value.
func (Secret) GoString() string { return hidden }

// LogValue hides the value.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON hides the value.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// Handle joins the id of a row with the secret that proves one may use it: "<id>.<secret>".
func Handle(id string, secret Secret) string { return id + "." + secret.Reveal() }

// maxHandle is longer than any handle made here.
const maxHandle = 256

// SplitHandle takes a handle apart; ok is false for what cannot be one.
func SplitHandle(handle string) (id, secret string, ok bool) {
	if len(handle) > maxHandle {
		return "", "", false
	}
	id, secret, ok = strings.Cut(handle, ".")
	if !ok || id == "" || secret == "" || strings.Contains(secret, ".") || !isText(id) || !isText(secret) {
		return "", "", false
	}
	return id, secret, true
}

func isText(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			continue
		}
		return false
	}
	return true
}
