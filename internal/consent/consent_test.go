package consent_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/consent"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

const origin = "https://login.example.com"

// world is an issuer with a shop, an API, Alice and Bob, and one browser.
type world struct {
	t        *testing.T
	now      time.Time
	db       *store.DB
	sessions *session.Sessions
	keeper   *flow.Keeper
	handler  http.Handler
	jar      map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ring := keys.NewRing()
	w := &world{t: t, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), jar: map[string]string{}}
	clock := func() time.Time { return w.now }
	w.db = storetest.Open(t, store.Options{Now: clock}).For("main")
	w.sessions = &session.Sessions{DB: w.db, Ring: ring, Now: clock, Idle: time.Hour, Absolute: 24 * time.Hour}
	w.keeper = &flow.Keeper{DB: w.db, Sealer: ring, Now: clock, Base: "/tenant"}
	pages, err := web.NewPages(web.Theme{Name: "Test", Base: "/tenant"})
	if err != nil {
		t.Fatal(err)
	}
	mux := web.NewMux(web.PageDoor(pages))
	(&consent.Endpoints{DB: w.db, Registry: objects.New(w.db), Sessions: w.sessions, Keeper: w.keeper, Pages: pages, Now: clock}).Mount(mux.ServeMux)
	w.handler = web.Wrap(http.StripPrefix("/tenant", web.Protect(mux)), web.Options{Now: clock, Hosts: []string{"login.example.com"}})
	w.write(func(tx *store.Tx) error {
		_, err := objects.Import(tx, ring, objects.ManagedByFile, []objects.Document{
			{Kind: objects.KindClient, Body: json.RawMessage(`{"client_id":"shop","client_name":"The Shop","client_secret":"a secret of more than 32 characters","redirect_uris":["https://shop.example/cb"],
				"logo_uri":"https://cdn.shop.example/logo.png","policy_uri":"https://shop.example/policy","tos_uri":"https://shop.example/terms",
				"scope":"openid orders.read","resources":["https://api.example.com/orders","https://api.example.com/stock"]}`)},
			{Kind: objects.KindAPI, Body: json.RawMessage(`{"resource":"https://api.example.com/orders","name":"Orders","scopes":["orders.read"],"authorization_details_types":[` + orderType + `]}`)},
			{Kind: objects.KindAPI, Body: json.RawMessage(`{"resource":"https://api.example.com/stock","name":"Stock & Store"}`)},
		})
		return err
	})
	for _, name := range []string{"alice", "bob"} {
		w.write(func(tx *store.Tx) error {
			return tx.AddAccount(store.Account{ID: name, Username: name + "@example.com", UserHandle: []byte("handle of " + name)})
		})
	}
	return w
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// signIn puts a session of an account into the browser.
func (w *world) signIn(account string) {
	w.write(func(tx *store.Tx) error {
		_, handle, err := w.sessions.New(tx, account, store.Factor{Kind: session.Password, At: w.now, AMR: []string{"pwd"}}, web.Peer{}, nil)
		w.jar[web.SessionCookie] = handle
		return err
	})
}

// begin puts an interaction into the browser.
func (w *world) begin() *flow.Interaction {
	w.t.Helper()
	i := w.keeper.New(&request.Authorization{
		ClientID: "shop", RedirectURI: "https://shop.example/cb", Scope: []string{"openid", "orders.read"}, Resources: []string{"https://api.example.com/orders"},
	}, "")
	rec := httptest.NewRecorder()
	if err := w.keeper.Begin(rec, httptest.NewRequest("GET", "/", nil), i); err != nil {
		w.t.Fatal(err)
	}
	w.keep(rec.Result())
	return i
}

func (w *world) keep(res *http.Response) {
	for _, c := range res.Cookies() {
		if w.jar[c.Name] = c.Value; c.MaxAge < 0 {
			delete(w.jar, c.Name)
		}
	}
}

func (w *world) send(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	for name, value := range w.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	w.keep(rec.Result())
	return rec.Result(), rec.Body.String()
}

func (w *world) get(i *flow.Interaction) (*http.Response, string) {
	return w.send(httptest.NewRequest("GET", origin+w.keeper.ConsentURL(i), nil))
}

