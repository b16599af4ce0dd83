package mail_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/holdfast-iam/holdfast/internal/mail"
)

// relay is a real SMTP server on loopback that keeps what it takes.
type relay struct {
	mu     sync.Mutex
	took   []letter
	tried  int
	refuse func(try int) error // nil: takes everything

	roots *x509.CertPool
	port  int
	stop  func()
}

type letter struct{ from, to, data string }

// start runs the relay, on the port it had before if it had one.
func (r *relay) start(t *testing.T, mode string) {
	t.Helper()
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{relay: r}, nil }))
	s.Domain, s.ErrorLog = "relay.example", log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
	must(t, err)
	r.port = l.Addr().(*net.TCPAddr).Port
	if mode != mail.None {
		s.TLSConfig = r.certificate()
	}
	if mode == mail.Implicit {
		l = tls.NewListener(l, s.TLSConfig)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	r.stop = sync.OnceFunc(func() {
		s.Close()
		l.Close() // the server does not know of it before it serves
		<-done
	})
	t.Cleanup(r.stop)
}

// certificate is the one that httptest has for example.com and 127.0.0.1.
func (r *relay) certificate() *tls.Config {
	h := httptest.NewTLSServer(nil)
	defer h.Close()
	r.roots = x509.NewCertPool()
	r.roots.AddCert(h.Certificate())
	return &tls.Config{Certificates: h.TLS.Certificates}
}

func (r *relay) config(mode string) mail.Config {
	return mail.Config{Host: "127.0.0.1", Port: r.port, TLS: mode, RootCAs: r.roots}
}

func (r *relay) letters() []letter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]letter(nil), r.took...)
}

func (r *relay) tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried
}

type session struct {
	*relay
	letter letter
}

func (s *session) Reset()        { s.letter = letter{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.letter.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried++
	if s.refuse != nil {
		if err := s.refuse(s.tried); err != nil {
			return err
		}
	}
	s.letter.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.letter.data = string(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, s.letter)
	return nil
}
