package ca

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"sync"
)

// maxForwarded is the longest header value that is read.
const maxForwarded = 16 << 10

var errForwarded = errors.New("ca: the header holds no certificate")

// Forwarded reads client certificates that proxies hand over, and remembers them: the same few come with request after
// request, and reading one anew costs as much as everything else that a certificate is asked. The zero value works.
type Forwarded struct {
	mu    sync.Mutex
	known map[string][]*x509.Certificate
}

// Bounds on what is remembered.
const (
	maxKnown  = 1000
	longKnown = 4 << 10 // bytes of a value
)

// Parse is ParseForwarded. What it returns is shared and must not be changed.
func (f *Forwarded) Parse(value string) ([]*x509.Certificate, error) {
	f.mu.Lock()
	chain := f.known[value]
	f.mu.Unlock()
	if chain != nil {
		return chain, nil
	}
	chain, err := ParseForwarded(value)
	if err != nil || len(value) > longKnown {
		return chain, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= maxKnown {
		f.known = map[string][]*x509.Certificate{}
	}
	f.known[value] = chain
	return chain, nil
}

// ParseForwarded reads a client certificate that a proxy hands over: the byte sequence of RFC 9440 §2.1
// (":base64:"), or URL-escaped PEM as nginx writes it. The leaf comes first.
func ParseForwarded(value string) ([]*x509.Certificate, error) {
	if len(value) > maxForwarded {
		return nil, errForwarded
	}
	if rest, ok := strings.CutPrefix(value, ":"); ok {
		text, ok := strings.CutSuffix(rest, ":")
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if !ok || err != nil || strings.ContainsAny(text, "\r\n") {
			return nil, errForwarded
		}
		return one(der)
	}
	text, err := url.PathUnescape(value)
	if err != nil {
		return nil, errForwarded
	}
	block, rest := pem.Decode([]byte(text))
	if !strings.HasPrefix(text, "-----BEGIN ") || block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, errForwarded
	}
	return one(block.Bytes)
}

func one(der []byte) ([]*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{cert}, nil
}
