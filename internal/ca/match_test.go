package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// selfSigned makes a certificate of what the template says.
func selfSigned(t testing.TB, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), now.Add(-time.Hour), now.Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRFC8705_2_1_2_SubjectDN(t *testing.T) {
	// O=Holdfast; then a set of CN and UID; then OU with a comma, quotes and a letter that is not ASCII.
	subject := pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Holdfast"}}}
	plain := selfSigned(t, &x509.Certificate{Subject: subject})
	raw, err := asn1.Marshal(pkix.RDNSequence{
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Holdfast"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "Acme,  Inc."}, {Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "7"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: `"Käse" + #1`}},
	})
	must(t, err)
	cert := selfSigned(t, &x509.Certificate{RawSubject: raw})
	for _, c := range []struct {
		cert *x509.Certificate
		dn   string
		want bool
	}{
		{plain, "O=Holdfast", true},
		{plain, "o=holdfast", true},
		{plain, "2.5.4.10=Holdfast", true},
		{plain, "OID.2.5.4.10=Holdfast", true},
		{plain, " O = Holdfast ", true},
		{plain, `O=\48oldfast`, true},
		{plain, "", false},
		{plain, "O", false},
		{plain, "O=", false},
		{plain, "=Holdfast", false},
		{plain, "CN=Holdfast", false},
		{plain, "O=Holdfas", false},
		{plain, "O=Holdfast,", false},
		{plain, ",O=Holdfast", false},
		{plain, "O=Holdfast,O=Holdfast", false},
		{plain, "O=Holdfast+O=Holdfast", false},
		{plain, `O=Holdfast\`, false},
		{plain, `O="Holdfast"`, false},
		{plain, "O=#0C08486F6C6466617374", false},
		{plain, "O=Holdfast\x00", false},
		{plain, "O=\xff", false},
		{plain, "O=" + strings.Repeat(" ", 5000) + "Holdfast", false},
		{cert, `OU=\"K\C3\A4se\" \+ #1,CN=Acme\, Inc.+UID=7,O=Holdfast`, true},
		{cert, `ou=\22käse\22 \2b \231, uid=7 + cn=acme\2C inc. , O=Holdfast`, true},
		{cert, `O=Holdfast,CN=Acme\, Inc.+UID=7,OU=\"Käse\" \+ #1`, false}, // the other way round
		{cert, `OU=\"Käse\" \+ #1,CN=Acme\, Inc.,UID=7,O=Holdfast`, false}, // not a set
		{cert, `OU=\"Käse\" \+ #1,UID=7,O=Holdfast`, false},
		{cert, `CN=Acme\, Inc.+UID=7,O=Holdfast`, false},
		{cert, `O=Holdfast`, false},
	} {
		err := ca.MatchSubject(c.cert, &oauth.ClientMetadata{TLSSubjectDN: c.dn})
		if (err == nil) != c.want || err != nil && !errors.Is(err, ca.ErrSubject) {
			t.Errorf("%.60q: %v", c.dn, err)
		}
	}
}

func TestRFC8705_2_1_2_AlternativeNames(t *testing.T) {
	u, err := url.Parse("https://acme.example/client")
	must(t, err)
	cert := selfSigned(t, &x509.Certificate{
		DNSNames: []string{"*.acme.example", "api.acme.example"}, URIs: []*url.URL{u}, EmailAddresses: []string{"ops@acme.example"},
		IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")},
	})
	for _, c := range []struct {
		m    oauth.ClientMetadata
		want bool
	}{
		{oauth.ClientMetadata{TLSSANDNS: "api.acme.example"}, true},
		{oauth.ClientMetadata{TLSSANDNS: "API.Acme.example"}, true},
		{oauth.ClientMetadata{TLSSANDNS: "*.acme.example"}, true},
		{oauth.ClientMetadata{TLSSANDNS: "www.acme.example"}, false}, // a wildcard is a name here
		{oauth.ClientMetadata{TLSSANURI: "https://acme.example/client"}, true},
		{oauth.ClientMetadata{TLSSANURI: "https://acme.example/client/"}, false},
		{oauth.ClientMetadata{TLSSANIP: "192.0.2.1"}, true},
		{oauth.ClientMetadata{TLSSANIP: "2001:DB8:0::1"}, true},
		{oauth.ClientMetadata{TLSSANIP: "192.0.2.2"}, false},
		{oauth.ClientMetadata{TLSSANIP: "192.0.2.1/24"}, false},
		{oauth.ClientMetadata{TLSSANEmail: "ops@acme.example"}, true},
		{oauth.ClientMetadata{TLSSANEmail: "root@acme.example"}, false},
		{oauth.ClientMetadata{}, false},
		{oauth.ClientMetadata{TLSSANDNS: "api.acme.example", TLSSANURI: "https://acme.example/client"}, false}, // exactly one
	} {
		if err := ca.MatchSubject(cert, &c.m); (err == nil) != c.want {
			t.Errorf("%+v: %v", c.m, err)
		}
	}
}

func TestRFC8705_2_2_SelfSigned(t *testing.T) {
	cert := selfSigned(t, &x509.Certificate{})
	key, err := jose.FromPublic(cert.PublicKey, "")
	must(t, err)
	other, err := jose.GenerateKey(jose.ES256)
	must(t, err)
	for name, c := range map[string]struct {
		set  []jose.Key
		at   time.Time
		want error
	}{
		"registered": {[]jose.Key{other, key.WithID("a")}, now, nil},
		"other":      {[]jose.Key{other}, now, ca.ErrSubject},
		"none":       {nil, now, ca.ErrSubject},
		"expired":    {[]jose.Key{key}, now.Add(2 * time.Hour), ca.ErrUntrusted},
		"not yet":    {[]jose.Key{key}, now.Add(-2 * time.Hour), ca.ErrUntrusted},
	} {
		if err := ca.MatchKey(cert, c.set, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRFC8705_2_1_Chain(t *testing.T) {
	partners, err := ca.Partners(filepath.Join(t.TempDir(), "p"), now)
	must(t, err)
	others, err := ca.Partners(filepath.Join(t.TempDir(), "q"), now)
	must(t, err)
	servers, err := ca.Development(filepath.Join(t.TempDir(), "s"), "holdfast.localhost", now)
	must(t, err)
	certFile, keyFile, err := partners.Client("acme", pkix.Name{CommonName: "acme"}, nil, now)
	client := pair(t, certFile, keyFile, err)
	certFile, keyFile, err = servers.Server("server", []string{"holdfast.localhost"}, now)
	server, chain := pair(t, certFile, keyFile, err), certificates(t, certFile)[1:]

	must(t, ca.VerifyClient(client, nil, roots(t, partners.RootFile()), now))
	for name, err := range map[string]error{
		"another authority of the same name": ca.VerifyClient(client, nil, roots(t, others.RootFile()), now),
		"after its end":                      ca.VerifyClient(client, nil, roots(t, partners.RootFile()), now.Add(100*24*time.Hour)),
		"before its begin":                   ca.VerifyClient(client, nil, roots(t, partners.RootFile()), now.Add(-2*time.Hour)),
		"a server":                           ca.VerifyClient(server, chain, roots(t, servers.RootFile()), now),
		"no roots":                           ca.VerifyClient(client, nil, x509.NewCertPool(), now),
		"itself":                             ca.VerifyClient(selfSigned(t, &x509.Certificate{}), nil, roots(t, partners.RootFile()), now),
	} {
		if !errors.Is(err, ca.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRFC8705_3_1_Thumbprint(t *testing.T) {
	if got := ca.Thumbprint(&x509.Certificate{Raw: []byte("abc")}); got != "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0" {
		t.Errorf("got %s", got)
	}
}

func FuzzMatchSubject(f *testing.F) {
	cert := selfSigned(f, &x509.Certificate{Subject: pkix.Name{CommonName: "a,b", Organization: []string{"c"}}})
	for _, seed := range []string{`CN=a\,b,O=c`, `CN=a\2cb , O = C`, `CN=a+O=c`, `2.5.4.3=#0c01`, `CN=\`, `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		matched := ca.MatchSubject(cert, &oauth.ClientMetadata{TLSSubjectDN: dn}) == nil
		if matched && (!strings.Contains(dn, "=") || len(dn) < len("CN=a\\,b,O=c")) {
			t.Fatalf("%q matches", dn)
		}
		if matched && ca.MatchSubject(selfSigned(t, &x509.Certificate{Subject: pkix.Name{CommonName: "a,b"}}), &oauth.ClientMetadata{TLSSubjectDN: dn}) == nil {
			t.Fatalf("%q matches two names", dn)
		}
	})
}
