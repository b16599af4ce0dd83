package login_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/passkey/passkeytest"
)

const (
	withPassword = "/login/password"
	withPasskey  = "/login/passkey"
)

// visit begins an interaction of the client and opens its login page.
func (b *browser) visit(a request.Authorization) (*flow.Interaction, *page) {
	b.t.Helper()
	a.ClientID, a.RedirectURI = "app", callback
	i := b.keeper.New(&a, "")
	rec := httptest.NewRecorder()
	b.ok(b.keeper.Begin(rec, httptest.NewRequest(http.MethodGet, issuer, nil), i))
	for _, c := range rec.Result().Cookies() {
		b.jar[c.Name] = c.Value
	}
	return i, b.get(b.keeper.LoginURL(i))
}

func (w *world) addClient() {
	w.t.Helper()
	doc := `{"client_id":"app","client_name":"The app","token_endpoint_auth_method":"none","redirect_uris":["` + callback + `"],
		"logo_uri":"https://img.example/logo.png","policy_uri":"https://app.example/policy"}`
	w.write(func(tx *store.Tx) error {
		_, err := objects.Import(tx, w.ring, objects.ManagedByFile, []objects.Document{{Kind: "client", Body: json.RawMessage(doc)}})
		return err
	})
}

// addPasskey gives an account a passkey of the authenticator.
func (w *world) addPasskey(account string, a *passkeytest.Authenticator) (id string) {
	w.t.Helper()
	var owner store.Account
	w.write(func(tx *store.Tx) (err error) {
		owner, err = tx.Account(account)
		return err
	})
	c, err := w.passkeys.BeginRegistration(w.t.Context(), &owner, "test")
	w.ok(err)
	response, err := a.Create([]byte(c.Options))
	w.ok(err)
	made, err := w.passkeys.CheckRegistration(w.t.Context(), &owner, "test", c.State, string(response))
	w.ok(err)
	w.write(func(tx *store.Tx) error { return made.Add(tx, "Laptop") })
	return made.Passkey.ID
}

func (w *world) sessions(account string) (list []store.Session) {
	w.t.Helper()
	w.write(func(tx *store.Tx) (err error) {
		list, err = tx.Sessions(account)
		return err
	})
	return list
}

func value(p *page, id string) string {
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && attribute(n, "id") == id {
			return attribute(n, "value")
		}
	}
	return ""
}

func isStep(t *testing.T, p *page, to string) {
	t.Helper()
	if p.status != http.StatusSeeOther || p.header.Get("Location") != to {
		t.Fatalf("got %d to %q, want a redirect to %s: %s", p.status, p.header.Get("Location"), to, p.body)
	}
	if p.header.Get("Cache-Control") != "no-store" {
		t.Error("the redirect may be cached")
	}
}

func TestPasswordSignsIn(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.browser()
	i, p := b.visit(request.Authorization{LoginHint: "alice"})
	p.shows(http.StatusOK, "to continue to The app", "Privacy policy")
	if got := value(p, "username"); got != "alice" {
		t.Errorf("login_hint became %q", got)
	}
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "https://img.example") {
		t.Errorf("the logo may not be shown: %s", csp)
	}
	if b.jar[web.SessionCookie] != "" {
		t.Error("a session before signing in")
	}
	isStep(t, b.submit(p, withPassword, "username", "Alice", "password", right), w.keeper.NextURL(i))
	s := w.sessions("alice")
	if len(s) != 1 || s[0].ACR != "1" || !slices.Equal(s[0].AMR, []string{"pwd"}) || s[0].UserAgent != agent || !s[0].AuthTime.Equal(w.now) {
		t.Fatalf("sessions %+v", s)
	}
	if !strings.HasPrefix(b.jar[web.SessionCookie], s[0].ID+".") {
		t.Error("the browser holds another session")
	}
	if got := w.acts(); !slices.Equal(got, []string{"session.begin"}) {
		t.Errorf("audit %v", got)
	}
}

