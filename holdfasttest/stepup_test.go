package holdfasttest_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// TestStepUp has a Chromium sign in by password, be asked for more by an API, and give it (RFC 9470).
func TestStepUp(t *testing.T) {
	landscapes := eachEngine(t)
	browser := chromium(t)
	trusting(t, slices.Collect(maps.Values(landscapes))...)
	if err := chromedp.Do(browser); err != nil { // starts it, now that its store is filled
		t.Fatal(err)
	}
	for engine, s := range landscapes {
		t.Run(engine, func(t *testing.T) { stepUp(visitor(browser, t), t, s) })
	}
}

// demanding is the API of the landscape, from now on for people with passkeys only.
const demanding = `
kind: api
resource: RESOURCE
name: Orders
scopes: [orders.read, orders.write]
introspectors: [demo-api, gateway]
exchangers: [gateway]
required_acr: phr
max_authentication_age: 600
`

var acrValues = regexp.MustCompile(`acr_values="([^"]*)"`)

func stepUp(ctx context.Context, t *testing.T, s *holdfasttest.Server) {
	client, web, orders := newPerson(t, s), asWeb(t, s), s.GatewayURL+"/orders"
	firstPasskey(ctx, t, s)
	withoutAutofill(ctx, t)
	ask := url.Values{"scope": {"openid offline_access orders.read"}, "resource": {s.GatewayURL}}
	redeem := func(press string) answered {
		q := arrived(ctx, t, s.Clients["web_confidential"].RedirectURIs[0], chromedp.Click(press))
		got := web.redeem("web_confidential", q.Get("code"))
		if got.Status != http.StatusOK {
			t.Fatalf("tokens for %v: %d %v", q, got.Status, got.Body)
		}
		return got
	}

	run(ctx, t, "sign in by password", chromedp.Navigate(client.authorization("web_confidential", ask)), chromedp.WaitVisible("#username"),
		chromedp.SendKeys("#username", s.Users[0].Username), chromedp.SendKeys("#password", s.Users[0].Password),
		chromedp.Click("#login-submit"), chromedp.WaitVisible("#consent-allow"))
	before := redeem("#consent-allow")
	if a := web.ask(orders, before.text("access_token")); a.Status != http.StatusOK {
		t.Fatalf("orders of somebody with a password: %d %v", a.Status, a.Body)
	}

	s.Apply("main", strings.ReplaceAll(demanding, "RESOURCE", s.GatewayURL))
	refusedWithin(t, func() answered { return web.ask(orders, before.text("access_token")) })
	refused := web.ask(orders, before.text("access_token"))
	wanted := acrValues.FindStringSubmatch(refused.Header.Get("WWW-Authenticate"))
	if refused.Status != http.StatusUnauthorized || refused.text("error") != "insufficient_user_authentication" || wanted == nil {
		t.Fatalf("the API takes a password: %d %v %q", refused.Status, refused.Body, refused.Header.Values("WWW-Authenticate"))
	}

	ask["acr_values"] = wanted[1:]
	run(ctx, t, "be asked for more", chromedp.Navigate(client.authorization("web_confidential", ask)), chromedp.WaitVisible(".page-confirm #passkey-submit"))
	picture(ctx, t, "step-up")
	if shown := look[string](ctx, t, "document.querySelector('main').innerText"); !strings.Contains(shown, "Signed in as "+s.Users[0].Username) ||
		!strings.Contains(shown, "Sign in as somebody else") || look[bool](ctx, t, "Boolean(document.querySelector('input[type=password]'))") {
		t.Errorf("the page says %s", shown)
	}
	compareStepUp(t, web, before, redeem("#passkey-submit"))
	run(ctx, t, "see the way to another account", chromedp.Navigate(client.authorization("web_confidential", url.Values{"prompt": {"login"}})),
		chromedp.WaitVisible(".page-confirm #password"))
	picture(ctx, t, "confirm")
	run(ctx, t, "take it", chromedp.Click("#login-other"), chromedp.WaitVisible(".page-login #username"))
}

// compareStepUp holds what a client has got by the step-up against what it had, which stays good for what it was good for.
func compareStepUp(t *testing.T, web *party, before, after answered) {
	t.Helper()
	old, now := payload(t, before.text("access_token")), payload(t, after.text("access_token"))
	if old["acr"] != "1" || now["acr"] != "phrh" || old["sid"] != now["sid"] || old["sub"] != now["sub"] {
		t.Errorf("before %v, after %v", old, now)
	}
	if then, at := old["auth_time"].(float64), now["auth_time"].(float64); at < then {
		t.Errorf("signed in at %v, and better at %v", then, at)
	}
	if a := web.ask(web.GatewayURL+"/orders", after.text("access_token")); a.Status != http.StatusOK {
		t.Errorf("orders of somebody with a passkey: %d %v", a.Status, a.Body)
	}
	// RFC 9470 §6: how somebody had signed in does not change when tokens are renewed.
	renewed := web.refresh(before.text("refresh_token"))
	if renewed.Status != http.StatusOK {
		t.Fatalf("the tokens of before: %d %v", renewed.Status, renewed.Body)
	}
	if c := payload(t, renewed.text("access_token")); c["acr"] != "1" || c["auth_time"] != old["auth_time"] {
		t.Errorf("renewed: %v", c)
	}
	if a := web.ask(web.GatewayURL+"/orders", renewed.text("access_token")); a.text("error") != "insufficient_user_authentication" {
		t.Errorf("orders with the tokens of before: %d %v", a.Status, a.Body)
	}
}
