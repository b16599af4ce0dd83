package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// pair loads what an authority has just issued.
func pair(t testing.TB, certFile, keyFile string, err error) *x509.Certificate {
	t.Helper()
	must(t, err)
	p, err := tls.LoadX509KeyPair(certFile, keyFile)
	must(t, err)
	return p.Leaf
}

// certificates reads all of a PEM file.
func certificates(t testing.TB, file string) (list []*x509.Certificate) {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		list = append(list, c)
	}
	return list
}

func roots(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	for _, c := range certificates(t, file) {
		pool.AddCert(c)
	}
	return pool
}

func development(t *testing.T, folder string) *ca.Authority {
	t.Helper()
	a, err := ca.Development(folder, "holdfast.localhost", now)
	must(t, err)
	return a
}

func TestDevelopmentAuthorityIsGoodForItsNamesOnly(t *testing.T) {
	a := development(t, filepath.Join(t.TempDir(), "ca"))
	verify := func(host string) error {
		certFile, keyFile, err := a.Server("s", []string{host}, now)
		leaf, between := pair(t, certFile, keyFile, err), x509.NewCertPool()
		for _, c := range certificates(t, certFile)[1:] {
			between.AddCert(c)
		}
		_, err = leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots(t, a.RootFile()), Intermediates: between, CurrentTime: now})
		return err
	}
	for _, host := range []string{"holdfast.localhost", "login.holdfast.localhost", "mtls.api.holdfast.localhost", "127.0.0.1", "::1"} {
		if err := verify(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"bank.example.com", "localhost", "evilholdfast.localhost", "other.localhost", "127.0.0.2", "192.0.2.1", "::2"} {
		if err := verify(host); err == nil {
			t.Errorf("a certificate for %s is trusted", host)
		}
	}
	signer := certificates(t, filepath.Join(a.Folder, "authority.pem"))[0]
	if !signer.PermittedDNSDomainsCritical || !signer.MaxPathLenZero || signer.MaxPathLen != 0 || signer.NotAfter.After(now.Add(366*day)) {
		t.Errorf("the intermediate may too much: %+v", signer)
	}
}

func TestFilesAreOursAlone(t *testing.T) {
	a := development(t, filepath.Join(t.TempDir(), "ca"))
	_, _, err := a.Server("server", []string{"holdfast.localhost"}, now)
	must(t, err)
	root := certificates(t, a.RootFile())[0]
	files, err := os.ReadDir(a.Folder)
	must(t, err)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
		if !strings.HasSuffix(f.Name(), ".key") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(a.Folder, f.Name()))
		must(t, err)
		block, _ := pem.Decode(data)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		must(t, err)
		if root.PublicKey.(*ecdsa.PublicKey).Equal(key.(crypto.Signer).Public()) {
			t.Errorf("%s is the key of the root", f.Name())
		}
	}
	if len(files) != 5 { // root.pem, authority.pem, authority.key, server.pem, server.key
		t.Errorf("%d files: %v", len(files), files)
	}
}

func TestFolderIsOpenedAgain(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "ca")
	a := development(t, folder)
	certFile, keyFile, err := a.Server("s", []string{"a.holdfast.localhost", "127.0.0.1"}, now)
	first := pair(t, certFile, keyFile, err)
	again := development(t, folder)
	if again.Fingerprint() != a.Fingerprint() {
		t.Error("another root")
	}
	issue := func(at time.Time, hosts ...string) *x509.Certificate {
		certFile, keyFile, err := again.Server("s", hosts, at)
		return pair(t, certFile, keyFile, err)
	}
	if !issue(now.Add(59*day), "a.holdfast.localhost", "127.0.0.1").Equal(first) {
		t.Error("a good certificate is made anew")
	}
	second := issue(now.Add(61*day), "a.holdfast.localhost", "127.0.0.1")
	if second.Equal(first) {
		t.Error("a certificate is not renewed before it ends")
	}
	if issue(now.Add(61*day), "a.holdfast.localhost").Equal(second) {
		t.Error("a certificate keeps a host that is not wanted any more")
	}
	must(t, os.Remove(keyFile))
	issue(now.Add(61*day), "a.holdfast.localhost")
	if _, err := ca.Development(folder, "other.localhost", now); err == nil || !strings.Contains(err.Error(), folder) {
		t.Errorf("opened for another host: %v", err)
	}
}

func TestAuthorityEnds(t *testing.T) {
	a := development(t, filepath.Join(t.TempDir(), "ca"))
	near := now.Add(350 * day)
	certFile, keyFile, err := a.Server("s", []string{"holdfast.localhost"}, near)
	leaf := pair(t, certFile, keyFile, err)
	if leaf.NotAfter.After(now.Add(365 * day)) {
		t.Error("a leaf outlives its authority")
	}
	certFile, keyFile, err = a.Server("s", []string{"holdfast.localhost"}, near.Add(day))
	if !pair(t, certFile, keyFile, err).Equal(leaf) {
		t.Error("a leaf is renewed in vain")
	}
	_, _, err = a.Server("s", []string{"holdfast.localhost"}, now.Add(365*day))
	if err == nil || !strings.Contains(err.Error(), "untrust") || !strings.Contains(err.Error(), a.Folder) {
		t.Errorf("at the end of the authority: %v", err)
	}
	if again := development(t, a.Folder); again.Fingerprint() != a.Fingerprint() {
		t.Error("an authority that has ended cannot be opened to be untrusted")
	}
}

