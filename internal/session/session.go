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
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// Kinds of factor.
const (
	Password   = "password"
	Passkey    = "passkey"
	MailedCode = "mailed_code"
)

// Values of acr, strongest first.
const (
	ACRDeviceBound = "phrh" // phishing-resistant, key in hardware of one device
	ACRPasskey     = "phr"  // phishing-resistant
	ACRPassword    = "1"
)

// ACRValues are all values there are, for the metadata.
var ACRValues = []string{ACRDeviceBound, ACRPasskey, ACRPassword}

// ErrNone says that there is no live session.
var ErrNone = errors.New("session: none")

// Sessions opens and makes the sessions of one tenant.
type Sessions struct {
	DB             *store.DB
	Ring           *keys.Ring
	Now            func() time.Time
	Idle, Absolute time.Duration
}

// FromRequest opens the session of the browser that sent r, ErrNone if it has none.
func (s *Sessions) FromRequest(r *http.Request) (*store.Session, error) {
	return s.Open(r.Context(), web.Cookie(r, web.SessionCookie))
}

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

// New adds a session for an account that has just shown a factor. It always has a new id, so that a handle planted
// before signing in is worth nothing; old, if any, is ended.
func (s *Sessions) New(tx *store.Tx, accountID string, f store.Factor, peer web.Peer, old *store.Session) (v store.Session, handle string, err error) {
	secret := keys.NewSecret()
	v = store.Session{
		ID: store.NewID(), SecretHash: s.Ring.Hash(secret.Reveal()), AccountID: accountID,
		UserAgent: peer.UserAgent, AddressPrefix: peer.Prefix, CreatedAt: tx.Now, LastUsedAt: tx.Now,
		IdleUntil: tx.Now.Add(s.Idle), ExpiresAt: tx.Now.Add(s.Absolute),
	}
	if old != nil {
		if old.AccountID == accountID {
			v.Factors = old.Factors // stepping up keeps what was shown before
		}
		if err := tx.EndSession(old.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return v, "", fmt.Errorf("end old session: %w", err)
		}
	}
	add(&v, f)
	if err := tx.AddSession(v); err != nil {
		return v, "", fmt.Errorf("add session: %w", err)
	}
	return v, keys.Handle(v.ID, secret), nil
}

// Step adds a factor to a session, inside the caller's write.
func (s *Sessions) Step(tx *store.Tx, id string, f store.Factor) (store.Session, error) {
	v, err := tx.Session(id)
	if err != nil {
		return v, fmt.Errorf("load session: %w", err)
	}
	if !Live(&v, tx.Now) {
		return v, ErrNone
	}
	add(&v, f)
	v.LastUsedAt, v.IdleUntil = tx.Now, tx.Now.Add(s.Idle)
	if err := tx.PutSession(v); err != nil {
		return v, fmt.Errorf("put session: %w", err)
	}
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
func SetCookie(w http.ResponseWriter, handle string) { web.SetCookie(w, web.SessionCookie, handle, 0) }

// add replaces the factor of the same kind and computes what the factors are worth together.
func add(v *store.Session, f store.Factor) {
	v.Factors = append(slices.DeleteFunc(slices.Clone(v.Factors), func(o store.Factor) bool { return o.Kind == f.Kind }), f)
	if f.Kind != MailedCode { // a mailed code alone signs nobody in
		v.AuthTime = f.At
	}
	v.ACR, v.AMR = "", nil
	for _, f := range v.Factors {
		for _, m := range f.AMR {
			if !slices.Contains(v.AMR, m) {
				v.AMR = append(v.AMR, m)
			}
		}
		v.ACR = stronger(v.ACR, worth(f))
	}
}

func worth(f store.Factor) string {
	switch {
	case f.Kind == Passkey && f.DeviceBound:
		return ACRDeviceBound
	case f.Kind == Passkey:
		return ACRPasskey
	case f.Kind == Password:
		return ACRPassword
	}
	return ""
}

func stronger(a, b string) string {
	for _, v := range ACRValues {
		if a == v || b == v {
			return v
		}
	}
	return ""
}