func TestWrongPasswordsLookAlike(t *testing.T) {
	w := newWorld(t)
	w.addAccount("carol", `{}`)
	w.change("carol", func(a *store.Account) { a.Disabled = true })
	w.addAccount("dave", `{}`)
	w.change("dave", func(a *store.Account) { a.PasswordHash = "" })
	for _, c := range [][2]string{{"alice", "wrong"}, {"nobody", right}, {"carol", right}, {"dave", "the password of nobody"}, {"alice", ""}, {"", right},
		{"alice", strings.Repeat("x", 5000)}, {strings.Repeat("x", 500), right}} {
		b := w.browser()
		p := b.submit(b.get("/login"), withPassword, "username", c[0], "password", c[1])
		p.shows(http.StatusBadRequest, "That did not work.")
		if b.jar[web.SessionCookie] != "" {
			t.Errorf("%s got a session", c[0])
		}
		if got := value(p, "username"); got != c[0] {
			t.Errorf("the page shows user name %q", got)
		}
	}
	if got := w.acts(); len(got) != 0 {
		t.Errorf("a failure was an act: %v", got)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.get("/login")
	for range 6 {
		p = b.submit(p, withPassword, "username", "alice", "password", "wrong").shows(http.StatusBadRequest)
	}
	p = b.submit(p, withPassword, "username", "ALICE", "password", right).shows(http.StatusTooManyRequests, "too many attempts")
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.now = w.now.Add(time.Minute)
	b.submit(p, withPassword, "username", "alice", "password", right)
	if len(w.sessions("alice")) != 1 {
		t.Fatal("the right password does not sign in after the wait")
	}
	wait, err := w.failures.Wait(t.Context(), limit.Account("alice"))
	if err != nil || wait != 0 {
		t.Errorf("not cleared: %v, %v", wait, err)
	}
}

func TestImportedPasswordsAreRenewedBySigningIn(t *testing.T) {
	w := newWorld(t)
	w.change("alice", func(a *store.Account) {
		a.PasswordHash = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
	})
	for range 2 {
		b := w.browser()
		b.submit(b.get("/login"), withPassword, "username", "alice", "password", "Hello world!")
		w.change("alice", func(a *store.Account) {
			if !strings.HasPrefix(a.PasswordHash, "$argon2id$") {
				t.Errorf("stored %s", a.PasswordHash)
			}
		})
	}
	if n := len(w.sessions("alice")); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

func TestPasskeySignsIn(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	a := &passkeytest.Authenticator{Origin: issuer}
	id := w.addPasskey("alice", a)
	b := w.browser()
	i, p := b.visit(request.Authorization{})
	isStep(t, b.submit(p, withPasskey, "response", p.answer(withPasskey, a.Get)), w.keeper.NextURL(i))
	s := w.sessions("alice")
	if len(s) != 1 || s[0].ACR != "phrh" || !slices.Equal(s[0].AMR, []string{"hwk", "user"}) || s[0].Factors[0].PasskeyID != id {
		t.Fatalf("sessions %+v", s)
	}
	a.Synced = true // once, a provider may begin to sync
	_, p = b.visit(request.Authorization{})
	b.submit(p, withPasskey, "response", p.answer(withPasskey, a.Get))
	s = w.sessions("alice")
	if len(s) != 1 || s[0].ACR != "phr" || !slices.Equal(s[0].AMR, []string{"swk", "user"}) {
		t.Errorf("synced: %+v", s)
	}
	if got := slices.Sorted(slices.Values(w.acts())); !slices.Equal(got, []string{"passkey.sync", "session.begin", "session.begin"}) {
		t.Errorf("audit %v", got)
	}
}

func TestPasskeysThatProveNothing(t *testing.T) {
	for name, spoil := range map[string]func(w *world, b *browser, p *page, a *passkeytest.Authenticator) (response, state string){
		"signature": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			w.ok(a.ForgeKey())
			return p.answer(withPasskey, a.Get), ""
		},
		"nothing": func(*world, *browser, *page, *passkeytest.Authenticator) (string, string) { return "", "" },
		"challenge of another interaction": func(_ *world, b *browser, _ *page, a *passkeytest.Authenticator) (string, string) {
			other := b.get("/login")
			return other.answer(withPasskey, a.Get), attribute(input(other.form(withPasskey), "state"), "value")
		},
		"late": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			response := p.answer(withPasskey, a.Get)
			w.now = w.now.Add(5 * time.Minute)
			return response, ""
		},
		"disabled": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			w.change("alice", func(a *store.Account) { a.Disabled = true })
			return p.answer(withPasskey, a.Get), ""
		},
		"deleted": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			w.write(func(tx *store.Tx) error {
				all, err := tx.Passkeys("alice")
				if err != nil {
					return err
				}
				return tx.DeletePasskey("alice", all[0].ID)
			})
			return p.answer(withPasskey, a.Get), ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := &passkeytest.Authenticator{Origin: issuer}
			w.addPasskey("alice", a)
			b := w.browser()
			p := b.get("/login")
			response, state := spoil(w, b, p, a)
			fields := []string{"response", response}
			if state != "" {
				fields = append(fields, "state", state)
			}
			b.submit(p, withPasskey, fields...).shows(http.StatusBadRequest, "That passkey did not work.")
			if b.jar[web.SessionCookie] != "" {
				t.Error("signed in")
			}
		})
	}
}

