// Package authntest is one issuer with somebody who can sign in, and browsers to sign in with, for tests of the rooms
// where people prove who they are. A test mounts the rooms it is about; cookies, forms and redirects work as in a
// browser without JavaScript.
//
// It is for tests only, and knows no room.
package authntest

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
)

// URL is the issuer's, Password everybody's, and Agent what browsers call themselves.
const (
	URL      = "https://login.example.com"
	Password = "correct horse battery staple"
	Agent    = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
)

var passwords = sync.OnceValues(authn.NewPasswords)

// Issuer is what the rooms are made of. Its one account is alice, with a password and a verified address.
type Issuer struct {
	T         testing.TB
	Time      time.Time // of its clock, which stands still
	DB        *store.DB // of the tenant main
	Ring      *keys.Ring
	Keeper    *flow.Keeper
	Decider   *flow.Decider
	Sessions  *session.Sessions
	Pages     *web.Pages
	Passwords *authn.Passwords
	Passkeys  *authn.Passkeys
	Failures  *limit.Failures
	Trail     *audit.Trail
	Mux       *web.Mux // where rooms are mounted
	Handler   http.Handler
}

// New makes an issuer without any room.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{T: t, Time: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Ring: keys.NewRing()}
	i.DB = storetest.Open(t, store.Options{Now: i.Now}).For("main")
	var err error
	i.Passwords, err = passwords()
	i.OK(err)
	rp, err := passkey.New(passkey.Party{ID: "example.com", Name: "Test", Origins: []string{URL}})
	i.OK(err)
	i.Pages, err = web.NewPages(web.Theme{Name: "Test"})
	i.OK(err)
	i.Keeper = &flow.Keeper{DB: i.DB, Sealer: i.Ring, Now: i.Now}
	i.Passkeys = &authn.Passkeys{DB: i.DB, RP: rp, Sealer: i.Ring, Now: i.Now}
	i.Failures = &limit.Failures{DB: i.DB, Now: i.Now}
	i.Trail = &audit.Trail{DB: i.DB, Now: i.Now}
	i.Sessions = &session.Sessions{DB: i.DB, Ring: i.Ring, Now: i.Now, Idle: 8 * time.Hour, Absolute: 24 * time.Hour}
	i.Decider = &flow.Decider{
		DB: i.DB, Sessions: i.Sessions, Checker: &request.Checker{Issuer: URL, Registry: objects.New(i.DB)},
		Subject: func(_ *objects.Client, accountID string) string { return accountID },
	}
	i.Mux = web.NewMux(web.PageDoor(i.Pages))
	i.Handler = web.Wrap(web.Protect(i.Mux), web.Options{Now: i.Now, Hosts: []string{"login.example.com"}})
	i.AddAccount("alice", `{"email":"alice@example.com","email_verified":true}`)
	return i
}

// Now is the issuer's clock.
func (i *Issuer) Now() time.Time { return i.Time }

// OK ends the test on an error.
func (i *Issuer) OK(err error) {
	i.T.Helper()
	if err != nil {
		i.T.Fatal(err)
	}
}

// Write runs one transaction.
func (i *Issuer) Write(fn func(tx *store.Tx) error) {
	i.T.Helper()
	i.OK(i.DB.Write(i.T.Context(), fn))
}

// AddAccount adds somebody whose id and user name are the same, with Password.
func (i *Issuer) AddAccount(name, claims string) {
	i.T.Helper()
	hash, err := i.Passwords.Hash(Password)
	i.OK(err)
	i.Write(func(tx *store.Tx) error {
		return tx.AddAccount(store.Account{ID: name, Username: name, UserHandle: []byte("handle of " + name), PasswordHash: hash, Claims: json.RawMessage(claims)})
	})
}

// Change changes an account.
func (i *Issuer) Change(name string, fn func(*store.Account)) {
	i.T.Helper()
	i.Write(func(tx *store.Tx) error {
		a, err := tx.Account(name)
		if err != nil {
			return err
		}
		fn(&a)
		return tx.PutAccount(a)
	})
}

// AddPasskey gives an account a passkey behind the back of every page, and returns its id. create is the authenticator.
func (i *Issuer) AddPasskey(account, name string, create func([]byte) ([]byte, error)) (id string) {
	i.T.Helper()
	var owner store.Account
	i.Write(func(tx *store.Tx) (err error) {
		owner, err = tx.Account(account)
		return err
	})
	c, err := i.Passkeys.BeginRegistration(i.T.Context(), &owner, "test")
	i.OK(err)
	response, err := create([]byte(c.Options))
	i.OK(err)
	made, err := i.Passkeys.CheckRegistration(i.T.Context(), &owner, "test", c.State, string(response))
	i.OK(err)
	i.Write(func(tx *store.Tx) error { return made.Add(tx, name) })
	return made.Passkey.ID
}

// Acts lists the actions of the audit, oldest first.
func (i *Issuer) Acts() (list []string) {
	i.T.Helper()
	i.Write(func(tx *store.Tx) error {
		records, err := tx.Audits(store.AuditFilter{})
		for _, r := range slices.Backward(records) {
			list = append(list, r.Action)
		}
		return err
	})
	return list
}
