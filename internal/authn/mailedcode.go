package authn

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	codeLife  = 15 * time.Minute
	codeTries = 5
	codePause = 30 * time.Second // between two mails for one purpose
)

// MailedCodes sends short codes and recognises them once.
type MailedCodes struct {
	Ring *keys.Ring
	Mail *mail.Queue
}

// Send makes a code for a purpose and queues its mail, in the caller's write. The code before it is worth nothing any
// more. Shortly after another it does nothing: a person who asks twice gets one mail.
func (m *MailedCodes) Send(tx *store.Tx, accountID, purpose, to, brand string) error {
	last, err := tx.MailedCode(accountID, purpose)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load mailed code: %w", err)
	}
	if err == nil && last.SpentAt.IsZero() && tx.Now.Before(last.SentAt.Add(codePause)) {
		return nil
	}
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		return fmt.Errorf("make code: %w", err)
	}
	code := fmt.Sprintf("%08d", n)
	err = tx.PutMailedCode(store.MailedCode{
		AccountID: accountID, Purpose: purpose, CodeHash: m.hash(accountID, purpose, code), SentAt: tx.Now, ExpiresAt: tx.Now.Add(codeLife),
	})
	if err != nil {
		return fmt.Errorf("put mailed code: %w", err)
	}
	return m.Mail.Send(tx, mail.Message{
		To: to, Subject: "Your code for " + brand, Life: codeLife,
		Text: "Your code for " + brand + " is\n\n    " + code[:4] + " " + code[4:] + "\n\n" +
			"It is valid for 15 minutes and works once.\nIf you have not asked for it, somebody knows your password: change it.\n",
	})
}

// Check recognises a code, in the caller's write, which has to be committed either way: a try counts. ErrFailed: it is
// not right, not live, or was tried too often.
func (m *MailedCodes) Check(tx *store.Tx, accountID, purpose, code string) (store.Factor, error) {
	c, err := tx.TryMailedCode(accountID, purpose)
	if errors.Is(err, store.ErrNotFound) {
		return store.Factor{}, fmt.Errorf("%w: there is no live code", ErrFailed)
	}
	if err != nil {
		return store.Factor{}, fmt.Errorf("try mailed code: %w", err)
	}
	code = strings.ReplaceAll(code, " ", "")
	if c.Tries > codeTries || !m.Ring.Matches(c.CodeHash, bind(accountID, purpose, code)) {
		return store.Factor{}, fmt.Errorf("%w: the code is wrong or was tried too often", ErrFailed)
	}
	if err := tx.SpendMailedCode(accountID, purpose); err != nil {
		return store.Factor{}, fmt.Errorf("spend mailed code: %w", err)
	}
	return store.Factor{Kind: session.MailedCode, At: tx.Now, AMR: []string{"otp"}}, nil
}

func (m *MailedCodes) hash(accountID, purpose, code string) string {
	return m.Ring.Hash(bind(accountID, purpose, code))
}

func bind(accountID, purpose, code string) string { return accountID + " " + purpose + " " + code }
