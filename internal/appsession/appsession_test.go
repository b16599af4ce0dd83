package appsession_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

func TestSessionOpens(t *testing.T) {
	r, app := newRig(t), application("demo")
	s, cookie := r.begin(t, app)
	got, err := r.Open(t.Context(), app, cookie)
	if err != nil {
		t.Fatal(err)
	}
	if got.Record.ID != s.Record.ID || got.AccessToken != s.AccessToken || got.TokenType != "DPoP" || got.Scope != s.Scope ||
		got.RefreshToken != s.RefreshToken || got.IDToken != s.IDToken || string(got.IDClaims) != string(s.IDClaims) ||
		!got.AccessExpiresAt.Equal(s.AccessExpiresAt) || !got.Key.IsPrivate() || got.Key.Thumbprint() != s.Key.Thumbprint() {
		t.Error("what was sealed is not what opens")
	}
	if n, ok := got.ExpiresIn(r.clock().Add(10500 * time.Millisecond)); n != 289 || !ok {
		t.Errorf("expires in %d, %v", n, ok)
	}
	if n, _ := got.ExpiresIn(r.clock().Add(time.Hour)); n != 0 || !got.Expired(r.clock().Add(5*time.Minute)) || got.Expired(r.clock()) {
		t.Errorf("expires in %d", n)
	}
	if n := got.EndsIn(r.clock()); n != 3600 {
		t.Errorf("ends in %d", n)
	}
	q := request("GET")
	q.AddCookie(&http.Cookie{Name: "__Host-Http-hf-demo-s", Value: cookie})
	if _, err := r.FromRequest(q, app); err != nil {
		t.Error(err)
	}
	q.AddCookie(&http.Cookie{Name: "__Host-Http-hf-demo-s", Value: cookie})
	if _, err := r.FromRequest(q, app); !errors.Is(err, appsession.ErrNone) {
		t.Errorf("the cookie twice: %v", err)
	}
}

