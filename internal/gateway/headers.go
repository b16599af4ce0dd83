package gateway

import (
	"net/http"
	"strings"
)

// removed are the headers that never pass, in lower case with hyphens: an underscore counts as one, since there are servers
// that make variables of both. One that ends in * is a prefix. They speak of who the caller is, how it connects, what it
// wants the request taken for, or are credentials that have been used up here.
var removed = []string{
	// credentials and what protects them
	"authorization", "proxy-authorization", "cookie", "cookie2", "dpop", "x-csrf", "x-csrf-token", "x-xsrf-token", "token-handler-version",
	// the way here
	"forwarded", "x-forwarded*", "x-real-ip", "x-client-ip", "x-original-forwarded-for", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
	"cf-connecting-ipv6", "fastly-client-ip", "x-envoy-*", "x-request-id", "x-host", "x-scheme", "x-forwarder-*", "proxy",
	// another method, path or host than the one that was checked
	"x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-original-uri", "x-original-host", "x-original-method", "x-rewrite-url",
	// certificates, as terminators hand them on
	"client-cert", "client-cert-chain", "x-client-cert*", "ssl-client-*", "x-ssl-*", "ssl-*", "x-amzn-mtls-*", "x-arr-clientcert", "x-arr-ssl", "x-tls-*",
	"x-client-verify", "x-client-dn", "x-clientcert*", "x-mtls-*",
	// people, as gateways and authenticating proxies name them
	"x-auth-request-*", "x-authenticated-*", "x-auth-*", "x-user", "x-user-*", "x-userinfo", "x-email", "x-remote-*", "remote-*", "x-webauth-*", "x-authentik-*",
	"x-pomerium-*", "x-goog-authenticated-*", "x-goog-iap-*", "x-ms-client-principal*", "x-ms-token-*", "x-amzn-oidc-*", "cf-access-*", "x-vouch-*",
	"x-consumer-*", "x-credential-*", "x-anonymous-consumer", "x-authenticated", "x-jwt-*", "x-endpoint-api-*", "x-apigateway-*", "x-access-token",
	"x-id-token", "x-token", "x-spiffe-*", "x-sub", "x-subject", "x-client-id", "x-scopes", "x-tenant*",
}

// removedExact and removedPrefix are removed, in a form that is quick to ask; prefixes by their first character.
var removedExact, removedPrefix = func() (map[string]bool, map[byte][]string) {
	exact, prefixes := map[string]bool{}, map[byte][]string{}
	for _, name := range removed {
		if p, ok := strings.CutSuffix(name, "*"); ok {
			prefixes[p[0]] = append(prefixes[p[0]], p)
		} else {
			exact[name] = true
		}
	}
	return exact, prefixes
}()

// isRemoved says whether a header never passes, however it is spelled.
func isRemoved(name string) bool {
	var room [64]byte // most names fit, and need no memory
	plain := room[:0]
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		plain = append(plain, c)
	}
	if len(plain) == 0 || removedExact[string(plain)] {
		return true
	}
	for _, p := range removedPrefix[plain[0]] {
		if len(plain) >= len(p) && string(plain[:len(p)]) == p {
			return true
		}
	}
	return false
}

// clean removes what never passes, and what custom names besides.
func clean(h http.Header, custom string) {
	for name := range h {
		if isRemoved(name) || custom != "" && strings.EqualFold(name, custom) {
			delete(h, name)
		}
	}
}

// ofPages are headers by which browsers tell of the page that asks. Behind a cookie they have been judged, and a server that
// judged them again would take our host for another site.
var ofPages = []string{"Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User",
	"Access-Control-Request-Method", "Access-Control-Request-Headers"}

// ownCookies are how the names of our cookies begin, in lower case; browsers compare prefixes without regard to it.
var ownCookies = []string{"__host-http-", "__host-hf-", "__secure-hf-", "hf-"}

// cleanCookies drops what an upstream sets that is one of our cookies, or that a browser would send back as one: a cookie
// without a name is sent as its value alone.
func cleanCookies(h http.Header, prefix string) {
	kept := h["Set-Cookie"][:0:0]
	for _, line := range h["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		name, _, named := strings.Cut(pair, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		own := !named || name == "" || prefix != "" && strings.HasPrefix(name, strings.ToLower(prefix))
		for _, p := range ownCookies {
			own = own || strings.HasPrefix(name, p)
		}
		if !own {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		h.Del("Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

// outside is the address for callers of one that an API has in itself; others stay as they are.
func (c *call) outside(address string) string {
	rest, own := strings.CutPrefix(address, c.route.Upstream)
	if !own || rest != "" && !strings.ContainsRune("/?#", rune(rest[0])) {
		return address
	}
	if c.route.StripPrefix && c.route.Path != "/" {
		rest = c.route.Path + rest
	}
	return c.route.origin + rest
}

// cleanAnswer takes out of an answer what we have said ourselves, and what only we may say.
func (c *call) cleanAnswer(h, own http.Header) {
	for name := range own {
		if name != "Vary" {
			h.Del(name)
		}
	}
	h.Del("DPoP-Nonce") // a proof has one nonce, and that is ours
	if at := h.Get("Location"); at != "" {
		h.Set("Location", c.outside(at))
	}
	prefix := ""
	if c.app != nil {
		prefix = c.app.CookiePrefix + "hf-"
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(h, name)
			}
		}
	}
	cleanCookies(h, prefix)
	if c.browser && h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	challenges := h["Www-Authenticate"][:0:0]
	for _, line := range h["Www-Authenticate"] {
		scheme, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "DPoP") {
			challenges = append(challenges, line)
		}
	}
	if h.Del("Www-Authenticate"); len(challenges) > 0 {
		h["Www-Authenticate"] = challenges
	}
}
