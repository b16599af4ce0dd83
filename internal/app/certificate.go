package app

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// certificate is a listener's own, read again when its files change.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
	changed           time.Time
}

func loadCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{}
	_, err := c.reload(certFile, keyFile)
	return c, err
}

// reload reads the files if they are others than those in use, or have changed. A pair that does not fit changes
// nothing.
func (c *certificate) reload(certFile, keyFile string) (changed bool, err error) {
	newest, err := newestOf(certFile, keyFile)
	if err != nil || certFile == c.certFile && keyFile == c.keyFile && newest.Equal(c.changed) {
		return false, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return false, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	c.current.Store(&pair)
	c.certFile, c.keyFile, c.changed = certFile, keyFile, newest
	return true, nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

func newestOf(names ...string) (newest time.Time, err error) {
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return newest, err
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest, nil
}
