package resourcetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// Client has what tokens are bound to: a DPoP key and a self-signed certificate.
type Client struct {
	Signer  *jose.Signer      // for DPoP proofs
	KeyPair tls.Certificate   // for mutual TLS
	Leaf    *x509.Certificate // of KeyPair; valid from 2000 to 2100

	key jose.Key // private, of Signer
	tb  testing.TB
}

// NewClient makes a client.
func NewClient(tb testing.TB) *Client {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	private, signer := newKey(tb)
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &Client{Signer: signer, KeyPair: pair, Leaf: cert, key: private, tb: tb}
}

// JKT is the thumbprint of the DPoP key, for cnf.
func (c *Client) JKT() string { return c.Signer.Key().Thumbprint() }

// X5T is the thumbprint of the certificate, for cnf.
func (c *Client) X5T() string {
	sum := sha256.Sum256(c.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// BoundToKey gives the claims bound to the DPoP key (RFC 9449 §6.1).
func (c *Client) BoundToKey(claims Claims) Claims {
	return claims.With("cnf", map[string]string{"jkt": c.JKT()})
}

// BoundToCertificate gives the claims bound to the certificate (RFC 8705 §3.1).
func (c *Client) BoundToCertificate(claims Claims) Claims {
	return claims.With("cnf", map[string]string{"x5t#S256": c.X5T()})
}

// Proof makes a DPoP proof.
func (c *Client) Proof(method, url, token string, now time.Time) string {
	c.tb.Helper()
	proof, err := dpop.Make(c.Signer, method, url, "", token, now)
	if err != nil {
		c.tb.Fatal(err)
	}
	return proof
}

// WithKey is a request to a handler that shows the token under a proof for it.
func (c *Client) WithKey(method, url, token string, now time.Time) *http.Request {
	c.tb.Helper()
	r := httptest.NewRequest(method, url, nil)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", c.Proof(method, url, token, now))
	return r
}

// WithCertificate is a request to a handler that shows the token over a connection with the certificate.
func (c *Client) WithCertificate(method, url, token string) *http.Request {
	r := httptest.NewRequest(method, url, nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.Leaf}}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}
