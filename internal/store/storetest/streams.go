package storetest

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

func testMail(t *testing.T, b *bench) {
	for _, id := range []string{"m1", "m2", "m3"} {
		write(t, b.DB, func(tx *store.Tx) error {
			return tx.QueueMail(store.Mail{
				ID: id, To: "a@example.test", Subject: "s", Text: "123456", HTML: "<b>123456</b>", NextAt: tx.Now, ExpiresAt: tx.Now.Add(time.Hour),
			})
		})
		b.sleep(time.Second)
	}
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.QueueMail(store.Mail{ID: "m1"}) })
	claim := func(limit int) map[string]store.Mail {
		t.Helper()
		claimed := map[string]store.Mail{}
		write(t, b.DB, func(tx *store.Tx) error {
			list, err := tx.ClaimMail(limit, tx.Now.Add(time.Minute))
			for _, m := range list {
				claimed[m.ID] = m
			}
			return err
		})
		return claimed
	}
	got := claim(2) // the oldest two
	m1 := got["m1"]
	if len(got) != 2 || got["m2"].ID == "" || m1.Attempts != 1 || m1.Text != "123456" || m1.HTML == "" || m1.To != "a@example.test" {
		t.Errorf("first claim: %+v", got)
	}
	if got := claim(9); len(got) != 1 || got["m3"].ID == "" {
		t.Errorf("second claim: %+v", got)
	}
	if got := claim(9); len(got) != 0 {
		t.Errorf("third claim: %+v", got)
	}
	write(t, b.DB, func(tx *store.Tx) error { return tx.MailSent("m1") })
	write(t, b.DB, func(tx *store.Tx) error { return tx.MailFailed("m2", "451 later", tx.Now.Add(5*time.Minute)) })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.MailFailed("m1", "", tx.Now) })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.MailSent("none") })

	b.sleep(time.Minute) // whoever had m3 is gone
	if got := claim(9); len(got) != 1 || got["m3"].Attempts != 2 {
		t.Errorf("claim after the first lapsed: %+v", got)
	}
	b.sleep(4 * time.Minute)
	if got := claim(9); len(got) != 2 || got["m2"].LastError != "451 later" || got["m2"].Attempts != 2 {
		t.Errorf("claim of what failed: %+v", got)
	}
	b.sleep(time.Hour)
	if got := claim(9); len(got) != 0 {
		t.Errorf("claim of what expired: %+v", got)
	}
}

func testEvents(t *testing.T, b *bench) {
	var woken atomic.Int32
	b.OnEvent(func() { woken.Add(1) })
	e := store.Event{Kind: store.EventJTI, Key: "j1", NotBefore: b.in(-time.Second), ExpiresAt: b.in(time.Minute)}
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddEvent(e) })
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error {
		if err := tx.AddEvent(e); err != nil {
			return err
		}
		return store.ErrConflict
	})
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutSetting("x", nil) })
	if n := woken.Load(); n != 1 {
		t.Errorf("woken %d times by one event", n)
	}
	first := b.in(0)
	b.sleep(time.Second)
	write(t, b.For("other"), func(tx *store.Tx) error {
		return tx.AddEvent(store.Event{Kind: store.EventClient, Key: "app", ExpiresAt: b.in(time.Hour)})
	})

	list, err := b.Events(t.Context(), first)
	if err != nil || len(list) != 2 || list[0].ID == list[1].ID {
		t.Fatalf("events: %+v, %v; want two", list, err)
	}
	e.ID, e.Tenant, e.At = list[0].ID, "acme", first
	same(t, list[0], e)
	if list[1].Tenant != "other" || list[1].Key != "app" || !list[1].NotBefore.IsZero() {
		t.Errorf("event of another tenant: %+v", list[1])
	}
	if list, err := b.Events(t.Context(), first.Add(time.Microsecond)); err != nil || len(list) != 1 {
		t.Errorf("later events: %+v, %v; want one", list, err)
	}
	b.sleep(time.Minute)
	if list, err := b.Events(t.Context(), time.Time{}); err != nil || len(list) != 1 {
		t.Errorf("live events: %+v, %v; want one", list, err)
	}
}

func testAudits(t *testing.T, b *bench) {
	full := store.AuditRecord{
		ID: "a1", RequestID: "r1", ActorKind: "client", ActorID: "app", Action: "token.issue", ObjectKind: "grant", ObjectID: "g1",
		Client: "app", Outcome: "refused", Code: "invalid_grant", Reason: "spent", AddressPrefix: "192.0.2.0/24", At: b.in(-time.Hour),
		Detail: json.RawMessage(`{"n":1}`),
	}
	write(t, b.DB, func(tx *store.Tx) error {
		return tx.AddAudit(full, store.AuditRecord{Action: "session.end", Client: "app"}, store.AuditRecord{Action: "session.end"})
	})
	for _, c := range []struct {
		filter store.AuditFilter
		want   int
	}{
		{store.AuditFilter{}, 3},
		{store.AuditFilter{Action: "session.end"}, 2},
		{store.AuditFilter{Action: "session.end", Client: "app"}, 1},
		{store.AuditFilter{RequestID: "r1"}, 1},
		{store.AuditFilter{Since: b.in(-time.Minute)}, 2},
		{store.AuditFilter{Limit: 1}, 1},
		{store.AuditFilter{Action: "none"}, 0},
	} {
		got := load(t, b.DB, func(tx *store.Tx) ([]store.AuditRecord, error) { return tx.Audits(c.filter) })
		if len(got) != c.want {
			t.Errorf("%+v: %d records, want %d", c.filter, len(got), c.want)
		}
	}
	got := load(t, b.DB, func(tx *store.Tx) ([]store.AuditRecord, error) { return tx.Audits(store.AuditFilter{}) })
	same(t, got[2], full)
	if got[0].ID == "" || !got[0].At.Equal(b.in(0)) {
		t.Errorf("filled in: %+v", got[0])
	}
}

func testFailures(t *testing.T, b *bench) {
	fail := func(key string, want int) {
		t.Helper()
		var n int
		write(t, b.DB, func(tx *store.Tx) (err error) {
			n, err = tx.AddFailure(key, tx.Now.Add(time.Hour))
			return err
		})
		if n != want {
			t.Errorf("%d failures of %s, want %d", n, key, want)
		}
	}
	list := func(tx *store.Tx) ([]store.Failure, error) { return tx.Failures("a", "b", "c") }
	fail("a", 1)
	fail("a", 2)
	fail("b", 1)
	write(t, b.DB, func(tx *store.Tx) error { return tx.BlockFailure("a", tx.Now.Add(2*time.Hour)) })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.BlockFailure("c", tx.Now) })
	same(t, load(t, b.DB, list), []store.Failure{
		{Key: "a", Count: 2, LastAt: b.in(0), BlockedUntil: b.in(2 * time.Hour), ExpiresAt: b.in(2 * time.Hour)},
		{Key: "b", Count: 1, LastAt: b.in(0), ExpiresAt: b.in(time.Hour)},
	})
	b.sleep(time.Hour)
	if got := load(t, b.DB, list); len(got) != 1 || got[0].Key != "a" {
		t.Errorf("an hour later: %+v", got)
	}
	fail("b", 1) // counted anew
	write(t, b.DB, func(tx *store.Tx) error { return tx.ClearFailure("a") })
	fail("a", 1)
}
