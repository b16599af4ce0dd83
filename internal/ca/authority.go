package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

// Lifetimes of what the development landscape has.
const (
	rootLife = 5 * 365 * 24 * time.Hour
	interim  = 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	renew    = 30 * 24 * time.Hour // before the end
	backdate = time.Hour           // for clocks that are behind
)

// Authority issues certificates from one folder: root.pem, what signs (authority.pem, authority.key), and leafs.
type Authority struct {
	Folder string
	root   *x509.Certificate
	cert   *x509.Certificate // signs leafs
	key    *ecdsa.PrivateKey
}

// RootFile is what others have to trust.
func (a *Authority) RootFile() string { return filepath.Join(a.Folder, "root.pem") }

// Fingerprint is the SHA-256 of the root, in hex.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.root.Raw)
	return hex.EncodeToString(sum[:])
}

// Development opens or makes the authority for the servers of a development landscape. Its root signs one
// intermediate that is good for names under host and for loopback addresses only, and then its key is gone: whoever
// steals the folder cannot make certificates for anything else.
func Development(folder, host string, now time.Time) (*Authority, error) {
	a, err := load(folder, now)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return a, err
	}
	rootKey, root, err := newRoot("Holdfast development root", now)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority key: %w", err)
	}
	t := template("Holdfast development authority", now, interim)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.PermittedDNSDomainsCritical, t.PermittedDNSDomains = true, []string{host}
	t.PermittedIPRanges = []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 1).To4(), Mask: net.CIDRMask(32, 32)}, {IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}
	cert, err := sign(t, root, &key.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	a = &Authority{Folder: folder, root: root, cert: cert, key: key}
	return a, a.save()
}

// Partners opens or makes the authority for the client certificates of partners. No browser trusts it.
func Partners(folder string, now time.Time) (*Authority, error) {
	a, err := load(folder, now)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return a, err
	}
	key, root, err := newRoot("Holdfast development partners", now)
	if err != nil {
		return nil, err
	}
	a = &Authority{Folder: folder, root: root, cert: root, key: key}
	return a, a.save()
}

func newRoot(name string, now time.Time) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make root key: %w", err)
	}
	t := template(name, now, rootLife)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	cert, err := sign(t, t, &key.PublicKey, key)
	return key, cert, err
}

func template(name string, now time.Time, life time.Duration) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial) // never fails
	serial[0] &= 0x7f
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Holdfast"}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life),
	}
}

func sign(t, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func (a *Authority) save() error {
	if err := os.MkdirAll(a.Folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := writeKey(filepath.Join(a.Folder, "authority.key"), a.key); err != nil {
		return err
	}
	if err := keys.WriteFile(filepath.Join(a.Folder, "authority.pem"), certPEM(a.cert)); err != nil {
		return err
	}
	return keys.WriteFile(a.RootFile(), certPEM(a.root)) // last: its presence says that all is there
}

func load(folder string, now time.Time) (*Authority, error) {
	a := &Authority{Folder: folder}
	var err error
	if a.root, err = readCert(a.RootFile()); err != nil {
		return nil, err
	}
	if a.cert, err = readCert(filepath.Join(folder, "authority.pem")); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(folder, "authority.key"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s/authority.key is not PEM: remove the folder to begin anew", folder)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	ec, ok := key.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s/authority.key cannot be read: remove the folder to begin anew", folder)
	}
	a.key = ec
	if now.After(a.cert.NotAfter.Add(-renew)) {
		return nil, fmt.Errorf("the authority in %s ends on %s: run holdfast dev untrust, remove the folder, and begin anew", folder, a.cert.NotAfter.Format(time.DateOnly))
	}
	return a, nil
}

func readCert(name string) (*x509.Certificate, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", name)
	}
	return x509.ParseCertificate(block.Bytes)
}

// Server sees to a server certificate for hosts under name.pem and name.key, chain included, and makes it anew when
// it ends within a month or lacks a host.
func (a *Authority) Server(name string, hosts []string, now time.Time) (certFile, keyFile string, err error) {
	t := template(hosts[0], now, leafLife)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	covers := func(c *x509.Certificate) bool {
		for _, h := range hosts {
			if c.VerifyHostname(h) != nil {
				return false
			}
		}
		return true
	}
	return a.leaf(name, t, covers, now)
}

// Client sees to a client certificate with a common name and, if not "", a URI.
func (a *Authority) Client(name, commonName, uri string, now time.Time) (certFile, keyFile string, err error) {
	t := template(commonName, now, leafLife)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			return "", "", fmt.Errorf("client certificate: %w", err)
		}
		t.URIs = []*url.URL{u}
	}
	return a.leaf(name, t, func(c *x509.Certificate) bool { return c.Subject.CommonName == commonName }, now)
}

func (a *Authority) leaf(name string, t *x509.Certificate, good func(*x509.Certificate) bool, now time.Time) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(a.Folder, name+".pem"), filepath.Join(a.Folder, name+".key")
	if c, err := readCert(certFile); err == nil && good(c) && now.Before(c.NotAfter.Add(-renew)) && c.CheckSignatureFrom(a.cert) == nil {
		if _, err := os.Stat(keyFile); err == nil {
			return certFile, keyFile, nil
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	cert, err := sign(t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return "", "", err
	}
	if err := writeKey(keyFile, key); err != nil {
		return "", "", err
	}
	chain := certPEM(cert)
	if a.cert != a.root && !a.cert.Equal(a.root) {
		chain = append(chain, certPEM(a.cert)...)
	}
	return certFile, keyFile, keys.WriteFile(certFile, chain)
}

func writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("marshal key: %w", err)
	}
	return keys.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
