package appsession_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

func stateless(name string) *objects.Application {
	app := application(name)
	app.SessionStorage = objects.StorageStateless
	return app
}

// newCarrying is a rig whose feed runs.
func newCarrying(t testing.TB) *rig {
	t.Helper()
	r := newRig(t)
	r.Feed = follow(t, feed.New(r.DB.For(""), r.clock))
	return r
}

func follow(t testing.TB, f *feed.Feed) *feed.Feed {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	eventually(t, "the feed is ready", f.Ready)
	return f
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// pass lets time go by, and the feed follow.
func (r *rig) pass(t testing.TB, d time.Duration) {
	t.Helper()
	r.sleep(d)
	eventually(t, "the feed follows", func() bool { return !r.Feed.Stale() })
}

// carry begins a session and gives what the browser shows of it.
func (r *rig) carry(t testing.TB, app *objects.Application, subject, sid string) (s *appsession.Session, shown string) {
	t.Helper()
	err := r.DB.Write(t.Context(), func(tx *store.Tx) (err error) {
		s, err = r.New(tx, app, store.AppSession{Issuer: app.Issuer, Subject: subject, SID: sid}, r.tokens(t))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, r.show(t, app, s)
}

// show is what a browser shows that is given the cookies of a session.
func (r *rig) show(t testing.TB, app *objects.Application, s *appsession.Session) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := r.SetCookie(w, app, s); err != nil {
		t.Fatal(err)
	}
	q := request("GET")
	for _, c := range w.Result().Cookies() {
		if len(c.Name)+len(c.Value) > 4096 || !c.HttpOnly || !c.Secure || c.Path != "/" || c.SameSite != http.SameSiteStrictMode || c.Domain != app.CookieDomain || c.MaxAge != 0 {
			t.Errorf("cookie %s", c.Raw)
		}
		q.AddCookie(c)
	}
	return appsession.Shown(q, app)
}

// opens says whether what a browser shows opens.
func (r *rig) opens(t testing.TB, app *objects.Application, shown string) bool {
	t.Helper()
	_, err := r.Open(t.Context(), app, shown)
	if err != nil && !errors.Is(err, appsession.ErrNone) {
		t.Fatal(err)
	}
	return err == nil
}

func TestCarriedSessionOpens(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	s, shown := r.carry(t, app, "alice", "sid")
	got, err := r.Open(t.Context(), app, shown)
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessToken != s.AccessToken || got.TokenType != "DPoP" || got.Scope != s.Scope || got.RefreshToken != s.RefreshToken || got.IDToken != "" ||
		string(got.IDClaims) != string(s.IDClaims) || !got.AccessExpiresAt.Equal(s.AccessExpiresAt) || got.Key.Thumbprint() != s.Key.Thumbprint() || !got.Key.IsPrivate() {
		t.Error("what was sealed is not what opens")
	}
	a, b := got.Record, s.Record
	if a.ID != b.ID || a.Application != "demo" || a.Issuer != b.Issuer || a.ClientID != b.ClientID || a.Subject != "alice" || a.SID != "sid" || a.Version != 1 ||
		!a.CreatedAt.Equal(b.CreatedAt) || !a.ExpiresAt.Equal(b.ExpiresAt) || !a.IdleUntil.Equal(b.IdleUntil) || !a.LastUsedAt.Equal(b.LastUsedAt) || !a.RefreshedAt.IsZero() {
		t.Errorf("%+v\n%+v", a, b)
	}
	err = r.DB.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.AppSession(s.Record.ID); return err })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the store has it: %v", err)
	}
	for _, clear := range []string{"alice", "token", "sid"} {
		if strings.Contains(shown, clear) {
			t.Errorf("%s can be read", clear)
		}
	}
}