func TestDamagedFolder(t *testing.T) {
	for _, name := range []string{"root.pem", "authority.pem", "authority.key"} {
		a := development(t, filepath.Join(t.TempDir(), "ca"))
		must(t, os.WriteFile(filepath.Join(a.Folder, name), []byte("x"), 0o600))
		if _, err := ca.Development(a.Folder, "holdfast.localhost", now); err == nil || !strings.Contains(err.Error(), a.Folder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, b := development(t, filepath.Join(t.TempDir(), "a")), development(t, filepath.Join(t.TempDir(), "b"))
	must(t, os.Rename(filepath.Join(b.Folder, "authority.key"), filepath.Join(a.Folder, "authority.key")))
	if _, err := ca.Development(a.Folder, "holdfast.localhost", now); err == nil {
		t.Error("a key of another authority is taken")
	}
}

func TestPartnerCertificates(t *testing.T) {
	partners, err := ca.Partners(filepath.Join(t.TempDir(), "p"), now)
	must(t, err)
	issue := func(subject pkix.Name, names ...string) *x509.Certificate {
		certFile, keyFile, err := partners.Client("acme", subject, names, now)
		return pair(t, certFile, keyFile, err)
	}
	acme := pkix.Name{CommonName: "acme", Organization: []string{"Acme, Inc."}, Country: []string{"BE"}}
	cert := issue(acme, "https://acme.example/client", "acme.example", "192.0.2.1")
	if len(cert.URIs) != 1 || len(cert.DNSNames) != 1 || len(cert.IPAddresses) != 1 || cert.Subject.Organization[0] != "Acme, Inc." {
		t.Errorf("issued %v %v", cert.Subject, cert.URIs)
	}
	if !issue(acme, "https://acme.example/client", "acme.example", "192.0.2.1").Equal(cert) {
		t.Error("a good certificate is made anew")
	}
	if issue(acme, "https://acme.example/other").Equal(cert) || issue(pkix.Name{CommonName: "other"}).Subject.CommonName != "other" {
		t.Error("a certificate does not say what is wanted")
	}
	root := certificates(t, partners.RootFile())[0]
	if _, err := root.Verify(x509.VerifyOptions{Roots: roots(t, partners.RootFile()), CurrentTime: now}); err == nil {
		t.Error("the authority of partners is good for servers")
	}
	if _, _, err := partners.Client("acme", acme, []string{"https://%zz"}, now); err == nil {
		t.Error("an odd URI is taken")
	}
}

func TestRFC9440_2_1_ForwardedCertificates(t *testing.T) {
	partners, err := ca.Partners(filepath.Join(t.TempDir(), "p"), now)
	must(t, err)
	certFile, keyFile, err := partners.Client("acme", pkix.Name{CommonName: "acme"}, nil, now)
	cert := pair(t, certFile, keyFile, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	b64 := base64.StdEncoding.EncodeToString(cert.Raw)
	for name, value := range map[string]string{
		"RFC 9440": ":" + b64 + ":", "nginx": url.PathEscape(text), "every sign": strings.ReplaceAll(url.QueryEscape(strings.TrimSpace(text)), "+", "%20"),
	} {
		got, err := ca.ParseForwarded(value)
		if err != nil || len(got) != 1 || !got[0].Equal(cert) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, value := range map[string]string{
		"empty": "", "colons": "::", "colon": ":", "open": ":" + b64, "no colons": b64, "not a certificate": ":AAAA:",
		"broken in lines": ":" + b64[:64] + "\n" + b64[64:] + ":", "two items": ":" + b64 + ":, :" + b64 + ":",
		"key": url.PathEscape("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "two": url.PathEscape(text + text),
		"before": url.PathEscape("x\n" + text), "headers": url.PathEscape(strings.Replace(text, "-----\n", "-----\nA: b\n\n", 1)),
		"escape": "%zz", "long": ":" + strings.Repeat("A", 20<<10) + ":",
	} {
		if got, err := ca.ParseForwarded(value); err == nil {
			t.Errorf("%s: read %v", name, got[0].Subject)
		}
	}
}

func TestForwardedCertificatesAreRememberedOnce(t *testing.T) {
	value := func(name string) string {
		return ":" + base64.StdEncoding.EncodeToString(selfSigned(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}}).Raw) + ":"
	}
	f, one, other := new(ca.Forwarded), value("one"), value("other")
	first, err := f.Parse(one)
	must(t, err)
	second, err := f.Parse(one)
	must(t, err)
	if &first[0] != &second[0] {
		t.Error("read twice")
	}
	if got, err := f.Parse(other); err != nil || got[0].Subject.CommonName != "other" {
		t.Errorf("%v, %v", got, err)
	}
	for range 2 {
		if got, err := f.Parse(":AAAA:"); err == nil {
			t.Errorf("read %v", got)
		}
	}
}

func FuzzParseForwarded(f *testing.F) {
	f.Add(":AAAA:")
	f.Add("-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A")
	f.Add(":" + base64.StdEncoding.EncodeToString(selfSigned(f, &x509.Certificate{}).Raw) + ":")
	f.Fuzz(func(t *testing.T, value string) {
		chain, err := ca.ParseForwarded(value)
		if (len(chain) == 1) != (err == nil) {
			t.Fatal("neither a certificate nor an error")
		}
		if err == nil && ca.Thumbprint(chain[0]) == "" {
			t.Fatal("a certificate without a thumbprint")
		}
	})
}
