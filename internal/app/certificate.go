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
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

// reload reads the files if they are newer than what is in use. A pair that does not fit changes nothing.
func (c *certificate) reload() error {
	newest, err := newestOf(c.certFile, c.keyFile)
	if err != nil || !newest.After(c.changed) {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	c.changed = newest
	return nil
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
