package dev

import (
	"crypto/tls"
	"embed"
	"encoding/base64"
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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

//go:embed pages assets
var files embed.FS

const maxMessages = 200

// catcher keeps the mail of the landscape in memory and shows it.
type catcher struct {
	mu       sync.Mutex
	last     int // id of the newest message
	messages []message
	smtp     *smtp.Server
	http     *http.Server
}

// message is one caught mail. All of it but the time comes from whoever has sent it: it is shown as text and as nothing
// else.
type message struct {
	ID       int       `json:"id"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Subject  string    `json:"subject"`
	Text     string    `json:"text"`
	Received time.Time `json:"received"`
}

// Begin is the beginning of the text, for the list.
func (m message) Begin() string {
	begin := []rune(strings.Join(strings.Fields(m.Text), " "))
	return string(begin[:min(len(begin), 160)])
}

// Initial is the first letter of whom it is for.
func (m message) Initial() string {
	for _, c := range strings.ToUpper(m.To) {
		return string(c)
	}
	return "?"
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
	pages, err := web.NewPages(web.Theme{Name: "Holdfast mail"}, files)
	if err != nil {
		return nil, err
	}
	mux := web.NewMux(web.PageDoor(pages))
	mux.Handle("GET /{$}", web.Through(web.PageDoor(pages), func(w http.ResponseWriter, r *http.Request) error {
		return pages.Render(w, r, http.StatusOK, "mail", mailView{c.list()})
	}))
	mux.Handle("GET /messages/{id}", web.Through(web.PageDoor(pages), func(w http.ResponseWriter, r *http.Request) error {
		for _, m := range c.list() {
			if strconv.Itoa(m.ID) == r.PathValue("id") {
				return pages.Render(w, r, http.StatusOK, "message", m)
			}
		}
		return oauth.Refuse(oauth.InvalidRequest, "there is no such mail; the landscape forgets them when it ends").WithStatus(http.StatusNotFound)
	}))
	mux.Handle("GET /messages.json", web.Through(web.OAuthDoor, func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, http.StatusOK, c.list())
	}))
	pages.Mount(mux.ServeMux)
	return mux, nil
}

// mailView is the page of caught mail.
type mailView struct{ Messages []message }

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
	c.last++
	m.ID = c.last
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
	d.add(message{
		From: printable(d.from), To: printable(strings.Join(d.to, ", ")), Subject: printable(subject), Text: printable(text), Received: time.Now().UTC(),
	})
	return nil
}

func (d *delivery) Reset() { d.from, d.to = "", nil }

func (d *delivery) Logout() error { return nil }

// printable leaves out what is no text: control characters, and bytes that are not UTF-8.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// plainText is the first text/plain part, "" if there is none.
func plainText(contentType, encoding string, body io.Reader) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = "text/plain"
	}
	if strings.HasPrefix(media, "multipart/") {
		return firstPart(multipart.NewReader(body, params["boundary"]))
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return "", fmt.Errorf("read mail: %w", err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n"), nil
}

func firstPart(parts *multipart.Reader) (string, error) {
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("read mail: %w", err)
		}
		kind := p.Header.Get("Content-Type")
		if kind == "" || strings.HasPrefix(kind, "text/plain") || strings.HasPrefix(kind, "multipart/") {
			return plainText(kind, p.Header.Get("Content-Transfer-Encoding"), p)
		}
	}
}
