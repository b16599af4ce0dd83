package ca

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
)

// maxForwarded is the longest header value that is read.
const maxForwarded = 16 << 10

var errForwarded = errors.New("ca: the header holds no certificate")

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
