package keys

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const hidden = "[hidden]"

// Secret is a text that must not be seen. However it is printed, logged or marshalled, it says [hidden].
type Secret string

// NewSecret returns 256 random bits in base64url, 43 characters.
func NewSecret() Secret {
	b := make([]byte, 32)
	rand.Read(b) // never fails (package crypto/rand)
	return Secret(base64.RawURLEncoding.EncodeToString(b))
}

// Reveal returns the text itself. Call it where the text leaves for its owner or is hashed, nowhere else.
func (s Secret) Reveal() string { return string(s) }

// Format hides the text from every verb of fmt, %d and other wrong ones included.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// String hides the text.
func (s Secret) String() string { return hidden }

// GoString hides the text.
func (s Secret) GoString() string { return hidden }

// LogValue hides the text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the text, in JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Handle joins the id of a record and its secret to what the owner is given: "<id>.<secret>".
func Handle(id string, secret Secret) string { return id + "." + string(secret) }

// maxHandle is the longest handle that is looked at, in bytes: an id and a secret have 66.
const maxHandle = 256

// SplitHandle takes a handle apart. ok is false unless both parts are there and all of it is base64url, so
// neither part can mean anything to a query or a log.
func SplitHandle(handle string) (id, secret string, ok bool) {
	if len(handle) > maxHandle {
		return "", "", false
	}
	id, secret, ok = strings.Cut(handle, ".")
	if !ok || !isBase64URL(id) || !isBase64URL(secret) {
		return "", "", false
	}
	return id, secret, true
}

func isBase64URL(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}
