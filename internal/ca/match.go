// Package ca has what Holdfast does with certificates: matching those of clients (RFC 8705), and the small authorities
// of a development landscape. Path building and signatures are the standard library's.
package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
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

// MatchSubject compares a certificate with the one subject that a client has registered (RFC 8705 §2.1.2). A client
// that has registered none, or several, has no certificate.
func MatchSubject(cert *x509.Certificate, m *oauth.ClientMetadata) error {
	registered := 0
	for _, s := range []string{m.TLSSubjectDN, m.TLSSANDNS, m.TLSSANURI, m.TLSSANIP, m.TLSSANEmail} {
		if s != "" {
			registered++
		}
	}
	if registered != 1 || !matches(cert, m) {
		return ErrSubject
	}
	return nil
}

func matches(cert *x509.Certificate, m *oauth.ClientMetadata) bool {
	switch {
	case m.TLSSubjectDN != "":
		return sameDN(cert, m.TLSSubjectDN)
	case m.TLSSANDNS != "":
		return slices.ContainsFunc(cert.DNSNames, func(n string) bool { return strings.EqualFold(n, m.TLSSANDNS) })
	case m.TLSSANURI != "":
		return slices.ContainsFunc(cert.URIs, func(u *url.URL) bool { return u.String() == m.TLSSANURI })
	case m.TLSSANIP != "":
		want := net.ParseIP(m.TLSSANIP)
		return want != nil && slices.ContainsFunc(cert.IPAddresses, want.Equal)
	default:
		return slices.Contains(cert.EmailAddresses, m.TLSSANEmail)
	}
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
