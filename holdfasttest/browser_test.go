package holdfasttest_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	pages "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/dev"
)

// chromium is one real browser in a home of its own. The certificate store there is empty until trusting fills it.
func chromium(t *testing.T) context.Context {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is needed: apt-get install chromium")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true), chromedp.WindowSize(1280, 900),
	)
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	return ctx
}

// trusting puts the roots of landscapes where browsers of this home look for them, as dev trust does.
func trusting(t *testing.T, landscapes ...*holdfasttest.Server) {
	t.Helper()
	console := &app.Console{Out: t.Output(), Err: t.Output()}
	for _, s := range landscapes {
		if err := dev.Trust(t.Context(), console, s.Data, true); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := dev.Untrust(context.WithoutCancel(t.Context()), console, s.Data); err != nil {
				t.Error(err)
			}
		})
	}
}

// visitor is somebody at the browser who has been nowhere yet: no cookies, no passkeys.
func visitor(browser context.Context, t *testing.T) context.Context {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(stop)
	ctx, stop = context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(stop)
	return ctx
}

// call runs one command of the protocol.
func call[P, R any](ctx context.Context, t *testing.T, command cdp.Command[P, R], params P) R {
	t.Helper()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// authenticator gives the browser a platform authenticator that verifies its user.
func authenticator(ctx context.Context, t *testing.T) {
	t.Helper()
	call(ctx, t, webauthn.Enable, webauthn.EnableParams{})
	call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
}

// run does a step, and says which one failed, on which page, if it does.
func run(ctx context.Context, t *testing.T, step string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	within, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if err := chromedp.Do(within, actions...); err != nil {
		at, _ := chromedp.Run(ctx, chromedp.Location()) // best effort
		text, _ := chromedp.Run(ctx, chromedp.OuterHTML("html"))
		picture(ctx, t, "failed")
		t.Fatalf("%s: %v, at %s\n%s", step, err, at, text)
	}
}

// picture keeps a screenshot where HOLDFAST_TEST_PICTURES names a folder.
func picture(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	folder := os.Getenv("HOLDFAST_TEST_PICTURES")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Log(err)
		return
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600); err != nil {
		t.Error(err)
	}
}