// TestCookieOpensNothingElse changes one thing at a time of where a cookie belongs.
func TestCookieOpensNothingElse(t *testing.T) {
	r, app := newRig(t), application("demo")
	_, cookie := r.begin(t, app)
	ring := &appsession.Sessions{DB: r.DB, Ring: keys.NewRing(), Now: r.clock}
	tenant := &appsession.Sessions{DB: r.DB.For("beta"), Ring: r.Ring, Now: r.clock}
	prefix := *app
	prefix.CookiePrefix = "__Host-"
	client := *app
	client.ClientID = "another"
	issuer := *app
	issuer.Issuer = "https://other.example"
	for name, open := range map[string]func() error{
		"another application": func() error { _, err := r.Open(t.Context(), application("back"), cookie); return err },
		"another name":        func() error { _, err := r.Open(t.Context(), &prefix, cookie); return err },
		"another client":      func() error { _, err := r.Open(t.Context(), &client, cookie); return err },
		"another issuer":      func() error { _, err := r.Open(t.Context(), &issuer, cookie); return err },
		"another tenant":      func() error { _, err := tenant.Open(t.Context(), app, cookie); return err },
		"another ring":        func() error { _, err := ring.Open(t.Context(), app, cookie); return err },
		"nothing":             func() error { _, err := r.Open(t.Context(), app, ""); return err },
		"a changed one":       func() error { _, err := r.Open(t.Context(), app, "A"+cookie[1:]); return err },
		"a longer one":        func() error { _, err := r.Open(t.Context(), app, cookie+strings.Repeat("A", 5000)); return err },
	} {
		if err := open(); !errors.Is(err, appsession.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Open(t.Context(), app, cookie); err != nil {
		t.Error(err)
	}
}

// TestNeitherStoreNorRingOpens has everything the server has, and another secret than the browser.
func TestNeitherStoreNorRingOpens(t *testing.T) {
	r, app := newRig(t), application("demo")
	s, _ := r.begin(t, app)
	for _, clear := range []string{"access-token", "refresh-token", "id-token", `"sub"`} {
		inner, err := r.Ring.Open(keys.PurposeSeal, []byte("app session\x00acme\x00demo\x00"+s.Record.ID+"\x00https://login.example\x00client-demo\x00"), s.Record.Sealed)
		if err != nil || strings.Contains(string(inner), clear) || strings.Contains(string(s.Record.Sealed), clear) {
			t.Errorf("%s can be read with the ring alone (%v)", clear, err)
		}
	}
	name := appsession.CookieName(app)
	forged := r.SealCookie(app, name, []byte(keys.Handle(s.Record.ID, keys.NewSecret())))
	if _, err := r.Open(t.Context(), app, forged); !errors.Is(err, appsession.ErrNone) {
		t.Errorf("another secret: %v", err)
	}
}

// TestContentStaysInItsRow moves what is sealed in one session into the row of another of the same browser.
func TestContentStaysInItsRow(t *testing.T) {
	r, app := newRig(t), application("demo")
	a, _ := r.begin(t, app)
	b, cookie := r.begin(t, app)
	err := r.DB.Write(t.Context(), func(tx *store.Tx) error {
		v, err := tx.LeaseAppSession(b.Record.ID, "x", tx.Now.Add(time.Minute))
		if err != nil {
			return err
		}
		v.Sealed = a.Record.Sealed
		return tx.PutAppSession(v)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(t.Context(), app, cookie); !errors.Is(err, appsession.ErrNone) {
		t.Errorf("opened %v", err)
	}
}

// alive says whether a cookie of the application demo opens.
func (r *rig) alive(t *testing.T, cookie string) bool {
	t.Helper()
	_, err := r.Open(t.Context(), application("demo"), cookie)
	if err != nil && !errors.Is(err, appsession.ErrNone) {
		t.Fatal(err)
	}
	return err == nil
}

func TestSessionEnds(t *testing.T) {
	app := application("demo")
	t.Run("idle", func(t *testing.T) {
		r := newRig(t)
		_, cookie := r.begin(t, app)
		r.sleep(time.Hour - time.Second)
		if !r.alive(t, cookie) {
			t.Error("too early")
		}
		r.sleep(time.Second)
		if r.alive(t, cookie) {
			t.Error("idle for an hour") // opening it did not keep it
		}
	})
	t.Run("touched, to the end", func(t *testing.T) {
		r := newRig(t)
		_, cookie := r.begin(t, app)
		for range 2 {
			r.sleep(50 * time.Minute)
			s, err := r.Open(t.Context(), app, cookie)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Touch(t.Context(), app, s); err != nil {
				t.Fatal(err)
			}
		}
		r.sleep(20*time.Minute - time.Second)
		if !r.alive(t, cookie) {
			t.Error("too early")
		}
		r.sleep(time.Second)
		if r.alive(t, cookie) {
			t.Error("longer than two hours")
		}
	})
	t.Run("touched, at most once a minute", func(t *testing.T) {
		r := newRig(t)
		s, cookie := r.begin(t, app)
		r.sleep(59 * time.Second)
		if err := r.Touch(t.Context(), app, s); err != nil || !s.Record.LastUsedAt.Equal(s.Record.CreatedAt) {
			t.Errorf("%v, %+v", err, s.Record)
		}
		r.sleep(time.Second)
		end(t, r, s)
		if err := r.Touch(t.Context(), app, s); !errors.Is(err, appsession.ErrNone) {
			t.Errorf("touch of an ended one: %v", err)
		}
		if r.alive(t, cookie) {
			t.Error("ended")
		}
	})
	t.Run("with its only token", func(t *testing.T) {
		r := newRig(t)
		var s *appsession.Session
		err := r.DB.Write(t.Context(), func(tx *store.Tx) (err error) {
			s, err = r.New(tx, app, store.AppSession{Issuer: app.Issuer, ExpiresAt: r.clock().Add(time.Minute)}, appsession.Tokens{AccessToken: "a"})
			return err
		})
		if err != nil || s.EndsIn(r.clock()) != 60 {
			t.Errorf("%v, %+v", err, s.Record)
		}
	})
}

func end(t testing.TB, r *rig, s *appsession.Session) {
	t.Helper()
	if err := r.DB.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.EndAppSession(s.Record.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestLeaseAndPut(t *testing.T) {
	r, app := newRig(t), application("demo")
	s, cookie := r.begin(t, app)
	leased, err := r.Lease(t.Context(), app, s, "me", r.clock().Add(time.Minute))
	if err != nil || leased.AccessToken != s.AccessToken {
		t.Fatal(err)
	}
	if _, err := r.Lease(t.Context(), app, s, "other", r.clock().Add(time.Minute)); !errors.Is(err, store.ErrTaken) {
		t.Errorf("a second lease: %v", err)
	}
	leased.AccessToken = "second"
	if err := r.Put(t.Context(), app, leased, nothing); err != nil {
		t.Fatal(err)
	}
	got, err := r.Open(t.Context(), app, cookie)
	if err != nil || got.AccessToken != "second" || !got.Record.RefreshedAt.Equal(r.clock()) || got.Record.Version != leased.Record.Version+1 {
		t.Errorf("%v, %+v", err, got)
	}
	if again, err := r.Reload(t.Context(), app, s); err != nil || again.AccessToken != "second" {
		t.Errorf("reload: %v", err)
	}
	end(t, r, s)
	if _, err := r.Reload(t.Context(), app, s); !errors.Is(err, appsession.ErrNone) {
		t.Errorf("reload of an ended one: %v", err)
	}
}

func nothing(*store.Tx) error { return nil }

func TestSessionPrintsNoSecret(t *testing.T) {
	r, app := newRig(t), application("demo")
	s, _ := r.begin(t, app)
	marshalled, err := json.Marshal(map[string]any{"s": s, "v": *s, "t": s.Tokens})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", *s), fmt.Sprintf("%#v %d", s, s), fmt.Sprint(s.LogValue(), s.Tokens, s.Tokens.LogValue()), string(marshalled)} {
		if strings.Contains(text, "alice") || strings.Contains(text, "token-of") {
			t.Errorf("printed as %s", text)
		}
	}
}

// TestSharedCookieAttributes has every cookie go to a domain, and go away from there.
func TestSharedCookieAttributes(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	app.CookiePrefix, app.CookieDomain = objects.NoCookiePrefix, "app.example"
	s, shown := r.carry(t, app, "alice", "")
	w := httptest.NewRecorder()
	if err := r.SetCookie(w, app, s); err != nil {
		t.Fatal(err)
	}
	appsession.SetCookie(w, app, appsession.LoginCookiePrefix(app)+"12345678", "v", 10*time.Minute)
	q := request("GET", "Cookie", "hf-demo-s=x; hf-demo-a=y; __Host-Http-hf-demo-s=z")
	appsession.ClearSession(w, q, app)
	var names []string
	for _, c := range w.Result().Cookies() {
		names = append(names, c.Name)
		if c.Domain != "app.example" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("cookie %s", c.Raw)
		}
	}
	if got := strings.Join(names, " "); got != "hf-demo-s hf-demo-a hf-demo-l-12345678 hf-demo-s hf-demo-a" || !r.opens(t, app, shown) {
		t.Errorf("cookies %s", got)
	}
}

func TestCookieAttributes(t *testing.T) {
	r, app := newRig(t), application("demo")
	s, _ := r.begin(t, app)
	w := httptest.NewRecorder()
	r.SetCookie(w, app, s)
	appsession.SetCookie(w, app, appsession.LoginCookiePrefix(app)+"12345678", "v", 10*time.Minute)
	appsession.ClearCookie(w, app, appsession.CookieName(app))
	const common = "; Path=/;"
	for i, want := range []struct{ name, age string }{
		{"__Host-Http-hf-demo-s=", ""}, {"__Host-Http-hf-demo-l-12345678=v", "Max-Age=600"}, {"__Host-Http-hf-demo-s=;", "Max-Age=0"},
	} {
		got := w.Header().Values("Set-Cookie")[i]
		if !strings.HasPrefix(got, want.name) || !strings.Contains(got, common) || !strings.HasSuffix(got, "HttpOnly; Secure; SameSite=Strict") ||
			strings.Contains(got, "Domain") || strings.Contains(got, "Max-Age") != (want.age != "") || !strings.Contains(got, want.age) {
			t.Errorf("%s", got)
		}
	}
}
