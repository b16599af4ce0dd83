package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

const (
	ticketsSize = 16_384 // tokens with their exchanged ones, about 4 KiB each
	refusedSize = 4_096  // anybody can have these made, and shall not push others out
	refusedFor  = 5 * time.Second
	// early is how long before its end an exchanged token is not used any more: the request is still on its way.
	early = 5 * time.Second
	// patience is how long the issuer may take.
	patience = 10 * time.Second
)

// ticketKey is everything a ticket depends on. Two tokens never share one, nor do two audiences, nor two certificates of
// ours.
type ticketKey struct {
	token      [sha256.Size]byte
	audience   string
	onward     string // audience of the exchanged token; "" for none
	generation uint64
}

// ticket is what is known of one token on the way to one API: the verdict, and the token it was exchanged for. It holds no
// memory of revocation, which is asked every time.
type ticket struct {
	key    ticketKey
	token  *resource.Token
	until  time.Time // when the verdict is asked for again
	onward atomic.Pointer[onward]
}

// onward is an exchanged token.
type onward struct {
	token string
	until time.Time
}

// refusal is the verdict on a token that is no good.
type refusal struct {
	err   error
	until time.Time
}

// tickets is the memory of them.
type tickets struct {
	good    *otter.Cache[ticketKey, *ticket]
	refused *otter.Cache[ticketKey, refusal]
	flights singleflight.Group
}

func newTickets() *tickets {
	return &tickets{
		good: otter.Must(&otter.Options[ticketKey, *ticket]{MaximumSize: ticketsSize}),
		refused: otter.Must(&otter.Options[ticketKey, refusal]{
			MaximumSize: refusedSize, ExpiryCalculator: otter.ExpiryWriting[ticketKey, refusal](refusedFor),
		}),
	}
}

// once has fn run by one of those who ask the same at the same time, and not suffer from that one hanging up.
func (t *tickets) once(ctx context.Context, what string, key ticketKey, fn func(context.Context) (any, error)) (any, error) {
	name := what + string(key.token[:]) + key.audience + "\x00" + key.onward + "\x00" + strconv.FormatUint(key.generation, 36)
	v, err, _ := t.flights.Do(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return fn(ctx)
	})
	return v, err
}

// hashOf is SHA-256 without a copy of the text in the heap.
func hashOf(text string) [sha256.Size]byte {
	var room [2048]byte // for most
	return sha256.Sum256(append(room[:0], text...))
}

// ticket finds the verdict on a token, from memory or from the issuer. While the feed is too old to be trusted the issuer is
// asked every time; where it cannot be, nothing is let through. Errors are *resource.Challenge or no refusal.
func (c *call) ticket(ctx context.Context, g *generation, token string) (*ticket, error) {
	key := ticketKey{token: hashOf(token), audience: c.route.Audience, onward: c.route.UpstreamAudience, generation: g.number}
	now, stale := c.Now(), c.Feed.Stale()
	if !stale {
		if t, ok := c.tickets.good.GetIfPresent(key); ok && now.Before(t.until) {
			if !c.revoked(&resource.Principal{Token: t.token}) {
				return t, nil
			}
			c.tickets.good.Invalidate(key) // with the token it was exchanged for
			return nil, refuseToken("the access token was revoked")
		}
		if r, ok := c.tickets.refused.GetIfPresent(key); ok && now.Before(r.until) {
			return nil, r.err
		}
	}
	v, err := c.tickets.once(ctx, "judge", key, func(ctx context.Context) (any, error) { return c.judge(ctx, key, token, stale) })
	if err != nil {
		return nil, err
	}
	return v.(*ticket), nil
}

func refuseToken(detail string) *resource.Challenge {
	return &resource.Challenge{Status: http.StatusUnauthorized, Code: oauth.InvalidToken, Detail: detail}
}

