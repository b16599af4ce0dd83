package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// serve starts a server with our settings and a certificate for login.example, and gives its address.
func serve(t *testing.T, h http.Handler, requestClient bool) string {
	t.Helper()
	pair := selfSigned(t, "login.example")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := web.NewServer(h, slog.New(slog.DiscardHandler))
	config := web.TLSConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }, requestClient)
	go func() { _ = srv.Serve(tls.NewListener(ln, config)) }()
	t.Cleanup(func() { _ = srv.Close() })
	return ln.Addr().String()
}

func selfSigned(t *testing.T, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func caller(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	config.ServerName, config.InsecureSkipVerify = "login.example", true
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func fetch(t *testing.T, c *http.Client, address string, header http.Header) (int, error) {
	t.Helper()
	r, err := http.NewRequest("GET", "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host, r.Header = "login.example", header
	res, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func TestServerBounds(t *testing.T) {
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }), false)
	for size, want := range map[int]int{20 << 10: 200, 48 << 10: 431} { // five interactions fit, and not much more
		status, err := fetch(t, caller(t, &tls.Config{}), address, http.Header{"Cookie": {"a=" + strings.Repeat("x", size)}})
		if err != nil || status != want {
			t.Errorf("%d bytes: %d, %v", size, status, err)
		}
	}
}

func TestRFC6585_5_CheckHeaders(t *testing.T) {
	for name, tt := range map[string]struct {
		header http.Header
		code   oauth.Code // "": fine
	}{
		"none":          {http.Header{}, ""},
		"large cookies": {http.Header{"Cookie": {strings.Repeat("x", 20<<10)}}, ""},
		"larger ones":   {http.Header{"Cookie": {strings.Repeat("x", 28<<10)}}, web.CookieTooLarge},
		"many of them":  {http.Header{"Cookie": slices.Repeat([]string{strings.Repeat("x", 1<<10)}, 28)}, web.CookieTooLarge},
		"another":       {http.Header{"Authorization": {strings.Repeat("x", 28<<10)}}, oauth.InvalidRequest},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = tt.header
		err := web.CheckHeaders(r)
		if e, _ := errors.AsType[*oauth.Error](err); tt.code == "" && err != nil || tt.code != "" && (e == nil || e.Code != tt.code || e.HTTPStatus() != 431) {
			t.Errorf("%s: %v, want %q", name, err, tt.code)
		}
	}
}

func TestTLSOfListeners(t *testing.T) {
	address := serve(t, http.NotFoundHandler(), false)
	tests := map[string]struct {
		config *tls.Config
		ok     bool
	}{
		"1.3":         {&tls.Config{MinVersion: tls.VersionTLS13}, true},
		"1.2":         {&tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"1.1":         {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"1.2 CBC":     {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
		"1.2 RSA key": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, false},
	}
	for name, tt := range tests {
		if _, err := fetch(t, caller(t, tt.config), address, nil); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClientCertificateOnlyWhereRequested(t *testing.T) {
	for _, requested := range []bool{false, true} {
		var peers []web.Peer
		h := web.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			peers = append(peers, web.EventOf(r.Context()).Peer)
		}), web.Options{Hosts: []string{"login.example"}})
		address := serve(t, h, requested)
		c := caller(t, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "client")}})
		for range 2 {
			if _, err := fetch(t, c, address, nil); err != nil {
				t.Fatal(err)
			}
		}
		if (peers[0].Certificate != nil) != requested {
			t.Errorf("requested %t, got %v", requested, peers[0].Certificate)
		}
		if peers[0].Conn == nil || peers[0].Conn != peers[1].Conn {
			t.Error("two requests of one connection do not know it")
		}
	}
}
