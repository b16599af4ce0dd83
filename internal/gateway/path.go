package gateway

import (
	"errors"
	"strings"
	"unicode/utf8"
)

const (
	maxPath     = 4096 // bytes
	maxSegments = 128
)

var errPath = errors.New("gateway: a path that can be read in more than one way")

// normalise gives the one form of a path, with which routes are matched and which the upstream is sent (RFC 3986 §6.2.2):
// unreserved characters are never escaped, escapes are upper case. A path that somebody behind might read as another one is
// refused, not repaired: dot segments in any spelling, escaped slashes and backslashes, an escaped percent sign, which a
// second reader would decode again, empty segments, parameters after a semicolon, control characters, what is no UTF-8.
func normalise(escaped string) (path, decoded string, err error) {
	if len(escaped) > maxPath || !strings.HasPrefix(escaped, "/") {
		return "", "", errPath
	}
	var normal, plain strings.Builder
	normal.Grow(len(escaped))
	plain.Grow(len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' {
			if !isUnreserved(c) && strings.IndexByte(plainDelimiters, c) < 0 {
				return "", "", errPath
			}
			normal.WriteByte(c)
			plain.WriteByte(c)
			continue
		}
		if i+2 >= len(escaped) {
			return "", "", errPath
		}
		hi, lo := unhex(escaped[i+1]), unhex(escaped[i+2])
		c = hi<<4 | lo
		i += 2
		if hi > 15 || lo > 15 || c < ' ' || c == 0x7f || strings.IndexByte(neverEscaped, c) >= 0 {
			return "", "", errPath
		}
		plain.WriteByte(c)
		if isUnreserved(c) {
			normal.WriteByte(c)
		} else {
			normal.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return normal.String(), plain.String(), checkSegments(plain.String())
}

const (
	plainDelimiters = "/!$&'()*+,=:@" // that may stand in a path as they are: pchar of RFC 3986 §3.3 without ";"
	neverEscaped    = "/\\%;"         // whose escapes mean different things to different readers
	hexDigits       = "0123456789ABCDEF"
)

func checkSegments(plain string) error {
	if !utf8.ValidString(plain) {
		return errPath
	}
	rest, n := plain[1:], 0
	for more := rest != ""; more; n++ {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch {
		case n >= maxSegments, segment == "." || segment == "..", segment == "" && more:
			return errPath
		}
	}
	return nil
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
