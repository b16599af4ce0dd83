// Package ca has what Holdfast does with certificates: matching those of clients (RFC 8705), and the small authorities
// of a development landscape. Path building and signatures are the standard library's.
package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// ErrUntrusted says that a certificate does not chain to a trusted root, or not now; ErrSubject, that it is not the
// one registered.
var (
	ErrUntrusted = errors.New("ca: the certificate is not trusted")
	ErrSubject   = errors.New("ca: the certificate is not the registered one")
)

// Thumbprint is the x5t#S256 of a certificate (RFC 8705 §3.1).
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// VerifyClient builds the path from a client certificate to one of the roots, as TLS would if it were asked to.
func VerifyClient(leaf *x509.Certificate, chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return nil
}

// MatchSubject compares a certificate with the one subject that a client has registered (RFC 8705 §2.1.2).
func MatchSubject(cert *x509.Certificate, m *oauth.ClientMetadata) error {
	var ok bool
	switch {
	case m.TLSSubjectDN != "":
		ok = sameDN(cert, m.TLSSubjectDN)
	case m.TLSSANDNS != "":
		ok = slices.ContainsFunc(cert.DNSNames, func(n string) bool { return strings.EqualFold(n, m.TLSSANDNS) })
	case m.TLSSANURI != "":
		for _, u := range cert.URIs {
			ok = ok || u.String() == m.TLSSANURI
		}
	case m.TLSSANIP != "":
		want, err := netip.ParseAddr(m.TLSSANIP)
		for _, ip := range cert.IPAddresses {
			got, valid := netip.AddrFromSlice(ip)
			ok = ok || err == nil && valid && got.Unmap() == want.Unmap()
		}
	case m.TLSSANEmail != "":
		ok = slices.Contains(cert.EmailAddresses, m.TLSSANEmail)
	}
	if !ok {
		return ErrSubject
	}
	return nil
}

// MatchKey says whether a self-signed certificate holds one of the client's registered keys (RFC 8705 §2.2), and is
// valid now.
func MatchKey(cert *x509.Certificate, set []jose.Key, now time.Time) error {
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return fmt.Errorf("%w: it has expired or is not valid yet", ErrUntrusted)
	}
	key, err := jose.FromPublic(cert.PublicKey, "")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSubject, err)
	}
	for _, k := range set {
		if k.Thumbprint() == key.Thumbprint() {
			return nil
		}
	}
	return ErrSubject
}

// attributeNames are the short names of RFC 4514 §3 and the ones that certificates carry besides.
var attributeNames = map[string]string{
	"CN": "2.5.4.3", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "STREET": "2.5.4.9",
	"O": "2.5.4.10", "OU": "2.5.4.11", "POSTALCODE": "2.5.4.17", "ORGANIZATIONIDENTIFIER": "2.5.4.97",
	"UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25", "E": "1.2.840.113549.1.9.1", "EMAILADDRESS": "1.2.840.113549.1.9.1",
}

// sameDN compares attribute by attribute, in the order of RFC 4514 (most specific first), because one name has many
// spellings as a string.
func sameDN(cert *x509.Certificate, registered string) bool {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &rdns); err != nil || len(rest) > 0 {
		return false
	}
	want, ok := parseDN(registered)
	if !ok || len(want) != len(rdns) {
		return false
	}
	for i, set := range rdns {
		w := want[len(want)-1-i] // RFC 4514 writes the last one first
		if len(set) != len(w) {
			return false
		}
		for _, a := range set {
			value, text := a.Value.(string)
			if !text || !slices.Contains(w, attribute{a.Type.String(), fold(value)}) {
				return false
			}
		}
	}
	return true
}

type attribute struct{ oid, value string }

// fold is caseIgnoreMatch, near enough for names: case and inner spaces do not count (RFC 4517 §4.2.11).
func fold(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// parseDN reads the string form of RFC 4514 §3.
func parseDN(s string) (rdns [][]attribute, ok bool) {
	if len(s) > 4096 {
		return nil, false
	}
	var set []attribute
	for s != "" {
		name, rest, found := strings.Cut(s, "=")
		if !found {
			return nil, false
		}
		value, end, rest, good := cutValue(rest)
		name = strings.TrimSpace(name)
		oid, known := attributeNames[strings.ToUpper(name)]
		if !known {
			oid = strings.TrimPrefix(strings.ToUpper(name), "OID.")
		}
		if !good || oid == "" {
			return nil, false
		}
		set = append(set, attribute{oid, fold(value)})
		if end != '+' {
			rdns, set = append(rdns, set), nil
		}
		s = rest
	}
	return rdns, len(rdns) > 0 && set == nil
}

// cutValue reads one attribute value up to a separator that is not escaped.
func cutValue(s string) (value string, end byte, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ',', '+', ';':
			return b.String(), c, s[i+1:], true
		case '\\':
			if i+1 >= len(s) {
				return "", 0, "", false
			}
			if n, hex := unhex(s[i+1:]); hex {
				b.WriteByte(n)
				i += 2
				continue
			}
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), 0, "", true
}

func unhex(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	const digits = "0123456789abcdef"
	high, low := strings.IndexByte(digits, s[0]|0x20), strings.IndexByte(digits, s[1]|0x20)
	return byte(high<<4 | low), high >= 0 && low >= 0
}
