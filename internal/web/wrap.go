package web

import (
	"bufio"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Options say what a listener believes and where its records go.
type Options struct {
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
	Hosts []string         // host names answered for; others are 421 (RFC 9110 §15.5.20)
	// TrustedHops are the proxies in front. X-Forwarded-For, X-Request-Id and the certificate header are read from
	// them alone, and dropped otherwise.
	TrustedHops []netip.Prefix
	// CertificateHeader is the header in which a trusted hop that ends TLS hands over the client certificate it asked
	// for; ParseCertificate reads it. Both are empty where TLS ends here.
	CertificateHeader string
	ParseCertificate  func(value string) ([]*x509.Certificate, error)
	// AllowPlainHTTP is for a listener behind a hop that ends TLS.
	AllowPlainHTTP bool
	// Refused hears of every request that ended in an error code.
	Refused func(r *http.Request, e *Event, status int)
}

// Wrap is what every listener puts around its handlers: request id, peer, one log record, recovery, security headers.
func Wrap(next http.Handler, o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &wrapper{next: next, o: o}
}

type wrapper struct {
	next http.Handler
	o    Options
}

func (s *wrapper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &Event{Started: s.o.Now()}
	err := s.identify(r, e)
	r = r.WithContext(WithEvent(r.Context(), e))
	rec := &recorder{ResponseWriter: w}
	h := w.Header()
	h.Set("X-Request-Id", e.RequestID)
	h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	defer s.finish(rec, r, e)
	if err != nil {
		Fail(OAuthDoor, rec, r, err)
		return
	}
	s.next.ServeHTTP(rec, r)
}

// identify fills the event with who asks, and refuses a request for a host that is not ours.
func (s *wrapper) identify(r *http.Request, e *Event) error {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // a unix socket has none
	address := peer.Addr().Unmap()
	hop := slices.ContainsFunc(s.o.TrustedHops, func(p netip.Prefix) bool { return p.Contains(address) })
	if hop {
		address = s.behind(r, address)
	}
	e.RequestID = requestID(r, hop)
	e.Peer = Peer{Address: address, Prefix: prefix(address), Host: r.Host, UserAgent: clip(r.UserAgent(), 256), Conn: r.Context().Value(connKey{})}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		e.Peer.Certificate, e.Peer.Chain = r.TLS.PeerCertificates[0], r.TLS.PeerCertificates[1:]
	}
	if err := s.forwarded(r, e, hop); err != nil {
		return err
	}
	if r.TLS == nil && !s.o.AllowPlainHTTP {
		return oauth.Refuse(oauth.InvalidRequest, "TLS is required")
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	host = strings.ToLower(host)
	sni := host
	if r.TLS != nil && r.TLS.ServerName != "" {
		sni = strings.ToLower(r.TLS.ServerName)
	}
	if !slices.Contains(s.o.Hosts, host) || sni != host {
		return oauth.Refuse(oauth.InvalidRequest, "this host is not served here").WithStatus(http.StatusMisdirectedRequest)
	}
	return nil
}

// forwarded takes the client certificate from a hop that ends TLS; from anybody else the header is only removed.
func (s *wrapper) forwarded(r *http.Request, e *Event, hop bool) error {
	if s.o.CertificateHeader == "" {
		return nil
	}
	values := r.Header.Values(s.o.CertificateHeader)
	r.Header.Del(s.o.CertificateHeader)
	if !hop || len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil
	}
	if len(values) > 1 {
		return oauth.Refuse(oauth.InvalidRequest, "more than one client certificate header")
	}
	chain, err := s.o.ParseCertificate(values[0])
	if err != nil || len(chain) == 0 {
		return oauth.Refuse(oauth.InvalidRequest, "the forwarded client certificate cannot be read").With(err)
	}
	e.Peer.Certificate, e.Peer.Chain = chain[0], chain[1:]
	return nil
}

// behind is the caller's address as the nearest untrusted hop of X-Forwarded-For shows it.
func (s *wrapper) behind(r *http.Request, address netip.Addr) netip.Addr {
	list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(list) {
		a, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return address
		}
		address = a.Unmap()
		if !slices.ContainsFunc(s.o.TrustedHops, func(p netip.Prefix) bool { return p.Contains(address) }) {
			return address
		}
	}
	return address
}

// finish logs the one record, and turns a panic into a 500 that shows the request id alone.
func (s *wrapper) finish(w *recorder, r *http.Request, e *Event) {
	if p := recover(); p != nil {
		e.Cause(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		if w.status == 0 {
			Fail(OAuthDoor, w, r, oauth.Refuse(oauth.ServerError, "the server met an unexpected condition"))
		}
	}
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	if e.Code() != "" && s.o.Refused != nil {
		s.o.Refused(r, e, status)
	}
	if s.o.Log == nil {
		return
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	// Never the query or a header: codes, tokens and states travel there.
	attrs := []slog.Attr{
		slog.String("request_id", e.RequestID), slog.String("method", r.Method), slog.String("host", e.Peer.Host),
		slog.String("route", r.Pattern), slog.Int("status", status), slog.Duration("duration", s.o.Now().Sub(e.Started)),
		slog.String("address", e.Peer.Prefix),
	}
	s.o.Log.LogAttrs(r.Context(), level, "request", append(attrs, e.attributes()...)...)
}

// requestID takes over the id of a trusted hop if it is a plain word, and makes one otherwise.
func requestID(r *http.Request, hop bool) string {
	given := r.Header.Get("X-Request-Id")
	if hop && len(given) >= 8 && len(given) <= 64 && strings.Trim(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" {
		return given
	}
	return rand.Text()
}

// prefix is the network of an address that is kept: enough to see a pattern, too little to find a person.
func prefix(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// cutScheme splits the value of an Authorization header.
func cutScheme(value string) (scheme, rest string, ok bool) { return strings.Cut(value, " ") }

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack is for protocols that take the connection over.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Protect refuses state-changing requests that a page of another origin has caused.
func Protect(next http.Handler) http.Handler {
	c := http.NewCrossOriginProtection()
	c.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Fail(OAuthDoor, w, r, oauth.Refuse(oauth.AccessDenied, "a page of another origin has sent this request"))
	}))
	return c.Handler(next)
}
