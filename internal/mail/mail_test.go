package mail_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config mail.Config
		want   string // part of the complaint, "" for none
	}{
		"usual":               {mail.Config{Host: "mail.example", Username: "u", PasswordFile: "f"}, ""},
		"implicit":            {mail.Config{Host: "mail.example", Port: 465, TLS: mail.Implicit}, ""},
		"loopback":            {mail.Config{Host: "127.0.0.1", Port: 25, TLS: mail.None}, ""},
		"loopback 6":          {mail.Config{Host: "::1", TLS: mail.None}, ""},
		"localhost":           {mail.Config{Host: "localhost", TLS: mail.None}, ""},
		"no host":             {mail.Config{}, "host:"},
		"odd host":            {mail.Config{Host: "a\nb"}, "host:"},
		"port":                {mail.Config{Host: "a", Port: 65536}, "port:"},
		"word":                {mail.Config{Host: "a", TLS: "tls"}, "tls: use"},
		"plain to the world":  {mail.Config{Host: "mail.example", TLS: mail.None}, "tls: none"},
		"looks like loopback": {mail.Config{Host: "127.0.0.1.example", TLS: mail.None}, "tls: none"},
		"password in clear":   {mail.Config{Host: "localhost", TLS: mail.None, Username: "u", PasswordFile: "f"}, "username:"},
		"half":                {mail.Config{Host: "a", Username: "u"}, "both or neither"},
	} {
		err := c.config.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (mail.Config{Port: -1, TLS: "x"}).Validate(); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all is reported at once: %v", err)
	}
}

var good = mail.Message{To: "alice@example.com", Subject: "Your code", Text: "123456", HTML: "<p>123456</p>"}

func TestMessagesRefused(t *testing.T) {
	db := storetest.Open(t).For("t")
	q := &mail.Queue{DB: db, Ring: keys.NewRing(), From: "no-reply@example.com"}
	for name, change := range map[string]func(*mail.Message){
		"no recipient":      func(m *mail.Message) { m.To = "" },
		"name":              func(m *mail.Message) { m.To = "Alice <alice@example.com>" },
		"two":               func(m *mail.Message) { m.To = "a@example.com, b@example.com" },
		"header in address": func(m *mail.Message) { m.To = "alice@example.com\r\nBcc: b@example.com" },
		"quoted line":       func(m *mail.Message) { m.To = "\"a\r\nb\"@example.com" },
		"long address":      func(m *mail.Message) { m.To = strings.Repeat("a", 250) + "@example.com" },
		"no address":        func(m *mail.Message) { m.To = "alice" },
		"no subject":        func(m *mail.Message) { m.Subject = "" },
		"header in subject": func(m *mail.Message) { m.Subject = "Hello\r\nBcc: b@example.com" },
		"newline":           func(m *mail.Message) { m.Subject = "Hello\n" },
		"long subject":      func(m *mail.Message) { m.Subject = strings.Repeat("a", 201) },
		"no text":           func(m *mail.Message) { m.Text = "" },
		"no html":           func(m *mail.Message) { m.HTML = "" },
		"long text":         func(m *mail.Message) { m.Text = strings.Repeat("a", 257<<10) },
	} {
		m := good
		change(&m)
		err := db.Write(t.Context(), func(tx *store.Tx) error { return q.Send(tx, m) })
		if !errors.Is(err, mail.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTextsAreSealed(t *testing.T) {
	db := storetest.Open(t).For("t")
	q := &mail.Queue{DB: db, Ring: keys.NewRing(), From: "no-reply@example.com"}
	must(t, db.Write(t.Context(), func(tx *store.Tx) error { return q.Send(tx, good) }))
	var claimed []store.Mail
	must(t, db.Write(t.Context(), func(tx *store.Tx) (err error) {
		claimed, err = tx.ClaimMail(10, tx.Now.Add(time.Minute))
		return err
	}))
	if len(claimed) != 1 || strings.Contains(claimed[0].Text+claimed[0].HTML, "123456") || claimed[0].To != good.To {
		t.Errorf("the database holds %+v", claimed)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
