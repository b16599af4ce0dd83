package mail_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// post is a queue with a clock and a log to look at.
type post struct {
	mail.Queue
	log bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

func newPost(t *testing.T, c mail.Config) *post {
	t.Helper()
	p := &post{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	db := storetest.Open(t, store.Options{Now: func() time.Time {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.now
	}})
	p.Queue = mail.Queue{DB: db.For("t"), Ring: keys.NewRing(), From: "Holdfast <no-reply@login.example>", Transport: c,
		Log: slog.New(slog.NewTextHandler(&p.log, nil))}
	return p
}

func (p *post) wait(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *post) send(t *testing.T, m mail.Message) {
	t.Helper()
	must(t, p.DB.Write(t.Context(), func(tx *store.Tx) error { return p.Send(tx, m) }))
}

func (p *post) drain(t *testing.T, want int) {
	t.Helper()
	sent, err := p.Drain(t.Context())
	if err != nil || sent != want {
		t.Fatalf("%d sent, want %d, %v\n%s", sent, want, err, p.log.String())
	}
	if log := p.log.String(); strings.Contains(log, "123456") || strings.Contains(log, "alice") {
		t.Errorf("the log tells too much: %s", log)
	}
}

func TestSend(t *testing.T) {
	for _, mode := range []string{mail.StartTLS, mail.Implicit, mail.None} {
		t.Run(mode, func(t *testing.T) {
			var r relay
			r.start(t, mode)
			p := newPost(t, r.config(mode))
			m := good
			m.Subject = "Grüße, your code"
			p.send(t, m)
			p.drain(t, 1)
			p.drain(t, 0)
			got := r.letters()
			if len(got) != 1 || got[0].from != "no-reply@login.example" || got[0].to != good.To {
				t.Fatalf("the relay took %+v", got)
			}
			checkLetter(t, got[0].data)
		})
	}
}

func checkLetter(t *testing.T, data string) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(data))
	must(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Grüße, your code" || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("subject %q, %v, %v", subject, m.Header, err)
	}
	if id := m.Header.Get("Message-ID"); !strings.HasSuffix(id, "@login.example>") || m.Header.Get("User-Agent")+m.Header.Get("X-Mailer") != "" {
		t.Errorf("header %v", m.Header)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	must(t, err)
	parts := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range [][2]string{{"text/plain", good.Text}, {"text/html", good.HTML}} {
		part, err := parts.NextPart()
		must(t, err)
		body, err := io.ReadAll(part)
		if err != nil || !strings.HasPrefix(part.Header.Get("Content-Type"), want[0]) || strings.TrimSpace(string(body)) != want[1] {
			t.Errorf("%s: %v %q %v", kind, part.Header, body, err)
		}
	}
}

func TestRelayIsDown(t *testing.T) {
	var r relay
	r.start(t, mail.None)
	r.stop()
	p := newPost(t, r.config(mail.None))
	p.send(t, good)
	p.drain(t, 0)
	p.drain(t, 0)
	if n := strings.Count(p.log.String(), "mail not sent"); n != 1 {
		t.Errorf("%d attempts at once", n)
	}
	r.start(t, mail.None)
	p.drain(t, 0) // not due yet
	p.wait(7 * time.Second)
	p.drain(t, 1)
}

func TestRefusals(t *testing.T) {
	busy, unknown := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later, alice"},
		&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no alice here"}
	t.Run("for now", func(t *testing.T) {
		r := relay{refuse: func(try int) error {
			if try <= 3 {
				return busy
			}
			return nil
		}}
		r.start(t, mail.StartTLS)
		p := newPost(t, r.config(mail.StartTLS))
		p.send(t, good)
		for _, wait := range []time.Duration{0, 7, 14} { // doubling, and up to a third more
			p.wait(wait * time.Second)
			p.drain(t, 0)
		}
		p.wait(27 * time.Second)
		p.drain(t, 1)
		if r.tries() != 4 || !strings.Contains(p.log.String(), "451 4.3.0") {
			t.Errorf("%d tries, %s", r.tries(), p.log.String())
		}
	})
	t.Run("for good", func(t *testing.T) {
		r := relay{refuse: func(int) error { return unknown }}
		r.start(t, mail.StartTLS)
		p := newPost(t, r.config(mail.StartTLS))
		p.send(t, good)
		for range 50 {
			p.drain(t, 0)
			p.wait(time.Minute)
		}
		if r.tries() != 1 || !strings.Contains(p.log.String(), "550 5.1.1") {
			t.Errorf("%d tries, %s", r.tries(), p.log.String())
		}
	})
	t.Run("until it expires", func(t *testing.T) {
		r := relay{refuse: func(int) error { return busy }}
		r.start(t, mail.StartTLS)
		p := newPost(t, r.config(mail.StartTLS))
		m := good
		m.Life = 10 * time.Minute
		p.send(t, m)
		for range 9 {
			p.drain(t, 0)
			p.wait(time.Minute)
		}
		before := r.tries()
		p.wait(time.Hour)
		p.drain(t, 0)
		if before < 5 || r.tries() != before {
			t.Errorf("%d tries, then %d", before, r.tries())
		}
	})
}

func TestTLSIsNotGivenUp(t *testing.T) {
	var plain, other relay
	plain.start(t, mail.None) // offers no STARTTLS
	other.start(t, mail.StartTLS)
	other.roots = nil // nobody vouches for it
	for name, c := range map[string]mail.Config{
		"no STARTTLS": plain.config(mail.StartTLS), "no TLS": plain.config(mail.Implicit),
		"unknown root": other.config(mail.StartTLS), "plain to the world": {Host: "192.0.2.1", Port: plain.port, TLS: mail.None},
	} {
		p := newPost(t, c)
		p.send(t, good)
		p.drain(t, 0)
		if len(plain.letters())+len(other.letters()) > 0 {
			t.Errorf("%s: the message went out", name)
		}
	}
}

// A node that dies after claiming a message has not lost it.
func TestClaimLapses(t *testing.T) {
	var r relay
	r.start(t, mail.None)
	p := newPost(t, r.config(mail.None))
	p.send(t, good)
	must(t, p.DB.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.ClaimMail(1, tx.Now.Add(2*time.Minute))
		return err
	}))
	p.drain(t, 0)
	p.wait(2 * time.Minute)
	p.drain(t, 1)
}

