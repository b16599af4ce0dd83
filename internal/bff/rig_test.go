package bff_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/bff"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
)

const (
	origin  = "https://app.example"
	backend = "https://api.example"
)

// world is a tenant with two applications at an issuer, and token handlers on as many nodes as there are databases.
type world struct {
	t      testing.TB
	db     *store.DB
	ring   *keys.Ring
	issuer *fake
	nodes  []http.Handler
	home   string // the tenant's own issuer; "": issuer
	feed   *feed.Feed
	logins *limit.Rate

	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldOn(t, storetest.SQLiteURL(t), 1)
}

// worldOn opens the database once for each node.
func worldOn(t testing.TB, url string, nodes int) *world {
	t.Helper()
	w := &world{t: t, ring: keys.NewRing(), now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.issuer = newFake(t, w.clock)
	for range nodes {
		db, err := store.Open(t.Context(), url, store.Options{Now: w.clock, Synchronous: "NORMAL"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		w.db = db.For("acme")
		w.nodes = append(w.nodes, w.node(w.db))
	}
	w.apply("demo", nil)
	w.apply("back", nil)
	return w
}

func (w *world) node(db *store.DB) http.Handler {
	e := &bff.Endpoints{
		BaseURL: backend + "/apps", Issuer: w.issuer.id(), Registry: objects.New(db), Transport: w.issuer.server.Client().Transport,
		Sessions: &appsession.Sessions{DB: db, Ring: w.ring, Now: w.clock, Feed: w.feed},
		Logins:   w.logins,
	}
	if w.home != "" {
		e.Issuer, e.Transport, e.FetchTransport = w.home, nil, e.Transport
	}
	e.Registry.Stale = func() bool { return true } // without a feed
	mux := web.NewMux(web.AppDoor(false))
	e.Mount(mux.ServeMux)
	return web.Wrap(mux, web.Options{Now: w.clock, Hosts: []string{"api.example"}})
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// apply stores an application and makes its client known to the issuer.
func (w *world) apply(name string, edit func(map[string]any)) {
	w.t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		w.t.Fatal(err)
	}
	members := map[string]any{
		"name": name, "client_id": "spa-" + name, "key": key, "origins": []string{origin}, "redirect_uri": origin + "/callback",
		"post_logout_redirect_uri": origin + "/", "scope": "openid read", "resources": []string{"https://api.example", "https://second.example"},
		"extra_parameters": []string{"prompt", "login_hint", "max_age"}, "detailed_errors": true,
	}
	if edit != nil {
		edit(members)
	}
	body, err := json.Marshal(members)
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		_, err := objects.Import(tx, w.ring, objects.ManagedByFile, []objects.Document{{Kind: objects.KindApplication, Body: body}})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.issuer.set(func() { w.issuer.clients["spa-"+name] = key.Public() })
}

// browser is a browser on a page of the application, with its cookies.
type browser struct {
	w       *world
	app     string
	node    int
	mu      sync.Mutex
	cookies map[string]string
}

func (w *world) browser(app string) *browser {
	return &browser{w: w, app: app, cookies: map[string]string{}}
}

// twin is the same browser at this moment, for requests of another tab.
func (b *browser) twin() *browser {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &browser{w: b.w, app: b.app, node: b.node, cookies: maps.Clone(b.cookies)}
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
	json map[string]any
}

func (a *answer) code() string { s, _ := a.json["error_code"].(string); return s }

// fetch is a fetch of a page with credentials. Headers are those of the page; nil stands for the ones every client sends.
func (b *browser) fetch(method, path string, form url.Values, headers http.Header) *answer {
	b.w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, backend+"/apps/"+b.app+path, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if len(form) == 0 {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
		}
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Token-Handler-Version", "1")
	r.Header.Set("Origin", origin)
	r.Header.Set("Sec-Fetch-Site", "same-site")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	for name, values := range headers {
		r.Header[name] = values
		if values == nil {
			delete(r.Header, name)
		}
	}
	b.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(b.cookies)) {
		r.AddCookie(&http.Cookie{Name: name, Value: b.cookies[name]})
	}
	b.mu.Unlock()
	rec := httptest.NewRecorder()
	b.w.nodes[b.node].ServeHTTP(rec, r)
	return b.take(rec)
}

// take keeps cookies as a browser does, and holds every answer to what clients rely on.
func (b *browser) take(rec *httptest.ResponseRecorder) *answer {
	b.w.t.Helper()
	a := &answer{Response: rec.Result(), body: rec.Body.String()}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range a.Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteStrictMode || !strings.HasPrefix(c.Name, "__Host-Http-hf-"+b.app+"-") {
			b.w.t.Errorf("cookie %s", c.Raw)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	if a.StatusCode == 204 {
		return a
	}
	if err := json.Unmarshal([]byte(a.body), &a.json); err != nil {
		b.w.t.Errorf("%d without JSON: %q", a.StatusCode, a.body)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
		b.w.t.Errorf("%d with %v", a.StatusCode, a.Header)
	}
	return a
}

// want fails the test unless the answer is this refusal.
func (a *answer) want(t testing.TB, status int, code string) {
	t.Helper()
	if a.StatusCode != status || a.code() != code || a.json["code"] != code || a.json["message"] == "" {
		t.Errorf("got %d %s, want %d %s", a.StatusCode, a.body, status, code)
	}
}

// ok fails the test unless the answer is a success.
func (a *answer) ok(t testing.TB) *answer {
	t.Helper()
	if a.StatusCode != 200 {
		t.Fatalf("got %d %s", a.StatusCode, a.body)
	}
	return a
}

// start begins a login and returns where the browser is sent.
func (b *browser) start(extras url.Values) string {
	b.w.t.Helper()
	if extras == nil {
		extras = url.Values{}
	}
	address, _ := b.fetch("POST", "/login/start", extras, nil).ok(b.w.t).json["authorization_url"].(string)
	return address
}

// login logs somebody in.
func (b *browser) login(subject string) *answer {
	b.w.t.Helper()
	return b.fetch("POST", "/login/end", b.w.issuer.authorize(b.start(nil), subject), nil).ok(b.w.t)
}

func (b *browser) sessionCookie() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cookies["__Host-Http-hf-"+b.app+"-s"]
}

func (b *browser) logins() (names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.cookies {
		if strings.Contains(name, "-l-") {
			names = append(names, name)
		}
	}
	return names
}

// who is the subject that the session endpoint tells, "" for nobody.
func (b *browser) who() string {
	b.w.t.Helper()
	a := b.fetch("GET", "/session", nil, nil).ok(b.w.t)
	if a.json["is_logged_in"] != true {
		if a.body != `{"is_logged_in":false}` {
			b.w.t.Errorf("logged out is %s", a.body)
		}
		return ""
	}
	claims, _ := a.json["id_token_claims"].(map[string]any)
	subject, _ := claims["sub"].(string)
	return subject
}

// opened is the session of the browser as the gateway would open it.
func (b *browser) opened() *appsession.Session {
	b.w.t.Helper()
	app, err := objects.New(b.w.db).Application(b.w.t.Context(), b.app)
	if err != nil {
		b.w.t.Fatal(err)
	}
	s, err := (&appsession.Sessions{DB: b.w.db, Ring: b.w.ring, Now: b.w.clock}).Open(b.w.t.Context(), app, b.sessionCookie())
	if err != nil {
		b.w.t.Fatal(err)
	}
	return s
}
