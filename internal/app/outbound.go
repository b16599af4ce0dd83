package app

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/mail"
)

// newFetch makes the one client for requests to addresses that others have named.
func newFetch(c *Config) (*fetch.Client, error) {
	o := fetch.Options{Allow: map[string][]fetch.Rule{}}
	for _, r := range c.Outbound.Allow {
		o.Allow[r.Purpose] = append(o.Allow[r.Purpose], fetch.Rule{CIDR: r.CIDR, Ports: r.Ports})
	}
	if len(c.Outbound.CAFiles) == 0 {
		return fetch.New(o), nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificates: %w", err)
	}
	for _, name := range c.Outbound.CAFiles {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("outbound.ca_files: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("outbound.ca_files: %s holds no PEM certificate", name)
		}
	}
	o.RootCAs = roots
	return fetch.New(o), nil
}

// transport is the relay as the queue wants it.
func (m MailConfig) transport() mail.Config {
	return mail.Config{Host: m.Host, Port: m.Port, TLS: m.TLS, Username: m.Username, PasswordFile: m.PasswordFile}
}