func TestManyNodesSendOnce(t *testing.T) {
	var r relay
	r.start(t, mail.None)
	p := newPost(t, r.config(mail.None))
	for range 20 {
		p.send(t, good)
	}
	p.Log = nil
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := p.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(r.letters()); n != 20 {
		t.Errorf("the relay took %d messages of 20", n)
	}
}

func TestRunUntilTheEnd(t *testing.T) {
	var r relay
	r.start(t, mail.None)
	p := newPost(t, r.config(mail.None))
	p.send(t, good)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	for len(r.letters()) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-done
}

// The password goes over TLS, and is read anew for each connection.
func TestAuthentication(t *testing.T) {
	r := new(relay)
	l, err := tls.Listen("tcp", "127.0.0.1:0", r.certificate())
	must(t, err)
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		heard <- login(conn)
	}()
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte("pass word\n"), 0o600))
	p := newPost(t, mail.Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: mail.Implicit, RootCAs: r.roots, Username: "u", PasswordFile: file})
	p.send(t, good)
	p.drain(t, 0)
	if got := <-heard; got != "\x00u\x00pass word" {
		t.Errorf("the relay heard %q", got)
	}
}

// login speaks just enough SMTP to hear the password, and then refuses.
func login(conn net.Conn) string {
	lines := bufio.NewScanner(conn)
	fmt.Fprint(conn, "220 relay\r\n")
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "EHLO":
			fmt.Fprint(conn, "250-relay\r\n250 AUTH PLAIN\r\n")
		case "AUTH":
			fmt.Fprint(conn, "535 no\r\n")
			said, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			return string(said)
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
	return ""
}
