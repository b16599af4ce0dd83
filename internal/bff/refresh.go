package bff

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	// renewTime is how long all calls of one refresh may take, and lease, in which nobody else begins one, is longer.
	renewTime = 20 * time.Second
	lease     = 25 * time.Second
	waitTime  = 10 * time.Second // for somebody else's refresh
	maxTurns  = 3
)

// refreshed is the answer.
type refreshed struct {
	AccessExpiresIn *int64 `json:"access_token_expires_in,omitempty"`
}

// refresh gets another access token. However many ask at the same time, on whatever node, the issuer is asked once: the
// others wait and answer what the one has got.
func (e *Endpoints) refresh(v *visit) error {
	extras, err := v.extras()
	if err != nil {
		return err
	}
	s, err := e.live(v)
	if err != nil {
		return err
	}
	if s, err = e.renewed(v, s, extras); err != nil {
		return err
	}
	if err := e.Sessions.SetCookie(v.w, v.app, s); err != nil { // under the newest key of the ring
		return err
	}
	var a refreshed
	if n, ok := s.ExpiresIn(e.Sessions.Now()); ok {
		a.AccessExpiresIn = &n
	}
	return web.WriteJSON(v.w, http.StatusOK, a)
}

// renewed is the session after a refresh, whoever has done it.
func (e *Endpoints) renewed(v *visit, s *appsession.Session, extras url.Values) (*appsession.Session, error) {
	asked := extras.Encode()
	for range maxTurns {
		if e.isRecent(s, asked) {
			return s, nil
		}
		if s.RefreshToken == "" {
			return e.unrenewable(s)
		}
		leased, err := e.Sessions.Lease(v.Context(), v.app, s, store.NewID(), e.Sessions.Now().Add(lease))
		if err == nil {
			return e.renew(v, leased, extras)
		}
		if !errors.Is(err, store.ErrTaken) {
			return nil, gone(err)
		}
		next, err := e.await(v, s)
		if err != nil {
			return nil, gone(err)
		}
		if over := next.Record.Refresher == "" && next.Record.Version != s.Record.Version; over && next.Record.RefreshedAt.Equal(s.Record.RefreshedAt) {
			return nil, unavailable(errors.New("the refresh that was waited for has failed"))
		}
		s = next
	}
	return nil, oauth.Refuse(oauth.TemporarilyUnavailable, "others are refreshing the session").WithHeader("Retry-After", "1")
}

// isRecent says whether the session was refreshed a moment ago, with the same parameters.
func (e *Endpoints) isRecent(s *appsession.Session, asked string) bool {
	now := e.Sessions.Now()
	return !s.Record.RefreshedAt.IsZero() && now.Before(s.Record.RefreshedAt.Add(appsession.Grace)) && s.Asked == asked && !s.Expired(now)
}

// unrenewable is a session without a refresh token. It lasts as long as its access token.
func (e *Endpoints) unrenewable(s *appsession.Session) (*appsession.Session, error) {
	if s.Expired(e.Sessions.Now()) {
		return nil, oauth.Refuse(web.SessionExpired, "the access token has expired, and there is no refresh token")
	}
	return s, nil
}

// gone turns the absence of a session that has just been there into what its pages see.
func gone(err error) error {
	if errors.Is(err, appsession.ErrNone) {
		return oauth.Refuse(web.SessionExpired, "the session is over").With(err)
	}
	return err
}

// await waits until nobody refreshes the session any more, or nobody can be expected to. The lease of somebody else may
// be about to be committed, and so refuse ours before it can be read: a session that has not changed is read again.
func (e *Endpoints) await(v *visit, s *appsession.Session) (*appsession.Session, error) {
	ctx, cancel := context.WithTimeout(v.Context(), waitTime)
	defer cancel()
	pause := 20 * time.Millisecond
	for n := 0; ; n++ {
		now, err := e.Sessions.Reload(ctx, v.app, s)
		if err != nil || !isBusy(now, e.Sessions.Now()) && (now.Record.Version != s.Record.Version || n >= 3) {
			return now, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err() // that the server is busy, if it is the time that is over
		}
		pause = min(2*pause, 250*time.Millisecond)
	}
}

func isBusy(s *appsession.Session, now time.Time) bool {
	return s.Record.Refresher != "" && now.Before(s.Record.RefreshingUntil)
}