func input(form *html.Node, name string) *html.Node {
	for n := range form.Descendants() {
		if n.Data == "input" && attribute(n, "name") == name {
			return n
		}
	}
	return &html.Node{}
}

// An answer that somebody has recorded is worth nothing, however its challenge is spelled.
func TestWebAuthn_13_4_3_ChallengesWorkOnce(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	a := &passkeytest.Authenticator{Origin: issuer}
	w.addPasskey("alice", a)
	b := w.browser()
	i, p := b.visit(request.Authorization{})
	response := p.answer(withPasskey, a.Get)
	isStep(t, b.submit(p, withPasskey, "response", response), w.keeper.NextURL(i))
	state := attribute(input(p.form(withPasskey), "state"), "value")
	for _, spelled := range []string{state, state + "\n", state[:9] + "\r\n" + state[9:]} {
		b.submit(p, withPasskey, "response", response, "state", spelled).shows(http.StatusBadRequest)
	}
	if n := len(w.sessions("alice")); n != 1 {
		t.Errorf("%d sessions", n)
	}

	// A challenge that was answered wrongly is spent as well.
	_, p = b.visit(request.Authorization{})
	response = p.answer(withPasskey, a.Get)
	b.submit(p, withPasskey, "response", "{}").shows(http.StatusBadRequest)
	b.submit(p, withPasskey, "response", response).shows(http.StatusBadRequest)
}

func TestPasskeyCancelledInTheBrowserIsNoFailure(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.get("/login")
	first := attribute(p.form(withPasskey), "data-options")
	for range 60 {
		p = b.submit(p, withPasskey, "response", `{"error":"NotAllowedError"}`).shows(http.StatusOK, "No passkey was used.")
	}
	if attribute(p.form(withPasskey), "data-options") == first {
		t.Error("the challenge is not a fresh one")
	}
}

func TestForgedPasskeysAreSlowedDownApartFromPasswords(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.get("/login")
	for range 51 {
		p = b.submit(p, withPasskey, "response", "{}").shows(http.StatusBadRequest)
	}
	p = b.submit(p, withPasskey, "response", "{}").shows(http.StatusTooManyRequests)
	b.submit(p, withPassword, "username", "alice", "password", right)
	if len(w.sessions("alice")) != 1 {
		t.Error("the password is blocked too")
	}
}

