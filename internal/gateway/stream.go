package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/resource"
)

var (
	errRevoked = errors.New("the token or the session was revoked")
	errExpired = errors.New("the access token has expired")
	errStale   = errors.New("there has been no news of revocations")
	errTimeout = errors.New("the upstream took too long")
)

const (
	// unwatched is how long nobody looks after a request: most are over by then.
	unwatched = 100 * time.Millisecond
	// watchEvery is how often an open request looks by itself whether it may go on.
	watchEvery = 2 * time.Second
	// grace is how long a request that was ended may take to say so, and then to be over.
	grace = 250 * time.Millisecond
)

// streams are the requests under way, by everything whose revocation ends them.
type streams struct {
	mu sync.Mutex
	by map[revocable]map[*stream]struct{}
}

// revocable is what an event names.
type revocable struct{ kind, key string }

func newStreams() *streams { return &streams{by: map[revocable]map[*stream]struct{}{}} }

// stream is one request under way.
type stream struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	over    func() error // why it may not go on
	control *http.ResponseController
	wire    io.Closer // the connection, which others may share

	mu    sync.Mutex
	keys  []revocable // none: it is not watched yet
	begun bool        // the answer
	done  bool
	timer *time.Timer
}

// watch ends the context of the stream it returns as soon as the call may not go on: its token or session is revoked or
// expires, or nothing is heard of revocations any more. unwatch must be called when the request is over.
func (c *call) watch(w http.ResponseWriter, r *http.Request) *stream {
	ctx, cancel := context.WithCancelCause(r.Context())
	s := &stream{ctx: ctx, cancel: cancel, control: http.NewResponseController(w), wire: wireOf(c.event.Peer.Conn), over: c.over}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(c.nextLook(unwatched), func() { c.look(s) })
	return s
}

// unwatch makes sure that nothing happens to the connection any more, which serves the next request.
func (c *call) unwatch(s *stream) {
	s.mu.Lock()
	s.done = true
	s.timer.Stop()
	s.mu.Unlock()
	c.streams.remove(s)
	s.cancel(nil)
}

// follow has the stream hear of what is revoked.
func (c *call) follow(s *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || s.keys != nil {
		return
	}
	// The deadlines of the server are for requests that end; this one ends with its token.
	_ = s.control.SetReadDeadline(time.Time{})
	_ = s.control.SetWriteDeadline(time.Time{})
	subject := subjectOf(c.who.Token)
	s.key(store.EventJTI, subject.JTI)
	s.key(store.EventGrant, subject.Grant)
	s.key(store.EventSession, subject.Session)
	s.key(store.EventClient, subject.Client)
	s.key(store.EventKey, subject.JKT)
	s.key(store.EventCertificate, subject.X5T)
	if c.session != nil {
		for _, name := range c.session.Names() {
			s.key(store.EventSession, name)
		}
	}
	c.streams.add(s)
}

func (s *stream) key(kind, key string) {
	if key != "" {
		s.keys = append(s.keys, revocable{kind, key})
	}
}

// over says why a call may not go on, as far as this node knows.
func (c *call) over() error {
	switch {
	case !c.Now().Before(c.who.ExpiresAt):
		return errExpired
	case c.Feed.Revoked(c.DB.Tenant(), subjectOf(c.who.Token)), c.session != nil && c.sessionEnded(c.session):
		return errRevoked
	}
	return nil
}

// ask asks the store and the issuer instead, while there is no news.
func (c *call) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if c.session != nil {
		_, err = c.Sessions.Reload(ctx, c.app, c.session)
	}
	if err == nil && c.who.Issuer == c.Issuer {
		_, err = c.verify(ctx, c.credentials.Token, true)
	}
	if _, refused := errors.AsType[*resource.Challenge](err); refused || errors.Is(err, appsession.ErrNone) {
		return errRevoked
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStale, err)
	}
	return nil
}

func (c *call) nextLook(within time.Duration) time.Duration {
	return max(time.Millisecond, min(within, c.who.ExpiresAt.Sub(c.Now())))
}

// look is what the timer does.
func (c *call) look(s *stream) {
	c.follow(s)
	err := c.over()
	if err == nil && c.Feed.Stale() {
		err = c.ask(s.ctx)
	}
	if err != nil {
		s.end(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done && s.ctx.Err() == nil { // or else the timer is that of end
		s.timer.Reset(c.nextLook(watchEvery))
	}
}

// begin notes that the answer begins.
func (s *stream) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
}

// end cancels a request. Whoever is blocked in writing to a client that does not read hears nothing of that, so writing ends
// as well: a moment later where there is a refusal to be written yet.
func (s *stream) end(cause error) {
	if s.ctx.Err() != nil {
		return
	}
	s.cancel(cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		s.silence()
		return
	}
	s.later(s.silence)
}

// silence ends all writing, if the connection still moves. It does not where nobody reads from it, not even the farewell for
// which TLS waits five seconds: then it is cut, whoever shares it.
func (s *stream) silence() {
	if s.done {
		return
	}
	past := time.Unix(1, 0)
	_ = s.control.SetReadDeadline(past)
	_ = s.control.SetWriteDeadline(past)
	s.later(func() { _ = s.wire.Close() })
}

// later does something in a moment, unless the request is over by then. The lock is held, then as now.
func (s *stream) later(do func()) {
	s.timer.Stop()
	s.timer = time.AfterFunc(grace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.done {
			do()
		}
	})
}

// wireOf is what a connection is made of, below TLS.
func wireOf(conn any) io.Closer {
	switch c := conn.(type) {
	case *tls.Conn:
		return c.NetConn()
	case net.Conn:
		return c
	}
	return io.NopCloser(nil) // of a test
}

func (t *streams) add(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range s.keys {
		if t.by[k] == nil {
			t.by[k] = map[*stream]struct{}{}
		}
		t.by[k][s] = struct{}{}
	}
}

func (t *streams) remove(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range s.keys {
		if delete(t.by[k], s); len(t.by[k]) == 0 {
			delete(t.by, k)
		}
	}
}

// heard looks at the requests that an event may end. The feed remembers before it tells, so what is asked is up to date.
func (t *streams) heard(e store.Event) {
	var met []*stream
	t.mu.Lock()
	for s := range t.by[revocable{e.Kind, e.Key}] {
		met = append(met, s)
	}
	t.mu.Unlock()
	for _, s := range met {
		if err := s.over(); err != nil {
			s.end(err)
		}
	}
}