// renew asks the issuer, as the holder of the lease. A page that leaves does not break it off: the issuer may have given
// a new refresh token for the old one already.
func (e *Endpoints) renew(v *visit, s *appsession.Session, extras url.Values) (*appsession.Session, error) {
	ctx := context.WithoutCancel(v.Context())
	if e.isRecent(s, extras.Encode()) { // somebody has been quicker
		return s, e.Sessions.Release(ctx, v.app, s)
	}
	c, err := v.issuer.client(v.app, e.Sessions.Ring)
	if err != nil {
		return nil, errors.Join(err, e.Sessions.Release(ctx, v.app, s))
	}
	g := grant{client: c, key: s.Key, allowBearer: v.app.AllowBearerTokens, expect: expectation{clientID: v.app.ClientID}}
	if err := g.expect.continues(s); err != nil {
		return nil, errors.Join(err, e.Sessions.Release(ctx, v.app, s))
	}
	form := url.Values{}
	for name, values := range extras {
		form[name] = values
	}
	form.Set("grant_type", oauth.GrantRefreshToken)
	form.Set("refresh_token", s.RefreshToken.Reveal())
	if len(v.app.Resources) > 0 {
		form.Set("resource", v.app.Resources[0])
	}
	asking, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	tokens, id, err := g.ask(asking, form)
	if err != nil {
		return e.failed(v, c, s, err)
	}
	return e.keep(v, c, s, tokens, id, extras.Encode())
}

// continues expects what must stay the same (OpenID Connect Core §12.2).
func (e *expectation) continues(s *appsession.Session) error {
	if s.IDClaims == nil {
		return nil
	}
	e.before = new(idClaims)
	if err := jose.Unmarshal(s.IDClaims, e.before); err != nil {
		return fmt.Errorf("read claims of session: %w", err)
	}
	if e.before.Nonce != nil {
		e.nonce = *e.before.Nonce
	}
	return nil
}

// failed decides what a refresh without a result means. A refresh token that the issuer does not know any more ends the
// session, and so does an answer that is somebody else's; unless the lease was lost, for then the token may have been
// one that another node has used, and what that one got is the result. Anything else may pass.
func (e *Endpoints) failed(v *visit, c *client, s *appsession.Session, cause error) (*appsession.Session, error) {
	ctx := context.WithoutCancel(v.Context())
	r, refused := errors.AsType[*refusal](cause)
	b, isBroken := errors.AsType[*broken](cause)
	if !(refused && r.code == oauth.InvalidGrant) && !isBroken {
		return nil, errors.Join(shown(cause), e.Sessions.Release(ctx, v.app, s))
	}
	if isBroken {
		e.revoke(ctx, c, b.tokens)
	}
	over, err := e.endLeased(v, s, "the issuer ended it")
	if err != nil {
		return nil, err
	}
	if over {
		return nil, oauth.Refuse(web.SessionExpired, "the issuer does not refresh the session any more").With(cause)
	}
	now, err := e.Sessions.Reload(ctx, v.app, s)
	if err == nil && now.Record.RefreshedAt.Equal(s.Record.RefreshedAt) {
		err = oauth.Refuse(oauth.TemporarilyUnavailable, "somebody else is refreshing the session").WithHeader("Retry-After", "1").With(cause)
	}
	return now, gone(err)
}

// endLeased ends a session if its lease is still that of s, and takes its cookies away.
func (e *Endpoints) endLeased(v *visit, s *appsession.Session, reason string) (over bool, err error) {
	ctx := context.WithoutCancel(v.Context())
	err = e.Sessions.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if over, err = e.Sessions.Holds(tx, v.app, s); err != nil || !over {
			return err
		}
		_, err = e.end(tx, ctx, v.app, &s.Record, reason)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("end session: %w", err)
	}
	if over {
		appsession.ClearSession(v.w, v.Request, v.app)
	}
	return over, nil
}

// keep keeps what a refresh has brought. If the session has ended meanwhile, so do the tokens.
func (e *Endpoints) keep(v *visit, c *client, s *appsession.Session, tokens appsession.Tokens, id identity, asked string) (*appsession.Session, error) {
	ctx := context.WithoutCancel(v.Context())
	next := *s
	tokens.Asked = asked
	if tokens.RefreshToken == "" { // RFC 6749 §6: the old one stays
		tokens.RefreshToken = s.RefreshToken
	}
	if tokens.Scope == "" {
		tokens.Scope = s.Scope
	}
	if tokens.IDClaims == nil {
		tokens.IDToken, tokens.IDClaims = s.IDToken, s.IDClaims
	} else if id.SessionID != "" {
		next.Record.SID = id.SessionID
	}
	next.Tokens = tokens
	err := e.Sessions.Put(ctx, v.app, &next, func(tx *store.Tx) error {
		return audit.Add(tx, record(ctx, "app_session.refresh", &s.Record))
	})
	if _, refused := errors.AsType[*oauth.Error](err); refused { // what an issuer has rotated cannot be had again
		e.revoke(ctx, c, tokens)
		_, eerr := e.endLeased(v, s, "its tokens have outgrown the cookies")
		return nil, errors.Join(err, eerr)
	}
	if errors.Is(err, store.ErrConflict) {
		now, rerr := e.Sessions.Reload(ctx, v.app, s)
		if errors.Is(rerr, appsession.ErrNone) {
			e.revoke(ctx, c, tokens)
		}
		return now, gone(rerr)
	}
	if err != nil {
		return nil, fmt.Errorf("put session: %w", err)
	}
	now, err := e.Sessions.Reload(ctx, v.app, s)
	return now, gone(err)
}
