package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// Run checks that an engine keeps the contract. migrated returns the URL of a new migrated, empty database.
func Run(t *testing.T, migrated func(testing.TB) string) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"Objects", testObjects},
		{"ObjectRevisions", testObjectRevisions},
		{"Settings", testSettings},
		{"RingUse", testRingUse},
		{"SigningKeys", testSigningKeys},
		{"Leases", testLeases},
		{"Accounts", testAccounts},
		{"AccountNames", testAccountNames},
		{"Passkeys", testPasskeys},
		{"Consents", testConsents},
		{"MailedCodes", testMailedCodes},
		{"Sessions", testSessions},
		{"AppSessions", testAppSessions},
		{"AppSessionLeases", testAppSessionLeases},
		{"AppSessionsOf", testAppSessionsOf},
		{"OneRefresher", testOneRefresher},
		{"Codes", testCodes},
		{"Grants", testGrants},
		{"Refreshes", testRefreshes},
		{"AccessTokens", testAccessTokens},
		{"PushedRequests", testPushedRequests},
		{"Mail", testMail},
		{"Events", testEvents},
		{"Audits", testAudits},
		{"Failures", testFailures},
		{"Spends", testSpends},
		{"Tenants", testTenants},
		{"Transactions", testTransactions},
		{"Purge", testPurge},
		{"PurgeInBatches", testPurgeInBatches},
		{"Contention", testContention},
		{"ManySpenders", testManySpenders},
		{"SpendersWhoLeave", testSpendersWhoLeave},
		{"CodeLife", testCodeLife},
		{"RefreshLife", testRefreshLife},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, newBench(t, migrated(t)))
		})
	}
}

// bench is a database under test with a clock that stands still.
type bench struct {
	*store.DB
	url string

	mu  sync.Mutex
	now time.Time
}

func newBench(t testing.TB, url string) *bench {
	b := &bench{url: url, now: time.Date(2026, 5, 4, 3, 2, 1, 987654000, time.UTC)}
	b.DB = openURL(t, url, []store.Options{{Now: b.clock}}).For("acme")
	return b
}

// again opens the same database once more, as another node would.
func (b *bench) again(t testing.TB) *store.DB {
	return openURL(t, b.url, []store.Options{{Now: b.clock}}).For("acme")
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) sleep(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// in returns the time so far from now.
func (b *bench) in(d time.Duration) time.Time { return b.clock().Add(d) }

// write writes and fails the test unless it goes well.
func write(t testing.TB, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// refused writes and fails the test unless the error is want.
func refused(t testing.TB, db *store.DB, want error, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); !errors.Is(err, want) {
		t.Errorf("write: error %v, want %v", err, want)
	}
}

// load reads one thing and fails the test unless it goes well.
func load[T any](t testing.TB, db *store.DB, fn func(*store.Tx) (T, error)) (v T) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return v
}

// missing reads one thing and fails the test unless it is not there.
func missing[T any](t testing.TB, db *store.DB, fn func(*store.Tx) (T, error)) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		_, err := fn(tx)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("read: error %v, want %v", err, store.ErrNotFound)
	}
}

// same compares what was stored with what is loaded.
func same(t testing.TB, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("stored (-) and loaded (+) differ:\n%s", d)
	}
}