// TestCarriedSessionOpensNothingElse changes one thing at a time of what is shown, and of where.
func TestCarriedSessionOpensNothingElse(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	_, shown := r.carry(t, app, "alice", "sid")
	_, other := r.carry(t, app, "alice", "sid")
	_, back := r.carry(t, stateless("back"), "alice", "sid")
	_, stored := r.begin(t, application("demo"))
	first, second, _ := strings.Cut(shown, ".")
	first2, second2, _ := strings.Cut(other, ".")
	backFirst, backSecond, _ := strings.Cut(back, ".")
	changed := func(edit func(*objects.Application)) *objects.Application { own := *app; edit(&own); return &own }
	name, accessName := appsession.CookieName(app), appsession.AccessCookieName(app)
	plain, _ := json.Marshal(map[string]any{"id": "x", "ci": "client-demo", "ea": 1 << 60, "iu": 1 << 60})
	for what, c := range map[string]struct {
		sessions *appsession.Sessions
		app      *objects.Application
		shown    string
	}{
		"another name":                  {app: changed(func(a *objects.Application) { a.CookiePrefix = "__Host-" })},
		"another application":           {app: stateless("back")},
		"another client":                {app: changed(func(a *objects.Application) { a.ClientID = "another" })},
		"another issuer":                {app: changed(func(a *objects.Application) { a.Issuer = "https://other.example" })},
		"on the server":                 {app: application("demo")},
		"on the server, the first":      {app: application("demo"), shown: first},
		"another tenant":                {sessions: &appsession.Sessions{DB: r.DB.For("beta"), Ring: r.Ring, Now: r.clock, Feed: r.Feed}},
		"another ring":                  {sessions: &appsession.Sessions{DB: r.DB, Ring: keys.NewRing(), Now: r.clock, Feed: r.Feed}},
		"the cookies swapped":           {shown: second + "." + first},
		"the first alone":               {shown: first},
		"the first alone, with a dot":   {shown: first + "."},
		"the first twice":               {shown: first + "." + first},
		"the second alone":              {shown: "." + second},
		"the second of another":         {shown: first + "." + second2},
		"the first of another":          {shown: first2 + "." + second},
		"the first of another app":      {shown: backFirst + "." + second},
		"the second of another app":     {shown: first + "." + backSecond},
		"all of another app":            {shown: back},
		"a session of the server":       {shown: stored},
		"that, twice":                   {shown: stored + "." + stored},
		"the first, truncated":          {shown: first[:len(first)-1] + "." + second},
		"the second, truncated":         {shown: shown[:len(shown)-1]},
		"the first, changed":            {shown: "A" + shown[1:]},
		"more behind":                   {shown: shown + ".x"},
		"too long":                      {shown: first + strings.Repeat("A", 5000) + "." + second},
		"sealed as what is not carried": {shown: r.SealCookie(app, name, plain) + "." + r.SealCookie(app, accessName, plain)},
		"nothing":                       {shown: "."},
	} {
		if c.sessions == nil {
			c.sessions = r.Sessions
		}
		if c.app == nil {
			c.app = app
		}
		if c.shown == "" {
			c.shown = shown
		}
		if _, err := c.sessions.Open(t.Context(), c.app, c.shown); !errors.Is(err, appsession.ErrNone) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !r.opens(t, app, shown) {
		t.Error("it does not open where it belongs")
	}
}

func FuzzCarried(f *testing.F) {
	r, app := newCarrying(f), stateless("demo")
	_, shown := r.carry(f, app, "alice", "sid")
	first, second, _ := strings.Cut(shown, ".")
	for _, seed := range []string{shown, "", ".", first, second, second + "." + first, shown[:len(shown)-1], first + "." + first} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, err := r.Open(t.Context(), app, value)
		if value == shown && err != nil || value != shown && !errors.Is(err, appsession.ErrNone) {
			t.Errorf("%q: %v", value, err)
		}
	})
}

