package account_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/holdfast-iam/holdfast/internal/account"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/login"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
)

const (
	issuer = "https://login.example.com"
	right  = "correct horse battery staple"
	agent  = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
)

var hashing = sync.OnceValues(authn.NewPasswords)

// world is one issuer with Alice, who has a password and a verified address, and a clock.
type world struct {
	t        *testing.T
	now      time.Time
	db       *store.DB
	ring     *keys.Ring
	keeper   *flow.Keeper
	handler  http.Handler
	passkeys *authn.Passkeys
	failures *limit.Failures
	trail    *audit.Trail
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), ring: keys.NewRing()}
	clock := func() time.Time { return w.now }
	w.db = storetest.Open(t, store.Options{Now: clock}).For("main")
	passwords, err := hashing()
	w.ok(err)
	rp, err := passkey.New(passkey.Party{ID: "example.com", Name: "Test", Origins: []string{issuer}})
	w.ok(err)
	pages, err := web.NewPages(web.Theme{Name: "Test"})
	w.ok(err)
	w.keeper = &flow.Keeper{DB: w.db, Sealer: w.ring, Now: clock}
	w.passkeys = &authn.Passkeys{DB: w.db, RP: rp, Sealer: w.ring, Now: clock}
	w.failures = &limit.Failures{DB: w.db, Now: clock}
	w.trail = &audit.Trail{DB: w.db, Now: clock}
	sessions := &session.Sessions{DB: w.db, Ring: w.ring, Now: clock, Idle: 8 * time.Hour, Absolute: 24 * time.Hour}
	mux := web.NewMux(web.PageDoor(pages))
	(&login.Endpoints{
		DB: w.db, Registry: objects.New(w.db), Sessions: sessions, Keeper: w.keeper, Pages: pages, Passwords: passwords,
		Passkeys: w.passkeys, Failures: w.failures, Trail: w.trail, Now: clock,
	}).Mount(mux.ServeMux)
	queue := &mail.Queue{DB: w.db, Ring: w.ring, From: "no-reply@example.com"}
	(&account.Endpoints{
		Issuer: issuer, Brand: "Test", DB: w.db, Sessions: sessions, Keeper: w.keeper, Pages: pages, Passwords: passwords,
		Passkeys: w.passkeys, Codes: authn.NewMailedCodes(w.ring, queue, clock), Mail: queue, Failures: w.failures, Now: clock,
	}).Mount(mux.ServeMux)
	w.handler = web.Wrap(web.Protect(mux), web.Options{Now: clock, Hosts: []string{"login.example.com"}})
	w.addAccount("alice", `{"email":"alice@example.com","email_verified":true}`)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	w.ok(w.db.Write(w.t.Context(), fn))
}

func (w *world) addAccount(name, claims string) {
	w.t.Helper()
	passwords, err := hashing()
	w.ok(err)
	hash, err := passwords.Hash(right)
	w.ok(err)
	w.write(func(tx *store.Tx) error {
		return tx.AddAccount(store.Account{ID: name, Username: name, UserHandle: []byte("handle of " + name), PasswordHash: hash, Claims: json.RawMessage(claims)})
	})
}

func (w *world) change(name string, fn func(*store.Account)) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		a, err := tx.Account(name)
		if err != nil {
			return err
		}
		fn(&a)
		return tx.PutAccount(a)
	})
}

// acts lists the actions of the audit, oldest first.
func (w *world) acts() (list []string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		records, err := tx.Audits(store.AuditFilter{})
		for _, r := range slices.Backward(records) {
			list = append(list, r.Action)
		}
		return err
	})
	return list
}

// browser keeps cookies and follows our own redirects.
type browser struct {
	*world
	jar map[string]string
}

func (w *world) browser() *browser { return &browser{w, map[string]string{}} }

// page is one answer.
type page struct {
	t      *testing.T
	path   string
	status int
	header http.Header
	body   string
	root   *html.Node
}

func (b *browser) send(r *http.Request) *page {
	b.t.Helper()
	r.Header.Set("User-Agent", agent)
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	b.handler.ServeHTTP(rec, r)
	res := rec.Result()
	for _, c := range res.Cookies() {
		if b.jar[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.jar, c.Name)
		}
	}
	if to := res.Header.Get("Location"); strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/authorize/next") {
		return b.get(to)
	}
	p := &page{t: b.t, path: r.URL.RequestURI(), status: res.StatusCode, header: res.Header, body: rec.Body.String()}
	root, err := html.Parse(strings.NewReader(p.body))
	b.ok(err)
	p.root = root
	return p
}

func (b *browser) get(path string) *page {
	b.t.Helper()
	return b.send(httptest.NewRequestWithContext(context.Background(), http.MethodGet, issuer+path, nil))
}

func (b *browser) post(path string, form url.Values) *page {
	b.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// form finds the first form for an address, nil if the page has none.
func (p *page) form(action string) *html.Node {
	for n := range p.root.Descendants() {
		if n.Data == "form" && attribute(n, "action") == action {
			return n
		}
	}
	return nil
}

// submit posts the form for an address as the page has it, with these fields filled in.
func (b *browser) submit(p *page, action string, fields ...string) *page {
	b.t.Helper()
	form := p.form(action)
	if form == nil {
		b.t.Fatalf("%s (%d) has no form for %s: %s", p.path, p.status, action, p.body)
	}
	values := url.Values{}
	for n := range form.Descendants() {
		if name := attribute(n, "name"); n.Data == "input" && name != "" {
			values.Set(name, attribute(n, "value"))
		}
	}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return b.post(action, values)
}

// answer lets an authenticator answer the options of the form for an address.
func (p *page) answer(action string, ceremony func([]byte) ([]byte, error)) string {
	p.t.Helper()
	form := p.form(action)
	if form == nil {
		p.t.Fatalf("%s (%d) has no form for %s: %s", p.path, p.status, action, p.body)
	}
	response, err := ceremony([]byte(attribute(form, "data-options")))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(response)
}

// shows requires a status and texts on the page.
func (p *page) shows(status int, texts ...string) *page {
	p.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.body, html.EscapeString(text)) {
			p.t.Errorf("%s does not say %q: %s", p.path, text, p.body)
		}
	}
	if p.status != status {
		p.t.Fatalf("%s: status %d, want %d: %s", p.path, p.status, status, p.body)
	}
	return p
}
