package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// fill writes one row of each record that expires, living for d, and one of those that do not.
func fill(b *bench, id string, d time.Duration) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		until := tx.Now.Add(d)
		s, g := session(b, id), grant(b, id)
		s.ExpiresAt, g.ExpiresAt = until, until
		_, err := tx.AddFailure(id, until)
		return errors.Join(err,
			tx.Spend(store.Spend{Key: id, Until: until}),
			tx.AddCode(store.Code{GrantID: id, ExpiresAt: until}),
			tx.AddPushedRequest(store.PushedRequest{ID: id, PurgeAt: until}),
			tx.AddAccessToken(store.AccessToken{ID: id, ExpiresAt: until}),
			tx.AddRefresh(store.Refresh{GrantID: id, IdleUntil: until, ExpiresAt: until.Add(time.Hour)}),
			tx.PutMailedCode(store.MailedCode{AccountID: id, ExpiresAt: until}),
			tx.QueueMail(store.Mail{ID: id, ExpiresAt: until}),
			tx.AddEvent(store.Event{Key: id, ExpiresAt: until}),
			tx.AddSession(s),
			tx.AddAppSession(store.AppSession{ID: id, IdleUntil: until, ExpiresAt: until.Add(time.Hour)}),
			tx.AddGrant(g),
			tx.PutConsent(store.Consent{AccountID: id}),
			tx.AddAudit(store.AuditRecord{Action: id}),
		)
	}
}

const (
	purged  = 10 // rows of fill that go as soon as they expire
	lingers = 2  // rows that others may still refer to for a day
)

func testPurge(t *testing.T, b *bench) {
	purge := func(what string, want int) {
		t.Helper()
		if n, err := b.Purge(t.Context(), 500); err != nil || n != want {
			t.Errorf("%s: purged %d rows, %v; want %d", what, n, err, want)
		}
	}
	write(t, b.DB, fill(b, "short", time.Minute))
	write(t, b.For("other"), fill(b, "short", time.Minute))
	write(t, b.DB, fill(b, "long", 48*time.Hour))
	write(t, b.DB, func(tx *store.Tx) error { return tx.Spend(store.Spend{Key: "for ever"}) })
	purge("before", 0)
	b.sleep(time.Minute)
	purge("expired", 2*purged)
	purge("again", 0)
	missing(t, b.DB, func(tx *store.Tx) (store.Code, error) { return tx.Code("short") })
	load(t, b.DB, func(tx *store.Tx) (store.Code, error) { return tx.Code("long") })
	load(t, b.DB, func(tx *store.Tx) (store.Grant, error) { return tx.Grant("short") })
	b.sleep(24 * time.Hour)
	purge("a day later", 2*lingers)
	missing(t, b.DB, func(tx *store.Tx) (store.Grant, error) { return tx.Grant("short") })
	missing(t, b.DB, func(tx *store.Tx) (store.Session, error) { return tx.Session("short") })

	write(t, b.DB, func(tx *store.Tx) error { return errors.Join(tx.MailSent("long"), tx.EndSession("long")) })
	purge("sent", 1)
	b.sleep(24 * time.Hour)
	purge("ended, its event, and the rest", 1+1+purged-1)
	b.sleep(24 * time.Hour)
	purge("the grant", 1)
	load(t, b.DB, func(tx *store.Tx) (store.Consent, error) { return tx.Consent("short", "") })
	if list := load(t, b.DB, func(tx *store.Tx) ([]store.AuditRecord, error) { return tx.Audits(store.AuditFilter{}) }); len(list) != 2 {
		t.Errorf("audits after purge: %d", len(list))
	}
	if err := b.Spend(t.Context(), store.Spend{Key: "for ever"}); !errors.Is(err, store.ErrTaken) {
		t.Errorf("what never expires: %v", err)
	}
}

func testPurgeInBatches(t *testing.T, b *bench) {
	const rows = 25
	for i := range rows { // the later they are written, the earlier they expire
		write(t, b.DB, fill(b, fmt.Sprint(i), time.Minute-time.Duration(i)*time.Second))
	}
	b.sleep(time.Minute)
	total := 0
	for {
		n, err := b.Purge(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if n > 10*purged {
			t.Errorf("one purge removed %d rows of %d tables", n, purged)
		}
		if total == 0 {
			missing(t, b.DB, func(tx *store.Tx) (store.Code, error) { return tx.Code("24") }) // the oldest goes first
			load(t, b.DB, func(tx *store.Tx) (store.Code, error) { return tx.Code("0") })
		}
		if total += n; n == 0 {
			break
		}
	}
	if total != rows*purged {
		t.Errorf("purged %d rows, want %d", total, rows*purged)
	}
}