// judge makes the verdict and remembers it.
func (c *call) judge(ctx context.Context, key ticketKey, token string, stale bool) (*ticket, error) {
	verified, err := c.verify(ctx, token, stale)
	now := c.Now()
	if refused, ok := errors.AsType[*resource.Challenge](err); ok {
		c.tickets.refused.Set(key, refusal{refused, now.Add(refusedFor)})
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	t := &ticket{key: key, token: verified, until: earlier(now.Add(c.CacheFor), verified.ExpiresAt)}
	if old, ok := c.tickets.good.GetIfPresent(key); ok {
		t.onward.Store(old.onward.Load())
	}
	c.tickets.good.Set(key, t)
	return t, nil
}

// verify reads a JWT with the keys of the issuer, and asks the issuer about anything else, and about everything while there
// is no news of revocations.
func (c *call) verify(ctx context.Context, token string, stale bool) (t *resource.Token, err error) {
	jwt := strings.Count(token, ".") == 2
	if jwt {
		if t, err = c.route.verifier.VerifyToken(ctx, token); err != nil || !stale {
			return t, err
		}
	}
	answer, err := c.issuer.introspect(ctx, token)
	switch {
	case err != nil:
		return nil, err
	case !answer.Active:
		return nil, refuseToken("the access token is not valid")
	case jwt:
		return t, nil
	}
	return opaqueToken(answer, c.Issuer, c.route.Audience, c.Now())
}

// opaqueToken makes of what the issuer says about an opaque token what a JWT would have said (RFC 9068 §4).
func opaqueToken(a *oauth.Introspection, issuer, audience string, now time.Time) (*resource.Token, error) {
	t := &resource.Token{
		Issuer: a.Issuer, Subject: a.Subject, ClientID: a.ClientID, ID: a.ID, Audience: a.Audience, Scopes: strings.Fields(a.Scope),
		IssuedAt: unix(a.IssuedAt), NotBefore: unix(a.NotBefore), ExpiresAt: unix(a.ExpiresAt), AuthTime: unix(a.AuthTime),
		ACR: a.ACR, AMR: a.AMR, SessionID: a.SessionID, GrantID: a.GrantID,
	}
	if a.Confirm != nil {
		t.Confirmation = *a.Confirm
	}
	switch {
	case a.Issuer != issuer || a.Subject == "" || a.ClientID == "" || a.TokenType == "": // such is a refresh token
		return nil, refuseToken("the access token is not valid")
	case !slices.Contains(a.Audience, audience):
		return nil, refuseToken("the access token is not for this API")
	case !now.Before(t.ExpiresAt):
		return nil, refuseToken("the access token has expired")
	}
	return t, nil
}

// foreignToken is what is known of a token that another issuer gave the token handler.
func foreignToken(s *appsession.Session) *resource.Token {
	t := &resource.Token{
		Issuer: s.Record.Issuer, Subject: s.Record.Subject, ClientID: s.Record.ClientID, Scopes: strings.Fields(s.Scope),
		ExpiresAt: s.AccessExpiresAt,
	}
	if s.AccessExpiresAt.IsZero() {
		t.ExpiresAt = s.Record.ExpiresAt
	}
	if s.TokenType == oauth.TypeDPoP && s.Key.IsPrivate() {
		t.Confirmation.JKT = s.Key.Thumbprint()
	}
	return t
}

// exchanged is the token that the upstream of the route takes. An issuer that does not want to exchange a token it has
// called good has been told something since.
func (c *call) exchanged(ctx context.Context, t *ticket, g *generation) (string, error) {
	if o := t.onward.Load(); o != nil && c.Now().Before(o.until) {
		return o.token, nil
	}
	v, err := c.tickets.once(ctx, "exchange", t.key, func(ctx context.Context) (any, error) {
		o, err := c.issuer.exchange(ctx, c.credentials.Token, t.key.onward, g)
		if err == nil {
			t.onward.Store(o)
			return o, nil
		}
		if refused, ok := errors.AsType[*resource.Challenge](err); ok {
			c.tickets.good.Invalidate(t.key)
			c.tickets.refused.Set(t.key, refusal{refused, c.Now().Add(refusedFor)})
		}
		return nil, err
	})
	if err != nil {
		return "", err
	}
	return v.(*onward).token, nil
}

func unix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
