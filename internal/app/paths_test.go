package app

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var hidden = regexp.MustCompile(`name="i" value="([^"]+)"`)

// signIn goes from the account page of an issuer through the form and says where that leads.
func (r *running) signIn(c *http.Client, issuer string) reply {
	r.t.Helper()
	to := r.get(c, issuer+"/account").header.Get("Location")
	page := r.get(c, "https://login.test"+to)
	found := hidden.FindStringSubmatch(page.text)
	if found == nil {
		r.t.Fatalf("no form at %s: %d %s", to, page.status, page.text)
	}
	return r.post(c, issuer+"/login/password", url.Values{"i": {found[1]}, "username": {"ada"}, "password": {"correct horse battery"}})
}

func TestTenantsOfOneHostDoNotSignEachOtherOut(t *testing.T) {
	r := start(t, config+`  - {name: a, issuer: "https://login.test/a"}
  - {name: b, issuer: "https://login.test/b"}
`)
	c := r.client()
	issuers := []string{"https://login.test/a", "https://login.test/b", "https://login.test"}
	for i, tenant := range []string{"a", "b", "main"} {
		r.bring(tenant)
		if got := r.signIn(c, issuers[i]); got.status != 303 || !strings.HasSuffix(got.header.Get("Location"), "/account") {
			t.Fatalf("%s: %d %v %s", tenant, got.status, got.header, got.text)
		}
	}
	for _, issuer := range issuers {
		if got := r.get(c, issuer+"/account"); got.status != 200 || !strings.Contains(got.text, "ada") {
			t.Errorf("%s has signed out: %d %v", issuer, got.status, got.header)
		}
	}
	at, err := url.Parse("https://login.test/")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, cookie := range c.Jar.Cookies(at) {
		if strings.HasPrefix(cookie.Name, "__Host-hf-s") {
			names[cookie.Name] = true
		}
	}
	if len(names) != 3 || !names["__Host-hf-s"] {
		t.Errorf("cookies %v", names)
	}
}
