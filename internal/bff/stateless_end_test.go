package bff_test

import (
	"strings"
	"testing"
	"time"
)

func TestTokensThatAreTooLarge(t *testing.T) {
	large := func(member string) func(map[string]any) {
		return func(m map[string]any) { m[member] = strings.Repeat("x", 3500) }
	}
	t.Run("at login", func(t *testing.T) {
		w := stateless(t, 1)
		w.issuer.answer = large("access_token")
		w.issuer.claims = func(c map[string]any) { delete(c, "at_hash") }
		b := w.browser("demo")
		b.fetch("POST", "/login/end", w.issuer.authorize(b.start(nil), "alice"), nil).want(t, 431, "cookie_too_large")
		if len(b.cookies) != 0 || len(w.issuer.revoked) != 1 || b.who() != "" {
			t.Errorf("cookies %v, revoked %d", b.cookies, len(w.issuer.revoked))
		}
		w.store("demo", "server")
		b.fetch("POST", "/login/end", w.issuer.authorize(b.start(nil), "alice"), nil).ok(t)
	})
	t.Run("of claims", func(t *testing.T) {
		w := stateless(t, 1)
		w.issuer.claims = large("groups")
		b := w.browser("demo")
		b.fetch("POST", "/login/end", w.issuer.authorize(b.start(nil), "alice"), nil).want(t, 431, "cookie_too_large")
	})
	t.Run("at refresh", func(t *testing.T) {
		w := stateless(t, 1)
		w.issuer.rotate = true
		b := w.browser("demo")
		b.login("alice")
		copied := b.twin()
		w.issuer.set(func() {
			w.issuer.answer = large("access_token")
			w.issuer.claims = func(c map[string]any) { delete(c, "at_hash") }
		})
		b.refresh().want(t, 431, "cookie_too_large")
		if len(b.cookies) != 0 || len(w.issuer.refresh) != 0 {
			t.Errorf("cookies %v, refresh tokens %d", b.cookies, len(w.issuer.refresh))
		}
		copied.over()
		w.audited("app_session.end", 1)
	})
}

func TestStatelessBackChannelLogout(t *testing.T) {
	for name, edit := range map[string]func(map[string]any){
		"by sid": nil,
		"by sub": func(c map[string]any) { delete(c, "sid"); c["sub"] = "alice" },
		"both":   func(c map[string]any) { c["sub"] = "alice" },
	} {
		t.Run(name, func(t *testing.T) {
			w := stateless(t, 1)
			w.store("back", "stateless")
			one, two, bob, back := w.browser("demo"), w.browser("demo"), w.browser("demo"), w.browser("back")
			one.login("alice")
			two.login("alice")
			bob.login("bob")
			back.login("alice")
			form := w.logoutToken(edit)
			if rec := w.backchannel("demo", form); rec.Code != 200 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if rec := w.backchannel("demo", form); rec.Code != 400 {
				t.Errorf("used before: %d", rec.Code)
			}
			one.over()
			two.over()
			one.refresh().want(t, 401, "session_expired")
			if bob.who() != "bob" || back.who() != "alice" {
				t.Error("a session of somebody else is over")
			}
			w.audited("app_session.end", 1)
			w.sleep(time.Second)
			if three := w.browser("demo"); name == "by sub" && (three.login("alice") == nil || three.who() != "alice") {
				t.Error("the person cannot come back")
			}
		})
	}
}

// TestStorageChanges has an application move its sessions: what a browser has of before is worth nothing, either way.
func TestStorageChanges(t *testing.T) {
	w := stateless(t, 1)
	back := map[string]string{"stateless": "server", "server": "stateless"}
	for from, to := range back {
		w.store("demo", from)
		b := w.browser("demo")
		b.login("alice")
		w.store("demo", to)
		if b.who() != "" {
			t.Errorf("a session of %s opens with %s", from, to)
		}
		b.twin().refresh().want(t, 401, "session_expired")
		out := b.twin()
		out.fetch("POST", "/logout", nil, nil).want(t, 401, "session_expired")
		if len(out.cookies) != 0 {
			t.Errorf("cookies of %s are left: %v", from, out.cookies)
		}
		b.login("alice")
		if b.who() != "alice" {
			t.Errorf("nobody is logged in with %s", to)
		}
	}
}
