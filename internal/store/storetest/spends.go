package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

func testSpends(t *testing.T, b *bench) {
	s := func(key string) store.Spend { return store.Spend{Kind: "dpop", Key: key, Until: b.in(time.Minute)} }
	spend := func(want error, spends ...store.Spend) {
		t.Helper()
		if err := b.Spend(t.Context(), spends...); !errors.Is(err, want) {
			t.Errorf("spend: error %v, want %v", err, want)
		}
	}
	spend(nil)
	spend(nil, s("a"))
	spend(store.ErrTaken, s("a"))
	spend(nil, store.Spend{Kind: "assertion", Key: "a"}) // another kind is another thing
	spend(store.ErrTaken, s("b"), s("a"))                // b is spent all the same
	spend(store.ErrTaken, s("b"))
	spend(store.ErrTaken, s("c"), s("c"))

	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.Spend(s("d"), s("a")) })
	spend(nil, s("d")) // the transaction was rolled back
	write(t, b.DB, func(tx *store.Tx) error {
		if err := tx.Spend(s("e"), s("a")); !errors.Is(err, store.ErrTaken) {
			t.Errorf("spend in a transaction: %v", err)
		}
		return nil
	})
	spend(store.ErrTaken, s("e"))
	write(t, b.DB, func(tx *store.Tx) error { return tx.Spend() })

	b.sleep(time.Hour)
	spend(store.ErrTaken, s("a")) // expired, but not purged

	many := make([]store.Spend, 300)
	for i := range many {
		many[i] = s(fmt.Sprint("many", i))
	}
	spend(nil, many...)
	spend(store.ErrTaken, s("new"), many[299])
	write(t, b.DB, func(tx *store.Tx) error {
		for i := range many {
			many[i].Kind = "mail"
		}
		return tx.Spend(many...)
	})
}

func testTenants(t *testing.T, b *bench) {
	other := b.For("other")
	if other.Tenant() != "other" || b.Tenant() != "acme" || other.Engine() != b.Engine() {
		t.Errorf("views: %q %q on %q", other.Tenant(), b.Tenant(), other.Engine())
	}
	for i, db := range []*store.DB{b.DB, other, b.For("")} { // the same ids in each, each once
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(
				tx.Spend(store.Spend{Kind: "k", Key: "same", Until: b.in(time.Hour)}),
				tx.AddAccount(account(b, "same", "same")),
				tx.AddPasskey(passkey(b, "same", "same")),
				tx.AddSession(session(b, "same")),
				tx.AddGrant(grant(b, "same")),
				tx.AddCode(store.Code{GrantID: "same"}),
				tx.AddRefresh(store.Refresh{GrantID: "same"}),
				tx.AddAccessToken(store.AccessToken{ID: "same"}),
				tx.AddPushedRequest(store.PushedRequest{ID: "same"}),
				tx.PutConsent(store.Consent{AccountID: "same", ClientID: fmt.Sprint(i)}),
				tx.PutMailedCode(store.MailedCode{AccountID: "same", ExpiresAt: b.in(time.Hour)}),
				tx.QueueMail(store.Mail{ID: "same", ExpiresAt: b.in(time.Hour)}),
				tx.AddSigningKey(store.SigningKey{ID: "same"}),
				tx.PutSetting("same", []byte{byte(i)}),
				tx.AddAudit(store.AuditRecord{Action: fmt.Sprint(i)}),
				putObject(object("same", "1"), store.NoRevision)(tx),
			)
		})
	}
	write(t, b.DB, func(tx *store.Tx) error {
		mails, err := tx.ClaimMail(9, b.in(time.Minute))
		if len(mails) != 1 {
			t.Errorf("claimed %d mails, want 1", len(mails))
		}
		return errors.Join(err, tx.SpendCode("same"), tx.RevokeGrant("same", b.in(time.Hour)), tx.EndSession("same"),
			tx.DeleteAccount("same"), tx.DeleteObject("client", "same", 1), tx.DeleteSigningKey("same"), tx.MailSent("same"),
			tx.SpendPushedRequest("same"), tx.SpendRefresh("same", ""), tx.RevokeAccessToken("same", ""))
	})
	write(t, other, func(tx *store.Tx) error { // untouched by what the first tenant did
		if list, err := tx.Consents("same"); err != nil || len(list) != 1 || list[0].ClientID != "1" {
			t.Errorf("consents: %v, %v", list, err)
		}
		if list, err := tx.Audits(store.AuditFilter{}); err != nil || len(list) != 1 || list[0].Action != "1" {
			t.Errorf("audits: %v, %v", list, err)
		}
		_, err1 := tx.TouchGrant("same")
		_, err2 := tx.AccountByName("same")
		_, err3 := tx.Passkey("same")
		_, err4 := tx.TryMailedCode("same", "")
		return errors.Join(err1, err2, err3, err4, tx.SpendCode("same"), tx.TouchSession("same", b.in(time.Hour)),
			tx.SpendPushedRequest("same"), tx.SpendRefresh("same", ""), tx.DeleteObject("client", "same", 1))
	})
}

func testTransactions(t *testing.T, b *bench) {
	set := func(v byte) func(*store.Tx) error {
		return func(tx *store.Tx) error { return tx.PutSetting("x", []byte{v}) }
	}
	get := func(tx *store.Tx) ([]byte, error) { return tx.Setting("x") }
	write(t, b.DB, set(1))
	broken := errors.New("broken")
	refused(t, b.DB, broken, func(tx *store.Tx) error {
		if err := set(2)(tx); err != nil {
			return err
		}
		if v, err := get(tx); err != nil || v[0] != 2 {
			t.Errorf("a transaction does not see its own write: %v, %v", v, err)
		}
		return broken
	})
	done := make(chan struct{})
	go func() { // what t.Fatal does
		defer close(done)
		_ = b.Write(t.Context(), func(tx *store.Tx) error {
			if err := set(3)(tx); err != nil {
				return err
			}
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	same(t, load(t, b.DB, get), []byte{1})

	if err := b.Read(t.Context(), set(4)); err == nil {
		t.Error("a Read can write")
	}
	if err := b.Read(t.Context(), func(tx *store.Tx) error { return tx.SpendCode("x") }); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a Read can spend: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, run := range map[string]func(context.Context, func(*store.Tx) error) error{"Read": b.Read, "Write": b.Write} {
		err := run(gone, func(*store.Tx) error {
			t.Errorf("%s runs for a caller that has gone", name)
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s for a caller that has gone: %v", name, err)
		}
	}
	if err := b.Spend(gone, store.Spend{Key: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Spend for a caller that has gone: %v", err)
	}
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	write(t, b.DB, func(tx *store.Tx) error {
		if tx.Now != b.in(0) || tx.Tenant() != "acme" {
			t.Errorf("now %v of %q", tx.Now, tx.Tenant())
		}
		return nil
	})
}
