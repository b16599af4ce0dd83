package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// stateless has the application demo keep its sessions in browsers.
func (r *rig) stateless(t testing.TB) *objects.Application {
	t.Helper()
	r.session.Feed = r.feed
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	r.apply(t, []objects.Document{document("application", m{"name": "demo", "client_id": "spa", "key": key, "origins": []string{spa},
		"redirect_uri": spa + "/callback", "session_storage": "stateless"})})
	app, err := r.reg.Application(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// carried signs somebody in and gives what the browser then carries.
func (r *rig) carried(t testing.TB, app *objects.Application, account string) ([]*http.Cookie, *appsession.Session) {
	t.Helper()
	_, s := r.cookie(t, app.Name, account, false)
	w := httptest.NewRecorder()
	if err := r.session.SetCookie(w, app, s); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies(), s
}

// ask calls the API from a page that has these cookies.
func (r *rig) ask(t testing.TB, cookies ...*http.Cookie) reply {
	t.Helper()
	q := fromPage(newRequest(t, "GET", r.origin+"/orders", ""), nil)
	for _, c := range cookies {
		q.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return send(t, r.client(t, nil), q)
}

func TestStatelessSessionGetsThrough(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.checks(t, resource.Config{Audience: r.api})
		app := r.stateless(t)
		alice, s := r.carried(t, app, "alice")
		bob, _ := r.carried(t, app, "bob")
		for range 3 {
			for who, cookies := range map[string][]*http.Cookie{"alice": alice, "bob": bob} {
				a := r.ask(t, cookies...)
				if a.StatusCode != 200 || a.Header.Get("X-Api-Subject") != who || len(a.Cookies()) != 0 {
					t.Fatalf("%s: %d %s %v", who, a.StatusCode, a.body, a.Header)
				}
				if got := r.last(t).Header; got.Get("Cookie") != "" {
					t.Errorf("the API got %v", got)
				}
			}
		}
		truncated := *alice[1]
		truncated.Value = truncated.Value[:len(truncated.Value)-1]
		for name, c := range map[string]struct {
			code    string
			cookies []*http.Cookie
		}{
			"the first alone":       {"session_expired", alice[:1]},
			"the second alone":      {"", alice[1:]},
			"of two people":         {"session_expired", []*http.Cookie{alice[0], bob[1]}},
			"swapped":               {"session_expired", []*http.Cookie{{Name: alice[0].Name, Value: alice[1].Value}, {Name: alice[1].Name, Value: alice[0].Value}}},
			"truncated":             {"session_expired", []*http.Cookie{alice[0], &truncated}},
			"the first twice":       {"unauthorized", []*http.Cookie{alice[0], alice[0], alice[1]}},
			"the second twice":      {"session_expired", []*http.Cookie{alice[0], alice[1], alice[1]}},
			"another's name before": {"session_expired", []*http.Cookie{{Name: alice[0].Name, Value: "x.y"}, alice[1]}},
		} {
			if a := r.ask(t, c.cookies...); a.StatusCode != 401 || c.code != "" && string(r.refusal(t).code) != c.code {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
		}
		r.write(t, func(tx *store.Tx) error { _, err := r.session.End(tx, app, &s.Record); return err })
		eventually(t, "the session is over", func() bool { return r.ask(t, alice...).StatusCode == 401 })
		if a := r.ask(t, bob...); a.StatusCode != 200 {
			t.Errorf("the other: %d %s", a.StatusCode, a.body)
		}
	})
}

// TestStatelessBackChannel ends a session by what the issuer calls it, from memory and anew.
func TestStatelessBackChannel(t *testing.T) {
	r := landscape(t)
	app := r.stateless(t)
	alice, s := r.carried(t, app, "alice")
	if a := r.ask(t, alice...); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	r.write(t, func(tx *store.Tx) error { _, err := r.session.EndAll(tx, app, issuerURL, "", s.Record.SID); return err })
	eventually(t, "the session is over", func() bool { return r.ask(t, alice...).StatusCode == 401 })
}

// TestStatelessStreamEnds has the issuer end a session while an answer is under way.
func TestStatelessStreamEnds(t *testing.T) {
	r := landscape(t)
	app := r.stateless(t)
	over := r.events()
	for name, end := range map[string]func(tx *store.Tx, v *store.AppSession) error{
		"by its id": func(tx *store.Tx, v *store.AppSession) error { _, err := r.session.End(tx, app, v); return err },
		"by what the issuer calls the sign-in": func(tx *store.Tx, v *store.AppSession) error {
			_, err := r.session.EndAll(tx, app, issuerURL, "", v.SID)
			return err
		},
		"by whose it is": func(tx *store.Tx, v *store.AppSession) error {
			_, err := r.session.EndAll(tx, app, issuerURL, v.Subject, "")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			alice, s := r.carried(t, app, "alice")
			q := fromPage(newRequest(t, "GET", r.origin+"/orders", ""), nil)
			for _, c := range alice {
				q.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
			}
			ends(t, opened(t, r.client(t, nil), q), func() time.Time {
				return r.elsewhere(t, func(tx *store.Tx) error { return end(tx, &s.Record) })
			})
			<-over
		})
	}
}

// TestStatelessSessionIsNoBetterThanTheNews stops the feed: what has ended is not known, so nobody gets in.
func TestStatelessSessionIsNoBetterThanTheNews(t *testing.T) {
	r := landscape(t)
	app := r.stateless(t)
	alice, _ := r.carried(t, app, "alice")
	if a := r.ask(t, alice...); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	r.deaf()
	r.pass(6 * time.Second)
	if a := r.ask(t, alice...); a.StatusCode != 503 || r.refusal(t).code != string(oauth.TemporarilyUnavailable) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
