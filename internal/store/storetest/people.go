package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

func account(b *bench, id, name string) store.Account {
	return store.Account{
		ID: id, Username: name, UserHandle: []byte("handle of " + id), Disabled: true, Claims: json.RawMessage(`{"name":"A"}`),
		PasswordHash: "$argon2id$", ManagedBy: "file", PasswordChangedAt: b.in(-time.Hour), CreatedAt: b.in(-time.Hour),
		UpdatedAt: b.in(0), Version: 1,
	}
}

func addAccount(a store.Account) func(*store.Tx) error {
	return func(tx *store.Tx) error { return tx.AddAccount(a) }
}

func testAccounts(t *testing.T, b *bench) {
	a := account(b, "id1", "Alice")
	write(t, b.DB, addAccount(a))
	byID := func(tx *store.Tx) (store.Account, error) { return tx.Account("id1") }
	byName := func(tx *store.Tx) (store.Account, error) { return tx.AccountByName("aLICE") }
	byHandle := func(tx *store.Tx) (store.Account, error) { return tx.AccountByHandle(a.UserHandle) }
	for _, by := range []func(*store.Tx) (store.Account, error){byID, byName, byHandle} {
		same(t, load(t, b.DB, by), a)
	}

	b.sleep(time.Minute)
	a.Disabled, a.PasswordHash, a.Claims = false, "other", nil
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutAccount(a) })
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutAccount(a) })
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutAccount(account(b, "none", "none")) })
	a.Version, a.UpdatedAt = 2, b.in(0)
	same(t, load(t, b.DB, byID), a)

	write(t, b.DB, addAccount(account(b, "id0", "bob")))
	write(t, b.DB, addAccount(store.Account{ID: "id2"})) // neither name nor handle
	write(t, b.DB, addAccount(store.Account{ID: "id3"}))
	ids := func(after string, limit int) (ids []string) {
		for _, a := range load(t, b.DB, func(tx *store.Tx) ([]store.Account, error) { return tx.Accounts(after, limit) }) {
			ids = append(ids, a.ID)
		}
		return ids
	}
	same(t, ids("", 3), []string{"id0", "id1", "id2"})
	same(t, ids("id2", 3), []string{"id3"})

	write(t, b.DB, func(tx *store.Tx) error { return tx.AddPasskey(passkey(b, "cred", "id1")) })
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutConsent(store.Consent{AccountID: "id1", ClientID: "c"}) })
	write(t, b.DB, func(tx *store.Tx) error { return tx.DeleteAccount("id1") })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteAccount("id1") })
	for _, by := range []func(*store.Tx) (store.Account, error){byID, byName, byHandle} {
		missing(t, b.DB, by)
	}
	missing(t, b.DB, func(tx *store.Tx) (store.Passkey, error) { return tx.Passkey("cred") })
	missing(t, b.DB, func(tx *store.Tx) (store.Consent, error) { return tx.Consent("id1", "c") })
	write(t, b.DB, addAccount(account(b, "id1", "alice")))
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddPasskey(passkey(b, "cred", "id1")) })
}

func testAccountNames(t *testing.T, b *bench) {
	write(t, b.DB, addAccount(account(b, "id1", "alice")))
	write(t, b.DB, addAccount(account(b, "id2", "bob")))
	other := account(b, "id3", "ALICE")
	refused(t, b.DB, store.ErrTaken, addAccount(other))
	other.Username, other.UserHandle = "carol", []byte("handle of id1")
	refused(t, b.DB, store.ErrTaken, addAccount(other))
	other.ID, other.UserHandle = "id1", []byte("new")
	refused(t, b.DB, store.ErrTaken, addAccount(other))
	missing(t, b.DB, func(tx *store.Tx) (store.Account, error) { return tx.AccountByName("carol") })

	renamed := account(b, "id2", "Alice")
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.PutAccount(renamed) })
	renamed.Username, renamed.UserHandle = "Bobby", []byte("moved")
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutAccount(renamed) })
	missing(t, b.DB, func(tx *store.Tx) (store.Account, error) { return tx.AccountByName("bob") })
	missing(t, b.DB, func(tx *store.Tx) (store.Account, error) { return tx.AccountByHandle([]byte("handle of id2")) })
	for _, by := range []func(*store.Tx) (store.Account, error){
		func(tx *store.Tx) (store.Account, error) { return tx.AccountByName("bobby") },
		func(tx *store.Tx) (store.Account, error) { return tx.AccountByHandle([]byte("moved")) },
	} {
		if a := load(t, b.DB, by); a.ID != "id2" || a.Version != 2 {
			t.Errorf("renamed account: %+v", a)
		}
	}
	write(t, b.DB, addAccount(account(b, "id4", "bob")))
	recased := load(t, b.DB, func(tx *store.Tx) (store.Account, error) { return tx.Account("id4") })
	recased.Username = "BOB"
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutAccount(recased) })
}

