package objects

import (
	"net/netip"
	"net/url"
	"strings"
)

const (
	maxURI  = 2000 // characters
	maxName = 200  // characters
)

// checkRedirect asks of a redirect URI what RFC 6749 §3.1.2, RFC 8252 §7 and OAuth 2.1 §4.1.1 ask: absolute,
// no fragment, nothing that is matched by pattern, https, or http on loopback, or a private-use scheme where
// the client says so.
func (p *preparation) checkRedirect(path, raw string, customSchemes bool) {
	if !p.checkURIText(path, raw) {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || !u.IsAbs():
		p.report(path, "is not an absolute URI", "write for example https://app.example.com/callback")
	case hasFragment(raw):
		p.report(path, "has a fragment", "leave out what begins with # (RFC 6749 §3.1.2)")
	case u.User != nil:
		p.report(path, "carries a user name", "leave it out")
	case strings.Contains(raw, "*"):
		p.report(path, "has a wildcard", "register every redirect URI in full: they are compared as whole strings")
	case u.Scheme == "https" && u.Hostname() != "":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	case u.Scheme == "http":
		p.report(path, "is http beyond loopback", "use https")
	case u.Scheme == "https":
		p.report(path, "has no host", "write for example https://app.example.com/callback")
	case !strings.Contains(u.Scheme, "."):
		p.report(path, "has a scheme that anybody could claim", "use https, or a scheme that is your domain in reverse, like com.example.app (RFC 8252 §7.1)")
	case !customSchemes:
		p.report(path, "has a private-use scheme, which other apps can claim too", "use https, or set allow_custom_scheme_redirects")
	}
}

// checkWeb asks for a URI that is shown to people or called by the server: https, or http on loopback.
func (p *preparation) checkWeb(path, raw string) {
	if raw == "" || !p.checkURIText(path, raw) {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || hasFragment(raw):
		p.report(path, "is not a plain URL", "write for example https://app.example.com/about")
	case u.Scheme == "http" && !isLoopback(u.Hostname()), u.Scheme != "https" && u.Scheme != "http":
		p.report(path, "is not https", "use https")
	}
}

// checkHTTPS asks for an https URL without exceptions.
func (p *preparation) checkHTTPS(path, raw string) {
	if raw == "" {
		return
	}
	if u, err := url.Parse(raw); err == nil && u.Scheme == "http" {
		p.report(path, "is not https", "use https")
		return
	}
	p.checkWeb(path, raw)
}

func (p *preparation) checkURIText(path, raw string) bool {
	switch {
	case len(raw) > maxURI:
		p.report(path, "is longer than 2,000 characters", "shorten it")
	case raw == "" || !isURIText(raw):
		p.report(path, "is not a URI", "use the characters of RFC 3986 only")
	default:
		return true
	}
	return false
}

// isURIText says whether all characters may stand in a URI (RFC 3986 §2). A backslash, which browsers read
// as a slash, may not.
func isURIText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte("\\\"<>^`{|}", s[i]) >= 0 {
			return false
		}
	}
	return true
}

func hasFragment(raw string) bool { return strings.Contains(raw, "#") }

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// isClientID says whether s is a client_id (RFC 6749 appendix A.1), here without spaces.
func isClientID(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// checkScopes asks for scope-tokens (RFC 6749 §3.3).
func (p *preparation) checkScopes(path string, scopes []string) {
	for i, s := range scopes {
		where := at(path, i)
		if path == "name" || path == "scope" {
			where = path
		}
		if s == "" || len(s) > maxName || strings.ContainsFunc(s, notScope) {
			p.report(where, "has a character no scope may have, or is too long", "use letters, digits, dots and colons (RFC 6749 §3.3)")
		}
	}
}

func notScope(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
