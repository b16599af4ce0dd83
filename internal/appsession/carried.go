package appsession

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// carried is a session that the browser carries: the content of its first cookie, which only a login and a refresh
// replace, so that no other answer brings a refresh token back that an issuer has rotated. The ID token itself is not
// among it: its claims are.
type carried struct {
	ID          string `json:"id"`
	Issuer      string `json:"is"`
	ClientID    string `json:"ci"`
	Subject     string `json:"su,omitempty"`
	SID         string `json:"si,omitempty"`
	CreatedAt   int64  `json:"ca"` // microseconds since 1970, like all times here: of the same length whenever
	ExpiresAt   int64  `json:"ea"`
	RefreshedAt int64  `json:"ra,omitempty"`
	Version     int64  `json:"v"` // one more with each refresh, and each that has failed on this node
	content
}

// access is the content of the second cookie: what use changes. The two belong together by the id of the session.
type access struct {
	LastUsedAt int64 `json:"lu"`
	IdleUntil  int64 `json:"iu"`
	content
}

// carriedPlace is where a part of a session belongs, which is nowhere that SealCookie seals for.
func (s *Sessions) carriedPlace(app *objects.Application, name, id string) string {
	return "carried " + s.cookiePlace(app, name) + "\x00" + id
}

// sealCarried makes the value of the first cookie.
func (s *Sessions) sealCarried(app *objects.Application, v *Session) (string, error) {
	t := v.Tokens
	t.AccessToken, t.TokenType, t.Scope, t.AccessExpiresAt, t.IDToken = "", "", "", time.Time{}, ""
	c, err := contentOf(&t)
	if err != nil {
		return "", err
	}
	r := &v.Record
	return s.sealPart(app, CookieName(app), "", carried{
		r.ID, r.Issuer, r.ClientID, r.Subject, r.SID, micros(r.CreatedAt), micros(r.ExpiresAt), micros(r.RefreshedAt), r.Version, c,
	})
}

// sealAccess makes the value of the second one.
func (s *Sessions) sealAccess(app *objects.Application, v *Session) (string, error) {
	c := content{AccessToken: v.AccessToken, TokenType: v.TokenType, Scope: v.Scope, ExpiresAt: v.AccessExpiresAt}
	return s.sealPart(app, AccessCookieName(app), v.Record.ID, access{micros(v.Record.LastUsedAt), micros(v.Record.IdleUntil), c})
}

func (s *Sessions) sealPart(app *objects.Application, name, id string, part any) (string, error) {
	plain, err := json.Marshal(part)
	if err != nil {
		return "", fmt.Errorf("write session: %w", err)
	}
	value := s.Ring.SealText(s.carriedPlace(app, name, id), plain)
	if len(name)+len(value) > maxCookie {
		return "", oauth.Refuse(web.CookieTooLarge, "the tokens do not fit into a cookie: use smaller ones, or session_storage server")
	}
	return value, nil
}

func (s *Sessions) openPart(app *objects.Application, name, id, value string, part any) bool {
	if len(name)+len(value) > maxCookie {
		return false
	}
	plain, err := s.Ring.OpenText(s.carriedPlace(app, name, id), value)
	return err == nil && json.Unmarshal(plain, part) == nil
}

// checkCarried refuses a session that the browser cannot carry.
func (s *Sessions) checkCarried(app *objects.Application, v *Session) error {
	_, err := s.sealCarried(app, v)
	if err == nil {
		_, err = s.sealAccess(app, v)
	}
	return err
}

// openCarried is Open. How long a session lasts at most is also what the application now says.
func (s *Sessions) openCarried(app *objects.Application, shown string) (*Session, error) {
	first, second, _ := strings.Cut(shown, separator)
	var c carried
	var a access
	if !s.openPart(app, CookieName(app), "", first, &c) || !s.openPart(app, AccessCookieName(app), c.ID, second, &a) {
		return nil, ErrNone
	}
	c.AccessToken, c.TokenType, c.Scope, c.content.ExpiresAt = a.AccessToken, a.TokenType, a.Scope, a.ExpiresAt
	tokens, err := c.tokens()
	if err != nil {
		return nil, err
	}
	_, absolute := app.Lifetimes()
	v := &Session{Tokens: tokens, Record: store.AppSession{
		ID: c.ID, Application: app.Name, Issuer: c.Issuer, ClientID: c.ClientID, Subject: c.Subject, SID: c.SID,
		CreatedAt: instant(c.CreatedAt), ExpiresAt: earlier(instant(c.ExpiresAt), instant(c.CreatedAt).Add(absolute)),
		RefreshedAt: instant(c.RefreshedAt), LastUsedAt: instant(a.LastUsedAt), IdleUntil: instant(a.IdleUntil), Version: c.Version,
	}}
	v.marks = marksOf(&v.Record)
	return s.newest(app, v)
}