func passkey(b *bench, id, accountID string) store.Passkey {
	return store.Passkey{
		ID: id, AccountID: accountID, RPID: "holdfast.localhost", Name: "phone", PublicKey: []byte{1}, AAGUID: make([]byte, 16),
		SignCount: 1<<32 - 1, Flags: 0x1d, Transports: []string{"hybrid", "internal"}, AttestationFormat: "none",
		CreatedAt: b.in(0), LastUsedAt: b.in(0),
	}
}

func testPasskeys(t *testing.T, b *bench) {
	p := passkey(b, "cred1", "id1")
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddPasskey(p) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddPasskey(passkey(b, "cred1", "id2")) })
	byID := func(tx *store.Tx) (store.Passkey, error) { return tx.Passkey("cred1") }
	same(t, load(t, b.DB, byID), p)

	b.sleep(time.Hour)
	p.SignCount, p.Flags, p.LastUsedAt = 7, 0x05, b.in(0)
	write(t, b.DB, func(tx *store.Tx) error { return tx.UsePasskey(p) })
	p.Name = "laptop"
	write(t, b.DB, func(tx *store.Tx) error { return tx.RenamePasskey("id1", "cred1", "laptop") })
	same(t, load(t, b.DB, byID), p)

	second := passkey(b, "cred0", "id1")
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddPasskey(second) })
	list := func(tx *store.Tx) ([]store.Passkey, error) { return tx.Passkeys("id1") }
	same(t, load(t, b.DB, list), []store.Passkey{p, second})

	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeletePasskey("id2", "cred1") })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.RenamePasskey("id2", "cred1", "x") })
	write(t, b.DB, func(tx *store.Tx) error { return tx.DeletePasskey("id1", "cred1") })
	missing(t, b.DB, byID)
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.UsePasskey(p) })
	same(t, load(t, b.DB, list), []store.Passkey{second})
}

func testConsents(t *testing.T, b *bench) {
	c := store.Consent{AccountID: "id1", ClientID: "app", Scope: []string{"openid", "email"}, Resources: []string{"https://api"}, GrantedAt: b.in(0)}
	one := func(tx *store.Tx) (store.Consent, error) { return tx.Consent("id1", "app") }
	list := func(tx *store.Tx) ([]store.Consent, error) { return tx.Consents("id1") }
	missing(t, b.DB, one)
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.RevokeConsent("id1", "app") })
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutConsent(c) })
	same(t, load(t, b.DB, one), c)
	same(t, load(t, b.DB, list), []store.Consent{c})

	first := b.in(0)
	for range 2 { // the second time changes nothing
		write(t, b.DB, func(tx *store.Tx) error { return tx.RevokeConsent("id1", "app") })
		b.sleep(time.Hour)
	}
	same(t, load(t, b.DB, list), []store.Consent{})
	if got := load(t, b.DB, one); !got.RevokedAt.Equal(first) {
		t.Errorf("revoked at %v, want %v", got.RevokedAt, first)
	}
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutConsent(c) })
	same(t, load(t, b.DB, one), c)

	c.Allowed = map[string][]string{"": {"openid"}, "https://api": {"openid", "email"}, "https://pay": {}}
	c.Details = json.RawMessage(`[{"actions":["read"],"note":"é <b>","type":"order"}]`)
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutConsent(c) })
	same(t, load(t, b.DB, one), c)
	same(t, load(t, b.DB, list), []store.Consent{c})
	c.Allowed, c.Details = nil, nil
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutConsent(c) })
	same(t, load(t, b.DB, one), c)
}

func testMailedCodes(t *testing.T, b *bench) {
	c := store.MailedCode{AccountID: "id1", Purpose: "enrol", CodeHash: "h1", SentAt: b.in(0), ExpiresAt: b.in(time.Minute)}
	put := func(tx *store.Tx) error { return tx.PutMailedCode(c) }
	var tried store.MailedCode
	try := func(tx *store.Tx) (err error) {
		tried, err = tx.TryMailedCode("id1", "enrol")
		return err
	}
	spend := func(tx *store.Tx) error { return tx.SpendMailedCode("id1", "enrol") }
	one := func(tx *store.Tx) (store.MailedCode, error) { return tx.MailedCode("id1", "enrol") }
	refused(t, b.DB, store.ErrNotFound, try)
	refused(t, b.DB, store.ErrNotFound, spend)
	write(t, b.DB, put)
	for want := 1; want <= 3; want++ {
		if write(t, b.DB, try); tried.Tries != want || tried.CodeHash != "h1" {
			t.Errorf("try %d: %+v", want, tried)
		}
	}
	write(t, b.DB, spend)
	refused(t, b.DB, store.ErrTaken, spend)
	refused(t, b.DB, store.ErrNotFound, try)

	c = store.MailedCode{AccountID: "id1", Purpose: "enrol", CodeHash: "h2", SentAt: b.in(0), ExpiresAt: b.in(time.Minute)}
	write(t, b.DB, put)
	same(t, load(t, b.DB, one), c)
	b.sleep(time.Minute)
	refused(t, b.DB, store.ErrNotFound, try)
}
