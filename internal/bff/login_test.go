package bff_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestLoginRequest(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	address := b.start(url.Values{"scope": {"openid"}, "prompt": {"login"}, "login_hint": {"a&b=c"}})
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, w.issuer.id()+"/authorize?") || u.Query().Get("client_id") != "spa-demo" || len(u.Query()) != 3 {
		t.Fatalf("authorization URL %s", address)
	}
	got := maps.Clone(w.issuer.pushed[u.Query().Get("request_uri")])
	for _, random := range []string{"state", "nonce", "code_challenge", "dpop_jkt"} {
		if len(got.Get(random)) != 43 {
			t.Errorf("%s is %q", random, got.Get(random))
		}
		got.Del(random)
	}
	want := url.Values{
		"client_id": {"spa-demo"}, "response_type": {"code"}, "redirect_uri": {origin + "/callback"}, "scope": {"openid"}, "prompt": {"login"},
		"login_hint": {"a&b=c"}, "code_challenge_method": {"S256"}, "resource": {"https://api.example", "https://second.example"},
	}
	if got.Encode() != want.Encode() {
		t.Errorf("pushed %v, want %v", got, want)
	}
	again, _ := url.Parse(b.start(nil))
	next := w.issuer.pushed[again.Query().Get("request_uri")]
	if next.Get("scope") != "openid read" || next.Get("state") == w.issuer.pushed[u.Query().Get("request_uri")].Get("state") {
		t.Errorf("the next is %v", next)
	}
}

// TestOwnIssuerLearnsWho forwards the page's address and the request's id to the tenant's own issuer, and to no other.
func TestOwnIssuerLearnsWho(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	a := b.fetch("POST", "/login/start", url.Values{}, nil).ok(t)
	if h := w.issuer.last; h.Get("X-Forwarded-For") != "192.0.2.1" || h.Get("X-Request-Id") != a.Header.Get("X-Request-Id") || h.Get("Origin") != "" {
		t.Errorf("our own gets %v", h)
	}
	w.home = "https://login.home.example"
	w.nodes[0] = w.node(w.db)
	w.apply("demo", func(m map[string]any) { m["issuer"] = w.issuer.id() })
	b.fetch("POST", "/login/start", url.Values{}, nil).ok(t)
	if h := w.issuer.last; h.Get("X-Forwarded-For") != "" || h.Get("X-Request-Id") != "" {
		t.Errorf("a foreign one gets %v", h)
	}
	b.login("alice")
	w.sleep(time.Minute)
	b.fetch("POST", "/refresh", url.Values{}, nil).ok(t)
	b.fetch("POST", "/logout", nil, nil).ok(t)
}

func TestLoginTakesNoOtherParameter(t *testing.T) {
	b := newWorld(t).browser("demo")
	for _, name := range []string{
		"redirect_uri", "client_id", "response_type", "response_mode", "code_challenge", "code_challenge_method", "code_challenge_methods", "request",
		"request_uri", "state", "nonce", "client_secret", "client_assertion", "client_assertion_type", "dpop_jkt", "resource", "acr_values", "audience", "x",
	} {
		b.fetch("POST", "/login/start", url.Values{name: {"https://evil.example"}}, nil).want(t, 400, "invalid_request")
	}
	b.fetch("POST", "/login/start", url.Values{"scope": {"openid", "read"}}, nil).want(t, 400, "invalid_request")
	b.fetch("POST", "/login/start?scope=openid", nil, nil).want(t, 400, "invalid_request")
	b.fetch("POST", "/login/start", url.Values{"max_age": {"soon"}}, nil).want(t, 400, "invalid_request")
	if n := b.w.issuer.count("/par "); n != 0 {
		t.Errorf("%d requests were pushed", n)
	}
}

