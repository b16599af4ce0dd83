package ca_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

var now = time.Now()

func pair(t testing.TB, certFile, keyFile string, err error) *x509.Certificate {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	p, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return p.Leaf
}

func roots(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatal("no root")
	}
	return pool
}

func TestDevelopmentAuthorityIsGoodForItsNamesOnly(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "ca")
	a, err := ca.Development(folder, "holdfast.localhost", now)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(host string) error {
		certFile, keyFile, err := a.Server(host, []string{host}, now)
		leaf := pair(t, certFile, keyFile, err)
		data, _ := os.ReadFile(certFile)
		_, rest := pem.Decode(data)
		between := x509.NewCertPool()
		between.AppendCertsFromPEM(rest)
		_, err = leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots(t, a.RootFile()), Intermediates: between, CurrentTime: now})
		return err
	}
	if err := verify("login.holdfast.localhost"); err != nil {
		t.Errorf("own name: %v", err)
	}
	if err := verify("bank.example.com"); err == nil {
		t.Error("a certificate for another name is trusted")
	}
	files, _ := filepath.Glob(folder + "/*.key")
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f, info.Mode(), err)
		}
		if filepath.Base(f) == "root.key" {
			t.Error("the key of the root is still there")
		}
	}
	again, err := ca.Development(folder, "holdfast.localhost", now)
	if err != nil || again.Fingerprint() != a.Fingerprint() {
		t.Errorf("opened again: another root, or %v", err)
	}
}

func TestRFC8705_2_1_SubjectsAndChains(t *testing.T) {
	partners, err := ca.Partners(filepath.Join(t.TempDir(), "p"), now)
	if err != nil {
		t.Fatal(err)
	}
	others, err := ca.Partners(filepath.Join(t.TempDir(), "q"), now)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, err := partners.Client("acme", "Acme, Inc.", "https://acme.example/client", now)
	cert := pair(t, certFile, keyFile, err)
	if err := ca.VerifyClient(cert, nil, roots(t, partners.RootFile()), now); err != nil {
		t.Errorf("own authority: %v", err)
	}
	if err := ca.VerifyClient(cert, nil, roots(t, others.RootFile()), now); err == nil {
		t.Error("trusted by another authority of the same name")
	}
	if err := ca.VerifyClient(cert, nil, roots(t, partners.RootFile()), now.Add(100*24*time.Hour)); err == nil {
		t.Error("trusted after its end")
	}
	for _, c := range []struct {
		m  oauth.ClientMetadata
		ok bool
	}{
		{oauth.ClientMetadata{TLSSubjectDN: `CN=Acme\, Inc.,O=Holdfast`}, true},
		{oauth.ClientMetadata{TLSSubjectDN: `cn = acme\2C inc. , o=HOLDFAST`}, true},
		{oauth.ClientMetadata{TLSSubjectDN: `O=Holdfast,CN=Acme\, Inc.`}, false},
		{oauth.ClientMetadata{TLSSubjectDN: `CN=Acme\, Inc.`}, false},
		{oauth.ClientMetadata{TLSSubjectDN: `CN=Acme, Inc.,O=Holdfast`}, false},
		{oauth.ClientMetadata{TLSSANURI: "https://acme.example/client"}, true},
		{oauth.ClientMetadata{TLSSANURI: "https://acme.example/other"}, false},
		{oauth.ClientMetadata{TLSSANDNS: "acme.example"}, false},
		{oauth.ClientMetadata{}, false},
	} {
		if err := ca.MatchSubject(cert, &c.m); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.m, err)
		}
	}
	key, err := jose.FromPublic(cert.PublicKey, "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.MatchKey(cert, []jose.Key{other, key}, now); err != nil {
		t.Errorf("registered key: %v", err)
	}
	if err := ca.MatchKey(cert, []jose.Key{other}, now); err == nil {
		t.Error("matched a key that is not registered")
	}
}

func TestRFC9440_2_1_ForwardedCertificates(t *testing.T) {
	partners, err := ca.Partners(filepath.Join(t.TempDir(), "p"), now)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, err := partners.Client("acme", "acme", "", now)
	cert := pair(t, certFile, keyFile, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	for name, value := range map[string]string{
		"RFC 9440": ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":", "nginx": url.PathEscape(string(text)),
	} {
		got, err := ca.ParseForwarded(value)
		if err != nil || len(got) != 1 || !got[0].Equal(cert) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, value := range map[string]string{
		"empty": "", "colons": "::", "open": ":AAAA", "not a certificate": ":AAAA:", "key": url.PathEscape("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"two": url.PathEscape(string(text) + string(text)), "escape": "%zz",
	} {
		if got, err := ca.ParseForwarded(value); err == nil {
			t.Errorf("%s: read %v", name, got)
		}
	}
}

func FuzzParseForwarded(f *testing.F) {
	f.Add(":AAAA:")
	f.Add("-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A")
	f.Fuzz(func(t *testing.T, value string) {
		chain, err := ca.ParseForwarded(value)
		if (len(chain) == 0) == (err == nil) {
			t.Fatal("neither a certificate nor an error")
		}
	})
}

func FuzzMatchSubject(f *testing.F) {
	f.Add(`CN=a\,b,O=c+OU=d`)
	cert := &x509.Certificate{RawSubject: []byte{0x30, 0}}
	f.Fuzz(func(t *testing.T, dn string) {
		if ca.MatchSubject(cert, &oauth.ClientMetadata{TLSSubjectDN: dn}) == nil {
			t.Fatal("an empty subject matched")
		}
	})
}
