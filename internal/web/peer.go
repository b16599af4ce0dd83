package web

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/oauth"
)

func (s *wrapper) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.o.TrustedHops, func(p netip.Prefix) bool { return p.Contains(a) })
}

// behind is the caller's address as the trusted hops show it: each has added, on the right of X-Forwarded-For, whom it
// heard, so the first from the right that is not trusted itself is the caller. What stands further left anybody may
// have written.
func (s *wrapper) behind(forwarded []string, hop netip.Addr) netip.Addr {
	address := hop
	for _, text := range slices.Backward(strings.Split(strings.Join(forwarded, ","), ",")) {
		a, ok := parseAddress(strings.TrimSpace(text))
		if !ok {
			return address
		}
		address = a
		if !s.trusts(address) {
			return address
		}
	}
	return address
}

// parseAddress reads an address as proxies write it, some with a port.
func parseAddress(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddrPort(text)
	return a.Addr().Unmap().WithZone(""), err == nil
}

// takeCertificate takes the client certificate from a hop that ends TLS; from anybody else the header is only removed.
func (s *wrapper) takeCertificate(r *http.Request, e *Event, hop bool) error {
	if s.o.CertificateHeader == "" {
		return nil
	}
	values := r.Header.Values(s.o.CertificateHeader)
	r.Header.Del(s.o.CertificateHeader)
	if !hop || len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil
	}
	if len(values) > 1 {
		return oauth.Refuse(oauth.InvalidRequest, "there is more than one client certificate header")
	}
	chain, err := s.o.ParseCertificate(values[0])
	if err != nil || len(chain) == 0 {
		return oauth.Refuse(oauth.InvalidRequest, "the forwarded client certificate cannot be read").With(err)
	}
	e.Peer.Certificate, e.Peer.Chain = chain[0], chain[1:]
	return nil
}

const idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// requestID takes over the id of a trusted hop if it is a plain word of 8 to 64 characters, and makes one otherwise.
func requestID(r *http.Request, hop bool) string {
	given := r.Header.Get("X-Request-Id")
	if hop && len(given) >= 8 && len(given) <= 64 && strings.Trim(given, idCharacters) == "" {
		return given
	}
	return rand.Text()
}

// prefix is the network of an address that is kept: enough to see a pattern, too little to find a person.
func prefix(a netip.Addr) string {
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil || !a.IsValid() {
		return ""
	}
	return p.String()
}

// clip keeps what a stranger has written short, and text.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
