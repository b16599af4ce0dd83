// Package mail sends the messages of the server, through a queue in the database and the operator's relay
// (RFC 5321, RFC 3207, RFC 8314).
//
// A message is queued in the transaction of what it tells of, so neither exists without the other, and sent by
// whichever node comes first, once unless a node dies in the midst of it. Texts are sealed in the database and never
// logged: they may hold codes. It is not for receiving mail, nor for more than one recipient.
package mail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// ErrMessage says that a message cannot be sent to anybody as it is.
var ErrMessage = errors.New("mail: not a message that can be sent")

// How the connection to the relay is protected.
const (
	StartTLS = "starttls" // plain first, and not a word before TLS (RFC 3207)
	Implicit = "implicit" // TLS from the first byte (RFC 8314 §3)
	None     = "none"     // towards loopback only
)

// Config is the relay.
type Config struct {
	Host         string
	Port         int    // 0: 587, with Implicit 465
	TLS          string // "": StartTLS
	Username     string // "": no authentication
	PasswordFile string // read for each connection
	RootCAs      *x509.CertPool
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var found []error
	report := func(wrong bool, text string) {
		if wrong {
			found = append(found, errors.New(text))
		}
	}
	report(c.Host == "" || strings.ContainsFunc(c.Host, unicode.IsSpace), "host: name the relay")
	report(c.Port < 0 || c.Port > 65535, "port: not a port")
	report(c.TLS != "" && c.TLS != StartTLS && c.TLS != Implicit && c.TLS != None, "tls: use starttls, implicit or none")
	report(c.TLS == None && !isLoopback(c.Host), "tls: none is possible towards loopback only; use starttls or implicit")
	report(c.TLS == None && c.Username != "", "username: a password is not sent without TLS; use starttls or implicit")
	report((c.Username == "") != (c.PasswordFile == ""), "username and password_file: give both or neither")
	return errors.Join(found...)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Message is one message to one person.
type Message struct {
	To         string // an address without a name
	Subject    string
	Text, HTML string        // the same content twice
	Life       time.Duration // no sense in sending it later; 0: one hour
}

// Queue sends the messages of one tenant. Its methods are safe for concurrent use.
type Queue struct {
	DB        *store.DB // of the tenant
	Ring      *keys.Ring
	From      string // address, with or without a name
	Transport Config
	Log       *slog.Logger // nil: silent
}

const (
	defaultLife = time.Hour
	maxBody     = 256 << 10
	maxSubject  = 200
	maxAddress  = 254 // RFC 5321 §4.5.3.1.3
)

// Send queues a message in the caller's transaction. Error: ErrMessage.
func (q *Queue) Send(tx *store.Tx, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	if m.Life == 0 {
		m.Life = defaultLife
	}
	id := store.NewID()
	return tx.QueueMail(store.Mail{
		ID: id, To: m.To, Subject: m.Subject, Text: q.seal(id, m.Text), HTML: q.seal(id, m.HTML),
		NextAt: tx.Now, ExpiresAt: tx.Now.Add(m.Life),
	})
}

// check refuses what would be another message than it looks like, above all a line break in a header.
func (m Message) check() error {
	a, err := netmail.ParseAddress(m.To)
	switch {
	case err != nil || a.Name != "" || a.Address != m.To || len(m.To) > maxAddress || strings.ContainsFunc(m.To, unicode.IsControl):
		return fmt.Errorf("%w: the recipient is not one address", ErrMessage)
	case m.Subject == "" || len(m.Subject) > maxSubject || strings.ContainsFunc(m.Subject, unicode.IsControl):
		return fmt.Errorf("%w: the subject is empty, too long, or not one line", ErrMessage)
	case m.Text == "" || m.HTML == "" || len(m.Text) > maxBody || len(m.HTML) > maxBody:
		return fmt.Errorf("%w: a text is missing or too long", ErrMessage)
	}
	return nil
}
