package authn_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func passwords(t testing.TB) *authn.Passwords {
	t.Helper()
	p, err := authn.NewPasswords()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPasswords(t *testing.T) {
	p := passwords(t)
	hash, err := p.Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("made %s", hash)
	}
	// "secret" as bcrypt, made by htpasswd.
	const bcrypt = "$2b$10$abcdefghijklmnopqrstuuRVeWO2HEqx4RPNSeLAhTjtoAMJw.rfW"
	for _, c := range []struct {
		name, stored, password string
		disabled, want         bool
	}{
		{"right", hash, "correct horse", false, true},
		{"wrong", hash, "correct horses", false, false},
		{"disabled", hash, "correct horse", true, false},
		{"no password", "", "", false, false},
		{"no password, decoy's", "", "the password of nobody", false, false},
		{"too long", hash, strings.Repeat("a", 2000), false, false},
	} {
		a := &store.Account{PasswordHash: c.stored, Disabled: c.disabled}
		if ok, _, err := p.Verify(t.Context(), a, c.password); err != nil || ok != c.want {
			t.Errorf("%s: %v, %v", c.name, ok, err)
		}
	}
	if ok, _, err := p.Verify(t.Context(), nil, "the password of nobody"); err != nil || ok {
		t.Errorf("nobody: %v, %v", ok, err)
	}
	if _, _, err := p.Verify(t.Context(), &store.Account{PasswordHash: bcrypt}, "x"); err != nil {
		t.Errorf("an imported bcrypt hash cannot be read: %v", err)
	}
}

func TestPasswordsAreRenewedWhenTheyComeFromElsewhere(t *testing.T) {
	p := passwords(t)
	// "password" under PBKDF2-SHA256 (RFC 8018) as a PHC string.
	const stored = "$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$"
	_ = stored
	a := &store.Account{PasswordHash: "$5$rounds=5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGsh0dNA"}
	ok, renewed, err := p.Verify(t.Context(), a, "This is just a test") // of the sha-crypt specification
	if err != nil || ok && !strings.HasPrefix(renewed, "$argon2id$") {
		t.Errorf("%v, renewed %q, %v", ok, renewed, err)
	}
}

func codes(t *testing.T) (*store.DB, *authn.MailedCodes, func() string) {
	t.Helper()
	db := storetest.Open(t).For("main")
	ring := keys.NewRing()
	q := &mail.Queue{DB: db, Ring: ring, From: "a@example.com"}
	m := &authn.MailedCodes{Ring: ring, Mail: q}
	send := func() string {
		var sent mail.Message
		spy := *m
		spy.Mail = q
		err := db.Write(t.Context(), func(tx *store.Tx) error { return spy.Send(tx, "alice", "passkey", "alice@example.com", "Holdfast") })
		if err != nil {
			t.Fatal(err)
		}
		_ = sent
		return lastMail(t, db, q)
	}
	return db, m, send
}

// lastMail reads the code out of the queued mail, as its receiver would.
func lastMail(t *testing.T, db *store.DB, q *mail.Queue) string {
	t.Helper()
	text, err := q.Queued(t.Context(), "alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`\d{4} \d{4}`).FindString(text)
	if found == "" {
		t.Fatalf("no code in %q", text)
	}
	return found
}

func check(db *store.DB, m *authn.MailedCodes, code string) error {
	var refused error
	err := db.Write(context.Background(), func(tx *store.Tx) error {
		_, err := m.Check(tx, "alice", "passkey", code)
		if errors.Is(err, authn.ErrFailed) {
			refused = err
			return nil
		}
		return err
	})
	return errors.Join(err, refused)
}

func TestMailedCodesWorkOnce(t *testing.T) {
	db, m, send := codes(t)
	code := send()
	if err := check(db, m, "0000 0000"); !errors.Is(err, authn.ErrFailed) && code != "0000 0000" {
		t.Errorf("another code: %v", err)
	}
	if err := check(db, m, code); err != nil {
		t.Errorf("the code: %v", err)
	}
	if err := check(db, m, code); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("the code again: %v", err)
	}
}

func TestMailedCodesEndAfterFiveTries(t *testing.T) {
	db, m, send := codes(t)
	code := send()
	for range 5 {
		if err := check(db, m, "1"); !errors.Is(err, authn.ErrFailed) {
			t.Fatal(err)
		}
	}
	if err := check(db, m, code); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("the code after five tries: %v", err)
	}
}

func BenchmarkPassword(b *testing.B) {
	p := passwords(b)
	for b.Loop() {
		if _, err := p.Hash("correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
