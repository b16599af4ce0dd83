package holdfasttest_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// apart keeps the sessions of applications in a database of their own.
func apart(url string) holdfasttest.Option {
	return holdfasttest.WithConfiguration(func(_, text string) string {
		return strings.Replace(text, "\nkey_ring:", "\nsessions_database: {url: \""+url+"\"}\nkey_ring:", 1)
	})
}

// TestSessionsApart walks with the sessions in another database, of each engine, than everything else is in.
func TestSessionsApart(t *testing.T) {
	for _, engine := range []string{store.SQLite, store.PostgreSQL} {
		t.Run(engine, func(t *testing.T) {
			if engine == store.PostgreSQL && os.Getenv("HOLDFAST_TEST_POSTGRES") == "" {
				t.Skip("HOLDFAST_TEST_POSTGRES is not set")
			}
			url := storetest.EmptyURL(t, engine)
			migrate(t, url)
			s := holdfasttest.Start(t, apart(url))
			page := newFrontend(t, s)
			page.signIn(s.Users[0])
			if a := page.call("/refresh"); a.Status != http.StatusOK {
				t.Errorf("refresh: %d %v", a.Status, a.Body)
			}
			if begun, refreshed := audited(t, url, "app_session.begin"), audited(t, url, "app_session.refresh"); begun != 1 || refreshed != 1 {
				t.Errorf("%d sessions were begun there, %d refreshed", begun, refreshed)
			}
			endsApart(t, page, page.thief())
		})
	}
}

// TestSessionsApartOverTwoNodes has two processes share both databases.
func TestSessionsApartOverTwoNodes(t *testing.T) {
	if os.Getenv("HOLDFAST_TEST_POSTGRES") == "" {
		t.Skip("HOLDFAST_TEST_POSTGRES is not set")
	}
	s := holdfasttest.Start(t, holdfasttest.WithDatabase(storetest.EmptyURL(t, store.PostgreSQL)), apart(storetest.EmptyURL(t, store.PostgreSQL)))
	reach := secondNode(t, s)
	n := &pathNodes{Server: s, reach: reach, other: reach(asAPI(t, s)).client.Transport}
	t.Run("a session of one is one of the other", n.sameSession)
	t.Run("a sign-in begun at one ends at the other", n.endsElsewhere)
	t.Run("signing out here ends it there", func(t *testing.T) {
		page := newFrontend(t, s)
		page.signIn(s.Users[0])
		endsApart(t, page, n.there(page.thief()))
	})
}

// endsApart signs out: the gateway hears of it from the database of sessions, and the handler reads it there.
func endsApart(t *testing.T, page, thief *frontend) {
	t.Helper()
	if a := thief.orders(); a.Status != http.StatusOK {
		t.Fatalf("before: %d %v", a.Status, a.Body)
	}
	page.call("/logout")
	if d := refusedWithin(t, thief.orders); d > time.Second {
		t.Errorf("the gateway saw it after %v", d)
	}
	if a := thief.call("/refresh"); a.code() != "session_expired" {
		t.Errorf("refresh afterwards: %d %v", a.Status, a.Body)
	}
}

func migrate(t *testing.T, url string) {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{})
	if err == nil {
		err = db.Migrate(t.Context())
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// audited counts the records of an act in a database.
func audited(t *testing.T, url, action string) (count int) {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.For("main").Read(t.Context(), func(tx *store.Tx) error {
		list, err := tx.Audits(store.AuditFilter{Action: action})
		count = len(list)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}
