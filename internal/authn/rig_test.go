package authn_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
	"github.com/holdfast-iam/holdfast/passkey/passkeytest"
)

const origin = "https://login.holdfast.localhost:8443"

// passwords are shared by the tests: making them costs a hash.
var passwords = sync.OnceValue(func() *authn.Passwords {
	p, err := authn.NewPasswords()
	if err != nil {
		panic(err)
	}
	return p
})

// rig is one tenant with alice in it, at a time that stands still until it is moved.
type rig struct {
	*authn.Attempts
	ring  *keys.Ring
	mail  *mail.Queue
	now   time.Time
	alice store.Account
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{ring: keys.NewRing(), now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return r.now }
	db := storetest.Open(t, store.Options{Now: clock}).For("main")
	rp, err := passkey.New(passkey.Party{ID: "holdfast.localhost", Name: "Holdfast", Origins: []string{origin}})
	if err != nil {
		t.Fatal(err)
	}
	r.mail = &mail.Queue{DB: db, Ring: r.ring, From: "holdfast@example.com"}
	r.Attempts = &authn.Attempts{
		DB: db, Passwords: passwords(), Failures: &limit.Failures{DB: db, Now: clock},
		Passkeys: &authn.Passkeys{
			DB: db, RP: rp, Sealer: r.ring, Now: clock,
			Notices: &authn.Notices{Mail: r.mail, Account: "https://login.example.com/account"},
		},
	}
	r.alice = store.Account{
		ID: "alice-id", Username: "Alice", UserHandle: bytes.Repeat([]byte{7}, 32), PasswordHash: hashed(t, "correct horse"),
		Claims: json.RawMessage(`{"name":"Alice Liddell","email":"alice@example.com","email_verified":true}`),
	}
	r.write(t, func(tx *store.Tx) error { return tx.AddAccount(r.alice) })
	return r
}

func hashed(t testing.TB, password string) string {
	t.Helper()
	hash, err := passwords().Hash(password)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func (r *rig) write(t testing.TB, fn func(*store.Tx) error) {
	t.Helper()
	if err := r.DB.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) read(t testing.TB, fn func(*store.Tx) error) {
	t.Helper()
	if err := r.DB.Read(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// from is the context of a request from an address.
func from(t testing.TB, prefix string) context.Context {
	t.Helper()
	return web.WithEvent(t.Context(), &web.Event{
		RequestID: "R1", Peer: web.Peer{Address: netip.MustParseAddr("192.0.2.7"), Prefix: prefix, UserAgent: "Firefox"},
	})
}

// use uses a proof as a room does: what failed is committed, and refused outside.
func (r *rig) use(p *authn.Proof) (f store.Factor, err error) {
	var failed error
	err = r.DB.Write(context.Background(), func(tx *store.Tx) (err error) {
		if f, err = p.Use(tx); errors.Is(err, authn.ErrFailed) {
			failed = err
			return nil
		}
		return err
	})
	return f, errors.Join(err, failed)
}

// mails are the texts that wait to be sent, read as only the queue itself can.
func (r *rig) mails(t testing.TB) (texts []string) {
	t.Helper()
	r.write(t, func(tx *store.Tx) error {
		claimed, err := tx.ClaimMail(100, tx.Now.Add(time.Second))
		texts = nil
		for _, m := range claimed {
			sealed, err := base64.RawURLEncoding.DecodeString(m.Text)
			if err != nil {
				return err
			}
			text, err := r.ring.Open(keys.PurposeSeal, []byte("mail\x00"+r.DB.Tenant()+"\x00"+m.ID), sealed)
			if err != nil {
				return err
			}
			texts = append(texts, m.To+"\n"+m.Subject+"\n"+string(text))
		}
		return err
	})
	r.now = r.now.Add(time.Second) // claimed mails can be claimed again
	return texts
}

// register gives alice a passkey on an authenticator.
func (r *rig) register(t testing.TB, a *passkeytest.Authenticator) store.Passkey {
	t.Helper()
	c, err := r.Passkeys.BeginRegistration(t.Context(), &r.alice, "place")
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Create([]byte(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Passkeys.CheckRegistration(t.Context(), &r.alice, "place", c.State, string(response))
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, func(tx *store.Tx) error { return made.Add(tx, "Laptop") })
	return made.Passkey
}

// answer begins a login at a place and answers it.
func (r *rig) answer(t testing.TB, a *passkeytest.Authenticator, place string) (state, response string) {
	t.Helper()
	c, err := r.Passkeys.BeginLogin(place)
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Get([]byte(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	return c.State, string(b)
}
