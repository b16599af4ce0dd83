package holdfasttest_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// TestBrowserApplication has a Chromium use the demo app over each engine, and be led astray.
func TestBrowserApplication(t *testing.T) {
	landscapes := eachEngine(t)
	browser := chromium(t)
	thieves := map[string]*evil{}
	for engine, s := range landscapes {
		trusting(t, s)
		thieves[engine] = newEvil(t, s)
	}
	if err := chromedp.Do(browser); err != nil { // starts it, now that its store is filled
		t.Fatal(err)
	}
	for engine, s := range landscapes {
		t.Run(engine, func(t *testing.T) {
			v := &visit{s, visitor(browser, t)}
			firstPasskey(v.tab, t, s)
			withoutAutofill(v.tab, t)
			v.comeIn(t)
			t.Run("nothing for script", v.nothingForScript)
			t.Run("a second tab", v.secondTab)
			t.Run("pages of others", func(t *testing.T) { thieves[engine].everything(t, v) })
			v.leave(t)
		})
	}
}

// visit is somebody who uses the demo app in a tab.
type visit struct {
	*holdfasttest.Server
	tab context.Context
}

// another is a second tab of the same browser.
func (v *visit) another(t *testing.T) *visit {
	t.Helper()
	ctx, stop := chromedp.NewContext(v.tab)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil { // a tab lives as long as the context of its first command
		t.Fatal(err)
	}
	return &visit{v.Server, ctx}
}

func (v *visit) comeIn(t *testing.T) {
	t.Helper()
	run(v.tab, t, "open the app", chromedp.Navigate(v.AppURL+"/"), chromedp.WaitVisible("[data-state=signed-out] #app-login"))
	v.signIn(t)
	if at := look[string](v.tab, t, "location.href"); at != v.AppURL+"/" {
		t.Errorf("the code stays in the address: %s", at)
	}
	run(v.tab, t, "load orders", chromedp.Click("#app-call"), chromedp.WaitVisible("#app-orders li"))
	run(v.tab, t, "place an order", chromedp.Click("#app-order"), chromedp.WaitVisible("#app-orders li:nth-child(4)"))
	run(v.tab, t, "renew", chromedp.Click("#app-refresh"), chromedp.WaitVisible(`#app-log li[data-status="200"]:first-child`))
	run(v.tab, t, "reload", chromedp.Reload(), chromedp.WaitVisible("[data-state=signed-in] #app-call"))
	picture(v.tab, t, "app")
}

// signIn is by passkey, for somebody whom the issuer does not know yet.
func (v *visit) signIn(t *testing.T) {
	t.Helper()
	run(v.tab, t, "go to the issuer", chromedp.Click("#app-login"), chromedp.WaitVisible("#passkey-submit"))
	run(v.tab, t, "sign in", chromedp.Click("#passkey-submit"), chromedp.WaitVisible("[data-state=signed-in] #app-call"))
}

// look evaluates an expression in a tab, waiting for what it promises.
func look[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	within, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	v, err := chromedp.Run(within, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// readable is everything that a script of the app can read: stores, the page, and every answer it gets.
const readable = `(async () => {
	const texts = [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.documentElement.outerHTML,
		JSON.stringify((await cookieStore.getAll()).map((c) => [c.name, c.value])), JSON.stringify(await indexedDB.databases()), JSON.stringify(await caches.keys())];
	const { tokenHandler, api } = document.documentElement.dataset;
	for (const [method, url] of [["GET", tokenHandler + "/session"], ["POST", tokenHandler + "/refresh"], ["GET", api]]) {
		const init = { method, credentials: "include", headers: { "token-handler-version": "1" } };
		const answer = await fetch(url, method === "POST" ? { ...init, body: new URLSearchParams() } : init);
		if (!answer.ok) throw new Error(url + " answers " + answer.status);
		texts.push([...answer.headers].join("\n"), await answer.text());
	}
	return texts.join("\n");
})()`

var tokenLike = regexp.MustCompile(`eyJ[\w-]{8,}\.|access_token"|refresh_token|"id_token"|DPoP `)

// nothingForScript looks where a thief's script looks, and at the cookies as only the browser sees them.
func (v *visit) nothingForScript(t *testing.T) {
	seen := look[string](v.tab, t, readable)
	if found := tokenLike.FindString(seen); found != "" {
		t.Errorf("script reads %q", found)
	}
	own := look[string](v.tab, t, `document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)`)
	if own != "{}{}" {
		t.Errorf("script has %q", own)
	}
	cookies := call(v.tab, t, network.GetCookies, network.GetCookiesParams{URLs: []string{v.Handler, v.AppURL}}).Cookies
	if len(cookies) != 1 || cookies[0].Name != "__Host-Http-hf-demo-s" {
		t.Errorf("cookies: %v", cookies)
	}
	for _, c := range cookies {
		if !c.HTTPOnly || !c.Secure || c.SameSite != network.CookieSameSiteStrict || strings.HasPrefix(c.Domain, ".") || c.Path != "/" {
			t.Errorf("cookie %+v", c)
		}
		if strings.Contains(seen, c.Value) {
			t.Error("script reads the value of the cookie")
		}
	}
	run(v.tab, t, "let the app's own thief look", chromedp.Click("#app-thief"), chromedp.WaitVisible("#app-thief-result"))
	if found := look[string](v.tab, t, `document.getElementById("app-thief-result").dataset.found`); found != "0" {
		t.Errorf("it finds %s: %s", found, look[string](v.tab, t, `document.getElementById("app-thief-result").innerText`))
	}
}

// secondTab opens the app beside the first: it is signed in, and hears of what happens in the other.
func (v *visit) secondTab(t *testing.T) {
	two := v.another(t)
	run(two.tab, t, "open a second tab", chromedp.Navigate(v.AppURL+"/"), chromedp.WaitVisible("[data-state=signed-in] #app-call"))
	run(v.tab, t, "sign out in the first", chromedp.Click("#app-logout"), chromedp.WaitVisible("#logout-confirm"))
	run(two.tab, t, "the second follows", chromedp.WaitVisible("[data-state=signed-out] #app-login"))
	if n := look[int](two.tab, t, `document.getElementById("app-orders").childElementCount`); n != 0 {
		t.Errorf("%d orders are still in the second", n)
	}
	run(v.tab, t, "sign out of the issuer too", chromedp.Click("#logout-confirm"), chromedp.WaitVisible(".page-signedout"))
	run(v.tab, t, "come back", chromedp.Navigate(v.AppURL+"/"), chromedp.WaitVisible("[data-state=signed-out] #app-login"))
	v.signIn(t)
	run(two.tab, t, "the second follows again", chromedp.WaitVisible("[data-state=signed-in] #app-call"))
}

// leave signs out, after which nothing is left.
func (v *visit) leave(t *testing.T) {
	t.Helper()
	run(v.tab, t, "sign out", chromedp.Navigate(v.AppURL+"/"), chromedp.WaitVisible("[data-state=signed-in] #app-logout"),
		chromedp.Click("#app-logout"), chromedp.WaitVisible("#logout-confirm"),
		chromedp.Click("#logout-confirm"), chromedp.WaitVisible(".page-signedout"))
	if cookies := call(v.tab, t, network.GetCookies, network.GetCookiesParams{URLs: []string{v.Handler}}).Cookies; len(cookies) != 0 {
		t.Errorf("cookies are left: %v", cookies)
	}
}
