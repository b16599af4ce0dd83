package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// transmit hands one message to the relay.
func (q *Queue) transmit(ctx context.Context, m store.Mail) error {
	letter, err := q.compose(m)
	if err != nil {
		return err
	}
	relay, err := q.Transport.client(ctx)
	if err != nil {
		return err
	}
	conn, err := relay.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	defer relay.CloseWithSMTPClient(conn) // how the goodbye goes changes nothing for the letter
	return relay.SendWithSMTPClient(conn, letter)
}

func (q *Queue) compose(m store.Mail) (*mail.Msg, error) {
	text, err := q.open(m.ID, m.Text)
	if err != nil {
		return nil, fmt.Errorf("open text: %w", err)
	}
	html, err := q.open(m.ID, m.HTML)
	if err != nil {
		return nil, fmt.Errorf("open text: %w", err)
	}
	from, err := netmail.ParseAddress(q.From)
	if err != nil {
		return nil, errors.New("the sender is not an address")
	}
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	letter.FromMailAddress(from)
	if err := letter.To(m.To); err != nil {
		return nil, errors.New("the recipient is not an address")
	}
	letter.Subject(m.Subject)
	// The same at each try, so that a second copy can be recognised.
	letter.SetMessageIDWithValue(m.ID + from.Address[strings.LastIndexByte(from.Address, '@'):])
	letter.SetDate()
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5
	letter.SetBodyString(mail.TypeTextPlain, text)
	letter.AddAlternativeString(mail.TypeTextHTML, html)
	return letter, nil
}

// client prepares a connection. With Implicit it ends by its own time limit, otherwise with ctx if that is sooner.
func (c Config) client(ctx context.Context) (*mail.Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	options := []mail.Option{
		mail.WithTimeout(sendLimit / 2), // once until the relay has let us in, and once for the letter
		mail.WithoutRset(),              // its failure would look like one of the letter
		mail.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Host, RootCAs: c.RootCAs}),
	}
	dial := mail.WithDialContextFunc(func(dialling context.Context, network, address string) (net.Conn, error) {
		// localhost is loopback, whatever a resolver says
		conn, err := fetch.LocalhostDialer(nil)(dialling, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { conn.Close() })
		}
		return conn, err
	})
	port := 587
	switch c.TLS {
	case Implicit: // with a dial function of ours the library would not begin with TLS
		port, options = 465, append(options, mail.WithSSL())
	case None:
		port, options = 25, append(options, mail.WithTLSPolicy(mail.NoTLS), dial)
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), dial)
	}
	if c.Port != 0 {
		port = c.Port
	}
	options = append(options, mail.WithPort(port))
	if c.Username != "" {
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("read the relay's password: %w", err)
		}
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.Username),
			mail.WithPassword(string(bytes.TrimRight(password, "\r\n"))))
	}
	return mail.NewClient(c.Host, options...)
}

// describe says why a message was not sent, without the message, its recipient or what the relay quotes of them.
func describe(err error) string {
	if refused, ok := errors.AsType[*mail.SendError](err); ok && refused.ErrorCode() != 0 {
		return strings.TrimSpace(fmt.Sprintf("the relay answered %d %s", refused.ErrorCode(), refused.EnhancedStatusCode()))
	}
	if refused, ok := errors.AsType[*mail.SendError](err); ok {
		return "the relay did not take it: " + refused.Reason.String()
	}
	const longest = 300
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
	return text[:min(len(text), longest)]
}

// isFinal says that trying again will not help: the relay has refused this message for good (RFC 5321 §4.2.1).
func isFinal(err error) bool {
	refused, ok := errors.AsType[*mail.SendError](err)
	return ok && !refused.IsTemp() && refused.ErrorCode() >= 500
}
