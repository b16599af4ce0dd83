package app

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strconv"
)

// localAddress is where requests of this process come from. Only handlers behind Local trust it as a hop.
const localAddress = "127.0.0.1:1"

// Local is the way from the token handler and the gateway to the issuer of the same process: a request is handed to
// the issuer's handler in memory, and so passes every check that a request over the network passes. On machines of
// their own the two use an ordinary transport; they cannot tell the difference.
type Local struct {
	Handler http.Handler
	// Certificate is the one that a connection would have proved, nil for none. Whoever makes a Local holds its key.
	Certificate func() *x509.Certificate
}

// RoundTrip implements http.RoundTripper.
func (l *Local) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Proto, in.ProtoMajor, in.ProtoMinor = r.URL.RequestURI(), localAddress, "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close() // RoundTrip must, whatever happens
	in.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: r.URL.Hostname()}
	if l.Certificate != nil {
		if c := l.Certificate(); c != nil {
			in.TLS.PeerCertificates = []*x509.Certificate{c}
		}
	}
	w := &answer{header: http.Header{}}
	l.Handler.ServeHTTP(w, in)
	return w.response(r), nil
}

// answer collects what a handler writes.
type answer struct {
	header http.Header
	sent   http.Header // as they were at the first write
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status, a.sent = status, a.header.Clone()
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) response(r *http.Request) *http.Response {
	a.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.sent, Request: r,
		ContentLength: int64(a.body.Len()), Body: io.NopCloser(bytes.NewReader(a.body.Bytes())),
	}
}
