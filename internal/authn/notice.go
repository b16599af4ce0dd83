package authn

import (
	"encoding/json"
	"errors"
	"html"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Notices are mails that tell the owner of an account what has changed about its ways in.
type Notices struct {
	Mail    *mail.Queue
	Account string // address of the account page
}

const noticeLife = 24 * time.Hour // a relay that is away for some hours must not hide a theft

// Tell queues a notice in the write of what it tells of. Who has no verified address that mail can reach is not told,
// and what they do is not held up by that.
func (n *Notices) Tell(tx *store.Tx, account *store.Account, subject, text string) error {
	to := VerifiedEmail(account)
	if n == nil || to == "" {
		return nil
	}
	err := n.Mail.Send(tx, letter(to, subject, noticeLife, text,
		"If that was not you, sign in, delete what you do not know, and tell your administrator:", n.Account))
	if errors.Is(err, mail.ErrMessage) {
		return nil
	}
	return err
}

// VerifiedEmail is the address of an account that it is known to read, "" if there is none.
func VerifiedEmail(a *store.Account) string {
	var c struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	if json.Unmarshal(a.Claims, &c) != nil || !c.Verified {
		return ""
	}
	return c.Email
}

// letter makes a message of paragraphs, the same as text and as HTML. It has no links: what asks people to click on
// one looks like fraud, and soon will be.
func letter(to, subject string, life time.Duration, paragraphs ...string) mail.Message {
	var b strings.Builder
	b.WriteString("<!doctype html>\n<html lang=\"en\"><body>\n")
	for _, p := range paragraphs {
		b.WriteString("<p>" + html.EscapeString(p) + "</p>\n")
	}
	b.WriteString("</body></html>\n")
	return mail.Message{To: to, Subject: subject, Life: life, Text: strings.Join(paragraphs, "\n\n") + "\n", HTML: b.String()}
}
