package holdfasttest_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// pathNodes are two processes on one PostgreSQL, and a browser that reaches both.
type pathNodes struct {
	*holdfasttest.Server
	reach func(*party) *party
	other http.RoundTripper // leads to the other process
	db    *store.DB
}

func TestThePathOverTwoNodes(t *testing.T) {
	if os.Getenv("HOLDFAST_TEST_POSTGRES") == "" {
		t.Skip("HOLDFAST_TEST_POSTGRES is not set")
	}
	database := storetest.EmptyURL(t, store.PostgreSQL)
	s := holdfasttest.Start(t, holdfasttest.WithDatabase(database))
	reach := secondNode(t, s)
	db, err := store.Open(t.Context(), database, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // only read from
	n := &pathNodes{s, reach, reach(asAPI(t, s)).client.Transport, db.For("main")}
	t.Run("a session of one is one of the other", n.sameSession)
	t.Run("a sign-in begun at one ends at the other", n.endsElsewhere)
	t.Run("fifty refreshes are one", n.oneRefresh)
	t.Run("a revoked token", n.revokedToken)
	t.Run("signing out of the application", func(t *testing.T) {
		n.endsEverywhere(t, func(page *frontend) { page.call("/logout") })
	})
	t.Run("signing out of the issuer", func(t *testing.T) {
		n.endsEverywhere(t, func(page *frontend) {
			page.submit(page.get(page.Issuer+"/end-session"), "logout-confirm", nil)
		})
	})
}

// there is the same browser, whose requests go to the other process.
func (n *pathNodes) there(page *frontend) *frontend {
	client := *page.client
	client.Transport = n.other
	own := *page
	own.person = &person{page.Server, page.t, &client}
	return &own
}

func (n *pathNodes) sameSession(t *testing.T) {
	page := newFrontend(t, n.Server)
	page.signIn(n.Users[0])
	there := n.there(page)
	for name, a := range map[string]answered{"orders": there.orders(), "session": there.call("/session"), "orders here": page.orders()} {
		if a.Status != http.StatusOK || a.Body["is_logged_in"] == false {
			t.Errorf("%s: %d %v", name, a.Status, a.Body)
		}
	}
}

func (n *pathNodes) endsElsewhere(t *testing.T) {
	page := newFrontend(t, n.Server)
	back := page.begin(n.Users[0])
	if a := n.there(page).end(back); a.Status != http.StatusOK || a.Body["is_logged_in"] != true {
		t.Fatalf("%d %v", a.Status, a.Body)
	}
	if a := page.orders(); a.Status != http.StatusOK {
		t.Errorf("orders: %d %v", a.Status, a.Body)
	}
}

// oneRefresh asks fifty times at both processes at once. The issuer's own records say how often it was asked.
func (n *pathNodes) oneRefresh(t *testing.T) {
	page := newFrontend(t, n.Server)
	page.signIn(n.Users[0])
	at := []*frontend{page, n.there(page)}
	before := n.refreshes(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if a := at[i%2].call("/refresh"); a.Status != http.StatusOK {
				t.Errorf("%d %v", a.Status, a.Body)
			}
		})
	}
	wg.Wait()
	if got := n.refreshes(t) - before; got != 1 {
		t.Errorf("the issuer was asked %d times", got)
	}
	for _, f := range at {
		if a := f.orders(); a.Status != http.StatusOK {
			t.Errorf("orders afterwards: %d %v", a.Status, a.Body)
		}
	}
}

// revokedToken has a partner revoke a token here that the other gateway has in memory.
func (n *pathNodes) revokedToken(t *testing.T) {
	here := asKeyPartner(t, n.Server, "partner_jwt")
	there := n.reach(here)
	token := here.token("partner_jwt")
	for _, c := range []*party{here, there} {
		if a := c.ask(n.APIURL, token); a.Status != http.StatusOK {
			t.Fatalf("before: %d %v", a.Status, a.Body)
		}
	}
	if a := here.post("/revoke", url.Values{"token": {token}}); a.Status != http.StatusOK {
		t.Fatalf("revoke: %d %v", a.Status, a.Body)
	}
	if d := refusedWithin(t, func() answered { return there.ask(n.APIURL, token) }); d > time.Second {
		t.Errorf("the other gateway saw it after %v", d)
	}
}

// refreshes is how many refresh tokens of the application the issuer has honoured.
func (n *pathNodes) refreshes(t *testing.T) (count int) {
	t.Helper()
	err := n.db.Read(t.Context(), func(tx *store.Tx) error {
		records, err := tx.Audits(store.AuditFilter{Action: "grant.refreshed", Client: n.Clients["spa"].ID})
		count = len(records)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// endsEverywhere ends a session here, while both gateways have it in memory.
func (n *pathNodes) endsEverywhere(t *testing.T, end func(*frontend)) {
	page := newFrontend(t, n.Server)
	page.signIn(n.Users[0])
	thief := page.thief() // what is left is a copy of the cookie
	there := n.there(thief)
	for _, f := range []*frontend{thief, there} {
		if a := f.orders(); a.Status != http.StatusOK {
			t.Fatalf("before: %d %v", a.Status, a.Body)
		}
	}
	end(page)
	if d := refusedWithin(t, there.orders); d > time.Second {
		t.Errorf("the other gateway saw it after %v", d)
	}
	if d := refusedWithin(t, thief.orders); d > time.Second {
		t.Errorf("the gateway saw it after %v", d)
	}
	for _, f := range []*frontend{there, thief} {
		if a := f.call("/refresh"); a.Status != http.StatusUnauthorized || !strings.Contains(a.code(), "session_expired") {
			t.Errorf("refresh afterwards: %d %v", a.Status, a.Body)
		}
	}
}
