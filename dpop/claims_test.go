package dpop_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// forge signs any claims as a proof, as a hostile client would.
func forge(t testing.TB, s *jose.Signer, claims any) string {
	t.Helper()
	e, err := s.WithEmbeddedKey()
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Sign("dpop+jwt", claims)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRFC9449_4_2_Claims(t *testing.T) {
	s := signer(t, jose.ES256)
	right := map[string]any{"jti": "1", "htm": "POST", "htu": endpoint, "iat": now.Unix()}
	for _, c := range []struct {
		name, claim string
		value       any // nil: left out
		ok          bool
	}{
		{"another claim", "more", true, true},
		{"jti of 256 bytes", "jti", strings.Repeat("j", 256), true},
		{"jti of 257 bytes", "jti", strings.Repeat("j", 257), false},
		{"empty jti", "jti", "", false},
		{"jti is a number", "jti", 1, false},
		{"no jti", "jti", nil, false},
		{"no htm", "htm", nil, false},
		{"no htu", "htu", nil, false},
		{"htu is a list", "htu", []string{endpoint}, false},
		{"no iat", "iat", nil, false},
		{"iat with a fraction", "iat", float64(now.Unix()) + 0.5, true},
		{"iat is text", "iat", "1764072000", false},
		{"iat is negative", "iat", -1, false},
		{"iat is zero", "iat", 0, false},
		{"iat is absurd", "iat", 1e30, false},
		{"an unasked nonce", "nonce", "n", true},
		{"nonce is a number", "nonce", 1, false},
		{"an unasked ath", "ath", "a", true},
		{"longer than 8 KiB", "more", strings.Repeat("a", 8<<10), false},
	} {
		claims := maps.Clone(right)
		if claims[c.claim] = c.value; c.value == nil {
			delete(claims, c.claim)
		}
		p, err := dpop.Check(forge(t, s, claims), dpop.Expect{Method: "POST", URL: endpoint, Now: now})
		if c.ok != (err == nil) || c.ok != (p != nil) || err != nil && !errors.Is(err, dpop.ErrInvalid) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for name, claims := range map[string]any{"null": nil, "a list": []any{right}, "text": "jti"} {
		if _, err := dpop.Check(forge(t, s, claims), dpop.Expect{Method: "POST", URL: endpoint, Now: now}); !errors.Is(err, dpop.ErrInvalid) {
			t.Errorf("claims are %s: %v", name, err)
		}
	}
}

// §4.3 (9) with RFC 3986 §6.2.2 and §6.2.3.
func TestRFC9449_4_3_URLs(t *testing.T) {
	s := signer(t, jose.ES256)
	for _, c := range []struct {
		htu, url string
		same     bool
	}{
		{"https://a.example/x", "https://a.example/x", true},
		{"https://a.example/x?q=1#f", "https://a.example/x?r=2", true},
		{"HTTPS://A.EXAMPLE/x", "https://a.example/x", true},
		{"https://a.example:443/x", "https://a.example/x", true},
		{"https://a.example:/x", "https://a.example/x", true},
		{"http://a.example:80/x", "http://a.example/x", true},
		{"https://a.example", "https://a.example/", true},
		{"https://a.example?q", "https://a.example/", true},
		{"https://a.example/%7euser/%c3%a9", "https://a.example/~user/%C3%A9", true},
		{"https://a.example/a/./b/../x", "https://a.example/a/x", true},
		{"https://a.example/a/%2e%2e/x", "https://a.example/x", true},
		{"https://a.example/../x", "https://a.example/x", true},
		{"https://a.example/x/.", "https://a.example/x/", true},
		{"https://a.example/x/y/..", "https://a.example/x/", true},
		{"https://a.example/.well-known", "https://a.example/.well-known", true},
		{"https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x", true},
		{"https://a.example/X", "https://a.example/x", false},
		{"https://a.example/x/", "https://a.example/x", false},
		{"https://a.example//x", "https://a.example/x", false},
		{"https://a.example/a%2Fx", "https://a.example/a/x", false},
		{"https://a.example/%252e", "https://a.example/%2e", false},
		{"http://a.example/x", "https://a.example/x", false},
		{"http://a.example:443/x", "https://a.example/x", false},
		{"https://a.example:80/x", "https://a.example/x", false},
		{"https://a.example:8443/x", "https://a.example/x", false},
		{"https://a.example./x", "https://a.example/x", false},
		{"https://user@a.example/x", "https://a.example/x", false},
		{"https://a.example\\x", "https://a.example/x", false},
		{" https://a.example/x", "https://a.example/x", false},
		{"https://a.example/x\n", "https://a.example/x", false},
		{"https://\u212A.example/x", "https://k.example/x", false}, // the Kelvin sign
		{"//a.example/x", "https://a.example/x", false},
		{"/x", "https://a.example/x", false},
		{"https:a.example/x", "https://a.example/x", false},
		{"https:///x", "https:///x", false},
		{"https://:443/x", "https://:443/x", false},
		{"ftp://a.example/x", "ftp://a.example/x", false},
		{"https://a.example/%zz", "https://a.example/%zz", false},
		{"", "", false},
	} {
		p := forge(t, s, map[string]any{"jti": "1", "htm": "GET", "htu": c.htu, "iat": now.Unix()})
		_, err := dpop.Check(p, dpop.Expect{Method: "GET", URL: c.url, Now: now})
		if c.same != (err == nil) {
			t.Errorf("%q and %q: %v", c.htu, c.url, err)
		}
	}
}

func TestRFC9449_4_2_MakeRefusesURLsThatNoServerAccepts(t *testing.T) {
	s := signer(t, jose.ES256)
	for _, url := range []string{"", "/token", "ftp://a.example/", "https://", "https://user:password@a.example/", "%"} {
		if p, err := dpop.Make(s, "POST", url, "", "", now); err == nil {
			t.Errorf("%q: made %s", url, p)
		} else if strings.Contains(err.Error(), "password") {
			t.Errorf("the error shows the URL: %v", err)
		}
	}
}

// §4.3: a refusal names its rule, for the log of the server.
func TestRFC9449_4_3_RefusalsNameTheRule(t *testing.T) {
	p := forge(t, signer(t, jose.ES256), map[string]any{"jti": "1", "htm": "PUT", "htu": endpoint, "iat": now.Unix()})
	_, err := dpop.Check(p, dpop.Expect{Method: "POST", URL: endpoint, Now: now})
	if err == nil || !strings.Contains(err.Error(), "htm") || strings.Contains(err.Error(), "PUT") {
		t.Errorf("got %v", err)
	}
	spoiled := p[:len(p)-4] + "AAAA"
	if _, err := dpop.Check(spoiled, dpop.Expect{Method: "PUT", URL: endpoint, Now: now}); !errors.Is(err, jose.ErrSignature) || !errors.Is(err, dpop.ErrInvalid) {
		t.Errorf("spoiled signature: %v", err)
	}
}