// newest is Reload: a session as it was shown, or as this node has refreshed it since.
func (s *Sessions) newest(app *objects.Application, v *Session) (*Session, error) {
	now := s.Now()
	v = s.recents.newest(v, now)
	switch {
	case !belongs(&v.Record, app) || !Live(&v.Record, now):
		return nil, ErrNone
	case s.Feed == nil || s.Feed.Stale(): // nothing else knows which are over
		return nil, oauth.Refuse(oauth.TemporarilyUnavailable, "the news of what has ended is missing or old").WithHeader("Retry-After", "1")
	case v.Ended(s.Feed, s.DB.Tenant()):
		return nil, ErrNone
	}
	return v, nil
}

// leaseCarried is Lease: among the requests of this node by its memory, and among nodes by what they spend.
func (s *Sessions) leaseCarried(ctx context.Context, v *Session, holder string, until time.Time) (*Session, error) {
	now := s.Now()
	leased, ok := s.recents.lease(v, holder, now, until)
	if !ok {
		return nil, store.ErrTaken
	}
	if err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.Spend(turnsOf(v, now)...) }); err != nil {
		s.recents.forget(leased)
		return nil, fmt.Errorf("lease session of application: %w", err)
	}
	return leased, nil
}

// turn is longer than anybody holds a lease.
const turn = 30 * time.Second

// turnsOf are the turn that it is, and the next one: who has them both is alone with the session for the length of a
// turn at least, and no row needs to be taken back.
func turnsOf(v *Session, now time.Time) []store.Spend {
	n := now.UnixMicro() / turn.Microseconds()
	spends := make([]store.Spend, 2)
	for i := range spends {
		key := v.Record.ID + " " + strconv.FormatInt(v.Record.Version, 10) + " " + strconv.FormatInt(n+int64(i), 10)
		spends[i] = store.Spend{Kind: "app session refresh", Key: key, Until: now.Add(2 * turn)}
	}
	return spends
}

// putCarried is Put.
func (s *Sessions) putCarried(ctx context.Context, app *objects.Application, v *Session, also func(*store.Tx) error) error {
	now := s.Now()
	next := *v
	next.Record.RefreshedAt, next.Record.LastUsedAt, next.Record.IdleUntil = now, now, idleUntil(app, &v.Record, now)
	if !now.After(v.Record.RefreshedAt) { // by the clock of another node
		next.Record.RefreshedAt = v.Record.RefreshedAt.Add(time.Microsecond)
	}
	next.Record.Refresher, next.Record.RefreshingUntil = "", time.Time{}
	next.Record.Version++
	next.marks = marksOf(&next.Record)
	if err := s.checkCarried(app, &next); err != nil {
		return err
	}
	if !s.recents.holds(v, now) || v.Ended(s.Feed, s.DB.Tenant()) {
		return store.ErrConflict
	}
	if err := s.DB.Write(ctx, also); err != nil {
		return err
	}
	s.recents.put(v, &next, now)
	return nil
}

// endCarried is End: the feed tells, for as long as the cookies could open.
func endCarried(tx *store.Tx, v *store.AppSession) (ended bool, err error) {
	err = tx.Spend(store.Spend{Kind: "app session end", Key: v.ID, Until: v.ExpiresAt})
	if errors.Is(err, store.ErrTaken) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, tx.AddEvent(store.Event{Kind: store.EventSession, Key: v.ID, ExpiresAt: v.ExpiresAt})
}

// endAllCarried is EndAll. A sign-in is over for good; of a person what has begun until now.
func endAllCarried(tx *store.Tx, app *objects.Application, issuer, subject, sid string) ([]store.AppSession, error) {
	_, absolute := app.Lifetimes()
	e := store.Event{Kind: store.EventSession, Key: mark(app.Name, issuer, subject, sid), ExpiresAt: tx.Now.Add(absolute)}
	if sid == "" {
		e.NotBefore = tx.Now
	}
	all := store.AppSession{Application: app.Name, Issuer: issuer, ClientID: app.ClientID, Subject: subject, SID: sid}
	return []store.AppSession{all}, tx.AddEvent(e)
}

// marksOf are the marks of all that EndAll can be told which ends a session.
func marksOf(v *store.AppSession) (marks []string) {
	for _, m := range [][2]string{{v.Subject, ""}, {"", v.SID}, {v.Subject, v.SID}} {
		if made := mark(v.Application, v.Issuer, m[0], m[1]); m != [2]string{} && !slices.Contains(marks, made) {
			marks = append(marks, made)
		}
	}
	return marks
}

// mark names sessions on the feed by what an issuer calls them.
func mark(application, issuer, subject, sid string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"app session", application, issuer, subject, sid}, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
