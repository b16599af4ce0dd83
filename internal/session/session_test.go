package session_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
)

// clock is a time that stands still until it is moved.
type clock struct{ at time.Time }

func (c *clock) Now() time.Time { return c.at }

func begin() *clock { return &clock{time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)} }

func open(t testing.TB, c *clock) *session.Sessions {
	t.Helper()
	db := storetest.Open(t, store.Options{Now: c.Now}).For("main")
	return &session.Sessions{DB: db, Ring: keys.NewRing(), Now: c.Now, Idle: 8 * time.Hour, Absolute: 24 * time.Hour}
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func signIn(t fataler, s *session.Sessions, account string, f store.Factor, old *store.Session) (v store.Session, handle string) {
	t.Helper()
	err := s.DB.Write(ctx(), func(tx *store.Tx) (err error) {
		f.At = tx.Now
		v, handle, err = s.New(tx, account, f, web.Peer{UserAgent: "Firefox", Prefix: "192.0.2.0/24"}, old)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, handle
}

func step(s *session.Sessions, id string, f store.Factor) (v store.Session, err error) {
	err = s.DB.Write(ctx(), func(tx *store.Tx) (err error) {
		f.At = tx.Now
		v, err = s.Step(tx, id, f)
		return err
	})
	return v, err
}

var (
	password = store.Factor{Kind: session.Password, AMR: []string{"pwd"}}
	synced   = store.Factor{Kind: session.Passkey, AMR: []string{"swk", "user"}, PasskeyID: "phone"}
	bound    = store.Factor{Kind: session.Passkey, AMR: []string{"hwk", "user"}, PasskeyID: "key", DeviceBound: true}
	mailed   = store.Factor{Kind: session.MailedCode, AMR: []string{"otp"}}
)

func TestOIDC_2_WhatFactorsAreWorth(t *testing.T) {
	for _, c := range []struct {
		name    string
		factors []store.Factor // an hour apart
		acr     string
		amr     []string
		hour    int // of auth_time
	}{
		{"password", []store.Factor{password}, "1", []string{"pwd"}, 0},
		{"passkey", []store.Factor{synced}, "phr", []string{"swk", "user"}, 0},
		{"passkey of one device", []store.Factor{bound}, "phrh", []string{"hwk", "user"}, 0},
		{"password again", []store.Factor{password, password}, "1", []string{"pwd"}, 1},
		{"stepped up", []store.Factor{password, bound}, "phrh", []string{"pwd", "hwk", "user"}, 1},
		{"a password does not refresh a passkey", []store.Factor{bound, password}, "phrh", []string{"hwk", "user", "pwd"}, 0},
		{"nor does a weaker passkey", []store.Factor{bound, synced}, "phrh", []string{"hwk", "user", "swk"}, 0},
		{"the same passkey does", []store.Factor{bound, password, bound}, "phrh", []string{"pwd", "hwk", "user"}, 2},
		{"a code adds nothing but its name", []store.Factor{password, mailed}, "1", []string{"pwd", "otp"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := begin()
			start := clock.at
			s := open(t, clock)
			v, _ := signIn(t, s, "alice", c.factors[0], nil)
			for _, f := range c.factors[1:] {
				clock.at = clock.at.Add(time.Hour)
				var err error
				if v, err = step(s, v.ID, f); err != nil {
					t.Fatal(err)
				}
			}
			if v.ACR != c.acr || !slices.Equal(v.AMR, c.amr) {
				t.Errorf("acr %s, amr %v", v.ACR, v.AMR)
			}
			if want := start.Add(time.Duration(c.hour) * time.Hour); !v.AuthTime.Equal(want) {
				t.Errorf("auth_time %v, want %v", v.AuthTime, want)
			}
		})
	}
}

func TestSigningInAgain(t *testing.T) {
	clock := begin()
	s := open(t, clock)
	first, planted := signIn(t, s, "alice", bound, nil)
	clock.at = clock.at.Add(time.Hour)
	second, handle := signIn(t, s, "alice", password, &first)
	if _, err := s.Open(ctx(), planted); !errors.Is(err, session.ErrNone) {
		t.Errorf("the handle from before signing in opens: %v", err)
	}
	got, err := s.Open(ctx(), handle)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != first.ID || got.ACR != objects.ACRPassword || !got.AuthTime.Equal(clock.at) || len(got.Factors) != 1 {
		t.Errorf("%+v", got)
	}
	if !got.ExpiresAt.Equal(clock.at.Add(s.Absolute)) {
		t.Errorf("expires at %v", got.ExpiresAt)
	}

	third, other := signIn(t, s, "bob", password, &second)
	if third.ID == second.ID {
		t.Error("bob has alice's session")
	}
	if _, err := s.Open(ctx(), handle); !errors.Is(err, session.ErrNone) {
		t.Errorf("alice is still signed in: %v", err)
	}
	if got, err := s.Open(ctx(), other); err != nil || got.AccountID != "bob" {
		t.Errorf("bob: %+v, %v", got, err)
	}
}

func TestSigningInAgainAfterTheSessionHasEnded(t *testing.T) {
	s := open(t, begin())
	old, _ := signIn(t, s, "alice", password, nil)
	if err := s.DB.Write(ctx(), func(tx *store.Tx) error { return tx.EndSession(old.ID) }); err != nil {
		t.Fatal(err)
	}
	v, handle := signIn(t, s, "alice", password, &old)
	if v.ID == old.ID {
		t.Error("an ended session lives again")
	}
	if _, err := s.Open(ctx(), handle); err != nil {
		t.Error(err)
	}
	if _, err := step(s, old.ID, password); !errors.Is(err, session.ErrNone) {
		t.Errorf("a factor for an ended session: %v", err)
	}
}

func TestSigningInAgainWhileTheSessionChanges(t *testing.T) {
	s := open(t, begin())
	old, planted := signIn(t, s, "alice", password, nil)
	if _, err := step(s, old.ID, bound); err != nil {
		t.Fatal(err)
	}
	_, handle := signIn(t, s, "alice", password, &old) // as it was before the step
	if _, err := s.Open(ctx(), planted); !errors.Is(err, session.ErrNone) {
		t.Errorf("the old handle: %v", err)
	}
	if _, err := s.Open(ctx(), handle); err != nil {
		t.Errorf("the new handle: %v", err)
	}
}

func TestHandlesThatOpenNothing(t *testing.T) {
	s := open(t, begin())
	v, handle := signIn(t, s, "alice", password, nil)
	_, foreign := signIn(t, s, "bob", password, nil)
	_, secret, _ := keys.SplitHandle(foreign)
	for _, h := range []string{"", ".", v.ID, v.ID + ".", v.ID + "." + secret, handle + "A", handle + ".", " " + handle, v.SecretHash, "nobody." + secret} {
		if _, err := s.Open(ctx(), h); !errors.Is(err, session.ErrNone) {
			t.Errorf("%q: %v", h, err)
		}
	}
	elsewhere := *s
	elsewhere.DB = s.DB.For("other")
	if _, err := elsewhere.Open(ctx(), handle); !errors.Is(err, session.ErrNone) {
		t.Errorf("in another tenant: %v", err)
	}
}

func TestCookie(t *testing.T) {
	s := open(t, begin())
	_, handle := signIn(t, s, "alice", password, nil)
	rec := httptest.NewRecorder()
	s.SetCookie(rec, handle)
	c := rec.Result().Cookies()[0]
	if c.Name != "__Host-hf-s" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("%+v", c)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(c)
	if got, err := s.FromRequest(r); err != nil || got.AccountID != "alice" {
		t.Errorf("%+v, %v", got, err)
	}
	r.AddCookie(&http.Cookie{Name: c.Name, Value: "planted"})
	if _, err := s.FromRequest(r); !errors.Is(err, session.ErrNone) {
		t.Errorf("two cookies: %v", err)
	}
	// Beside it on the same host there may be an issuer with a path.
	beside := *s
	beside.Base = "/path"
	rec = httptest.NewRecorder()
	beside.SetCookie(rec, "other")
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(c)
	if beside.Sent(r) || !s.Sent(r) {
		t.Error("a cookie of another issuer is taken for the own")
	}
	r.AddCookie(rec.Result().Cookies()[0])
	if got, err := s.FromRequest(r); err != nil || got.AccountID != "alice" || !beside.Sent(r) {
		t.Errorf("beside another: %+v, %v", got, err)
	}
}

func TestReach(t *testing.T) {
	synced, device := store.Passkey{Flags: passkey.FlagBackupEligible | 1}, store.Passkey{Flags: 1}
	for _, c := range []struct {
		now      string
		passkeys []store.Passkey
		want     string
	}{
		{"1", nil, "1"},
		{"1", []store.Passkey{synced}, "phr"},
		{"1", []store.Passkey{synced, device, synced}, "phrh"},
		{"phr", []store.Passkey{device}, "phrh"},
		{"phrh", []store.Passkey{synced}, "phrh"}, // it has begun to be synced since
	} {
		if got := session.Reach(c.now, c.passkeys); got != c.want {
			t.Errorf("%s with %d: %s", c.now, len(c.passkeys), got)
		}
	}
}
