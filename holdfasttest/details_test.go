package holdfasttest_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// TestDetails has a Chromium without scripts be asked for authorization details (RFC 9396), allow them with the keyboard,
// and take them back; and the API hold orders against them.
func TestDetails(t *testing.T) {
	landscapes := eachEngine(t)
	browser := chromium(t)
	trusting(t, slices.Collect(maps.Values(landscapes))...)
	if err := chromedp.Do(browser); err != nil { // starts it, now that its store is filled
		t.Fatal(err)
	}
	for engine, s := range landscapes {
		t.Run(engine, func(t *testing.T) { detailsAndBack(visitor(browser, t), t, s) })
	}
}

func detailsAndBack(ctx context.Context, t *testing.T, s *holdfasttest.Server) {
	client, web := newPerson(t, s), asWeb(t, s)
	ask := url.Values{
		"scope": {"openid offline_access orders.write"}, "resource": {s.GatewayURL},
		"authorization_details": {`[{"type":"order","actions":["place"],"limit":3}]`},
	}
	scripts(ctx, t, false)
	run(ctx, t, "sign in", chromedp.Navigate(client.authorization("web_confidential", ask)), chromedp.WaitVisible("#username"),
		chromedp.SendKeys("#username", s.Users[0].Username), chromedp.SendKeys("#password", s.Users[0].Password),
		chromedp.Click("#login-submit"), chromedp.WaitVisible("#consent-allow"))
	shades(ctx, t, "consent-details")
	if shown := look[string](ctx, t, "document.querySelector('main').innerText"); !strings.Contains(shown, "Place orders for you, within a limit") ||
		!strings.Contains(shown, "May place orders") || !strings.Contains(shown, "At most 3 of an item at once") || !strings.Contains(shown, "Valid at Orders") {
		t.Errorf("the page says %s", shown)
	}
	q := arrived(ctx, t, s.Clients["web_confidential"].RedirectURIs[0], pressing(ctx, t, "consent-allow"))
	got := web.redeem("web_confidential", q.Get("code"))
	if got.Status != http.StatusOK || fmt.Sprint(got.Body["authorization_details"]) != "[map[actions:[place] limit:3 type:order]]" {
		t.Fatalf("tokens for %v: %d %v", q, got.Status, got.Body)
	}
	token := got.text("access_token")
	for quantity, status := range map[int]int{3: http.StatusCreated, 4: http.StatusForbidden} {
		if a := web.place(token, quantity); a.Status != status {
			t.Errorf("an order of %d: %d %v", quantity, a.Status, a.Body)
		}
	}
	askedAgain(ctx, t, client, web, ask)
	takenBack(ctx, t, s, web, token, got.text("refresh_token"))
}

// askedAgain looks at what was remembered: the same and less goes through at once, more is asked for.
func askedAgain(ctx context.Context, t *testing.T, client *person, web *party, ask url.Values) {
	t.Helper()
	redirect := client.Clients["web_confidential"].RedirectURIs[0]
	again := maps.Clone(ask)
	again["prompt"] = []string{"none"}
	if q := arrived(ctx, t, redirect, chromedp.Navigate(client.authorization("web_confidential", again))); q.Get("code") == "" {
		t.Errorf("the same once more: %v", q)
	}
	again["authorization_details"] = []string{`[{"type":"order","actions":["place"],"limit":4}]`}
	if q := arrived(ctx, t, redirect, chromedp.Navigate(client.authorization("web_confidential", again))); q.Get("error") != "consent_required" {
		t.Errorf("a higher limit: %v", q)
	}
	again["authorization_details"] = []string{`[{"type":"order","actions":["sell"],"limit":4}]`}
	if q := arrived(ctx, t, redirect, chromedp.Navigate(client.authorization("web_confidential", again))); q.Get("error") != "invalid_authorization_details" {
		t.Errorf("what the API does not know: %v", q)
	}
}

// takenBack removes the access on the account page, which ends every token everywhere.
func takenBack(ctx context.Context, t *testing.T, s *holdfasttest.Server, web *party, token, refresh string) {
	t.Helper()
	run(ctx, t, "find the application", chromedp.Navigate(s.Issuer+"/account"), chromedp.WaitVisible("a[href*='access/end?client=web-confidential']"),
		chromedp.Click("section[aria-labelledby=apps] summary"), chromedp.WaitVisible("section[aria-labelledby=apps] .scopes"))
	shades(ctx, t, "account-apps")
	run(ctx, t, "remove its access", chromedp.Click("a[href*='access/end?client=web-confidential']"), chromedp.WaitVisible("#end-confirm"))
	shades(ctx, t, "access-end")
	run(ctx, t, "confirm", chromedp.Click("#end-confirm"), chromedp.WaitVisible("[role=status] .note"))
	if a := web.refresh(refresh); a.text("error") != "invalid_grant" {
		t.Errorf("the refresh token: %d %v", a.Status, a.Body)
	}
	for name, ask := range map[string]func() answered{
		"at the gateway": func() answered { return web.place(token, 1) },
		"at introspection": func() answered {
			if web.active(token) {
				return answered{Status: http.StatusOK}
			}
			return answered{Status: http.StatusUnauthorized}
		},
	} {
		if took := refusedWithin(t, ask); took.Seconds() > 1 {
			t.Errorf("%s the token lives on for %v", name, took)
		}
	}
}

// place places an order at the gateway.
func (c *party) place(token string, quantity int) answered {
	c.t.Helper()
	address := c.GatewayURL + "/orders"
	return c.ask(address, token, func(r *http.Request) {
		r.Method = http.MethodPost
		r.Body = io.NopCloser(strings.NewReader(fmt.Sprintf(`{"item":"Anchor","quantity":%d}`, quantity)))
		r.Header.Set("DPoP", c.Proof(c.key, http.MethodPost, address, c.nonce, token))
	})
}

// pressing goes to a button by the tabulator and presses Enter.
func pressing(ctx context.Context, t *testing.T, id string) chromedp.Action[chromedp.Void] {
	t.Helper()
	for n := 0; look[string](ctx, t, "document.activeElement.id") != id; n++ {
		if n == 20 {
			t.Fatalf("the keyboard does not lead to %s", id)
		}
		run(ctx, t, "go on", chromedp.KeyEvent(kb.Tab))
	}
	return chromedp.KeyEvent(kb.Enter)
}

// shades takes a picture of a page, light and dark.
func shades(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	for _, scheme := range []string{"dark", "light"} {
		call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		picture(ctx, t, name+"-"+scheme)
	}
}

// scripts lets a page run its scripts or not.
func scripts(ctx context.Context, t *testing.T, on bool) {
	t.Helper()
	call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}
