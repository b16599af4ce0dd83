package bff_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestWire holds the endpoints to what existing clients send and require.
func TestWire(t *testing.T) {
	t.Run("a login from start to end", testWireLogin)
	t.Run("success always has a JSON body", func(t *testing.T) {
		b := newWorld(t).browser("demo")
		b.login("alice")
		b.w.sleep(time.Minute)
		b.fetch("POST", "/refresh", url.Values{}, nil).ok(t) // take has read the JSON
		b.fetch("POST", "/logout", nil, nil).ok(t)
	})
	t.Run("success of logout without a logout endpoint is an empty object", func(t *testing.T) {
		b := newWorld(t).browser("demo")
		b.w.issuer.metadata = func(m map[string]any) { delete(m, "end_session_endpoint") }
		b.login("alice")
		if a := b.fetch("POST", "/logout", nil, nil).ok(t); a.body != "{}" {
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("errors are application/json without parameters, with all members", func(t *testing.T) {
		a := newWorld(t).browser("demo").fetch("POST", "/refresh", url.Values{}, nil)
		a.want(t, 401, "unauthorized")
		if a.Header.Get("Content-Type") != "application/json" || a.json["detailed_error"] == nil {
			t.Errorf("got %v %s", a.Header, a.body)
		}
	})
	t.Run("details only where they are enabled", func(t *testing.T) {
		w := newWorld(t)
		w.apply("demo", func(m map[string]any) { m["detailed_errors"] = false })
		a := w.browser("demo").fetch("POST", "/refresh", url.Values{}, nil)
		a.want(t, 401, "unauthorized")
		if a.json["detailed_error"] != nil {
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("forms", testWireForms)
	t.Run("what a session says", testWireSession)
	t.Run("refresh and logout without a session are 401", func(t *testing.T) {
		b := newWorld(t).browser("demo")
		b.fetch("POST", "/refresh", url.Values{}, nil).want(t, 401, "unauthorized")
		b.fetch("POST", "/logout", nil, nil).want(t, 401, "unauthorized")
	})
}

func testWireForms(t *testing.T) {
	t.Run("of any media type spelling", func(t *testing.T) {
		b := newWorld(t).browser("demo")
		for _, h := range []http.Header{
			{"Content-Type": {"application/x-www-form-urlencoded;charset=UTF-8"}}, {"Content-Type": {"application/x-www-form-urlencoded"}},
			{"Content-Type": nil}, {"Content-Type": {"text/plain"}},
		} {
			b.fetch("POST", "/login/start", url.Values{}, h).ok(t)
		}
		b.fetch("POST", "/login/start", url.Values{"scope": {"openid"}}, http.Header{"Content-Type": {"application/x-www-form-urlencoded; Charset=utf-8"}}).ok(t)
		b.fetch("POST", "/login/start", url.Values{"scope": {"openid"}}, http.Header{"Content-Type": {"application/json"}}).want(t, 400, "invalid_request")
	})
	t.Run("logout without body and Content-Type", func(t *testing.T) {
		b := newWorld(t).browser("demo")
		b.login("alice")
		a := b.fetch("POST", "/logout", nil, http.Header{"Content-Type": nil}).ok(t)
		if a.json["logout_url"] == nil {
			t.Errorf("got %s", a.body)
		}
	})
}

func testWireSession(t *testing.T) {
	t.Run("not logged in is 200", func(t *testing.T) {
		if who := newWorld(t).browser("demo").who(); who != "" {
			t.Errorf("%s is logged in", who)
		}
	})
	t.Run("claims are null without an ID token", func(t *testing.T) {
		w := newWorld(t)
		w.apply("demo", func(m map[string]any) { m["scope"] = "read" })
		if a := w.browser("demo").login("alice"); !strings.Contains(a.body, `"is_logged_in":true,"id_token_claims":null`) {
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("no expiry where the issuer gave none", func(t *testing.T) {
		b := newWorld(t).browser("demo")
		b.w.issuer.answer = func(m map[string]any) { delete(m, "expires_in") }
		for _, a := range []*answer{b.login("alice"), b.fetch("GET", "/session", nil, nil), b.fetch("POST", "/refresh", url.Values{}, nil)} {
			if a.StatusCode != 200 || a.json["access_token_expires_in"] != nil {
				t.Errorf("got %d %s", a.StatusCode, a.body)
			}
		}
	})
	t.Run("the remaining seconds are those of the answer", func(t *testing.T) {
		b := newWorld(t).browser("demo")
		for i, want := range []float64{300, 200, 100, 0, 0} {
			if i == 0 {
				b.login("alice")
			}
			if a := b.fetch("GET", "/session", nil, nil).ok(t); a.json["access_token_expires_in"] != want {
				t.Errorf("got %s, want %v", a.body, want)
			}
			b.w.sleep(100 * time.Second)
		}
	})
}

func testWireLogin(t *testing.T) {
	b := newWorld(t).browser("demo")
	address := b.start(nil)
	a := b.fetch("POST", "/login/end", b.w.issuer.authorize(address, "alice"), nil).ok(t)
	claims, _ := a.json["id_token_claims"].(map[string]any)
	if a.json["is_logged_in"] != true || claims["sub"] != "alice" || claims["name"] != "Alice" || a.json["access_token_expires_in"] != 300.0 || a.json["session_expires_in"] != 28800.0 {
		t.Errorf("got %s", a.body)
	}
	if len(b.logins()) != 0 || b.sessionCookie() == "" || b.who() != "alice" {
		t.Errorf("cookies %v", b.cookies)
	}
	s := b.opened()
	if s.TokenType != "DPoP" || !s.Key.IsPrivate() || s.Scope != "openid read" || s.RefreshToken == "" {
		t.Errorf("session %+v", s)
	}
	for _, secret := range []string{s.AccessToken, s.RefreshToken.Reveal()} {
		if strings.Contains(a.body, secret) || strings.Contains(strings.Join(a.Header.Values("Set-Cookie"), ""), secret) {
			t.Error("a token reaches the browser")
		}
	}
}

// TestWireCORS asks for each endpoint, successful or not, whether a page of the application can read the answer, and
// no other page.
func TestWireCORS(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	for path, method := range map[string]string{
		"/login/start": "POST", "/login/end": "POST", "/session": "GET", "/refresh": "POST", "/logout": "POST", "/nowhere": "GET", "/": "GET",
	} {
		preflight := http.Header{
			"Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {"token-handler-version"}, "Token-Handler-Version": nil,
		}
		a := b.fetch("OPTIONS", path, nil, preflight)
		h := a.Header
		if a.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "token-handler-version") || h.Get("Access-Control-Allow-Methods") != "GET, POST" || h.Get("Vary") != "Origin" {
			t.Errorf("%s: preflight %d %v", path, a.StatusCode, h)
		}
		a = b.fetch(method, path, nil, nil) // most are refused
		if a.Header.Get("Access-Control-Allow-Origin") != origin || a.Header.Get("Access-Control-Allow-Credentials") != "true" || a.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
		preflight.Set("Origin", "https://evil.example")
		for _, a := range []*answer{b.fetch("OPTIONS", path, nil, preflight), b.fetch(method, path, nil, http.Header{"Origin": {"https://evil.example"}})} {
			if a.Header.Get("Access-Control-Allow-Origin") != "" || a.StatusCode < 400 {
				t.Errorf("%s: a sibling gets %d %v", path, a.StatusCode, a.Header)
			}
		}
	}
}

func TestRequestsThatNoPageHasMade(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	for path, method := range map[string]string{"/login/start": "POST", "/login/end": "POST", "/session": "GET", "/refresh": "POST", "/logout": "POST"} {
		for name, tc := range map[string]struct {
			headers http.Header
			status  int
			code    string
		}{
			"no header":      {http.Header{"Token-Handler-Version": nil}, 400, "missing_custom_header"},
			"a sibling":      {http.Header{"Origin": {"https://evil.example"}}, 403, "untrusted_origin"},
			"another site":   {http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "untrusted_origin"},
			"the address":    {http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}}, 403, "untrusted_origin"},
			"null":           {http.Header{"Origin": {"null"}}, 403, "untrusted_origin"},
			"the other name": {http.Header{"Token-Handler-Version": nil, "X-Csrf": {"2"}}, 400, "missing_custom_header"},
		} {
			if a := b.twin().fetch(method, path, nil, tc.headers); a.StatusCode != tc.status || a.code() != tc.code {
				t.Errorf("%s, %s: %d %s", path, name, a.StatusCode, a.body)
			}
		}
		if method == "POST" {
			b.twin().fetch(method, path, nil, http.Header{"Origin": nil}).want(t, 403, "untrusted_origin")
		}
	}
	if b.who() != "alice" {
		t.Error("the session is gone")
	}
	b.fetch("GET", "/session", nil, http.Header{"Origin": nil, "Sec-Fetch-Site": {"same-origin"}}).ok(t)
}

func TestAddressesAndMethods(t *testing.T) {
	b := newWorld(t).browser("demo")
	a := b.fetch("GET", "/login/start", nil, nil)
	a.want(t, 405, "invalid_request")
	if a.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("allow %v", a.Header)
	}
	b.fetch("PUT", "/session", nil, nil).want(t, 405, "invalid_request")
	b.fetch("GET", "/login", nil, nil).want(t, 404, "invalid_request")
	b.fetch("GET", "/session/", nil, nil).want(t, 404, "invalid_request")
	b.fetch("GET", "/session?slide=true&slide=false", nil, nil).want(t, 400, "invalid_request")
	b.app = "nobody"
	b.fetch("GET", "/session", nil, nil).want(t, 404, "invalid_request")
}