func TestFreshChallenge(t *testing.T) {
	w := newWorld(t)
	a := &passkeytest.Authenticator{Origin: issuer}
	w.addPasskey("alice", a)
	b := w.browser()
	p := b.get("/login")
	w.now = w.now.Add(6 * time.Minute)
	answer := b.get(attribute(p.form(withPasskey), "data-fresh"))
	var fresh struct {
		Options json.RawMessage `json:"options"`
		State   string          `json:"state"`
	}
	w.ok(json.Unmarshal([]byte(answer.body), &fresh))
	response, err := a.Get(fresh.Options)
	w.ok(err)
	b.submit(p, withPasskey, "state", fresh.State, "response", string(response))
	if len(w.sessions("alice")) != 1 || answer.header.Get("Cache-Control") != "no-store" {
		t.Errorf("not signed in, or cached: %v", answer.header)
	}
	if got := w.browser().get(withPasskey + "?i=AAAAAAAAAAAAAAAAAAAAAA"); got.status != http.StatusBadRequest {
		t.Errorf("without an interaction: %d", got.status)
	}
}

func TestCancelGoesBackToTheClient(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.browser()
	i, p := b.visit(request.Authorization{})
	isStep(t, b.submit(p, "/login/cancel"), w.keeper.NextURL(i))
	r := httptest.NewRequest(http.MethodGet, issuer, nil)
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	got, err := w.keeper.Open(r, i.ID)
	w.ok(err)
	if got.Refused != oauth.AccessDenied {
		t.Errorf("refused with %q", got.Refused)
	}
	own := b.get("/login")
	if own.form("/login/cancel") != nil {
		t.Error("there is nobody to go back to, and yet a button")
	}
	id := attribute(input(own.form(withPassword), "i"), "value")
	b.post("/login/cancel", url.Values{"i": {id}}).shows(http.StatusBadRequest)
}

func TestInteractionsBelongToABrowserAndExpire(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.get("/login")
	id := attribute(input(p.form(withPassword), "i"), "value")
	form := url.Values{"i": {id}, "username": {"alice"}, "password": {right}}
	w.browser().post(withPassword, form).shows(http.StatusBadRequest, "another browser")
	w.browser().get("/login?i=" + id).shows(http.StatusBadRequest)
	b.get("/login?i=short").shows(http.StatusBadRequest)
	w.now = w.now.Add(flow.Lifetime)
	b.post(withPassword, form).shows(http.StatusBadRequest, "expired")
	if len(w.sessions("alice")) != 0 {
		t.Error("signed in")
	}
}

func TestSigningInReplacesTheSession(t *testing.T) {
	w := newWorld(t)
	w.addAccount("bob", `{}`)
	b := w.browser()
	for _, name := range []string{"alice", "alice", "bob"} {
		old := b.jar[web.SessionCookie]
		b.submit(b.get("/login"), withPassword, "username", name, "password", right)
		if b.jar[web.SessionCookie] == old {
			t.Error("the handle is the old one")
		}
	}
	if a, b := len(w.sessions("alice")), len(w.sessions("bob")); a != 0 || b != 1 {
		t.Errorf("%d of alice, %d of bob", a, b)
	}
}

func TestOtherOriginsCannotSignAnybodyIn(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.get("/login")
	form := url.Values{"i": {attribute(input(p.form(withPassword), "i"), "value")}, "username": {"alice"}, "password": {right}}
	r := httptest.NewRequest(http.MethodPost, issuer+withPassword, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-site")
	r.Header.Set("Origin", "https://evil.example.com")
	if got := b.send(r); got.status != http.StatusForbidden || len(w.sessions("alice")) != 0 {
		t.Errorf("got %d", got.status)
	}
}

// A visitor who has not signed in causes no write.
func TestUnauthenticatedGETWritesNothing(t *testing.T) {
	w := newWorld(t)
	events := 0
	w.db.OnEvent(func() { events++ })
	b := w.browser()
	p := b.get("/login").shows(http.StatusOK, "to continue to your account")
	if len(p.form(withPasskey).Attr) == 0 || events != 0 || len(w.acts()) != 0 {
		t.Error("written")
	}
	if _, err := base64.RawURLEncoding.DecodeString(attribute(input(p.form(withPasskey), "state"), "value")); err != nil {
		t.Errorf("the state is not sealed text: %v", err)
	}
}
