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

	"github.com/holdfast-iam/holdfast/internal/authn/authntest"
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
	b.T.Helper()
	a.ClientID, a.RedirectURI = "app", callback
	i := b.Keeper.New(&a, "")
	rec := httptest.NewRecorder()
	b.OK(b.Keeper.Begin(rec, httptest.NewRequest(http.MethodGet, issuer, nil), i))
	for _, c := range rec.Result().Cookies() {
		b.Jar[c.Name] = c.Value
	}
	return i, b.Get(b.Keeper.LoginURL(i))
}

func (w *world) addClient() {
	w.T.Helper()
	doc := `{"client_id":"app","client_name":"The app","token_endpoint_auth_method":"none","redirect_uris":["` + callback + `"],
		"logo_uri":"https://img.example/logo.png","policy_uri":"https://app.example/policy"}`
	w.Write(func(tx *store.Tx) error {
		_, err := objects.Import(tx, w.Ring, objects.ManagedByFile, []objects.Document{{Kind: "client", Body: json.RawMessage(doc)}})
		return err
	})
}

// addPasskey gives an account a passkey of the authenticator.
func (w *world) addPasskey(account string, a *passkeytest.Authenticator) (id string) {
	w.T.Helper()
	return w.AddPasskey(account, "Laptop", a.Create)
}

func (w *world) sessions(account string) (list []store.Session) {
	w.T.Helper()
	w.Write(func(tx *store.Tx) (err error) {
		list, err = tx.Sessions(account)
		return err
	})
	return list
}

func value(p *page, id string) string {
	for n := range p.Root.Descendants() {
		if n.Type == html.ElementNode && authntest.Attribute(n, "id") == id {
			return authntest.Attribute(n, "value")
		}
	}
	return ""
}

func isStep(t *testing.T, p *page, to string) {
	t.Helper()
	if p.Status != http.StatusSeeOther || p.Header.Get("Location") != to {
		t.Fatalf("got %d to %q, want a redirect to %s: %s", p.Status, p.Header.Get("Location"), to, p.Body)
	}
	if p.Header.Get("Cache-Control") != "no-store" {
		t.Error("the redirect may be cached")
	}
}

func TestPasswordSignsIn(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.browser()
	i, p := b.visit(request.Authorization{LoginHint: "alice"})
	p.Shows(http.StatusOK, "to continue to The app", "Privacy policy")
	if got := value(p, "username"); got != "alice" {
		t.Errorf("login_hint became %q", got)
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "https://img.example") {
		t.Errorf("the logo may not be shown: %s", csp)
	}
	if b.Jar[web.SessionCookie] != "" {
		t.Error("a session before signing in")
	}
	isStep(t, b.Submit(p, withPassword, "username", "Alice", "password", right), w.Keeper.NextURL(i))
	s := w.sessions("alice")
	if len(s) != 1 || s[0].ACR != "1" || !slices.Equal(s[0].AMR, []string{"pwd"}) || s[0].UserAgent != agent || !s[0].AuthTime.Equal(w.Time) {
		t.Fatalf("sessions %+v", s)
	}
	if !strings.HasPrefix(b.Jar[web.SessionCookie], s[0].ID+".") {
		t.Error("the browser holds another session")
	}
	if got := w.Acts(); !slices.Equal(got, []string{"session.begin"}) {
		t.Errorf("audit %v", got)
	}
}

