package resource_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

func TestNewRefusesWhatCannotBeSafe(t *testing.T) {
	for name, change := range map[string]func(*resource.Config){
		"Audience":               func(c *resource.Config) { c.Audience = "" },
		"Issuers":                func(c *resource.Config) { c.Issuers = nil },
		"https":                  func(c *resource.Config) { c.Issuers = []string{"http://login.example.com"} },
		"without query":          func(c *resource.Config) { c.Issuers = []string{"https://login.example.com?a"} },
		"fragment":               func(c *resource.Config) { c.Issuers = []string{"https://login.example.com#"} },
		"an https URL":           func(c *resource.Config) { c.Issuers = []string{"login.example.com"} },
		"not an https URL":       func(c *resource.Config) { c.Issuers = []string{"https://user@login.example.com"} },
		"Origins":                func(c *resource.Config) { c.Audience = "shop" },
		"origin":                 func(c *resource.Config) { c.Origins = []string{"api.example.com"} },
		"Leeway":                 func(c *resource.Config) { c.Leeway = 2 * time.Minute },
		"MaxStale":               func(c *resource.Config) { c.MaxStale = -1 },
		"algorithm":              func(c *resource.Config) { c.Algorithms = []jose.Alg{"none"} },
		"is not one of Issuers":  func(c *resource.Config) { c.JWKS = map[string]string{"https://other.example": "https://a.example"} },
		"value is not an https":  func(c *resource.Config) { c.JWKS = map[string]string{"https://login.example.com": "http://a.example"} },
		"between 0 and":          func(c *resource.Config) { c.Leeway = -time.Second },
		"query and fragment":     func(c *resource.Config) { c.Origins = []string{"https://api.example.com?x"} },
		"not an http or https":   func(c *resource.Config) { c.Origins = []string{"ftp://api.example.com"} },
		"without query and frag": func(c *resource.Config) { c.Origins = []string{"https://api.example.com#x"} },
	} {
		c := resource.Config{Issuers: []string{"https://login.example.com"}, Audience: audience}
		change(&c)
		if v, err := resource.New(t.Context(), c); err == nil || v != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, issuer := range []string{"http://localhost:8080", "http://127.0.0.1:8080/t", "http://[::1]:1", "http://login.holdfast.localhost:1"} {
		if _, err := resource.New(t.Context(), resource.Config{Issuers: []string{issuer}, Audience: audience}); err != nil {
			t.Errorf("%s is on this machine: %v", issuer, err)
		}
	}
}

func TestForAudienceSharesKeys(t *testing.T) {
	i := resourcetest.NewIssuer(t, resourcetest.NewClock(start).Now)
	client := resourcetest.NewClient(t)
	v := i.Verifier(audience)
	other, err := v.ForAudience("https://other.example.com", "https://other.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.ForAudience(""); err == nil {
		t.Error("an empty audience was accepted")
	}
	token := i.Sign(client.BoundToKey(i.Claims("https://other.example.com")))
	r := client.WithKey("GET", "https://other.example.com/", token, start)
	if _, err := other.Verify(t.Context(), resource.RequestOf(r)); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), resource.RequestOf(r)); err == nil {
		t.Error("a token for another API was accepted")
	}
	if err := v.Warm(t.Context()); err != nil || i.Fetches() != 1 {
		t.Errorf("%v, %d fetches", err, i.Fetches())
	}
}

// RFC 9068 §4: each issuer's tokens verify with its own keys.
func TestRFC9068_4_KeysBelongToTheirIssuer(t *testing.T) {
	clock := resourcetest.NewClock(start)
	one, two := resourcetest.NewIssuer(t, clock.Now), resourcetest.NewIssuer(t, clock.Now)
	client := resourcetest.NewClient(t)
	c := one.Config(audience)
	c.Issuers = []string{one.URL, two.URL}
	v, err := resource.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, token string
		ok          bool
	}{
		{"one", one.Sign(client.BoundToCertificate(one.Claims(audience))), true},
		{"two", two.Sign(client.BoundToCertificate(two.Claims(audience))), true},
		{"two in the name of one", two.Sign(client.BoundToCertificate(one.Claims(audience))), false},
	} {
		who, err := v.Verify(t.Context(), resource.RequestOf(client.WithCertificate("GET", orders, x.token)))
		if x.ok != (err == nil) || x.ok != (who != nil) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

func TestCredentialsAreHidden(t *testing.T) {
	i := resourcetest.NewIssuer(t, resourcetest.NewClock(start).Now)
	client := resourcetest.NewClient(t)
	c, err := i.Verifier(audience).Credentials(resource.RequestOf(client.WithKey("GET", orders, "the-token", start)))
	if err != nil || c.Token != "the-token" || c.Proof == "" {
		t.Fatalf("%v", err)
	}
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprint(c.LogValue())} {
		if strings.Contains(text, "token") || strings.Contains(text, "ey") {
			t.Errorf("shows %q", text)
		}
	}
}

// RFC 9110 §11.1: the name of a scheme has no case.
func TestRFC9110_11_1_SchemeInAnyCase(t *testing.T) {
	i := resourcetest.NewIssuer(t, resourcetest.NewClock(start).Now)
	client := resourcetest.NewClient(t)
	token := i.Sign(client.BoundToCertificate(i.Claims(audience)))
	for _, scheme := range []string{"bearer ", "BEARER ", "Bearer  "} {
		r := client.WithCertificate("GET", orders, token)
		r.Header["Authorization"] = []string{scheme + token}
		if _, err := i.Verifier(audience).Verify(t.Context(), resource.RequestOf(r)); err != nil {
			t.Errorf("%q: %v", scheme, err)
		}
	}
	if _, err := i.Verifier(audience).Verify(t.Context(), resource.Request{Method: "GET", Header: http.Header{}}); err == nil {
		t.Error("nothing at all was accepted")
	}
}
