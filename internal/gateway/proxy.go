package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Error codes of the gateway besides those of web.AppDoor.
const (
	codeUpstream oauth.Code = "upstream_unavailable"
	codeTimeout  oauth.Code = "upstream_timeout"
)

// forward sends the request on and the answer back. The token is what goes into its Authorization.
func (c *call) forward(w http.ResponseWriter, r *http.Request, g *generation, token string) error {
	bound, err := c.boundTo(r, token)
	if err != nil {
		return err
	}
	s := c.watch(w, r)
	defer c.unwatch(s)
	defer c.note(s.ctx)
	timer := time.AfterFunc(time.Duration(c.route.Timeout)*time.Second, func() { s.cancel(errTimeout) })
	defer timer.Stop()
	if !appsession.IsWebSocket(r) {
		r.Body = http.MaxBytesReader(w, r.Body, c.route.MaxBody)
	}
	var failure error
	proxy := &httputil.ReverseProxy{
		Transport:  withContext{s.ctx, g.transport},
		BufferPool: &c.buffers,
		ErrorLog:   silent, // what it would say is in the record of the request
		Rewrite:    func(p *httputil.ProxyRequest) { c.rewrite(p.Out, token, bound) },
		ModifyResponse: func(answer *http.Response) error {
			timer.Stop()
			s.begin()
			c.cleanAnswer(answer.Header, w.Header())
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failure = c.failure(s.ctx, r, err) },
	}
	proxy.ServeHTTP(w, r.WithContext(s.ctx))
	return failure
}

var silent = log.New(io.Discard, "", 0)

// withContext sends requests with a context that no proxy has hung its ears on: informational answers of an upstream
// (103) are not passed on, since their headers would replace ours.
type withContext struct {
	ctx       context.Context
	transport http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t withContext) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.transport.RoundTrip(r.WithContext(t.ctx))
}

// rewrite makes the request for the upstream: in the normal form that was matched, without anything that the caller says
// about itself, and with what we say.
func (c *call) rewrite(out *http.Request, token string, bound http.Header) {
	custom := ""
	if c.app != nil {
		custom = c.app.CustomHeader
	}
	clean(out.Header, custom)
	if c.session != nil {
		for _, name := range ofPages {
			out.Header.Del(name)
		}
	}
	c.introduce(out.Header, token)
	maps.Copy(out.Header, bound)
	out.URL = c.target(out.URL.RawQuery)
	out.Host = ""
	out.Trailer = nil // whatever would come after the body comes unchecked
}

// target is the address at the upstream.
func (c *call) target(query string) *url.URL {
	u, path, plain := *c.route.upstream, c.path, c.plain
	if c.route.StripPrefix && c.route.Path != "/" {
		path, plain = path[len(c.route.Path):], plain[len(c.route.Path):] // of unreserved characters: as long in both
	}
	if u.Path == "" && path == "" {
		path, plain = "/", "/"
	}
	u.RawPath, u.Path, u.RawQuery = u.Path+path, u.Path+plain, query
	return &u
}

// introduce says what we say about a request.
func (c *call) introduce(h http.Header, token string) {
	scheme := oauth.TypeBearer
	if c.route.Exchange == objects.ExchangeNone {
		scheme = c.who.Scheme
	}
	h.Set("Authorization", scheme+" "+token)
	h.Set("X-Request-Id", c.event.RequestID)
	if a := c.event.Peer.Address; a.IsValid() {
		h.Set("X-Forwarded-For", a.String())
	}
	h.Set("X-Forwarded-Host", strings.TrimPrefix(c.route.origin, "https://"))
	h.Set("X-Forwarded-Proto", "https")
}

// boundTo hands over what a token that goes on as it came is bound to: the proof, or the certificate (RFC 9440 §2). For a
// session the proof is made here, of the address outside, against which the API checks.
func (c *call) boundTo(r *http.Request, token string) (http.Header, error) {
	if c.route.Exchange != objects.ExchangeNone {
		return nil, nil
	}
	h, bound := http.Header{}, c.who.Confirmation
	if bound.X5T != "" && c.who.Certificate != nil {
		h.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(c.who.Certificate.Raw)+":")
	}
	switch {
	case bound.JKT == "":
		return h, nil
	case c.session == nil:
		h.Set("DPoP", c.credentials.Proof)
		return h, nil
	}
	signer, err := jose.NewSigner(c.session.Key)
	if err != nil {
		return nil, fmt.Errorf("key of session: %w", err)
	}
	proof, err := dpop.Make(signer, r.Method, c.route.origin+c.path, "", token, c.Now())
	if err != nil {
		return nil, fmt.Errorf("prove possession of the session's key: %w", err)
	}
	h.Set("DPoP", proof)
	return h, nil
}

var (
	errUpstream = oauth.Refuse(codeUpstream, "the API behind cannot be reached").WithStatus(http.StatusBadGateway)
	errLate     = oauth.Refuse(codeTimeout, "the API behind took too long").WithStatus(http.StatusGatewayTimeout)
)

// failure is what the caller gets to see of a request that did not come back.
func (c *call) failure(ctx context.Context, r *http.Request, err error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errTimeout):
		return errLate.With(err)
	case errors.Is(cause, errStale):
		return errBusy.With(err)
	case isEnded(cause):
		return c.ended(cause)
	case r.Context().Err() != nil:
		return fmt.Errorf("forward: %w", r.Context().Err())
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errBody
	}
	return errUpstream.With(err)
}

func isEnded(cause error) bool { return errors.Is(cause, errRevoked) || errors.Is(cause, errExpired) }

// ended is the refusal of a request whose token has ended on the way.
func (c *call) ended(cause error) error {
	if c.session != nil {
		return oauth.Refuse(web.TokenExpired, "the session has ended").With(cause)
	}
	refused := refuseToken("the access token has ended")
	refused.Err = cause
	return c.inScheme(refused)
}

// note leaves in the record why a request was ended amid its answer, also where that breaks off with a panic.
func (c *call) note(ctx context.Context) {
	if cause := context.Cause(ctx); isEnded(cause) || errors.Is(cause, errStale) {
		c.event.Cause(cause)
		c.event.SetCode(plainly(c.ended(cause)).Code)
	}
}

const interactionID = "X-Fapi-Interaction-Id"

// echo returns the id by which a client finds a request again in its own records, if it is one (FAPI 1.0 part 1, §6.2.1).
func (c *call) echo(w http.ResponseWriter, r *http.Request) {
	if ids := r.Header.Values(interactionID); len(ids) == 1 && isUUID(ids[0]) {
		w.Header().Set(interactionID, ids[0])
		return
	}
	r.Header.Del(interactionID)
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen != (s[i] == '-') || !hyphen && unhex(s[i]) > 15 {
			return false
		}
	}
	return true
}

// buffers lends the proxy what it copies with.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
