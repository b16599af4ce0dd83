package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/objects"
)

const (
	sessionsSize = 16_384
	// sessionFor is how long an opened session is kept: afterwards the store is asked, and told that it is in use.
	sessionFor = time.Minute
)

// sessions remembers opened sessions of browser applications, by the hash of application and what was shown.
type sessions struct {
	cache *otter.Cache[[sha256.Size]byte, opened]
}

type opened struct {
	session *appsession.Session
	app     *objects.Application // as it was: a changed one opens anew
	until   time.Time
}

func newSessions() *sessions {
	return &sessions{otter.Must(&otter.Options[[sha256.Size]byte, opened]{MaximumSize: sessionsSize})}
}

// openSession opens the session that a browser shows, from memory where nothing speaks against it. Errors:
// appsession.ErrNone, those of the store.
func (g *gateway) openSession(ctx context.Context, app *objects.Application, shown string) (*appsession.Session, error) {
	if g.Sessions == nil {
		return nil, errors.New("there are no sessions here")
	}
	key := hashOf(app.Name + "\x00" + shown)
	if !g.Feed.Stale() {
		if o, ok := g.sessions.cache.GetIfPresent(key); ok && o.app == app && g.Now().Before(o.until) {
			if g.sessionEnded(o.session) {
				g.sessions.cache.Invalidate(key)
				return nil, appsession.ErrNone
			}
			return o.session, nil
		}
	}
	s, err := g.Sessions.Open(ctx, app, shown)
	if err != nil {
		return nil, err
	}
	if err := g.Sessions.Touch(ctx, app, s); err != nil {
		return nil, err
	}
	until := earlier(earlier(g.Now().Add(sessionFor), s.Record.IdleUntil), s.Record.ExpiresAt)
	if !s.AccessExpiresAt.IsZero() {
		until = earlier(until, s.AccessExpiresAt)
	}
	if !g.sessionEnded(s) { // while it was read
		g.sessions.cache.Set(key, opened{s, app, until})
	}
	return s, nil
}

func (g *gateway) sessionEnded(s *appsession.Session) bool {
	return s.Ended(g.Feed, g.DB.Tenant())
}
