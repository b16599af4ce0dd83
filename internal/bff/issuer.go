package bff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	callTimeout = 10 * time.Second
	maxAnswer   = 256 << 10        // bytes
	freshFor    = 10 * time.Minute // metadata and keys
	staleFor    = time.Hour        // those that cannot be read again
	retryAfter  = 2 * time.Second  // a failure
	kidAfter    = 30 * time.Second // between readings that an unknown kid causes
)

// issuer is an authorization server as its clients know it.
type issuer struct {
	id   string
	own  bool // the tenant's
	http *http.Client
	now  func() time.Time

	metadata cached[oauth.ServerMetadata]
	keys     cached[jose.Set]

	mu    sync.Mutex
	nonce string // the last one it gave (RFC 9449 §8.2)
}

// issuerOf finds the issuer of an application. There are as many as applications name.
func (e *Endpoints) issuerOf(app *objects.Application) *issuer {
	id, way := app.Issuer, e.FetchTransport
	own := id == "" || id == e.Issuer
	if own {
		id, way = e.Issuer, e.Transport
	}
	if way == nil { // never the default one of net/http, which leads everywhere
		way = noWay{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.issuers[id]
	if i == nil {
		i = &issuer{id: id, own: own, now: e.Sessions.Now, http: &http.Client{
			Transport: way, Timeout: callTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		if e.issuers == nil {
			e.issuers = map[string]*issuer{}
		}
		e.issuers[id] = i
	}
	return i
}

// noWay is the way to issuers that nobody has opened.
type noWay struct{}

// RoundTrip implements http.RoundTripper.
func (noWay) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("there is no way to this issuer")
}

// cached is a document that is read again when its time is over, by one at a time.
type cached[T any] struct {
	mu    sync.Mutex
	value *T
	fresh time.Time // until then without reading again
	stale time.Time // until then if it cannot be read again
	retry time.Time // no reading before, after a failure
	err   error     // of the last reading
}

// get returns the document. again asks for reading it although it is fresh.
func (c *cached[T]) get(now time.Time, again func(*T) bool, read func() (*T, error)) (*T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value != nil && now.Before(c.fresh) && !again(c.value) {
		return c.value, nil
	}
	if now.Before(c.retry) && c.err != nil {
		return c.old(now)
	}
	v, err := read()
	if err != nil {
		c.err, c.retry = err, now.Add(retryAfter)
		return c.old(now)
	}
	c.value, c.err, c.fresh, c.stale = v, nil, now.Add(freshFor), now.Add(freshFor+staleFor)
	return v, nil
}

func (c *cached[T]) old(now time.Time) (*T, error) {
	if c.value != nil && now.Before(c.stale) {
		return c.value, nil
	}
	return nil, c.err
}

// describe is the issuer's metadata (OpenID Connect Discovery §4).
func (i *issuer) describe(ctx context.Context) (*oauth.ServerMetadata, error) {
	never := func(*oauth.ServerMetadata) bool { return false }
	m, err := i.metadata.get(i.now(), never, func() (*oauth.ServerMetadata, error) {
		// What one caller gives up the others wait for.
		body, err := i.get(context.WithoutCancel(ctx), i.id+"/.well-known/openid-configuration")
		if err != nil {
			return nil, err
		}
		m := new(oauth.ServerMetadata)
		if err := jose.Unmarshal(body, m); err != nil {
			return nil, fmt.Errorf("read metadata: %w", err)
		}
		return m, i.checkMetadata(m)
	})
	if err != nil {
		return nil, unavailable(fmt.Errorf("metadata of the issuer: %w", err))
	}
	return m, nil
}

// checkMetadata holds the document to its issuer (Discovery §4.3, RFC 8414 §3.3), and every address to TLS.
func (i *issuer) checkMetadata(m *oauth.ServerMetadata) error {
	if m.Issuer != i.id {
		return errors.New("the metadata are those of another issuer")
	}
	for _, required := range []string{m.AuthorizationEndpoint, m.TokenEndpoint, m.JWKSURI} {
		if required == "" {
			return errors.New("the metadata lack an endpoint")
		}
	}
	for _, raw := range []string{
		m.AuthorizationEndpoint, m.TokenEndpoint, m.JWKSURI, m.PushedAuthorizationRequestEndpoint, m.RevocationEndpoint, m.EndSessionEndpoint,
	} {
		if u, err := url.Parse(raw); raw != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "") {
			return errors.New("the metadata name an endpoint that is not https")
		}
	}
	return nil
}

// verify checks the signature of a token of the issuer with its keys, which are read again for a kid that is not known.
func (i *issuer) verify(ctx context.Context, compact string) (*jose.Token, error) {
	peeked, err := jose.Peek(compact)
	if err != nil {
		return nil, err
	}
	m, err := i.describe(ctx)
	if err != nil {
		return nil, err
	}
	now := i.now()
	unknown := func(s *jose.Set) bool {
		knows := func(k jose.Key) bool { return k.ID() == peeked.KeyID }
		return peeked.KeyID != "" && !slices.ContainsFunc(s.Keys, knows) && !now.Before(i.keys.fresh.Add(kidAfter-freshFor))
	}
	set, err := i.keys.get(now, unknown, func() (*jose.Set, error) {
		body, err := i.get(context.WithoutCancel(ctx), m.JWKSURI)
		if err != nil {
			return nil, err
		}
		set, err := jose.ParseSet(body)
		return &set, err
	})
	if err != nil {
		return nil, unavailable(fmt.Errorf("keys of the issuer: %w", err))
	}
	return jose.Verify(compact, []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}, set.Keys...)
}

func (i *issuer) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	status, _, body, err := i.do(r)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the answer has status %d", status)
	}
	return body, err
}

// do makes one request and reads the answer within bounds.
func (i *issuer) do(r *http.Request) (status int, h http.Header, body []byte, err error) {
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "holdfast")
	if i.own {
		forward(r)
	}
	a, err := i.http.Do(r)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err // without the address
		}
		return 0, nil, nil, err
	}
	defer a.Body.Close()
	body, err = io.ReadAll(io.LimitReader(a.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is too large")
	}
	return a.StatusCode, a.Header, body, err
}

// forward says for whom the request is made: our own issuer, where it trusts us as a hop, counts failures by address and
// names its records by request. Of nobody else's business is either.
func forward(r *http.Request) {
	ev := web.EventOf(r.Context())
	if ev.RequestID != "" {
		r.Header.Set("X-Request-Id", ev.RequestID)
	}
	if a := ev.Peer.Address; a.IsValid() {
		r.Header.Set("X-Forwarded-For", a.String())
	}
}

// unavailable is what pages see of an issuer that does not answer as it should.
func unavailable(err error) *oauth.Error {
	return oauth.Refuse(web.AuthorizationServer, "the authorization server cannot be reached, or does not answer as it should").With(err)
}
