package bff_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

func TestLogout(t *testing.T) {
	w := newWorld(t)
	b, back, other := w.browser("demo"), w.browser("back"), w.browser("demo")
	b.login("alice")
	back.login("alice")
	other.login("alice")
	s := b.opened()
	b.start(nil)
	tab := b.twin()
	a := b.fetch("POST", "/logout", nil, nil).ok(t)
	u, err := url.Parse(a.json["logout_url"].(string))
	want := url.Values{"client_id": {"spa-demo"}, "post_logout_redirect_uri": {origin + "/"}}
	if err != nil || !strings.HasPrefix(u.String(), w.issuer.id()+"/end-session?") || u.Query().Encode() != want.Encode() {
		t.Errorf("logout URL %s", u)
	}
	if len(b.cookies) != 0 { // the rig asks for the attributes without which browsers keep them
		t.Errorf("cookies %v", b.cookies)
	}
	if !slices.Equal(w.issuer.revoked, []string{s.RefreshToken.Reveal()}) {
		t.Errorf("revoked %v", w.issuer.revoked)
	}
	if tab.who() != "" || back.who() != "alice" || other.who() != "alice" {
		t.Error("another session is over, or this one is not")
	}
	tab.fetch("POST", "/logout", nil, nil).want(t, 401, "session_expired")
	if len(tab.cookies) != 0 {
		t.Errorf("cookies %v", tab.cookies)
	}
	w.audited("app_session.end", 1)
}

func TestLogoutWithoutTheIssuer(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	tab := b.twin()
	w.issuer.set(func() { w.issuer.fail["/revoke"], w.issuer.fail["/.well-known/openid-configuration"] = 500, 500 })
	w.sleep(3 * time.Hour)
	if a := b.fetch("POST", "/logout", nil, nil).ok(t); a.body != "{}" || len(b.cookies) != 0 || tab.who() != "" {
		t.Errorf("got %s", a.body)
	}
}

func TestLogoutRevokesTheAccessTokenWhereItIsAll(t *testing.T) {
	w := newWorld(t)
	w.issuer.noRefresh = true
	b := w.browser("demo")
	b.login("alice")
	token := b.opened().AccessToken
	b.fetch("POST", "/logout", nil, nil).ok(t)
	if !slices.Equal(w.issuer.revoked, []string{token}) {
		t.Errorf("revoked %v", w.issuer.revoked)
	}
}

