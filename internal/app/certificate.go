package app

import (
	"crypto/tls"
	"fmt"
	"slices"
	"sync/atomic"
)

// certificate is a listener's own, read again when its files change.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

func loadCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{}
	_, err := c.reload(certFile, keyFile)
	return c, err
}

// reload reads the files. A pair that does not fit changes nothing.
func (c *certificate) reload(certFile, keyFile string) (changed bool, err error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	before := c.current.Swap(&pair)
	return before == nil || !slices.EqualFunc(before.Certificate, pair.Certificate, slices.Equal), nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
