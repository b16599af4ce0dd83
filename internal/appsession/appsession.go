// Package appsession holds the sessions of browser applications: what the token handler begins, and the gateway turns
// into access tokens.
//
// The browser has one sealed cookie with the session's id and a secret of 256 bits. The store has the rest: what matters
// for looking after sessions in clear, and tokens and keys sealed under that secret and the master ring together, so that
// neither the database nor the ring nor both open a session that no browser shows. Where the application says so, the
// browser carries all of it instead, sealed under the ring: see carried. The package also decides which
// requests of pages are admitted (draft-ietf-oauth-browser-based-apps §6.1.3) and which pages may read the answers
// (CORS, Fetch standard §3.2). It speaks to no issuer: that is the token handler, package bff.
package appsession

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// ErrNone says that there is no live session.
var ErrNone = errors.New("appsession: none")

// Grace is how long the result of a refresh answers others too: tabs, and calls that failed at the same moment, ask
// within seconds of each other, and an issuer that rotates takes a second use of a refresh token for theft.
const Grace = 30 * time.Second

// Sessions opens and makes the sessions of one tenant.
type Sessions struct {
	DB   *store.DB // view of the tenant, in the database of sessions
	Ring *keys.Ring
	Now  func() time.Time
	// Feed hears of the end of sessions in that database. Those that browsers carry do not open without it.
	Feed *feed.Feed

	recents recents
}

// Tokens are what an issuer gave, and what opening a session reveals.
type Tokens struct {
	AccessToken     string
	TokenType       string    // DPoP or Bearer, in this spelling
	Scope           string    // of the access token
	AccessExpiresAt time.Time // zero: the issuer did not say
	RefreshToken    keys.Secret
	IDToken         keys.Secret     // as the issuer gave it
	IDClaims        json.RawMessage // payload of the ID token; nil: there is none
	Key             jose.Key        // private, to which the tokens are bound where TokenType is DPoP
	Asked           string          // the parameters of the last refresh, as the pages gave them
}

// Session is a session that has been opened. It prints as its id alone.
type Session struct {
	Record store.AppSession
	Tokens

	secret keys.Secret // of one in the store
	marks  []string    // under which the end of one that the browser carries is announced, besides its id
}

// String names the session without showing it.
func (s Session) String() string { return "app session " + s.Record.ID }

// Format hides everything but the id from every verb of fmt.
func (s Session) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue is String.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, in JSON too.
func (s Session) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Format hides the tokens from every verb of fmt.
func (t Tokens) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// LogValue hides the tokens.
func (t Tokens) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the tokens, in JSON too.
func (t Tokens) MarshalText() ([]byte, error) { return []byte(hidden), nil }

const hidden = "[hidden]"

// ExpiresIn is how long the access token is valid yet, in whole seconds and never negative; ok is false if the issuer
// has not said.
func (s *Session) ExpiresIn(now time.Time) (seconds int64, ok bool) {
	if s.AccessExpiresAt.IsZero() {
		return 0, false
	}
	return max(0, int64(s.AccessExpiresAt.Sub(now)/time.Second)), true
}

// Expired says whether the access token is known to have expired.
func (s *Session) Expired(now time.Time) bool {
	return !s.AccessExpiresAt.IsZero() && !now.Before(s.AccessExpiresAt)
}

// EndsIn is how long the session lasts if nobody uses it, in whole seconds and never negative.
func (s *Session) EndsIn(now time.Time) int64 {
	end := s.Record.IdleUntil
	if s.Record.ExpiresAt.Before(end) {
		end = s.Record.ExpiresAt
	}
	return max(0, int64(end.Sub(now)/time.Second))
}

// Live says whether a session has neither ended nor expired.
func Live(v *store.AppSession, now time.Time) bool {
	return v.EndedAt.IsZero() && now.Before(v.IdleUntil) && now.Before(v.ExpiresAt)
}

// Ended says whether a feed has heard that the session is over.
func (s *Session) Ended(f *feed.Feed, tenant string) bool {
	if f.Revoked(tenant, feed.Subject{Session: s.Record.ID}) {
		return true
	}
	for _, mark := range s.marks {
		if f.Revoked(tenant, feed.Subject{Session: mark, IssuedAt: s.Record.CreatedAt}) {
			return true
		}
	}
	return false
}