func TestLoginAtOtherIssuers(t *testing.T) {
	t.Run("without pushed requests", func(t *testing.T) {
		w := newWorld(t)
		w.issuer.metadata = func(m map[string]any) { delete(m, "pushed_authorization_request_endpoint") }
		b := w.browser("demo")
		address := b.start(nil)
		if u, _ := url.Parse(address); u.Query().Get("code_challenge_method") != "S256" || u.Query().Get("state") == "" || u.Query().Has("client_assertion") {
			t.Errorf("authorization URL %s", address)
		}
		if b.fetch("POST", "/login/end", w.issuer.authorize(address, "alice"), nil).ok(t); b.who() != "alice" {
			t.Error("nobody is logged in")
		}
	})
	t.Run("without DPoP", func(t *testing.T) {
		w := newWorld(t)
		w.issuer.metadata = func(m map[string]any) { delete(m, "dpop_signing_alg_values_supported") }
		b := w.browser("demo")
		b.fetch("POST", "/login/start", url.Values{}, nil).want(t, 502, "authorization_server_error")
		w.apply("demo", func(m map[string]any) { m["allow_bearer_tokens"] = true })
		if b.login("alice"); b.opened().TokenType != "Bearer" {
			t.Error("not a bearer token")
		}
		w.sleep(time.Minute)
		b.fetch("POST", "/refresh", url.Values{}, nil).ok(t)
	})
	t.Run("that give bearer tokens although they know better", func(t *testing.T) {
		w := newWorld(t)
		w.issuer.answer = func(m map[string]any) { m["token_type"] = "Bearer" }
		b := w.browser("demo")
		b.fetch("POST", "/login/end", w.issuer.authorize(b.start(nil), "alice"), nil).want(t, 502, "authorization_server_error")
		if len(w.issuer.revoked) != 1 || b.who() != "" {
			t.Errorf("revoked %v", w.issuer.revoked)
		}
	})
	t.Run("nobody has opened the way to", func(t *testing.T) {
		w := newWorld(t)
		w.apply("demo", func(m map[string]any) { m["issuer"] = "https://login.other.example" })
		w.browser("demo").fetch("POST", "/login/start", url.Values{}, nil).want(t, 502, "authorization_server_error")
	})
	for name, change := range map[string]func(map[string]any){
		"whose metadata are another's":        func(m map[string]any) { m["issuer"] = "https://login.other.example" },
		"whose token endpoint is plain":       func(m map[string]any) { m["token_endpoint"] = "http://login.other.example/token" },
		"whose authorization is a script":     func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" },
		"whose end of session is a script":    func(m map[string]any) { m["end_session_endpoint"] = "javascript:alert(1)" },
		"whose metadata lack a key set":       func(m map[string]any) { delete(m, "jwks_uri") },
		"whose metadata are longer than sane": func(m map[string]any) { m["x"] = strings.Repeat("x", 300<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.issuer.metadata = change
			w.browser("demo").fetch("POST", "/login/start", url.Values{}, nil).want(t, 502, "authorization_server_error")
		})
	}
}

func TestIssuerThatFails(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	for _, path := range []string{"/.well-known/openid-configuration", "/par"} {
		w.issuer.set(func() { w.issuer.fail[path] = 503 })
		b.fetch("POST", "/login/start", url.Values{}, nil).want(t, 502, "authorization_server_error")
		w.issuer.set(func() { delete(w.issuer.fail, path) })
		w.sleep(time.Minute)
		b.start(nil)
	}
	w.issuer.set(func() { w.issuer.refuse["/par"] = oauth.InvalidScope })
	b.fetch("POST", "/login/start", url.Values{"scope": {"nonsense"}}, nil).want(t, 400, "authorization_error")
	w.issuer.set(func() { w.issuer.refuse["/par"] = oauth.UnauthorizedClient })
	b.fetch("POST", "/login/start", url.Values{}, nil).want(t, 502, "authorization_server_error")
	// What is known of the issuer outlasts an hour of silence.
	w.issuer.set(func() {
		w.issuer.refuse, w.issuer.fail["/.well-known/openid-configuration"] = map[string]oauth.Code{}, 500
	})
	w.sleep(30 * time.Minute)
	b.start(nil)
	w.sleep(2 * time.Hour)
	b.fetch("POST", "/login/start", url.Values{}, nil).want(t, 502, "authorization_server_error")
}

func TestRFC9449_8_Nonce(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	if n := w.issuer.count("/token authorization_code"); n != 2 { // the first learns the nonce
		t.Errorf("%d requests", n)
	}
	w.browser("demo").login("bob")
	if n := w.issuer.count("/token authorization_code"); n != 3 {
		t.Errorf("%d requests, the nonce was forgotten", n)
	}
	w.sleep(5 * time.Minute) // the nonce is too old
	b.fetch("POST", "/refresh", url.Values{}, nil).ok(t)
	if n := w.issuer.count("/token refresh_token"); n != 2 {
		t.Errorf("%d requests", n)
	}
	// An issuer that never is content is asked no more than twice.
	w.issuer.set(func() { w.issuer.refuse["/token"] = oauth.UseDPoPNonce })
	b.fetch("POST", "/refresh", url.Values{}, nil)
	w.sleep(time.Minute)
	b.fetch("POST", "/refresh", url.Values{}, nil).want(t, 502, "authorization_server_error")
	if n := w.issuer.count("/token refresh_token"); n > 4 {
		t.Errorf("%d requests", n)
	}
}

