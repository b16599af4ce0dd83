package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-iam/holdfast/internal/account"
	"github.com/holdfast-iam/holdfast/internal/login"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
)

// site shows the pages that run the script, with real ceremonies, and keeps what their forms send.
type site struct {
	t   *testing.T
	rp  *passkey.RP
	url string

	mu     sync.Mutex
	states map[string][]byte // by the name the page knows them under
	user   passkey.User
	fresh  int // challenges fetched by the script
	posts  chan url.Values
}

func newSite(t *testing.T) *site {
	s := &site{t: t, states: map[string][]byte{}, posts: make(chan url.Values, 1), user: passkey.User{Handle: []byte("a handle of 32 bytes, as it were."), Name: "alice"}}
	p, err := web.NewPages(web.Theme{Name: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p.Mount(mux)
	show := func(pattern, page string, view func() any) {
		mux.Handle(pattern, web.Through(web.PageDoor(p), func(w http.ResponseWriter, r *http.Request) error {
			return p.Render(w, r, http.StatusOK, page, view())
		}))
	}
	show("GET /login", "login", func() any {
		options, state := s.begin()
		return login.View{Interaction: "i", PasskeyOptions: options, PasskeyState: state}
	})
	show("GET /create", "passkey", func() any {
		options, state, err := s.rp.BeginRegistration(s.user, time.Now())
		return account.StepView{Step: "create", Options: string(options), State: s.keep(state, err)}
	})
	mux.Handle("GET /login/passkey", web.Through(web.OAuthDoor, func(w http.ResponseWriter, _ *http.Request) error {
		options, state := s.begin()
		s.mu.Lock()
		s.fresh++
		s.mu.Unlock()
		return web.WriteJSON(w, http.StatusOK, map[string]any{"options": json.RawMessage(options), "state": state})
	}))
	mux.Handle("POST /", web.Protect(web.Through(web.PageDoor(p), func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.Form(r)
		if err != nil {
			return err
		}
		s.posts <- form
		return p.Render(w, r, http.StatusOK, "signedout", nil)
	})))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) // WebAuthn knows no addresses
	if s.rp, err = passkey.New(passkey.Party{ID: "localhost", Name: "Test", Origins: []string{s.url}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) begin() (options, state string) {
	o, st, err := s.rp.BeginLogin(time.Now())
	return string(o), s.keep(st, err)
}

func (s *site) keep(state []byte, err error) string {
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(rune('A' + len(s.states)))
	s.states[name] = state
	return name
}

// posted waits for a form.
func (s *site) posted() (state []byte, response string) {
	s.t.Helper()
	select {
	case form := <-s.posts:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.states[form.Get("state")], form.Get("response")
	case <-time.After(20 * time.Second):
		s.t.Fatal("the page has sent nothing")
		return nil, ""
	}
}

func (s *site) checkLogin() {
	s.t.Helper()
	state, response := s.posted()
	_, err := s.rp.FinishLogin(state, []byte(response), time.Now(), func(_, _ []byte) (passkey.User, error) { return s.user, nil })
	if err != nil {
		s.t.Errorf("login: %v: %s", err, response)
	}
}

// chromium is a browser with a platform authenticator. Violations of the content security policy fail the test.
func chromium(t *testing.T) (context.Context, webauthn.AuthenticatorID) {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is needed: apt-get install chromium")
	}
	home := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(filepath.Join(home, "profile")), chromedp.Env("HOME="+home), chromedp.Flag("disable-background-networking", true))
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	call(ctx, t, webauthn.Enable, webauthn.EnableParams{})
	added := call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	onEveryPage(ctx, t, `window.violations = []; document.addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective + " " + e.blockedURI));`)
	return ctx, added.AuthenticatorID
}

func onEveryPage(ctx context.Context, t *testing.T, script string) {
	t.Helper()
	call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	within, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if err := chromedp.Do(within, steps...); err != nil {
		html, _ := chromedp.Run(ctx, chromedp.OuterHTML("html")) // best effort
		t.Fatalf("%v\n%s", err, html)
	}
}

func lawful(ctx context.Context, t *testing.T) {
	t.Helper()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string]("window.violations"))
	if err != nil || len(found) > 0 {
		t.Errorf("violations of the policy: %v, %v", found, err)
	}
}

func TestPasskeyScript(t *testing.T) {
	ctx, authenticator := chromium(t)
	s := newSite(t)
	verified := func(yes bool) {
		call(ctx, t, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: authenticator, IsUserVerified: yes})
	}

	do(ctx, t, chromedp.Navigate(s.url+"/create"), chromedp.Click("#passkey-submit"))
	state, response := s.posted()
	made, err := s.rp.FinishRegistration(s.user, state, []byte(response), time.Now())
	if err != nil {
		t.Fatalf("registration: %v: %s", err, response)
	}
	s.user.Passkeys = []passkey.Credential{made}

	t.Run("autofill", func(t *testing.T) {
		// The virtual authenticator answers at once, so the form may leave before the page has arrived.
		if err := chromedp.Do(ctx, chromedp.Navigate(s.url+"/login")); err != nil && !strings.Contains(err.Error(), "ERR_ABORTED") {
			t.Fatal(err)
		}
		s.checkLogin()
	})
	t.Run("a failure begins again with fresh challenges", func(t *testing.T) {
		verified(false)
		do(ctx, t, chromedp.Navigate(s.url+"/login"), chromedp.WaitVisible("#passkey-submit"),
			chromedp.Click("#passkey-submit"), chromedp.WaitVisible("#alerts .alert"))
		lawful(ctx, t)
		s.mu.Lock()
		fresh := s.fresh
		s.mu.Unlock()
		if fresh == 0 || len(s.posts) != 0 {
			t.Errorf("%d fresh challenges, %d posts", fresh, len(s.posts))
		}
		verified(true)
		do(ctx, t, chromedp.Click("#passkey-submit"))
		s.checkLogin()
	})
	t.Run("a passkey that is there already is told to the server", func(t *testing.T) {
		do(ctx, t, chromedp.Navigate(s.url+"/create"), chromedp.Click("#passkey-submit"))
		if _, response := s.posted(); response != `{"error":"InvalidStateError"}` {
			t.Errorf("response %s", response)
		}
	})
	t.Run("a browser without passkeys", func(t *testing.T) {
		onEveryPage(ctx, t, "delete window.PublicKeyCredential")
		do(ctx, t, chromedp.Navigate(s.url+"/login"), chromedp.WaitVisible("#login-submit"), chromedp.WaitNotVisible("#passkey-submit"))
		do(ctx, t, chromedp.Navigate(s.url+"/create"), chromedp.WaitVisible("#alerts .alert"))
		lawful(ctx, t)
	})
}

func call[P, R any](ctx context.Context, t *testing.T, command cdp.Command[P, R], params P) R {
	t.Helper()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}
