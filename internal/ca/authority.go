package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
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
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

// Lifetimes of what the development landscape has.
const (
	serverLife  = 365 * 24 * time.Hour // of root and intermediate for servers: the root's key is gone, so both end together
	partnerLife = 10 * 365 * 24 * time.Hour
	leafLife    = 90 * 24 * time.Hour
	renew       = 30 * 24 * time.Hour // before the end of a leaf
	last        = 24 * time.Hour      // before the end of an authority it issues nothing more
	backdate    = time.Hour           // for clocks that are behind
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
	a, err := load(folder)
	if err == nil && !slices.Equal(a.cert.PermittedDNSDomains, []string{host}) {
		return nil, fmt.Errorf("the authority in %s is good for %v only, and not for %s: name another folder, or run holdfast dev untrust and remove this one", folder, a.cert.PermittedDNSDomains, host)
	}
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return a, err
	}
	root := template("Holdfast development root", now, serverLife)
	root.MaxPathLen = 1
	rootKey, root, err := newRoot(root)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority key: %w", err)
	}
	t := template("Holdfast development authority", now, serverLife)
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
	a, err := load(folder)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return a, err
	}
	root := template("Holdfast development partners", now, partnerLife)
	root.MaxPathLenZero, root.ExtKeyUsage = true, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	key, root, err := newRoot(root)
	if err != nil {
		return nil, err
	}
	a = &Authority{Folder: folder, root: root, cert: root, key: key}
	return a, a.save()
}

// newRoot makes the key of a root and has it sign itself.
func newRoot(t *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make root key: %w", err)
	}
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

func load(folder string) (*Authority, error) {
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
	if err != nil || !ok || !ec.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("%s/authority.key is not the key of the authority: remove the folder to begin anew", folder)
	}
	a.key = ec
	return a, nil
}

func readCert(name string) (*x509.Certificate, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM: remove its folder to begin anew", name)
	}
	return x509.ParseCertificate(block.Bytes)
}

// Server sees to a server certificate for hosts under name.pem and name.key, chain included, and makes it anew when
// it ends within a month or is for other hosts.
func (a *Authority) Server(name string, hosts []string, now time.Time) (certFile, keyFile string, err error) {
	if len(hosts) == 0 {
		return "", "", errors.New("server certificate: no host is named")
	}
	t := template(hosts[0], now, leafLife)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if err := addNames(t, hosts); err != nil {
		return "", "", fmt.Errorf("server certificate: %w", err)
	}
	return a.leaf(name, t, now)
}

// Client sees to a client certificate with a subject and alternative names (URIs, addresses or hosts) under name.pem
// and name.key, and makes it anew when it ends within a month or says something else.
func (a *Authority) Client(name string, subject pkix.Name, alternatives []string, now time.Time) (certFile, keyFile string, err error) {
	t := template("", now, leafLife)
	t.Subject, t.ExtKeyUsage = subject, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if err := addNames(t, alternatives); err != nil {
		return "", "", fmt.Errorf("client certificate: %w", err)
	}
	return a.leaf(name, t, now)
}

func addNames(t *x509.Certificate, names []string) error {
	for _, n := range names {
		ip := net.ParseIP(n)
		switch {
		case ip != nil:
			t.IPAddresses = append(t.IPAddresses, ip)
		case strings.Contains(n, ":"):
			u, err := url.Parse(n)
			if err != nil {
				return err
			}
			t.URIs = append(t.URIs, u)
		default:
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	return nil
}

// leaf issues what the template says, unless that is there already and good for a while.
func (a *Authority) leaf(name string, t *x509.Certificate, now time.Time) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(a.Folder, name+".pem"), filepath.Join(a.Folder, name+".key")
	end := a.cert.NotAfter
	if now.After(end.Add(-last)) {
		return "", "", fmt.Errorf("the authority in %s ends on %s: run holdfast dev untrust, remove the folder, and begin anew", a.Folder, end.Format(time.DateOnly))
	}
	if t.NotAfter.After(end) {
		t.NotAfter = end // a leaf that outlives its authority deceives whoever reads its date
	}
	if pair, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && a.isGood(pair.Leaf, t, now) {
		return certFile, keyFile, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	cert, err := sign(t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return "", "", err
	}
	if err := writeKey(keyFile, key); err != nil {
		return "", "", err
	}
	chain := certPEM(cert)
	if !a.cert.Equal(a.root) {
		chain = append(chain, certPEM(a.cert)...)
	}
	return certFile, keyFile, keys.WriteFile(certFile, chain)
}

// isGood says that a certificate is ours, says what is wanted, and need not be renewed yet, or could not be for longer.
func (a *Authority) isGood(c, want *x509.Certificate, now time.Time) bool {
	lasts := now.Before(c.NotAfter.Add(-renew)) || c.NotAfter.Equal(a.cert.NotAfter) && now.Before(c.NotAfter)
	return lasts && c.CheckSignatureFrom(a.cert) == nil &&
		c.Subject.String() == want.Subject.String() && slices.Equal(c.DNSNames, want.DNSNames) &&
		slices.EqualFunc(c.IPAddresses, want.IPAddresses, net.IP.Equal) &&
		slices.EqualFunc(c.URIs, want.URIs, func(x, y *url.URL) bool { return x.String() == y.String() })
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