// backchannel posts a logout token as the issuer does.
func (w *world) backchannel(app string, form url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest("POST", backend+"/apps/"+app+"/backchannel-logout", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	w.nodes[0].ServeHTTP(rec, r)
	if rec.Header().Get("Cache-Control") != "no-store" || rec.Code != 200 && rec.Code != 400 && rec.Code != 404 {
		w.t.Errorf("%d %v", rec.Code, rec.Header())
	}
	return rec
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func (w *world) logoutToken(edit func(map[string]any)) url.Values {
	c := map[string]any{
		"iss": w.issuer.id(), "aud": "spa-demo", "iat": w.clock().Unix(), "exp": w.clock().Add(2 * time.Minute).Unix(),
		"jti": store.NewID(), "sid": "sid-alice", "events": map[string]any{logoutEvent: map[string]any{}},
	}
	if edit != nil {
		edit(c)
	}
	return url.Values{"logout_token": {w.issuer.sign("logout+jwt", c)}}
}

func TestBackChannelLogoutEndsSessions(t *testing.T) {
	w := newWorld(t)
	begin := func() map[string]*browser {
		all := map[string]*browser{"one": w.browser("demo"), "two": w.browser("demo"), "bob": w.browser("demo"), "back": w.browser("back")}
		for name, b := range all {
			b.login(map[bool]string{true: "bob", false: "alice"}[name == "bob"])
		}
		return all
	}
	for name, edit := range map[string]func(map[string]any){
		"by sid": nil,
		"by sub": func(c map[string]any) { delete(c, "sid"); c["sub"] = "alice" },
		"both":   func(c map[string]any) { c["sub"] = "alice" },
	} {
		all := begin()
		if rec := w.backchannel("demo", w.logoutToken(edit)); rec.Code != 200 || rec.Body.Len() != 0 {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		for who, left := range map[string]string{"one": "", "two": "", "bob": "bob", "back": "alice"} {
			if got := all[who].who(); got != left {
				t.Errorf("%s: %s is %q", name, who, got)
			}
		}
		all["one"].refresh().want(t, 401, "session_expired")
	}
	// Of nobody we know is fine, too; and sid and sub must both be right.
	all := begin()
	for _, edit := range []func(map[string]any){
		func(c map[string]any) { c["sid"] = "nobody's" }, func(c map[string]any) { c["sub"] = "bob" },
	} {
		if rec := w.backchannel("demo", w.logoutToken(edit)); rec.Code != 200 || all["one"].who() != "alice" || all["bob"].who() != "bob" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	w.audited("app_session.end", 6)
}

func TestOIDC_BCL_2_6_Validation(t *testing.T) {
	w := newWorld(t)
	b := w.browser("demo")
	b.login("alice")
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	del := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	now := w.clock().Unix()
	refused := map[string]url.Values{"nothing": {}, "nonsense": {"logout_token": {"x"}}, "twice": {"logout_token": {"x", "y"}}}
	for name, edit := range map[string]func(map[string]any){
		"another iss": set("iss", "https://x.example"), "no iss": del("iss"),
		"another aud": set("aud", "spa-back"), "no aud": del("aud"),
		"no iat": del("iat"), "iat in the future": set("iat", now+60), "an old iat": set("iat", now-3600),
		"no exp": del("exp"), "expired": set("exp", now-60), "exp far ahead": set("exp", now+7*24*3600),
		"no jti": del("jti"), "a long jti": set("jti", strings.Repeat("x", 257)),
		"neither sid nor sub": del("sid"),
		"no events":           del("events"), "another event": set("events", map[string]any{"x": map[string]any{}}),
		"an event that is no object": set("events", map[string]any{logoutEvent: true}), "events null": set("events", map[string]any{logoutEvent: nil}),
		"a nonce": set("nonce", "n"), "a nonce that is null": set("nonce", nil),
	} {
		refused[name] = w.logoutToken(edit)
	}
	w.issuer.set(func() { w.issuer.foreignKey = true })
	refused["a key that is not published"] = w.logoutToken(nil)
	w.issuer.set(func() { w.issuer.foreignKey = false })
	for _, typ := range []string{"at+jwt", "secevent+jwt"} {
		refused[typ] = url.Values{"logout_token": {w.issuer.sign(typ, map[string]any{"iss": w.issuer.id()})}}
	}
	refused["the ID token"] = url.Values{"logout_token": {b.opened().IDToken.Reveal()}}
	for name, form := range refused {
		if rec := w.backchannel("demo", form); rec.Code != 400 || !strings.Contains(rec.Body.String(), `"error":"invalid_request"`) {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if b.who() != "alice" {
		t.Fatal("the session is gone")
	}
	if rec := w.backchannel("nobody", w.logoutToken(nil)); rec.Code != 404 {
		t.Errorf("of no application: %d", rec.Code)
	}
	// The one for another application of the same issuer does nothing here, and is not used up.
	form := w.logoutToken(set("aud", []string{"spa-back", "x"}))
	if rec := w.backchannel("demo", form); rec.Code != 400 || b.who() != "alice" {
		t.Errorf("of another application: %d", rec.Code)
	}
	if rec := w.backchannel("back", form); rec.Code != 200 {
		t.Errorf("where it belongs: %d", rec.Code)
	}
	// A good one works once, also while the issuer's keys cannot be read anew.
	w.issuer.set(func() { w.issuer.fail["/jwks"] = 500 })
	once := w.logoutToken(nil)
	if rec := w.backchannel("demo", once); rec.Code != 200 || b.who() != "" {
		t.Errorf("a good one: %d %s", rec.Code, rec.Body)
	}
	if rec := w.backchannel("demo", once); rec.Code != 400 {
		t.Errorf("used before: %d", rec.Code)
	}
}

func TestOneApplicationNothingAtTheOther(t *testing.T) {
	w := newWorld(t)
	demo, back := w.browser("demo"), w.browser("back")
	demo.login("alice")
	page := w.issuer.authorize(demo.start(nil), "alice")
	back.cookies = map[string]string{}
	for name, value := range demo.cookies {
		back.cookies[name] = value
		back.cookies[strings.Replace(name, "-demo-", "-back-", 1)] = value
	}
	have := maps.Clone(demo.cookies)
	if back.who() != "" {
		t.Error("the session of one application opens at the other")
	}
	back.twin().refresh().want(t, 401, "session_expired")
	back.twin().fetch("POST", "/logout", nil, nil).want(t, 401, "session_expired")
	back.twin().fetch("POST", "/login/end", page, nil).want(t, 400, "invalid_state")
	if demo.cookies = have; demo.who() != "alice" {
		t.Error("the session is gone")
	}
	// Names of one application swapped.
	for name := range demo.cookies {
		if strings.Contains(name, "-l-") {
			demo.cookies["__Host-Http-hf-demo-s"] = demo.cookies[name]
		}
	}
	if demo.who() != "" {
		t.Error("a login opens as a session")
	}
}

// TestSameSitePagesOfOtherOrigins shares a browser, and so the cookies, with a sibling host.
func TestSameSitePagesOfOtherOrigins(t *testing.T) {
	w := newWorld(t)
	w.apply("demo", func(m map[string]any) { m["origins"] = []string{origin, "https://second.example"} })
	b := w.browser("demo")
	b.login("alice")
	if a := b.fetch("GET", "/session", nil, http.Header{"Origin": {"https://second.example"}}).ok(t); a.Header.Get("Access-Control-Allow-Origin") != "https://second.example" {
		t.Errorf("header %v", a.Header)
	}
}
