package dev

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/holdfast-iam/holdfast/internal/web"
)

const maxMessages = 200

// catcher keeps the mail of the landscape in memory and shows it.
type catcher struct {
	mu       sync.Mutex
	messages []message
	smtp     *smtp.Server
	http     *http.Server
}

// message is one caught mail.
type message struct {
	From    string    `json:"from"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	Date    time.Time `json:"date"`
}

// startMail opens the relay and the page.
func (l *landscape) startMail(log *slog.Logger) (*catcher, error) {
	c := new(catcher)
	c.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{catcher: c}, nil }))
	c.smtp.Domain, c.smtp.MaxMessageBytes, c.smtp.MaxRecipients = "localhost", 1<<20, 10
	c.smtp.ReadTimeout, c.smtp.WriteTimeout = 10*time.Second, 10*time.Second
	relay, err := listen(fmt.Sprintf("127.0.0.1:%d", l.smtpPort()))
	if err != nil {
		return nil, err
	}
	page, err := listen(l.address(portMail))
	if err != nil {
		return nil, errors.Join(err, relay.Close())
	}
	pair, err := tls.LoadX509KeyPair(l.path("ca", "server.pem"), l.path("ca", "server.key"))
	if err != nil {
		return nil, errors.Join(err, relay.Close(), page.Close())
	}
	handler, err := c.handler()
	if err != nil {
		return nil, errors.Join(err, relay.Close(), page.Close())
	}
	c.http = web.NewServer(web.Wrap(handler, web.Options{Log: log, Hosts: []string{"mail." + l.Host}}), log)
	config := web.TLSConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }, false)
	go func() { _ = c.smtp.Serve(relay) }() // ends with stop
	go func() { _ = c.http.Serve(tls.NewListener(page, config)) }()
	return c, nil
}

func listen(address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program: end it, or begin another landscape with --data and --base-port", address)
	}
	return ln, err
}

func (c *catcher) stop() {
	_ = c.smtp.Close()
	_ = c.http.Close()
}

func (c *catcher) handler() (http.Handler, error) {
	pages, err := web.NewPages(web.Theme{Name: "Holdfast mail"})
	if err != nil {
		return nil, err
	}
	mux := web.NewMux(web.PageDoor(pages))
	mux.Handle("GET /{$}", web.Through(web.PageDoor(pages), func(w http.ResponseWriter, r *http.Request) error {
		return pages.Render(w, r, http.StatusOK, "mail", MailView{c.list()})
	}))
	mux.Handle("GET /messages.json", web.Through(web.OAuthDoor, func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, http.StatusOK, c.list())
	}))
	pages.Mount(mux.ServeMux)
	return mux, nil
}

// MailView is the page of caught mail.
type MailView struct{ Messages []message }

// Views are examples, for the test that renders every page.
func Views() map[string]any {
	return map[string]any{"mail": MailView{[]message{{"a@example.com", "b@example.com", "Hello", "Text", time.Unix(0, 0)}}}}
}

// list is what was caught, newest first.
func (c *catcher) list() []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.messages)
	slices.Reverse(out)
	if out == nil {
		out = []message{}
	}
	return out
}

func (c *catcher) add(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, m)
	if len(c.messages) > maxMessages {
		c.messages = c.messages[1:]
	}
}

// delivery is one SMTP session.
type delivery struct {
	*catcher
	from string
	to   []string
}

func (d *delivery) Mail(from string, _ *smtp.MailOptions) error {
	d.from = from
	return nil
}

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = append(d.to, to)
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	text, err := plainText(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		subject = m.Header.Get("Subject")
	}
	d.add(message{From: d.from, To: strings.Join(d.to, ", "), Subject: subject, Text: text, Date: time.Now().UTC()})
	return nil
}

func (d *delivery) Reset() { d.from, d.to = "", nil }

func (d *delivery) Logout() error { return nil }

// plainText is the first text/plain part.
func plainText(contentType, encoding string, body io.Reader) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = "text/plain"
	}
	if strings.HasPrefix(media, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return "", err
			}
			if strings.HasPrefix(p.Header.Get("Content-Type"), "text/plain") || strings.HasPrefix(p.Header.Get("Content-Type"), "multipart/") {
				return plainText(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
			}
		}
	}
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(body, 1<<20)); err != nil {
		return "", err
	}
	return strings.ReplaceAll(b.String(), "\r\n", "\n"), nil
}
