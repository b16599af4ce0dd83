// Package session is the browser's session at the issuer: who has signed in, how, and until when.
//
// The browser holds a handle, "<id>.<secret>"; the store holds a hash of the secret. What a set of factors is worth
// (acr and amr, OpenID Connect Core §2, RFC 8176) is computed here and nowhere else. How a factor is verified is
// internal/authn.
package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
)

// Kinds of factor.
const (
	Password   = "password"
	Passkey    = "passkey"
	MailedCode = "mailed_code"
)

// ErrNone says that there is no live session.
var ErrNone = errors.New("session: none")

// Sessions opens and makes the sessions of one tenant.
type Sessions struct {
	DB             *store.DB
	Ring           *keys.Ring
	Now            func() time.Time
	Idle, Absolute time.Duration
	Base           string // path of the issuer: see web.SessionCookieAt
}

// FromRequest opens the session of the browser that sent r, ErrNone if it has none.
func (s *Sessions) FromRequest(r *http.Request) (*store.Session, error) {
	return s.Open(r.Context(), web.Cookie(r, s.cookie()))
}

// Sent says whether the browser sent anything as its handle, live or not.
func (s *Sessions) Sent(r *http.Request) bool { return len(r.CookiesNamed(s.cookie())) > 0 }

func (s *Sessions) cookie() string { return web.SessionCookieAt(s.Base) }

// Open finds the live session of a handle.
func (s *Sessions) Open(ctx context.Context, handle string) (*store.Session, error) {
	id, secret, ok := keys.SplitHandle(handle)
	if !ok {
		return nil, ErrNone
	}
	var found store.Session
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.Session(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("load session: %w", err)
	}
	if !s.Ring.Matches(found.SecretHash, secret) || !Live(&found, s.Now()) {
		return nil, ErrNone
	}
	web.EventOf(ctx).SetSubject(found.AccountID)
	return &found, nil
}

// Live says whether the session has neither ended nor expired.
func Live(v *store.Session, now time.Time) bool {
	return v.EndedAt.IsZero() && now.Before(v.IdleUntil) && now.Before(v.ExpiresAt)
}

// New begins the session of an account that has just shown a factor, and replaces old, which the browser has had until
// now, if any. The handle is always a new one, so that one planted before signing in is worth nothing. Another account's
// session is ended. Of the same account only the id stays: it is the sid of what clients hold, who are not signed out
// by their user signing in again. What was shown before is forgotten, so that a password does not pass for the passkey
// of yesterday.
func (s *Sessions) New(tx *store.Tx, accountID string, f store.Factor, peer web.Peer, old *store.Session) (v store.Session, handle string, err error) {
	secret := keys.NewSecret()
	begin := func(v store.Session) store.Session {
		v.SecretHash, v.Factors = s.Ring.Hash(secret.Reveal()), nil
		v.UserAgent, v.AddressPrefix = peer.UserAgent, peer.Prefix
		v.LastUsedAt, v.IdleUntil, v.ExpiresAt = tx.Now, tx.Now.Add(s.Idle), tx.Now.Add(s.Absolute)
		add(&v, f)
		return v
	}
	if old != nil && old.AccountID == accountID {
		v = begin(*old)
		err := tx.PutSession(v)
		if err == nil {
			v.Version++
			return v, keys.Handle(v.ID, secret), nil
		}
		if !errors.Is(err, store.ErrConflict) { // it has ended or changed since it was looked at
			return v, "", fmt.Errorf("renew session: %w", err)
		}
	}
	if old != nil {
		if err := tx.EndSession(old.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return v, "", fmt.Errorf("end old session: %w", err)
		}
	}
	v = begin(store.Session{ID: store.NewID(), AccountID: accountID, CreatedAt: tx.Now, Version: 1})
	if err := tx.AddSession(v); err != nil {
		return v, "", fmt.Errorf("add session: %w", err)
	}
	return v, keys.Handle(v.ID, secret), nil
}

// Step adds a factor to a session, inside the caller's write. ErrNone: it has ended.
func (s *Sessions) Step(tx *store.Tx, id string, f store.Factor) (store.Session, error) {
	v, err := tx.Session(id)
	if err != nil {
		return v, fmt.Errorf("load session: %w", err)
	}
	if !Live(&v, tx.Now) {
		return v, ErrNone
	}
	add(&v, f)
	v.LastUsedAt, v.IdleUntil = tx.Now, earlier(tx.Now.Add(s.Idle), v.ExpiresAt)
	if err := tx.PutSession(v); err != nil {
		return v, fmt.Errorf("put session: %w", err)
	}
	v.Version++
	return v, nil
}

// Last is when a factor of this kind was last shown; zero if never.
func Last(v *store.Session, kind string) time.Time {
	var at time.Time
	for _, f := range v.Factors {
		if f.Kind == kind && f.At.After(at) {
			at = f.At
		}
	}
	return at
}

// SetCookie gives the browser its handle. The cookie ends with the browser; the session by itself.
func (s *Sessions) SetCookie(w http.ResponseWriter, handle string) {
	web.SetCookie(w, s.cookie(), handle, 0)
}

// ClearCookie takes it away.
func (s *Sessions) ClearCookie(w http.ResponseWriter) { web.ClearCookie(w, s.cookie()) }

// add replaces the factor that was shown with the same thing, and computes what all are worth together: the worth of the
// strongest, at the time it was shown. A client that asks for a recent sign-in must not get an old passkey refreshed by
// a new password.
func add(v *store.Session, f store.Factor) {
	same := func(o store.Factor) bool { return o.Kind == f.Kind && o.PasskeyID == f.PasskeyID }
	v.Factors = append(slices.DeleteFunc(slices.Clone(v.Factors), same), f)
	v.ACR, v.AMR, v.AuthTime = "", nil, time.Time{}
	for _, f := range v.Factors {
		v.ACR = stronger(v.ACR, worth(f))
		for _, m := range f.AMR {
			if !slices.Contains(v.AMR, m) {
				v.AMR = append(v.AMR, m)
			}
		}
	}
	for _, f := range v.Factors {
		if worth(f) == v.ACR && f.At.After(v.AuthTime) {
			v.AuthTime = f.At
		}
	}
}

// worth is what a factor alone makes of a session; "" for a mailed code, which alone signs nobody in.
func worth(f store.Factor) string {
	switch {
	case f.Kind == Passkey && f.DeviceBound:
		return objects.ACRDeviceBound
	case f.Kind == Passkey:
		return objects.ACRPasskey
	case f.Kind == Password:
		return objects.ACRPassword
	}
	return ""
}

// Reach is the strongest acr that somebody could have whose session is worth something now, and who has these passkeys.
func Reach(worthNow string, passkeys []store.Passkey) string {
	for _, p := range passkeys {
		worthNow = stronger(worthNow, worth(store.Factor{Kind: Passkey, DeviceBound: p.Flags&passkey.FlagBackupEligible == 0}))
	}
	return worthNow
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func stronger(a, b string) string {
	for _, v := range objects.ACRValues {
		if a == v || b == v {
			return v
		}
	}
	return ""
}
