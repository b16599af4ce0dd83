package authn_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// codes is a rig with two sessions of alice.
type codes struct {
	*rig
	*authn.MailedCodes
	here, there *store.Session
}

func newCodes(t *testing.T) *codes {
	r := newRig(t)
	return &codes{
		r, authn.NewMailedCodes(r.ring, r.mail, func() time.Time { return r.now }),
		&store.Session{ID: "here", AccountID: r.alice.ID}, &store.Session{ID: "there", AccountID: r.alice.ID},
	}
}

var code = regexp.MustCompile(`\d{4} \d{4}`)

// send has a code sent and reads the newest mail, "" if there is none.
func (c *codes) send(t *testing.T, s *store.Session) string {
	t.Helper()
	before := len(c.mails(t))
	c.write(t, func(tx *store.Tx) error { return c.Send(tx, s, "passkey", "alice@example.com", "Holdfast") })
	mails := c.mails(t)
	if len(mails) == before {
		return ""
	}
	found := code.FindString(mails[len(mails)-1])
	if found == "" {
		t.Fatalf("no code in %q", mails)
	}
	return found
}

func (c *codes) check(t *testing.T, s *store.Session, purpose, typed string) (f store.Factor, err error) {
	t.Helper()
	c.write(t, func(tx *store.Tx) error {
		if f, err = c.Check(tx, s, purpose, typed); errors.Is(err, authn.ErrFailed) {
			return nil
		}
		return err
	})
	return f, err
}

func TestMailedCodesWorkOnce(t *testing.T) {
	c := newCodes(t)
	sent := c.send(t, c.here)
	f, err := c.check(t, c.here, "passkey", " "+strings.ReplaceAll(sent, " ", "")+"\t")
	if err != nil || f.Kind != session.MailedCode || len(f.AMR) != 1 || f.AMR[0] != "otp" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := c.check(t, c.here, "passkey", sent); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("again: %v", err)
	}
}

func TestMailedCodesAreForOneSessionPurposeAndTime(t *testing.T) {
	c := newCodes(t)
	sent := c.send(t, c.here)
	if _, err := c.check(t, c.there, "passkey", sent); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("in another session: %v", err)
	}
	if _, err := c.check(t, c.here, "recovery", sent); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("for another purpose: %v", err)
	}
	c.now = c.now.Add(15 * time.Minute)
	if _, err := c.check(t, c.here, "passkey", sent); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("late: %v", err)
	}
}

func TestMailedCodesEndAfterFiveTries(t *testing.T) {
	c := newCodes(t)
	sent := c.send(t, c.here)
	for _, wrong := range []string{"", "1", "00000000 ", sent + "0", "x"} {
		if _, err := c.check(t, c.here, "passkey", wrong); !errors.Is(err, authn.ErrFailed) {
			t.Fatalf("%q: %v", wrong, err)
		}
	}
	if _, err := c.check(t, c.here, "passkey", sent); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("the code after five tries: %v", err)
	}
}

func TestOneCodeIsLiveAtATime(t *testing.T) {
	c := newCodes(t)
	first := c.send(t, c.here)
	if again := c.send(t, c.here); again != "" {
		t.Error("asking twice sends two mails")
	}
	c.now = c.now.Add(time.Minute)
	second := c.send(t, c.here)
	if _, err := c.check(t, c.here, "passkey", first); first != second && !errors.Is(err, authn.ErrFailed) {
		t.Errorf("the first: %v", err)
	}
	if _, err := c.check(t, c.here, "passkey", second); err != nil {
		t.Errorf("the second: %v", err)
	}
}

func TestMailsAreFew(t *testing.T) {
	c := newCodes(t)
	sent := 0
	for range 60 { // a minute apart
		if c.MaySend(c.alice.ID) {
			sent++
		}
		c.now = c.now.Add(time.Minute)
	}
	if sent < 3 || sent > 9 {
		t.Errorf("%d mails in an hour", sent)
	}
}

func TestCodesAreStoredHashed(t *testing.T) {
	c := newCodes(t)
	sent := strings.ReplaceAll(c.send(t, c.here), " ", "")
	c.read(t, func(tx *store.Tx) error {
		m, err := tx.MailedCode(c.alice.ID, "passkey")
		if strings.Contains(m.CodeHash, sent) || !strings.HasPrefix(m.CodeHash, c.ring.ActiveID()+":") {
			t.Errorf("stored %s", m.CodeHash)
		}
		return err
	})
}

func TestNoticesReachVerifiedAddressesOnly(t *testing.T) {
	r := newRig(t)
	for _, claims := range []string{
		`{"email":"alice@example.com","email_verified":true}`, // the only one
		`{"email":"bob@example.com","email_verified":false}`,
		`{"email":"bob@example.com"}`,
		`{"email":"not an address","email_verified":true}`,
		`{}`,
		``,
	} {
		r.write(t, func(tx *store.Tx) error {
			return r.Passkeys.Notices.Tell(tx, &store.Account{Claims: []byte(claims)}, "Subject", "Text")
		})
	}
	mails := r.mails(t)
	if len(mails) != 1 || !strings.Contains(mails[0], "https://login.example.com/account") {
		t.Errorf("mails %q", mails)
	}
}
