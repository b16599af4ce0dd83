package web

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
)

type connKey struct{}

const (
	maxHeaders = 32 << 10 // bytes of names and values; the server refuses more by itself, in words that no page can read
	manyBytes  = 28 << 10 // of them, about which CheckHeaders speaks up
)

// NewServer is an http.Server with bounds on what a slow or large request may hold.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}

// CheckHeaders refuses a request whose headers have nearly grown too large for the server (RFC 6585 §5), so that its
// sender learns what to do about it.
func CheckHeaders(r *http.Request) error {
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	switch {
	case size <= manyBytes:
		return nil
	case r.Header.Get("Cookie") != "":
		return oauth.Refuse(CookieTooLarge, "the cookies are too large: delete those of this host").WithStatus(http.StatusRequestHeaderFieldsTooLarge)
	}
	return oauth.Refuse(oauth.InvalidRequest, "the headers are too large: send less in them").WithStatus(http.StatusRequestHeaderFieldsTooLarge)
}

// TLSConfig is TLS 1.2 with forward secrecy and authenticated encryption, and 1.3. A client certificate is requested
// where the listener says so and proved by the handshake; whether it is any good is for the application.
func TLSConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), requestClient bool) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: certificate,
		NextProtos:     []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	if requestClient {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}