// Names are what its end is announced under on the feed.
func (s *Session) Names() []string { return append([]string{s.Record.ID}, s.marks...) }

// FromRequest opens the session of the browser that sent r. ErrNone: it has none.
func (s *Sessions) FromRequest(r *http.Request, app *objects.Application) (*Session, error) {
	return s.Open(r.Context(), app, Shown(r, app))
}

// Open opens the live session that a browser shows (see Shown), and leaves it as it is. ErrNone: there is none,
// it is over, or it is one of another application, client or issuer than the application now is. issuer "" in the
// application is not compared: whoever knows the tenant's own does so.
func (s *Sessions) Open(ctx context.Context, app *objects.Application, shown string) (*Session, error) {
	if app.Stateless() {
		return s.openCarried(app, shown)
	}
	id, secret, ok := s.openCookie(app, shown)
	if !ok {
		return nil, ErrNone
	}
	v, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.open(app, v, secret)
}

// Reload opens a session again, as it is now. Errors: ErrNone, those of the store.
func (s *Sessions) Reload(ctx context.Context, app *objects.Application, old *Session) (*Session, error) {
	if app.Stateless() {
		return s.newest(app, old)
	}
	v, err := s.load(ctx, old.Record.ID)
	if err != nil {
		return nil, err
	}
	return s.open(app, v, old.secret)
}

func (s *Sessions) load(ctx context.Context, id string) (v store.AppSession, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		v, err = tx.AppSession(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return v, ErrNone
	}
	if err != nil {
		return v, fmt.Errorf("load session of application: %w", err)
	}
	return v, nil
}

func (s *Sessions) open(app *objects.Application, v store.AppSession, secret keys.Secret) (*Session, error) {
	if !belongs(&v, app) || !Live(&v, s.Now()) {
		return nil, ErrNone
	}
	tokens, err := s.unseal(&v, secret)
	if err != nil {
		return nil, err
	}
	return &Session{Record: v, Tokens: tokens, secret: secret}, nil
}

// belongs says whether a session is one of the application as it now is.
func belongs(v *store.AppSession, app *objects.Application) bool {
	return v.Application == app.Name && v.ClientID == app.ClientID && (app.Issuer == "" || v.Issuer == app.Issuer)
}

// Touch moves the idle limit of a session that is in use. It writes at most once a minute. ErrNone: it has ended. The
// limit of one that the browser carries stays where it is: only Slide can give the browser another.
func (s *Sessions) Touch(ctx context.Context, app *objects.Application, v *Session) error {
	now := s.Now()
	if app.Stateless() || now.Sub(v.Record.LastUsedAt) < touchAfter {
		return nil
	}
	until := idleUntil(app, &v.Record, now)
	err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.TouchAppSession(v.Record.ID, until) })
	if errors.Is(err, store.ErrNotFound) {
		return ErrNone
	}
	if err != nil {
		return fmt.Errorf("touch session of application: %w", err)
	}
	v.Record.LastUsedAt, v.Record.IdleUntil = now, until
	return nil
}

const touchAfter = time.Minute

// Slide is Touch on the word of a page, which takes the new limit where it carries the session.
func (s *Sessions) Slide(ctx context.Context, w http.ResponseWriter, app *objects.Application, v *Session) error {
	if now := s.Now(); app.Stateless() && now.Sub(v.Record.LastUsedAt) >= touchAfter {
		v.Record.LastUsedAt, v.Record.IdleUntil = now, idleUntil(app, &v.Record, now)
		return s.setAccessCookie(w, app, v)
	}
	return s.Touch(ctx, app, v)
}