func TestLoginsOfManyTabs(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	var pages []url.Values
	for range 7 {
		w.sleep(time.Second)
		pages = append(pages, w.issuer.authorize(b.start(nil), "alice"))
		if n := len(b.logins()); n > 5 {
			t.Errorf("%d login cookies", n)
		}
	}
	for i, page := range pages {
		a := b.twin().fetch("POST", "/login/end", page, nil)
		if i < 2 {
			a.want(t, 400, "invalid_state")
		} else if a.StatusCode != 200 {
			t.Errorf("tab %d: %s", i, a.body)
		}
	}
}

func TestLoginIsAnsweredOnce(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	page := w.issuer.authorize(b.start(nil), "alice")
	copied := b.twin()
	b.fetch("POST", "/login/end", page, nil).ok(t)
	first := b.sessionCookie()

	// The page is loaded once more: the session answers.
	if a := b.fetch("POST", "/login/end", page, nil).ok(t); a.json["is_logged_in"] != true || b.sessionCookie() != first {
		t.Errorf("got %s", a.body)
	}
	// Without the session, the copied cookie of the login is worth nothing, and the issuer is not asked again.
	asked := w.issuer.count("/token authorization_code")
	copied.fetch("POST", "/login/end", page, nil).want(t, 400, "login_expired")
	if w.issuer.count("/token authorization_code") != asked || len(copied.logins()) != 0 {
		t.Error("the code was redeemed again")
	}
	if b.who() != "alice" {
		t.Error("the session is gone")
	}
}

func TestTwoTabsAnswerAtOnce(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	page := w.issuer.authorize(b.start(nil), "alice")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		tab := b.twin()
		wg.Go(func() {
			a := tab.fetch("POST", "/login/end", page, nil)
			mu.Lock()
			defer mu.Unlock()
			if a.StatusCode == 200 {
				won++
			} else if a.code() != "login_expired" {
				t.Errorf("got %d %s", a.StatusCode, a.body)
			}
		})
	}
	wg.Wait()
	if n := w.issuer.count("/token authorization_code"); won != 1 || n > 2 {
		t.Errorf("%d won, the issuer was asked %d times", won, n)
	}
}

func TestLoginIsNotOfThisBrowser(t *testing.T) {
	w := newWorld(t)
	attacker, victim := w.browser("demo"), w.browser("demo")
	page := w.issuer.authorize(attacker.start(nil), "mallory")
	victim.fetch("POST", "/login/end", page, nil).want(t, 400, "login_expired")
	victim.start(nil)
	victim.fetch("POST", "/login/end", page, nil).want(t, 400, "invalid_state")
	if len(victim.logins()) != 1 || victim.who() != "" {
		t.Error("the login of the victim is gone, or somebody is logged in")
	}
	// Of the victim's cookie, under the name that the attacker's state asks for.
	name := attacker.logins()[0]
	victim.cookies[name] = victim.cookies[victim.logins()[0]]
	victim.fetch("POST", "/login/end", page, nil).want(t, 400, "invalid_state")

	// Nor is it of another application.
	back := w.browser("back")
	back.cookies["__Host-Http-hf-back-l-"+name[len(name)-8:]] = attacker.cookies[name]
	back.fetch("POST", "/login/end", page, nil).want(t, 400, "invalid_state")
	attacker.fetch("POST", "/login/end", page, nil).ok(t)
}

func TestLoginTakesTooLong(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	page := w.issuer.authorize(b.start(nil), "alice")
	w.sleep(10 * time.Minute)
	b.fetch("POST", "/login/end", page, nil).want(t, 400, "login_expired")
}