func TestWrongPasswordsLookAlike(t *testing.T) {
	w := newWorld(t)
	w.AddAccount("carol", `{}`)
	w.Change("carol", func(a *store.Account) { a.Disabled = true })
	w.AddAccount("dave", `{}`)
	w.Change("dave", func(a *store.Account) { a.PasswordHash = "" })
	for _, c := range [][2]string{{"alice", "wrong"}, {"nobody", right}, {"carol", right}, {"dave", "the password of nobody"}, {"alice", ""}, {"", right},
		{"alice", strings.Repeat("x", 5000)}, {strings.Repeat("x", 500), right}} {
		b := w.browser()
		p := b.Submit(b.Get("/login"), withPassword, "username", c[0], "password", c[1])
		p.Shows(http.StatusBadRequest, "That did not work.")
		if b.Jar[web.SessionCookie] != "" {
			t.Errorf("%s got a session", c[0])
		}
		if got := value(p, "username"); got != c[0] {
			t.Errorf("the page shows user name %q", got)
		}
	}
	if got := w.Acts(); len(got) != 0 {
		t.Errorf("a failure was an act: %v", got)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.Get("/login")
	for range 6 {
		p = b.Submit(p, withPassword, "username", "alice", "password", "wrong").Shows(http.StatusBadRequest)
	}
	p = b.Submit(p, withPassword, "username", "ALICE", "password", right).Shows(http.StatusTooManyRequests, "too many attempts")
	if p.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.Time = w.Time.Add(time.Minute)
	b.Submit(p, withPassword, "username", "alice", "password", right)
	if len(w.sessions("alice")) != 1 {
		t.Fatal("the right password does not sign in after the wait")
	}
	wait, err := w.Failures.Wait(t.Context(), limit.Account("alice"))
	if err != nil || wait != 0 {
		t.Errorf("not cleared: %v, %v", wait, err)
	}
}

func TestImportedPasswordsAreRenewedBySigningIn(t *testing.T) {
	w := newWorld(t)
	w.Change("alice", func(a *store.Account) {
		a.PasswordHash = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
	})
	for range 2 {
		b := w.browser()
		b.Submit(b.Get("/login"), withPassword, "username", "alice", "password", "Hello world!")
		w.Change("alice", func(a *store.Account) {
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
	isStep(t, b.Submit(p, withPasskey, "response", p.Answer(withPasskey, a.Get)), w.Keeper.NextURL(i))
	s := w.sessions("alice")
	if len(s) != 1 || s[0].ACR != "phrh" || !slices.Equal(s[0].AMR, []string{"hwk", "user"}) || s[0].Factors[0].PasskeyID != id {
		t.Fatalf("sessions %+v", s)
	}
	a.Synced = true // once, a provider may begin to sync
	_, p = b.visit(request.Authorization{})
	b.Submit(p, withPasskey, "response", p.Answer(withPasskey, a.Get))
	s = w.sessions("alice")
	if len(s) != 1 || s[0].ACR != "phr" || !slices.Equal(s[0].AMR, []string{"swk", "user"}) {
		t.Errorf("synced: %+v", s)
	}
	if got := slices.Sorted(slices.Values(w.Acts())); !slices.Equal(got, []string{"passkey.sync", "session.begin", "session.begin"}) {
		t.Errorf("audit %v", got)
	}
}

func TestPasskeysThatProveNothing(t *testing.T) {
	for name, spoil := range map[string]func(w *world, b *browser, p *page, a *passkeytest.Authenticator) (response, state string){
		"signature": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			w.OK(a.ForgeKey())
			return p.Answer(withPasskey, a.Get), ""
		},
		"nothing": func(*world, *browser, *page, *passkeytest.Authenticator) (string, string) { return "", "" },
		"challenge of another interaction": func(_ *world, b *browser, _ *page, a *passkeytest.Authenticator) (string, string) {
			other := b.Get("/login")
			return other.Answer(withPasskey, a.Get), authntest.Attribute(input(other.Form(withPasskey), "state"), "value")
		},
		"late": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			response := p.Answer(withPasskey, a.Get)
			w.Time = w.Time.Add(5 * time.Minute)
			return response, ""
		},
		"disabled": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			w.Change("alice", func(a *store.Account) { a.Disabled = true })
			return p.Answer(withPasskey, a.Get), ""
		},
		"deleted": func(w *world, _ *browser, p *page, a *passkeytest.Authenticator) (string, string) {
			w.Write(func(tx *store.Tx) error {
				all, err := tx.Passkeys("alice")
				if err != nil {
					return err
				}
				return tx.DeletePasskey("alice", all[0].ID)
			})
			return p.Answer(withPasskey, a.Get), ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := &passkeytest.Authenticator{Origin: issuer}
			w.addPasskey("alice", a)
			b := w.browser()
			p := b.Get("/login")
			response, state := spoil(w, b, p, a)
			fields := []string{"response", response}
			if state != "" {
				fields = append(fields, "state", state)
			}
			b.Submit(p, withPasskey, fields...).Shows(http.StatusBadRequest, "That passkey did not work.")
			if b.Jar[web.SessionCookie] != "" {
				t.Error("signed in")
			}
		})
	}
}