// idleUntil is how long a session lasts that is used now and never again.
func idleUntil(app *objects.Application, v *store.AppSession, now time.Time) time.Time {
	idle, _ := app.Lifetimes()
	return earlier(now.Add(idle), v.ExpiresAt)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// New begins a session, inside the caller's write. Of v the issuer, subject, sid and ExpiresAt are taken, the last where
// it is not zero and earlier than what the application allows. The session always has a new id and a new secret, so
// that what a browser was made to hold before somebody signed in is worth nothing. A *oauth.Error refuses tokens that
// the browser cannot carry.
func (s *Sessions) New(tx *store.Tx, app *objects.Application, v store.AppSession, t Tokens) (*Session, error) {
	_, absolute := app.Lifetimes()
	v.ID, v.Application, v.ClientID = store.NewID(), app.Name, app.ClientID
	v.CreatedAt, v.LastUsedAt, v.Version = tx.Now, tx.Now, 1
	if end := tx.Now.Add(absolute); v.ExpiresAt.IsZero() || end.Before(v.ExpiresAt) {
		v.ExpiresAt = end
	}
	v.IdleUntil = idleUntil(app, &v, tx.Now)
	n := &Session{Record: v, Tokens: t}
	if app.Stateless() {
		n.marks = marksOf(&v)
		if err := s.checkCarried(app, n); err != nil {
			return nil, err
		}
		return n, nil
	}
	n.secret = keys.NewSecret()
	if err := s.seal(n); err != nil {
		return nil, err
	}
	if err := tx.AddAppSession(n.Record); err != nil {
		return nil, fmt.Errorf("add session of application: %w", err)
	}
	return n, nil
}

// Lease makes holder the one that may refresh a session until the given time, and returns the session as it is then.
// store.ErrTaken: somebody else refreshes it, or it is over. ErrNone: it cannot be opened.
func (s *Sessions) Lease(ctx context.Context, app *objects.Application, v *Session, holder string, until time.Time) (*Session, error) {
	if app.Stateless() {
		return s.leaseCarried(ctx, v, holder, until)
	}
	var record store.AppSession
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		record, err = tx.LeaseAppSession(v.Record.ID, holder, until)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease session of application: %w", err)
	}
	return s.open(app, record, v.secret)
}

// Put keeps the tokens of a refresh by whoever holds the lease v.Record.Refresher, in one write with also.
// store.ErrConflict: somebody else holds it, or the session has ended. A *oauth.Error refuses tokens that the browser
// cannot carry.
func (s *Sessions) Put(ctx context.Context, app *objects.Application, v *Session, also func(*store.Tx) error) error {
	if app.Stateless() {
		return s.putCarried(ctx, app, v, also)
	}
	next := *v
	next.Record.IdleUntil = idleUntil(app, &v.Record, s.Now())
	if err := s.seal(&next); err != nil {
		return err
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := tx.PutAppSession(next.Record); err != nil {
			return err
		}
		return also(tx)
	})
}

// Release gives the lease up without a result.
func (s *Sessions) Release(ctx context.Context, app *objects.Application, v *Session) error {
	if app.Stateless() {
		s.recents.release(v, s.Now())
		return nil
	}
	err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.ReleaseAppSession(v.Record.ID, v.Record.Refresher) })
	if err != nil {
		return fmt.Errorf("release session of application: %w", err)
	}
	return nil
}

// Holds says whether the lease of v is still that of whoever leased it, inside the caller's transaction.
func (s *Sessions) Holds(tx *store.Tx, app *objects.Application, v *Session) (bool, error) {
	if app.Stateless() {
		return s.recents.holds(v, tx.Now), nil
	}
	now, err := tx.AppSession(v.Record.ID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && now.Refresher == v.Record.Refresher, err
}

// End ends a session, inside the caller's write, and has every node hear of it. ended is false if it was over before.
func (s *Sessions) End(tx *store.Tx, app *objects.Application, v *store.AppSession) (ended bool, err error) {
	if app.Stateless() {
		return endCarried(tx, v)
	}
	ended, err = tx.EndAppSession(v.ID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return ended, err
}

// EndAll ends the sessions that the application has of one subject of an issuer, or of one sid, or where both are given
// of both, and lists them. Which of them browsers carry is not known: those are one in the list, without an id.
func (s *Sessions) EndAll(tx *store.Tx, app *objects.Application, issuer, subject, sid string) (ended []store.AppSession, err error) {
	if app.Stateless() {
		return endAllCarried(tx, app, issuer, subject, sid)
	}
	found, err := tx.AppSessionsOf(app.Name, issuer, subject, sid)
	for i := range found {
		over, err := s.End(tx, app, &found[i])
		if err != nil {
			return nil, err
		}
		if over {
			ended = append(ended, found[i])
		}
	}
	return ended, err
}
