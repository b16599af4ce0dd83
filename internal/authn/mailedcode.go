package authn

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	codeLife  = 15 * time.Minute
	codeTries = 5
	codePause = 30 * time.Second // between two mails for one purpose
	// Mails to one account, from one node: nobody shall fill a mailbox, nor get a new code every time the last one has
	// been tried five times.
	codeBurst = 3
	codeEvery = 10 * time.Minute
)

// MailedCodes sends short codes and recognises them once, in the session that asked for them.
type MailedCodes struct {
	ring *keys.Ring
	mail *mail.Queue
	rate *limit.Rate
}

// NewMailedCodes prepares the codes of one tenant.
func NewMailedCodes(ring *keys.Ring, queue *mail.Queue, now func() time.Time) *MailedCodes {
	return &MailedCodes{ring, queue, &limit.Rate{Every: codeEvery, Burst: codeBurst, Now: now}}
}

// MaySend says whether an account may be sent one more code now, and counts it.
func (m *MailedCodes) MaySend(accountID string) bool { return m.rate.Allow(limit.Key(accountID)) }

// Send makes a code for a purpose and queues its mail, in the caller's write. The code before it is worth nothing any
// more. Shortly after another it does nothing: a person who asks twice gets one mail.
func (m *MailedCodes) Send(tx *store.Tx, s *store.Session, purpose, to, brand string) error {
	last, err := tx.MailedCode(s.AccountID, purpose)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load mailed code: %w", err)
	}
	if err == nil && last.SpentAt.IsZero() && last.Tries < codeTries && tx.Now.Before(last.SentAt.Add(codePause)) {
		return nil
	}
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		return fmt.Errorf("make code: %w", err)
	}
	code := fmt.Sprintf("%08d", n)
	err = tx.PutMailedCode(store.MailedCode{
		AccountID: s.AccountID, Purpose: purpose, CodeHash: m.ring.Hash(bind(s, purpose, code)), SentAt: tx.Now, ExpiresAt: tx.Now.Add(codeLife),
	})
	if err != nil {
		return fmt.Errorf("put mailed code: %w", err)
	}
	return m.mail.Send(tx, letter(to, "Your code for "+brand, codeLife, "Your code for "+brand+" is", code[:4]+" "+code[4:],
		"It is valid for 15 minutes and works once, in the browser that asked for it.",
		"If you have not asked for it, somebody knows your password: change it."))
}

// Check recognises a code, in the caller's write, which has to be committed either way: a try counts. ErrFailed: it is
// not right, not live, of another session, or was tried too often.
func (m *MailedCodes) Check(tx *store.Tx, s *store.Session, purpose, code string) (store.Factor, error) {
	c, err := tx.TryMailedCode(s.AccountID, purpose)
	if errors.Is(err, store.ErrNotFound) {
		return store.Factor{}, fmt.Errorf("%w: there is no live code", ErrFailed)
	}
	if err != nil {
		return store.Factor{}, fmt.Errorf("try mailed code: %w", err)
	}
	code = strings.Join(strings.Fields(code), "")
	if c.Tries > codeTries || !m.ring.Matches(c.CodeHash, bind(s, purpose, code)) {
		return store.Factor{}, fmt.Errorf("%w: the code is wrong or was tried too often", ErrFailed)
	}
	if err := tx.SpendMailedCode(s.AccountID, purpose); err != nil {
		return store.Factor{}, fmt.Errorf("spend mailed code: %w", err)
	}
	return store.Factor{Kind: session.MailedCode, At: tx.Now, AMR: []string{"otp"}}, nil
}

// bind is what a code is hashed with. No part but the last may hold a space.
func bind(s *store.Session, purpose, code string) string {
	return s.AccountID + " " + s.ID + " " + purpose + " " + code
}