func (w *world) post(i *flow.Interaction, account, decision string) (*http.Response, string) {
	form := url.Values{"i": {i.ID}, "account": {account}, "decision": {decision}}
	r := httptest.NewRequest("POST", origin+"/tenant/login/consent", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.send(r)
}

// reopen is the interaction as the browser has it now.
func (w *world) reopen(i *flow.Interaction) *flow.Interaction {
	w.t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	for name, value := range w.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	i, err := w.keeper.Open(r, i.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

func (w *world) consent(account string) (c store.Consent, acts []string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) (err error) {
		all, err := tx.Consents(account)
		if len(all) > 0 {
			c = all[0]
		}
		if err != nil {
			return err
		}
		records, err := tx.Audits(store.AuditFilter{})
		for _, r := range records {
			acts = append(acts, r.ActorID+" "+r.Action+" "+r.ObjectID)
		}
		return err
	})
	return c, acts
}

func TestPageSaysWhoAsksForWhat(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	res, body := w.get(w.begin())
	if res.StatusCode != 200 {
		t.Fatalf("status %d: %s", res.StatusCode, body)
	}
	for _, text := range []string{
		"The Shop asks for access", "Signed in as alice@example.com", "Sign you in", "orders.read", ">Orders<", "shop.example.",
		`src="https://cdn.shop.example/logo.png"`, `href="https://shop.example/policy"`, `href="https://shop.example/terms"`, `id="consent-allow"`, `id="cancel"`,
	} {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self' data: https://cdn.shop.example;") {
		t.Errorf("policy %s", csp)
	}
}

func TestAllow(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	i := w.begin()
	res, _ := w.post(i, "alice", "allow")
	if res.StatusCode != 303 || res.Header.Get("Location") != w.keeper.NextURL(i) {
		t.Fatalf("got %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	if got := w.reopen(i); !got.ConsentAt.Equal(w.now) || got.Refused != "" {
		t.Errorf("interaction %+v", got)
	}
	c, acts := w.consent("alice")
	if c.ClientID != "shop" || !slices.Equal(c.Scope, []string{"openid", "orders.read"}) || !slices.Equal(c.Resources, []string{"https://api.example.com/orders"}) {
		t.Errorf("consent %+v", c)
	}
	if !slices.Equal(acts, []string{"alice consent.grant shop"}) {
		t.Errorf("acts %v", acts)
	}
}

func TestCancelIsAccessDenied(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	i := w.begin()
	res, _ := w.post(i, "alice", "cancel")
	if res.StatusCode != 303 || res.Header.Get("Location") != w.keeper.NextURL(i) {
		t.Fatalf("got %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	if got := w.reopen(i); got.Refused != oauth.AccessDenied || !got.ConsentAt.IsZero() {
		t.Errorf("interaction %+v", got)
	}
	if c, acts := w.consent("alice"); c.ClientID != "" || len(acts) != 0 {
		t.Errorf("remembered %+v %v", c, acts)
	}
}

func TestAnotherAccountIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.signIn("bob")
	i := w.begin()
	res, _ := w.post(i, "alice", "allow")
	if res.StatusCode != 303 || res.Header.Get("Location") != w.keeper.ConsentURL(i) {
		t.Errorf("got %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	if c, _ := w.consent("bob"); c.ClientID != "" || !w.reopen(i).ConsentAt.IsZero() {
		t.Errorf("Bob allowed %+v without having seen it", c)
	}
}

func TestWithoutSessionBackToLogin(t *testing.T) {
	w := newWorld(t)
	i := w.begin()
	for name, res := range map[string]func() (*http.Response, string){
		"GET":  func() (*http.Response, string) { return w.get(i) },
		"POST": func() (*http.Response, string) { return w.post(i, "alice", "allow") },
	} {
		if res, _ := res(); res.StatusCode != 303 || res.Header.Get("Location") != w.keeper.LoginURL(i) {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.Header.Get("Location"))
		}
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	i := w.begin()
	if res, body := w.post(i, "alice", "perhaps"); res.StatusCode != 400 || !strings.Contains(body, `id="error-code"`) {
		t.Errorf("an unknown decision: %d", res.StatusCode)
	}
	stranger := &flow.Interaction{ID: store.NewID()}
	if res, body := w.post(stranger, "alice", "allow"); res.StatusCode != 400 || !strings.Contains(body, `id="error-code"`) {
		t.Errorf("an interaction of another browser: %d", res.StatusCode)
	}
	w.write(func(tx *store.Tx) error {
		a, err := tx.Account("alice")
		a.Disabled = true
		if err != nil {
			return err
		}
		return tx.PutAccount(a)
	})
	if res, body := w.get(i); res.StatusCode != 403 || !strings.Contains(body, "not available") {
		t.Errorf("a disabled account: %d", res.StatusCode)
	}
	w.now = w.now.Add(31 * time.Minute)
	if res, _ := w.get(i); res.StatusCode != 400 {
		t.Errorf("an expired interaction: %d", res.StatusCode)
	}
}
