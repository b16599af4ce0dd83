package dev

import (
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
)

type authorities struct{ servers, partners *ca.Authority }

// prepare makes what is missing: authorities, certificates, the key ring, the keys of clients, objects and the
// configuration. What is there already stays as it is.
func (l *landscape) prepare(now time.Time) (err error) {
	if l.roots.servers, err = ca.Development(l.path("ca"), l.Host, now); err != nil {
		return err
	}
	if l.roots.partners, err = ca.Partners(l.path("partners"), now); err != nil {
		return err
	}
	if _, _, err := l.roots.servers.Server("server", l.hosts(), now); err != nil {
		return err
	}
	if _, _, err := l.roots.partners.Client("partner", pkix.Name{CommonName: partnerName, Organization: []string{"Holdfast"}}, nil, now); err != nil {
		return err
	}
	if _, _, err := l.roots.partners.Client(gatewayName, pkix.Name{CommonName: gatewayName, Organization: []string{"Holdfast"}}, nil, now); err != nil {
		return err
	}
	if _, err := os.Stat(l.path("ring.json")); errors.Is(err, fs.ErrNotExist) {
		if _, err := keys.CreateRing(l.path("ring.json")); err != nil {
			return err
		}
	}
	if _, err := os.Stat(l.path("admin.token")); errors.Is(err, fs.ErrNotExist) {
		if err := keys.WriteFile(l.path("admin.token"), []byte(keys.NewSecret().Reveal()+"\n")); err != nil {
			return err
		}
	}
	if err := l.writeObjects(); err != nil {
		return err
	}
	text := l.configuration()
	if l.change != nil {
		text = l.change(l.folder, text)
	}
	return keys.WriteFile(l.path("holdfast.yaml"), []byte(text))
}

// clientKey is the key of a client: a file with the private JWK, made once, and its public part for the registration.
func (l *landscape) clientKey(name string) (jose.Set, error) {
	file := l.path("clients", name+".jwk")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := jose.GenerateKey(jose.ES256)
		if err != nil {
			return jose.Set{}, err
		}
		if data, err = json.MarshalIndent(key, "", "  "); err != nil {
			return jose.Set{}, fmt.Errorf("marshal key: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return jose.Set{}, fmt.Errorf("make folder: %w", err)
		}
		if err := keys.WriteFile(file, data); err != nil {
			return jose.Set{}, err
		}
	} else if err != nil {
		return jose.Set{}, fmt.Errorf("read key of client: %w", err)
	}
	key, err := jose.ParseKey(data)
	if err != nil {
		return jose.Set{}, fmt.Errorf("%s: %w", file, err)
	}
	return jose.Set{Keys: []jose.Key{key.Public()}}, nil
}

// configuration is the same file an operator would write, with every part on loopback.
func (l *landscape) configuration() string {
	return fmt.Sprintf(`# Written by holdfast dev at every start. Copy it to have a configuration of your own.
environment: test
database:
  url: %[9]s
key_ring: ring.json
listeners:
  - name: pages            # people and ordinary clients; never asks for a certificate
    address: %[2]s
    hosts: [login.%[1]s, api.%[1]s, app.%[1]s, backoffice.%[1]s, theft.%[1]s]
    tls: {certificate: ca/server.pem, key: ca/server.key}
  - name: mtls             # partners with certificates
    address: %[3]s
    hosts: [mtls.login.%[1]s, mtls.api.%[1]s]
    tls: {certificate: ca/server.pem, key: ca/server.key}
    client_certificate: request
  - name: admin
    address: %[4]s
    hosts: [admin.%[1]s]
    tls: {certificate: ca/server.pem, key: ca/server.key}
tenants:
  - name: main
    issuer: %[5]s
    mtls_issuer: %[6]s
    admin_url: %[7]s
    display_name: Holdfast
    relying_party_id: %[1]s
    client_ca_files: [partners/root.pem]
    token_handler:         # for browser applications; on the host of the gateway, which opens its cookies
      url: %[10]s
    gateway:
      urls: [%[11]s, %[12]s]
      client_id: gateway
      certificate: partners/gateway.pem
      key: partners/gateway.key
      upstream_ca_files: [ca/root.pem]
admin:
  token_file: admin.token
mail:
  from: Holdfast <no-reply@%[1]s>
  host: 127.0.0.1
  port: %[8]d
  tls: none
log: {format: text}
`, l.Host, l.address(portPages), l.address(portMTLS), l.address(portAdmin), l.issuer(), l.mtlsIssuer(), l.admin(), l.smtpPort(), l.dbURL,
		l.tokenHandler(), l.api(), l.mtlsAPI())
}

func (l *landscape) smtpPort() int { return l.Port + portSMTP }