func TestResponsesThatAreRefused(t *testing.T) {
	set := func(name, value string) func(url.Values) { return func(v url.Values) { v.Set(name, value) } }
	del := func(name string) func(url.Values) { return func(v url.Values) { v.Del(name) } }
	failed := func(code string) func(url.Values) {
		return func(v url.Values) {
			v.Del("code")
			v.Set("error", code)
			v.Set("error_description", "<script>")
		}
	}
	for name, tc := range map[string]struct {
		edit   func(url.Values)
		status int
		code   string
		kept   bool // the login can be answered yet
	}{
		"no state":                      {del("state"), 400, "invalid_request", true},
		"no code":                       {del("code"), 400, "invalid_request", true},
		"JARM":                          {func(v url.Values) { clear(v); v.Set("response", "a.b.c") }, 400, "invalid_request", true},
		"another state":                 {set("state", "other"), 400, "invalid_state", true},
		"RFC9207_2_4 no iss":            {del("iss"), 400, "invalid_state", false},
		"RFC9207_2_4 another iss":       {set("iss", "https://login.other.example"), 400, "invalid_state", false},
		"RFC9207_2_4 iss and a slash":   {func(v url.Values) { v.Set("iss", v.Get("iss")+"/") }, 400, "invalid_state", false},
		"RFC6749_5_2 another code":      {set("code", "other"), 400, "authorization_error", false},
		"RFC6749_4_1_2_1 access_denied": {failed("access_denied"), 400, "authorization_error", false},
		"OIDC_Core_3_1_2_6 login":       {failed("login_required"), 401, "login_required", false},
		"an error of their own":         {failed("<script>"), 400, "authorization_error", false},
		"an error of another issuer":    {func(v url.Values) { failed("access_denied")(v); v.Set("iss", "https://x.example") }, 400, "invalid_state", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser("demo")
			page := w.issuer.authorize(b.start(nil), "alice")
			bad := maps.Clone(page)
			for name := range page {
				bad[name] = slices.Clone(page[name])
			}
			tc.edit(bad)
			a := b.fetch("POST", "/login/end", bad, nil)
			a.want(t, tc.status, tc.code)
			if strings.Contains(a.body, "script") || b.sessionCookie() != "" {
				t.Errorf("got %s", a.body)
			}
			if name == "RFC6749_4_1_2_1 access_denied" && !strings.Contains(a.body, "answered access_denied") {
				t.Errorf("got %s", a.body)
			}
			if a := b.fetch("POST", "/login/end", page, nil); (a.StatusCode == 200) != tc.kept {
				t.Errorf("after that: %d %s", a.StatusCode, a.body)
			}
		})
	}
}

func TestOptionalIss(t *testing.T) {
	w := newWorld(t)
	w.issuer.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
	b := w.browser("demo")
	page := w.issuer.authorize(b.start(nil), "alice")
	page.Del("iss")
	b.fetch("POST", "/login/end", page, nil).ok(t)
	page = w.issuer.authorize(b.start(nil), "alice")
	page.Set("iss", "https://login.other.example")
	b.fetch("POST", "/login/end", page, nil).want(t, 400, "invalid_state")
}

