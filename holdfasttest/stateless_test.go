package holdfasttest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// carryDemo has browsers carry the sessions of the demo app, and waits until the server knows.
func carryDemo(t *testing.T, s *holdfasttest.Server) {
	t.Helper()
	key, err := os.ReadFile(s.Clients["spa"].KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{
		"kind": "application", "name": "demo", "client_id": s.Clients["spa"].ID, "key": json.RawMessage(key), "origins": []string{s.AppURL},
		"redirect_uri": s.AppURL + "/callback", "post_logout_redirect_uri": s.AppURL + "/", "scope": s.Clients["spa"].Scope,
		"resources": []string{s.GatewayURL}, "detailed_errors": true, "session_storage": "stateless",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Apply("main", string(document))
	probe := newFrontend(t, s)
	for begin := time.Now(); len(carriedBy(probe)) != 2; {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("sessions are kept on the server")
		}
		probe.signIn(s.Users[1])
	}
}

// carriedBy are the cookies of the page's session, by the end of their names.
func carriedBy(f *frontend) map[string]string {
	f.t.Helper()
	u, err := url.Parse(f.handler)
	if err != nil {
		f.t.Fatal(err)
	}
	found := map[string]string{}
	for _, c := range f.client.Jar.Cookies(u) {
		if _, kind, ok := strings.Cut(c.Name, "hf-"+f.name+"-"); ok && strings.HasPrefix(c.Name, "__Host-Http-") && len(kind) == 1 {
			found[kind] = c.String()
		}
	}
	return found
}

// copied is another browser with some of the cookies of this one.
func copied(f *frontend, kinds ...string) *frontend {
	other := *f
	other.person = newPerson(f.t, f.Server)
	var cookies []string
	for _, kind := range kinds {
		cookies = append(cookies, carriedBy(f)[kind])
	}
	other.cookies = strings.Join(cookies, "; ")
	return &other
}

func TestStatelessSession(t *testing.T) {
	engines(t, func(t *testing.T, s *holdfasttest.Server) {
		carryDemo(t, s)
		page, office := newFrontend(t, s), newBackOffice(t, s)
		page.signIn(s.Users[0])
		office.signIn(s.Users[0])
		first := carriedBy(page)
		for name, a := range map[string]answered{"orders": page.orders(), "refresh": page.call("/refresh"), "orders, then": page.orders(), "back office": office.call("/refresh")} {
			if a.Status != http.StatusOK {
				t.Errorf("%s: %d %v", name, a.Status, a.Body)
			}
		}
		if now := carriedBy(page); now["a"] == first["a"] || now["s"] == first["s"] || len(carriedBy(office)) != 1 {
			t.Error("the cookies were not issued anew, or the back office has two")
		}
		if a := page.call("/session"); a.Body["is_logged_in"] != true || a.Body["id_token_claims"] == nil {
			t.Errorf("session: %v", a.Body)
		}
		t.Run("half of it is nothing", func(t *testing.T) {
			for _, kinds := range [][]string{{"s"}, {"a"}} {
				if a := copied(page, kinds...).orders(); a.Status != http.StatusUnauthorized {
					t.Errorf("%v: %d %v", kinds, a.Status, a.Body)
				}
			}
		})
		t.Run("signing out of the application", func(t *testing.T) {
			page := newFrontend(t, s)
			page.signIn(s.Users[0])
			endsCarried(t, page, copied(page, "s", "a"), func() { page.call("/logout") })
			if left := carriedBy(page); len(left) != 0 {
				t.Errorf("cookies %v", left)
			}
		})
		t.Run("signing out of the issuer", func(t *testing.T) {
			page := newFrontend(t, s)
			page.signIn(s.Users[0])
			endsCarried(t, page, copied(page, "s", "a"), func() {
				page.submit(page.get(page.Issuer+"/end-session"), "logout-confirm", nil)
			})
		})
	})
}

// endsCarried ends the session of a page: a copy of its cookies is worth nothing within a second.
func endsCarried(t *testing.T, page, thief *frontend, end func()) {
	t.Helper()
	for name, f := range map[string]*frontend{"page": page, "copy": thief} {
		if a := f.orders(); a.Status != http.StatusOK {
			t.Fatalf("%s, before: %d %v", name, a.Status, a.Body)
		}
	}
	end()
	if d := refusedWithin(t, thief.orders); d > time.Second {
		t.Errorf("the gateway saw it after %v", d)
	}
	if a := thief.call("/refresh"); a.Status != http.StatusUnauthorized || a.code() != "session_expired" {
		t.Errorf("refresh afterwards: %d %v", a.Status, a.Body)
	}
}

func TestStatelessSessionOverTwoNodes(t *testing.T) {
	if os.Getenv("HOLDFAST_TEST_POSTGRES") == "" {
		t.Skip("HOLDFAST_TEST_POSTGRES is not set")
	}
	s := holdfasttest.Start(t, holdfasttest.WithDatabase(storetest.EmptyURL(t, store.PostgreSQL)))
	reach := secondNode(t, s)
	carryDemo(t, s)
	n := &pathNodes{Server: s, reach: reach, other: reach(asAPI(t, s)).client.Transport}
	t.Run("a session of one is one of the other", n.sameSession)
	t.Run("a sign-in begun at one ends at the other", n.endsElsewhere)
	t.Run("refreshed here and there in turn", func(t *testing.T) {
		page := newFrontend(t, s)
		page.signIn(s.Users[0])
		there := n.there(page)
		for i, f := range []*frontend{page, there, page} {
			if a := f.call("/refresh"); a.Status != http.StatusOK {
				t.Errorf("refresh %d: %d %v", i, a.Status, a.Body)
			}
			if a := f.orders(); a.Status != http.StatusOK {
				t.Errorf("orders %d: %d %v", i, a.Status, a.Body)
			}
		}
	})
	t.Run("signing out here ends it there", func(t *testing.T) {
		page := newFrontend(t, s)
		page.signIn(s.Users[0])
		endsCarried(t, page, n.there(copied(page, "s", "a")), func() { page.call("/logout") })
	})
}
