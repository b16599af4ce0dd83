package dpop

import (
	"net/url"
	"strings"
)

// normalise applies the syntax- and scheme-based normalisation of RFC 3986 §6.2.2 and §6.2.3 without query and
// fragment, as §4.3 asks. It takes http and https URLs in the characters of RFC 3986 §2 only.
func normalise(raw string) (string, bool) {
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Hostname() == "" || u.Opaque != "" {
		return "", false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	switch u.Scheme { // url.Parse has put it into lower case
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return "", false
	}
	return u.Scheme + "://" + host + withoutDots(unescape(u.EscapedPath())), true
}

// unescape puts percent-encodings into their one form (RFC 3986 §6.2.2.1, §6.2.2.2): upper case, and unreserved
// characters as themselves. url.Parse has made sure that two hexadecimal digits follow each percent sign.
func unescape(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		if isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

// withoutDots resolves the segments "." and ".." (RFC 3986 §5.2.4, §6.2.2.3) and gives the empty path its slash
// (§6.2.3). Empty segments stay, unlike with path.Clean.
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		return "/" + strings.TrimPrefix(path, "/")
	}
	segments := strings.Split(path, "/")[1:]
	var kept []string
	for i, s := range segments {
		if s != "." && s != ".." {
			kept = append(kept, s)
			continue
		}
		if s == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if i == len(segments)-1 { // a folder keeps its slash
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