func input(form *html.Node, name string) *html.Node {
	for n := range form.Descendants() {
		if n.Data == "input" && authntest.Attribute(n, "name") == name {
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
	response := p.Answer(withPasskey, a.Get)
	isStep(t, b.Submit(p, withPasskey, "response", response), w.Keeper.NextURL(i))
	state := authntest.Attribute(input(p.Form(withPasskey), "state"), "value")
	for _, spelled := range []string{state, state + "\n", state[:9] + "\r\n" + state[9:]} {
		b.Submit(p, withPasskey, "response", response, "state", spelled).Shows(http.StatusBadRequest)
	}
	if n := len(w.sessions("alice")); n != 1 {
		t.Errorf("%d sessions", n)
	}

	// A challenge that was answered wrongly is spent as well.
	_, p = b.visit(request.Authorization{})
	response = p.Answer(withPasskey, a.Get)
	b.Submit(p, withPasskey, "response", "{}").Shows(http.StatusBadRequest)
	b.Submit(p, withPasskey, "response", response).Shows(http.StatusBadRequest)
}

func TestPasskeyCancelledInTheBrowserIsNoFailure(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.Get("/login")
	first := authntest.Attribute(p.Form(withPasskey), "data-options")
	for range 60 {
		p = b.Submit(p, withPasskey, "response", `{"error":"NotAllowedError"}`).Shows(http.StatusOK, "No passkey was used.")
	}
	if authntest.Attribute(p.Form(withPasskey), "data-options") == first {
		t.Error("the challenge is not a fresh one")
	}
}

func TestForgedPasskeysAreSlowedDownApartFromPasswords(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.Get("/login")
	for range 51 {
		p = b.Submit(p, withPasskey, "response", "{}").Shows(http.StatusBadRequest)
	}
	p = b.Submit(p, withPasskey, "response", "{}").Shows(http.StatusTooManyRequests)
	b.Submit(p, withPassword, "username", "alice", "password", right)
	if len(w.sessions("alice")) != 1 {
		t.Error("the password is blocked too")
	}
}

func TestFreshChallenge(t *testing.T) {
	w := newWorld(t)
	a := &passkeytest.Authenticator{Origin: issuer}
	w.addPasskey("alice", a)
	b := w.browser()
	p := b.Get("/login")
	w.Time = w.Time.Add(6 * time.Minute)
	answer := b.Get(authntest.Attribute(p.Form(withPasskey), "data-fresh"))
	var fresh struct {
		Options json.RawMessage `json:"options"`
		State   string          `json:"state"`
	}
	w.OK(json.Unmarshal([]byte(answer.Body), &fresh))
	response, err := a.Get(fresh.Options)
	w.OK(err)
	b.Submit(p, withPasskey, "state", fresh.State, "response", string(response))
	if len(w.sessions("alice")) != 1 || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("not signed in, or cached: %v", answer.Header)
	}
	if got := w.browser().Get(withPasskey + "?i=AAAAAAAAAAAAAAAAAAAAAA"); got.Status != http.StatusBadRequest {
		t.Errorf("without an interaction: %d", got.Status)
	}
}

func TestCancelGoesBackToTheClient(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.browser()
	i, p := b.visit(request.Authorization{})
	isStep(t, b.Submit(p, "/login/cancel"), w.Keeper.NextURL(i))
	r := httptest.NewRequest(http.MethodGet, issuer, nil)
	for name, value := range b.Jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	got, err := w.Keeper.Open(r, i.ID)
	w.OK(err)
	if got.Refused != oauth.AccessDenied {
		t.Errorf("refused with %q", got.Refused)
	}
	own := b.Get("/login")
	if own.Form("/login/cancel") != nil {
		t.Error("there is nobody to go back to, and yet a button")
	}
	id := authntest.Attribute(input(own.Form(withPassword), "i"), "value")
	b.Post("/login/cancel", url.Values{"i": {id}}).Shows(http.StatusBadRequest)
}

func TestInteractionsBelongToABrowserAndExpire(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	p := b.Get("/login")
	id := authntest.Attribute(input(p.Form(withPassword), "i"), "value")
	form := url.Values{"i": {id}, "username": {"alice"}, "password": {right}}
	w.browser().Post(withPassword, form).Shows(http.StatusBadRequest, "another browser")
	w.browser().Get("/login?i=" + id).Shows(http.StatusBadRequest)
	b.Get("/login?i=short").Shows(http.StatusBadRequest)
	w.Time = w.Time.Add(flow.Lifetime)
	b.Post(withPassword, form).Shows(http.StatusBadRequest, "expired")
	if len(w.sessions("alice")) != 0 {
		t.Error("signed in")
	}
}

func TestSigningInReplacesTheSession(t *testing.T) {
	w := newWorld(t)
	w.AddAccount("bob", `{}`)
	b := w.browser()
	for _, name := range []string{"alice", "alice", "bob"} {
		old := b.Jar[web.SessionCookie]
		b.Submit(b.Get("/login"), withPassword, "username", name, "password", right)
		if b.Jar[web.SessionCookie] == old {
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
	p := b.Get("/login")
	form := url.Values{"i": {authntest.Attribute(input(p.Form(withPassword), "i"), "value")}, "username": {"alice"}, "password": {right}}
	r := httptest.NewRequest(http.MethodPost, issuer+withPassword, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-site")
	r.Header.Set("Origin", "https://evil.example.com")
	if got := b.Send(r); got.Status != http.StatusForbidden || len(w.sessions("alice")) != 0 {
		t.Errorf("got %d", got.Status)
	}
}

// A visitor who has not signed in causes no write.
func TestUnauthenticatedGETWritesNothing(t *testing.T) {
	w := newWorld(t)
	events := 0
	w.DB.OnEvent(func() { events++ })
	b := w.browser()
	p := b.Get("/login").Shows(http.StatusOK, "to continue to your account")
	if len(p.Form(withPasskey).Attr) == 0 || events != 0 || len(w.Acts()) != 0 {
		t.Error("written")
	}
	if _, err := base64.RawURLEncoding.DecodeString(authntest.Attribute(input(p.Form(withPasskey), "state"), "value")); err != nil {
		t.Errorf("the state is not sealed text: %v", err)
	}
}