// TestCarriedSessionOutlivesTheKey adds a key to the ring, has it seal, and takes the first one away.
func TestCarriedSessionOutlivesTheKey(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	file := filepath.Join(t.TempDir(), "ring.json")
	first, err := keys.CreateRing(file)
	if err != nil {
		t.Fatal(err)
	}
	reload := func() {
		t.Helper()
		ring, err := keys.LoadRing(file)
		if err != nil {
			t.Fatal(err)
		}
		r.Ring.Replace(ring)
	}
	reload()
	_, before := r.carry(t, app, "alice", "sid")
	second, err := keys.AddKey(file)
	if err == nil {
		err = keys.ActivateKey(file, second)
	}
	if err != nil {
		t.Fatal(err)
	}
	reload()
	s, err := r.Open(t.Context(), app, before)
	if err != nil {
		t.Fatal(err)
	}
	after := r.show(t, app, s)
	if err := keys.DropKey(file, first); err != nil {
		t.Fatal(err)
	}
	reload()
	if r.opens(t, app, before) || !r.opens(t, app, after) {
		t.Error("the cookie of the dropped key opens, or the new one does not")
	}
}

func TestCarriedSessionRunsOut(t *testing.T) {
	app := stateless("demo") // idle an hour, two hours in all
	t.Run("idle", func(t *testing.T) {
		r := newCarrying(t)
		s, shown := r.carry(t, app, "alice", "")
		r.pass(t, time.Hour-time.Second)
		if err := r.Touch(t.Context(), app, s); err != nil || !r.opens(t, app, shown) {
			t.Errorf("too early, %v", err)
		}
		r.pass(t, time.Second)
		if r.opens(t, app, shown) || r.opens(t, app, r.show(t, app, s)) {
			t.Error("idle for an hour")
		}
	})
	t.Run("slid, to the end", func(t *testing.T) {
		r := newCarrying(t)
		_, shown := r.carry(t, app, "alice", "")
		slide := func() (changed bool) {
			t.Helper()
			s, err := r.Open(t.Context(), app, shown)
			w := httptest.NewRecorder()
			if err == nil {
				err = r.Slide(t.Context(), w, app, s)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range w.Result().Cookies() {
				if changed = true; c.Name != appsession.AccessCookieName(app) {
					t.Errorf("%s: a refresh token could come back", c.Name)
				}
				first, _, _ := strings.Cut(shown, ".")
				shown = first + "." + c.Value
			}
			return changed
		}
		r.pass(t, 59*time.Second)
		if slide() {
			t.Error("slid within a minute")
		}
		r.pass(t, 49*time.Minute)
		if !slide() {
			t.Error("not slid")
		}
		r.pass(t, 59*time.Minute)
		slide()
		r.pass(t, 11*time.Minute)
		if !r.opens(t, app, shown) {
			t.Error("too early")
		}
		r.pass(t, time.Second)
		if r.opens(t, app, shown) {
			t.Error("longer than two hours")
		}
	})
	t.Run("when the application says less", func(t *testing.T) {
		r := newCarrying(t)
		_, shown := r.carry(t, app, "alice", "")
		r.pass(t, 10*time.Minute)
		less := stateless("demo")
		less.Idle, less.Absolute = 600, 600
		if !r.opens(t, app, shown) || r.opens(t, less, shown) {
			t.Error("the limit of the application is not that of the session")
		}
	})
}

// TestCarriedSessionIsEnded ends sessions in all ways there are, which another node hears of.
func TestCarriedSessionIsEnded(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	there := &appsession.Sessions{DB: r.DB, Ring: r.Ring, Now: r.clock, Feed: r.Feed}
	var s [5]*appsession.Session
	var shown [5]string
	for i, who := range [][2]string{{"alice", "one"}, {"alice", "one"}, {"alice", "two"}, {"bob", "three"}, {"", ""}} {
		s[i], shown[i] = r.carry(t, app, who[0], who[1])
	}
	_, back := r.carry(t, stateless("back"), "alice", "one")
	left := func(want string) {
		t.Helper()
		eventually(t, "left is "+want, func() bool {
			var got strings.Builder
			for i := range shown {
				_, err := there.Open(t.Context(), app, shown[i])
				if err == nil {
					got.WriteByte(byte('0' + i))
				}
			}
			return got.String() == want
		})
	}
	end := func(i int) (ended bool) {
		t.Helper()
		err := r.DB.Write(t.Context(), func(tx *store.Tx) (err error) { ended, err = r.End(tx, app, &s[i].Record); return err })
		if err != nil {
			t.Fatal(err)
		}
		return ended
	}
	endAll := func(subject, sid string) {
		t.Helper()
		err := r.DB.Write(t.Context(), func(tx *store.Tx) error {
			all, err := r.EndAll(tx, app, app.Issuer, subject, sid)
			if len(all) != 1 || all[0].ID != "" || all[0].Subject != subject || all[0].SID != sid {
				t.Errorf("ended %+v", all)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	left("01234")
	if !end(0) || end(0) {
		t.Error("ended twice, or never")
	}
	left("1234")
	endAll("bob", "two") // not both of one
	endAll("alice", "one")
	left("234")
	endAll("", "two")
	left("34")
	r.pass(t, time.Second)
	s[0], shown[0] = r.carry(t, app, "bob", "four")
	r.pass(t, -time.Second)
	endAll("bob", "")
	left("04") // and what the person begins afterwards
	if !r.opens(t, stateless("back"), back) {
		t.Error("the other application is ended too")
	}
}

// TestCarriedSessionNeedsNews stops the feed, without which nobody knows what has ended.
func TestCarriedSessionNeedsNews(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	_, shown := r.carry(t, app, "alice", "")
	deaf := &appsession.Sessions{DB: r.DB, Ring: r.Ring, Now: r.clock}
	silent := &appsession.Sessions{DB: r.DB, Ring: r.Ring, Now: r.clock, Feed: feed.New(r.DB.For(""), r.clock)}
	for _, sessions := range []*appsession.Sessions{deaf, silent} {
		_, err := sessions.Open(t.Context(), app, shown)
		if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.TemporarilyUnavailable {
			t.Errorf("got %v", err)
		}
		if _, err := sessions.Open(t.Context(), app, "nonsense"); !errors.Is(err, appsession.ErrNone) {
			t.Errorf("nonsense: %v", err)
		}
	}
}

func TestTokensTooLargeToCarry(t *testing.T) {
	r, app := newCarrying(t), stateless("demo")
	begin := func(edit func(*appsession.Tokens)) (s *appsession.Session, err error) {
		tokens := r.tokens(t)
		edit(&tokens)
		err = r.DB.Write(t.Context(), func(tx *store.Tx) (err error) {
			s, err = r.New(tx, app, store.AppSession{Issuer: app.Issuer, Subject: "alice"}, tokens)
			return err
		})
		return s, err
	}
	for name, tooLong := range map[string]func(n int) func(*appsession.Tokens){
		"access token": func(n int) func(*appsession.Tokens) {
			return func(t *appsession.Tokens) { t.AccessToken = strings.Repeat("a", n) }
		},
		"refresh token": func(n int) func(*appsession.Tokens) {
			return func(t *appsession.Tokens) { t.RefreshToken = keys.Secret(strings.Repeat("r", n)) }
		},
		"claims": func(n int) func(*appsession.Tokens) {
			return func(t *appsession.Tokens) {
				t.IDClaims = json.RawMessage(`{"groups":"` + strings.Repeat("g", n) + `"}`)
			}
		},
	} {
		largest := 0
		for n := 3200; n > 1000 && largest == 0; n-- {
			s, err := begin(tooLong(n))
			e, refused := errors.AsType[*oauth.Error](err)
			switch {
			case refused && e.Code == web.CookieTooLarge && s == nil:
			case err != nil:
				t.Fatal(err)
			case !r.opens(t, app, r.show(t, app, s)):
				t.Fatalf("%s of %d bytes was accepted and does not open", name, n)
			default:
				largest = n
			}
		}
		t.Logf("the largest %s has %d bytes", name, largest)
		if largest < 2000 || largest == 3200 {
			t.Errorf("the largest %s has %d bytes", name, largest)
		}
	}
	if _, err := begin(func(t *appsession.Tokens) { t.IDToken = keys.Secret(strings.Repeat("i", 5000)) }); err != nil {
		t.Errorf("the ID token counts: %v", err)
	}
}