func TestOIDC_Core_3_1_3_7_IDToken(t *testing.T) {
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	del := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).Unix()
	for name, tc := range map[string]struct {
		claims func(map[string]any)
		change func(*fake)
		good   bool
	}{
		"right":                           {good: true},
		"without at_hash":                 {claims: del("at_hash"), good: true},
		"several audiences with azp":      {claims: func(c map[string]any) { c["aud"], c["azp"] = []string{"spa-demo", "x"}, "spa-demo" }, good: true},
		"a clock that is ahead a little":  {claims: set("iat", now+9), good: true},
		"(2) another iss":                 {claims: set("iss", "https://login.other.example")},
		"(2) no iss":                      {claims: del("iss")},
		"(3) another aud":                 {claims: set("aud", "spa-back")},
		"(3) no aud":                      {claims: del("aud")},
		"(4) several aud without azp":     {claims: set("aud", []string{"spa-demo", "x"})},
		"(5) another azp":                 {claims: set("azp", "x")},
		"(6) a key that is not published": {change: func(f *fake) { f.foreignKey = true }},
		"(9) expired":                     {claims: set("exp", now-10)},
		"(9) no exp":                      {claims: del("exp")},
		"(10) iat in the future":          {claims: set("iat", now+60)},
		"(10) no iat":                     {claims: del("iat")},
		"(11) another nonce":              {claims: set("nonce", strings.Repeat("x", 43))},
		"(11) no nonce":                   {claims: del("nonce")},
		"(11) nonce is null":              {claims: set("nonce", nil)},
		"2 no sub":                        {claims: del("sub")},
		"2 a sub without end":             {claims: set("sub", strings.Repeat("x", 256))},
		"3_1_3_8 another at_hash":         {claims: set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		"3_1_3_8 an empty at_hash":        {claims: set("at_hash", "")},
		"another kind of token":           {change: func(f *fake) { f.typ = "at+jwt" }},
		"a logout token":                  {change: func(f *fake) { f.typ = "logout+jwt" }},
		"no ID token":                     {change: func(f *fake) { f.answer = func(m map[string]any) { delete(m, "id_token") } }},
		"no JWT":                          {change: func(f *fake) { f.answer = func(m map[string]any) { m["id_token"] = "x" } }},
		"unsecured":                       {change: func(f *fake) { f.answer = func(m map[string]any) { m["id_token"] = "eyJhbGciOiJub25lIn0.e30." } }},
		"no access token":                 {change: func(f *fake) { f.answer = func(m map[string]any) { delete(m, "access_token") } }},
		"an access token of two lines": {change: func(f *fake) {
			f.answer = func(m map[string]any) { m["access_token"] = "a\r\nX: y"; delete(m, "id_token") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.issuer.claims = tc.claims
			if tc.change != nil {
				tc.change(w.issuer)
			}
			b := w.browser("demo")
			a := b.fetch("POST", "/login/end", w.issuer.authorize(b.start(nil), "alice"), nil)
			if tc.good {
				a.ok(t)
				return
			}
			a.want(t, 502, "authorization_server_error")
			if b.who() != "" || b.sessionCookie() != "" || len(w.issuer.revoked) != 1 {
				t.Errorf("logged in %q, revoked %v", b.who(), w.issuer.revoked)
			}
		})
	}
}

func TestOIDC_Core_3_1_2_1_MaxAge(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	w.issuer.claims = func(c map[string]any) { c["auth_time"] = w.clock().Add(-time.Hour).Unix() }
	b.fetch("POST", "/login/end", w.issuer.authorize(b.start(url.Values{"max_age": {"3600"}}), "alice"), nil).ok(t)
	b.fetch("POST", "/login/end", w.issuer.authorize(b.start(url.Values{"max_age": {"60"}}), "alice"), nil).want(t, 502, "authorization_server_error")
	w.issuer.claims = func(c map[string]any) { delete(c, "auth_time") }
	b.fetch("POST", "/login/end", w.issuer.authorize(b.start(url.Values{"max_age": {"60"}}), "alice"), nil).want(t, 502, "authorization_server_error")
}

func TestIssuerChangesItsKey(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	w.sleep(time.Minute)
	w.issuer.set(func() { w.issuer.signer = signer(t) })
	b.login("alice")
	// Keys that nobody has published do not make us ask for them with every login.
	w.issuer.set(func() { w.issuer.foreignKey = true })
	before := w.issuer.count("/jwks ")
	for range 3 {
		b.fetch("POST", "/login/end", w.issuer.authorize(b.start(nil), "alice"), nil).want(t, 502, "authorization_server_error")
	}
	if n := w.issuer.count("/jwks ") - before; n > 1 {
		t.Errorf("%d readings", n)
	}
}

// TestNewLoginNewSession looks at what was before: a session that was planted is worth nothing, and the one that was the
// browser's is over, with its tokens.
func TestNewLoginNewSession(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("mallory")
	planted := b.twin()
	old := b.opened()
	b.login("alice")
	if b.sessionCookie() == planted.sessionCookie() || b.opened().Record.ID == old.Record.ID {
		t.Error("the session is the old one")
	}
	if planted.who() != "" || b.who() != "alice" {
		t.Errorf("the old session is of %q", planted.who())
	}
	if !slices.Contains(w.issuer.revoked, old.RefreshToken.Reveal()) {
		t.Error("the old tokens live on")
	}
	other := w.browser("demo")
	other.login("alice")
	if b.who() != "alice" {
		t.Error("a login in another browser has ended the session")
	}
	var events []store.Event
	events, err := w.db.For("").Events(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ended := func(e store.Event) bool {
		return e.Kind == store.EventSession && e.Key == old.Record.ID && e.Tenant == "acme"
	}
	if !slices.ContainsFunc(events, ended) {
		t.Errorf("nobody was told: %+v", events)
	}
	w.audited("app_session.begin", 3)
	w.audited("app_session.end", 1)
}

// audited counts the records of an act.
func (w *world) audited(action string, want int) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		list, err := tx.Audits(store.AuditFilter{Action: action})
		if len(list) != want {
			w.t.Errorf("%d records of %s, want %d", len(list), action, want)
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}
