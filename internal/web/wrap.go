package web

import (
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
	// TrustedHops are the proxies in front. X-Forwarded-For, X-Request-Id and the certificate header are believed from
	// them alone.
	TrustedHops []netip.Prefix
	// CertificateHeader is the header in which a trusted hop that ends TLS hands over the client certificate it asked
	// for; ParseCertificate reads it, leaf first. Both are empty where TLS ends here.
	CertificateHeader string
	ParseCertificate  func(value string) ([]*x509.Certificate, error)
	// AllowPlainHTTP is for a listener behind a hop that ends TLS. Where there are trusted hops, they alone may use it.
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
	h.Set("Strict-Transport-Security", "max-age=63072000") // of this host: others of the domain are not ours
	h.Set("X-Content-Type-Options", "nosniff")
	defer s.finish(rec, r, e)
	if err != nil {
		Fail(OAuthDoor, rec, r, err)
		return
	}
	s.next.ServeHTTP(rec, r)
	rec.done = true
}

// identify fills the event with who asks, and refuses what does not belong here.
func (s *wrapper) identify(r *http.Request, e *Event) error {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // a unix socket has none
	address := peer.Addr().Unmap()
	hop := s.trusts(address)
	if hop {
		address = s.behind(r.Header.Values("X-Forwarded-For"), address)
	}
	e.RequestID = requestID(r, hop)
	e.Peer = Peer{
		Address: address, Prefix: prefix(address), Host: clip(r.Host, 256), UserAgent: clip(r.UserAgent(), 256),
		Conn: r.Context().Value(connKey{}),
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		e.Peer.Certificate, e.Peer.Chain = r.TLS.PeerCertificates[0], r.TLS.PeerCertificates[1:]
	}
	if r.TLS == nil && (!s.o.AllowPlainHTTP || len(s.o.TrustedHops) > 0 && !hop) {
		return oauth.Refuse(oauth.InvalidRequest, "TLS is required")
	}
	if err := s.checkHost(r); err != nil {
		return err
	}
	return s.takeCertificate(r, e, hop)
}

// checkHost compares the host with those served here and with the name that TLS was told (RFC 9110 §15.5.20): a
// connection made for one host must not reach another.
func (s *wrapper) checkHost(r *http.Request) error {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	host = strings.ToLower(host)
	told := host
	if r.TLS != nil && r.TLS.ServerName != "" {
		told = strings.ToLower(r.TLS.ServerName)
	}
	if !slices.Contains(s.o.Hosts, host) || told != host {
		return oauth.Refuse(oauth.InvalidRequest, "this host is not served here").WithStatus(http.StatusMisdirectedRequest)
	}
	return nil
}

// finish logs the one record, and turns a panic into a 500 that shows the request id alone.
func (s *wrapper) finish(w *recorder, r *http.Request, e *Event) {
	if w.status == 0 {
		if p := recover(); p != nil {
			e.Cause(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			Fail(e.entered(), w, r, errInternal)
		}
	} else if !w.done && e.Code() == "" {
		// A panic amid an answer goes on, so that the server breaks the connection off and nobody takes half for all.
		e.Cause(errCutOff)
		e.SetCode(oauth.ServerError)
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
	switch {
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	case e.isRoutine() && status < http.StatusBadRequest:
		level = slog.LevelDebug
	}
	s.log(r, e, level, status)
}

// log writes the record, past the front of slog, which would look up the place in the code for every one.
func (s *wrapper) log(r *http.Request, e *Event, level slog.Level, status int) {
	h := s.o.Log.Handler()
	if !h.Enabled(r.Context(), level) {
		return
	}
	record := slog.NewRecord(time.Now(), level, "request", 0)
	// Never the query or a header: codes, tokens and states travel there.
	record.AddAttrs(e.attributes(
		slog.String("request_id", e.RequestID), slog.String("method", r.Method), slog.String("host", e.Peer.Host),
		slog.Int("status", status), slog.Int64("duration_us", s.o.Now().Sub(e.Started).Microseconds()),
		slog.String("address", e.Peer.Prefix),
	)...)
	_ = h.Handle(r.Context(), record) // where a log cannot be written, nothing can be said about it either
}

var errCutOff = fmt.Errorf("the handler panicked amid its answer")

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
	done   bool // the handler has returned
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
