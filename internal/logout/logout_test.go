package logout_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/logout"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// world is an issuer with Alice signed in, in two browsers.
type world struct {
	t             *testing.T
	db            *store.DB
	sessions      *session.Sessions
	handler       http.Handler
	here, another string // handles
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ring, now := keys.NewRing(), time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func() time.Time { return now }
	w := &world{t: t, db: storetest.Open(t, store.Options{Now: clock}).For("main")}
	w.sessions = &session.Sessions{DB: w.db, Ring: ring, Now: clock, Idle: time.Hour, Absolute: 24 * time.Hour}
	pages, err := web.NewPages(web.Theme{Name: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	mux := web.NewMux(web.PageDoor(pages))
	(&logout.Endpoints{DB: w.db, Sessions: w.sessions, Sealer: ring, Pages: pages}).Mount(mux.ServeMux)
	w.handler = web.Wrap(web.Protect(mux, "POST /end-session"), web.Options{Now: clock, Hosts: []string{"login.example.com"}})
	w.write(func(tx *store.Tx) error {
		return tx.AddAccount(store.Account{ID: "alice", Username: "alice@example.com", UserHandle: []byte("handle")})
	})
	w.here, w.another = w.signIn(), w.signIn()
	return w
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) signIn() (handle string) {
	w.write(func(tx *store.Tx) (err error) {
		_, handle, err = w.sessions.New(tx, "alice", store.Factor{Kind: session.Password, At: tx.Now}, web.Peer{}, nil)
		return err
	})
	return handle
}

func (w *world) send(method, handle string, form url.Values) (*http.Response, string) {
	r := httptest.NewRequest(method, "https://login.example.com/end-session", strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site") // this address takes posts of other origins
	if handle != "" {
		r.AddCookie(&http.Cookie{Name: web.SessionCookie, Value: handle})
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec.Result(), rec.Body.String()
}

func (w *world) live(handle string) bool {
	_, err := w.sessions.Open(w.t.Context(), handle)
	return err == nil
}

var confirmation = regexp.MustCompile(`name="confirm" value="([^"]+)"`)

func (w *world) confirmation(handle string) string {
	w.t.Helper()
	res, body := w.send("GET", handle, nil)
	found := confirmation.FindStringSubmatch(body)
	if res.StatusCode != 200 || found == nil || !strings.Contains(body, "alice@example.com") || !strings.Contains(body, `id="logout-confirm"`) {
		w.t.Fatalf("no confirmation: %d %s", res.StatusCode, body)
	}
	return found[1]
}

func cleared(res *http.Response) bool {
	for _, c := range res.Cookies() {
		if c.Name == web.SessionCookie && c.MaxAge < 0 && c.Secure && c.Path == "/" {
			return true
		}
	}
	return false
}

func TestSignOut(t *testing.T) {
	w := newWorld(t)
	res, body := w.send("POST", w.here, url.Values{"confirm": {w.confirmation(w.here)}})
	if res.StatusCode != 200 || !cleared(res) || !strings.Contains(body, "page-signedout") {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
	if res.Header.Get("Clear-Site-Data") != "" {
		t.Error("it would sign out every application of the domain")
	}
	if w.live(w.here) || !w.live(w.another) {
		t.Error("this session has to end, and no other")
	}
	w.write(func(tx *store.Tx) error {
		records, err := tx.Audits(store.AuditFilter{Action: "session.end"})
		id, _, _ := keys.SplitHandle(w.here)
		if len(records) != 1 || records[0].ActorID != "alice" || records[0].ObjectID != id {
			t.Errorf("audit %+v", records)
		}
		return err
	})
}

func TestNobodyElseSignsSomebodyOut(t *testing.T) {
	w := newWorld(t)
	for name, form := range map[string]url.Values{
		"nothing": {}, "nonsense": {"confirm": {"x"}}, "of another session": {"confirm": {w.confirmation(w.another)}},
	} {
		res, body := w.send("POST", w.here, form)
		if res.StatusCode != 200 || cleared(res) || !strings.Contains(body, `id="logout-confirm"`) || !w.live(w.here) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

func TestWithoutSessionNothingIsLeftToDo(t *testing.T) {
	w := newWorld(t)
	for _, method := range []string{"GET", "POST"} {
		for _, handle := range []string{"", "unknown.secret"} {
			res, body := w.send(method, handle, url.Values{})
			if res.StatusCode != 200 || !strings.Contains(body, "page-signedout") {
				t.Errorf("%s %q: %d", method, handle, res.StatusCode)
			}
			// A post of another site comes without the cookie, and must not take it away.
			if cleared(res) != (handle != "") {
				t.Errorf("%s %q: cleared %t", method, handle, cleared(res))
			}
		}
	}
}

func TestAccountThatIsGoneSignsOutAllTheSame(t *testing.T) {
	w := newWorld(t)
	confirm := w.confirmation(w.here)
	w.write(func(tx *store.Tx) error { return tx.DeleteAccount("alice") })
	if !w.live(w.here) {
		return // the sessions went with it
	}
	if res, _ := w.send("GET", w.here, nil); res.StatusCode != 200 {
		t.Errorf("asking: %d", res.StatusCode)
	}
	if res, _ := w.send("POST", w.here, url.Values{"confirm": {confirm}}); res.StatusCode != 200 || w.live(w.here) {
		t.Errorf("ending: %d", res.StatusCode)
	}
}
