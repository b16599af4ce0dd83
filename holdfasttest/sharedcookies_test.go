package holdfasttest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// TestSharedCookies has the token handler on another host than the gateway. Cookies go to both, and to every other host
// of the domain, which is why it has to be said.
func TestSharedCookies(t *testing.T) {
	s := holdfasttest.Start(t, holdfasttest.WithConfiguration(func(folder, text string) string {
		text = strings.NewReplacer(
			"ca/server.", "ca/tenants.", "hosts: [login.", "hosts: [apps."+host+", login.", "url: https://api.", "cookie_domain: "+host+"\n      url: https://apps.",
		).Replace(text)
		certify(t, folder, text)
		return text
	}))
	page := newFrontend(t, s)
	page.handler = strings.Replace(page.handler, "https://api.", "https://apps.", 1)
	page.signIn(s.Users[0])
	for name, a := range map[string]answered{"orders": page.orders(), "refresh": page.call("/refresh"), "session": page.call("/session")} {
		if a.Status != http.StatusOK || a.Body["is_logged_in"] == false {
			t.Errorf("%s: %d %v", name, a.Status, a.Body)
		}
	}
	for _, at := range []string{page.handler, s.GatewayURL, s.AppURL} {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, c := range page.client.Jar.Cookies(u) {
			found += c.Name + " "
		}
		if !strings.Contains(found, "hf-demo-s ") || strings.Contains(found, "-Http-hf-") {
			t.Errorf("%s gets %s", at, found)
		}
	}
	thief := page.thief()
	page.call("/logout")
	if d := refusedWithin(t, thief.orders); d > time.Second {
		t.Errorf("the gateway saw it after %v", d)
	}
	if a := page.call("/session"); a.Body["is_logged_in"] != false {
		t.Errorf("session: %v", a.Body)
	}
}