// arrived waits for the browser to ask for the client's address and gives its parameters; nobody answers there.
func arrived(ctx context.Context, t *testing.T, redirect string, leave chromedp.Action[chromedp.Void]) url.Values {
	t.Helper()
	call(ctx, t, network.Enable, network.EnableParams{})
	within, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	there := func(e network.EventRequestWillBeSent) bool { return strings.HasPrefix(e.Request.URL, redirect) }
	asked, err := chromedp.Run(within, chromedp.WaitEvent(network.RequestWillBeSent, there, leave))
	if err != nil {
		picture(ctx, t, "failed")
		t.Fatalf("the browser never came to %s: %v", redirect, err)
	}
	u, err := url.Parse(asked.Request.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

var sixteen = regexp.MustCompile(`\d{4} \d{4}`)

// TestBrowser lets one Chromium walk through a landscape over each engine.
func TestBrowser(t *testing.T) {
	landscapes := eachEngine(t)
	browser := chromium(t)
	trusting(t, slices.Collect(maps.Values(landscapes))...)
	if err := chromedp.Do(browser); err != nil { // starts it, now that its store is filled
		t.Fatal(err)
	}
	for engine, s := range landscapes {
		t.Run(engine, func(t *testing.T) { walk(visitor(browser, t), t, s) })
	}
}

// walk signs in by password, adds a passkey, and signs in by it.
func walk(ctx context.Context, t *testing.T, s *holdfasttest.Server) {
	client := newPerson(t, s)
	firstPasskey(ctx, t, s)

	t.Run("by autofill", func(t *testing.T) {
		// With a virtual authenticator the conditional request is answered as soon as the page is open, and perhaps before
		// it has arrived.
		if err := chromedp.Do(ctx, chromedp.Navigate(s.Issuer+"/account")); err != nil && !strings.Contains(err.Error(), "ERR_ABORTED") {
			t.Fatal(err)
		}
		run(ctx, t, "sign in by autofill", chromedp.WaitVisible("#sign-out"))
		signOut(ctx, t)
	})
	t.Run("by button, with consent", func(t *testing.T) {
		withoutAutofill(ctx, t)
		run(ctx, t, "begin", chromedp.Navigate(client.authorization("web_confidential", nil)), chromedp.WaitVisible("#passkey-submit"))
		picture(ctx, t, "login-client")
		run(ctx, t, "sign in by the button", chromedp.Click("#passkey-submit"), chromedp.WaitVisible("#consent-allow"))
		picture(ctx, t, "consent")
		q := arrived(ctx, t, s.Clients["web_confidential"].RedirectURIs[0], chromedp.Click("#consent-allow"))
		if q.Get("code") == "" || q.Get("state") != "the state" || q.Get("iss") != s.Issuer {
			t.Fatalf("the client got %v", q)
		}
		got := asWeb(t, s).redeem("web_confidential", q.Get("code"))
		if got.Status != http.StatusOK {
			t.Fatalf("tokens: %d %v", got.Status, got.Body)
		}
		claims := payload(t, got.text("id_token"))
		if claims["acr"] != "phrh" || claims["nonce"] != "the nonce" {
			t.Errorf("id token: %v", claims)
		}
	})
	t.Run("cookies and script", func(t *testing.T) { nothingForScript(ctx, t, s) })
}

// firstPasskey gives Alice a passkey in this browser, and leaves her signed out.
func firstPasskey(ctx context.Context, t *testing.T, s *holdfasttest.Server) {
	t.Helper()
	alice := s.Users[0]
	authenticator(ctx, t)
	run(ctx, t, "open the account", chromedp.Navigate(s.Issuer+"/account"), chromedp.WaitVisible("#username"))
	picture(ctx, t, "login")
	run(ctx, t, "sign in by password",
		chromedp.SendKeys("#username", alice.Username), chromedp.SendKeys("#password", alice.Password),
		chromedp.Click("#login-submit"), chromedp.WaitVisible("#passkey-add"))
	picture(ctx, t, "account-empty")
	run(ctx, t, "ask for a code", chromedp.Click("#passkey-add"), chromedp.WaitVisible("#mail-send"), chromedp.Click("#mail-send"), chromedp.WaitVisible("#code"))
	code := sixteen.FindString(s.Mail(alice.Username, "code").Text)
	if code == "" {
		t.Fatal("the mail holds no code")
	}
	picture(ctx, t, "code")
	run(ctx, t, "enter the code", chromedp.SendKeys("#code", code), chromedp.Click("#code-submit"), chromedp.WaitVisible("#passkey-submit"))
	picture(ctx, t, "create")
	run(ctx, t, "create a passkey", chromedp.Click("#passkey-submit"), chromedp.WaitVisible("#sign-out"), chromedp.WaitVisible(".note, [role=status] p"))
	picture(ctx, t, "account")
	s.Mail(alice.Username, "passkey was added")
	signOut(ctx, t)
}

func signOut(ctx context.Context, t *testing.T) {
	t.Helper()
	run(ctx, t, "sign out", chromedp.Click("#sign-out"), chromedp.WaitVisible("#logout-confirm"))
	picture(ctx, t, "logout")
	run(ctx, t, "confirm", chromedp.Click("#logout-confirm"), chromedp.WaitVisible(".page-signedout"))
	picture(ctx, t, "signedout")
}

// withoutAutofill lets the page find that this browser has no conditional requests, so that the button is what signs in.
func withoutAutofill(ctx context.Context, t *testing.T) {
	t.Helper()
	call(ctx, t, pages.AddScriptToEvaluateOnNewDocument, pages.AddScriptToEvaluateOnNewDocumentParams{
		Source: "PublicKeyCredential.isConditionalMediationAvailable = () => Promise.resolve(false);",
	})
}

// nothingForScript looks for what a thief's script would find on the account page.
func nothingForScript(ctx context.Context, t *testing.T, s *holdfasttest.Server) {
	t.Helper()
	run(ctx, t, "look around", chromedp.Navigate(s.Issuer+"/account"), chromedp.WaitVisible("#sign-out"))
	visible, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)`))
	if err != nil {
		t.Fatal(err)
	}
	cookies := call(ctx, t, network.GetCookies, network.GetCookiesParams{}).Cookies
	if visible != "{}{}" {
		t.Errorf("script sees %q", visible)
	}
	if len(cookies) == 0 {
		t.Error("there is no cookie at all")
	}
	for _, c := range cookies {
		if !c.HTTPOnly || !c.Secure || c.SameSite != network.CookieSameSiteLax || !strings.HasPrefix(c.Name, "__Host-") || strings.HasPrefix(c.Domain, ".") {
			t.Errorf("cookie %+v", c)
		}
	}
}
