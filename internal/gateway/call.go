package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// call is one request on its way through.
type call struct {
	*gateway
	event    *web.Event
	path     string // in normal form
	plain    string // the same, decoded
	route    *route // nil: none was found
	methods  []string
	metadata http.Handler // where the request is for that

	app     *objects.Application // nil: the route takes no cookies
	browser bool                 // refusals look as pages expect them

	credentials resource.Credentials
	who         *resource.Principal
	session     *appsession.Session // nil: the request came with a token
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := g.find(r)
	web.Through(c.door, func(w http.ResponseWriter, r *http.Request) error {
		c.echo(w, r)
		if c.app != nil && appsession.CORS(w, r, c.app, c.methods...) {
			return nil
		}
		if err != nil {
			return err
		}
		return c.serve(w, r)
	}).ServeHTTP(w, r)
}

func (c *call) serve(w http.ResponseWriter, r *http.Request) error {
	if c.metadata != nil {
		c.metadata.ServeHTTP(w, r)
		return nil
	}
	if err := c.checkShape(r); err != nil {
		return err
	}
	for range 2 {
		err := c.pass(w, r)
		if !errors.Is(err, errGeneration) {
			return err
		}
	}
	return errGeneration // two certificates in a moment
}

// checkShape refuses what no credential makes good.
func (c *call) checkShape(r *http.Request) error {
	if r.Header.Get("Upgrade") != "" && !appsession.IsWebSocket(r) {
		r.Header.Del("Upgrade") // an offer that need not be taken (RFC 9110 §7.8)
	}
	switch {
	case appsession.IsWebSocket(r) && !c.route.WebSocket:
		return oauth.Refuse(oauth.InvalidRequest, "there is no WebSocket here")
	case r.ContentLength > c.route.MaxBody:
		return errBody
	}
	return web.CheckHeaders(r)
}

var errBody = oauth.Refuse(oauth.InvalidRequest, "the body is too large").WithStatus(http.StatusRequestEntityTooLarge)

// pass decides with one certificate of ours, and forwards.
func (c *call) pass(w http.ResponseWriter, r *http.Request) error {
	g, err := c.Upstream.generation()
	if err != nil {
		return err
	}
	t, err := c.decide(r, g)
	if err != nil {
		return err
	}
	c.event.SetClient(c.who.ClientID)
	c.event.SetSubject(c.who.Subject)
	if c.who.Proof != nil && c.Nonces.Current(c.Now()) != c.who.Proof.Nonce {
		w.Header().Set("DPoP-Nonce", c.Nonces.Current(c.Now())) // RFC 9449 §8.2
	}
	onward, err := c.onward(r.Context(), t, g)
	if err != nil {
		return err
	}
	return c.forward(w, r, g, onward)
}

// decide finds out who sends the request and whether the route is open to them.
func (c *call) decide(r *http.Request, g *generation) (t *ticket, err error) {
	if c.who != nil { // already, with another certificate of ours: the proof is spent
		return c.ticket(r.Context(), g, c.credentials.Token)
	}
	cookie, err := c.credential(r)
	switch {
	case err != nil:
		return nil, err
	case cookie != "" || c.browser:
		t, err = c.bySession(r, g, cookie)
	default:
		t, err = c.byToken(r, g)
	}
	var p resource.Policy
	if err == nil {
		p, err = c.policy(r.Context())
	}
	if err == nil {
		err = c.route.verifier.Authorize(p, c.who)
	}
	if err != nil {
		c.who = nil
		return nil, err
	}
	return t, nil
}

// credential finds out which credential counts; the cookie where it does. A token in the address counts for nothing and is
// refused in any case.
func (c *call) credential(r *http.Request) (cookie string, err error) {
	inAddress := resource.Request{URL: r.URL, Header: http.Header{}}
	if _, err := c.route.verifier.Credentials(inAddress); isBadRequest(err) {
		return "", err
	}
	if c.app == nil {
		return "", nil
	}
	tokens, cookies := len(r.Header.Values("Authorization")), r.CookiesNamed(appsession.CookieName(c.app))
	switch {
	case len(cookies) == 0:
		return "", nil
	case tokens == 0, c.route.Prefer == "cookie":
		c.browser = true
		return appsession.Shown(r, c.app), nil
	case c.route.Prefer == "token":
		return "", nil
	}
	return "", oauth.Refuse(oauth.InvalidRequest, "there is a token and a cookie: send one")
}

func isBadRequest(err error) bool {
	c, ok := errors.AsType[*resource.Challenge](err)
	return ok && c.Code == oauth.InvalidRequest
}

// bySession takes the access token of the browser's session. Its key is in the session, so nothing is to be proved here.
func (c *call) bySession(r *http.Request, g *generation, cookie string) (t *ticket, err error) {
	if err := appsession.Admit(r, c.app); err != nil {
		return nil, err
	}
	if cookie == "" {
		return nil, oauth.Refuse(web.Unauthorized, "there is no session")
	}
	s, err := c.openSession(r.Context(), c.app, cookie)
	switch {
	case errors.Is(err, appsession.ErrNone):
		return nil, oauth.Refuse(web.SessionExpired, "the session is over")
	case err != nil:
		return nil, err
	case s.Expired(c.Now()):
		return nil, errTokenExpired
	}
	c.session, c.credentials = s, resource.Credentials{Scheme: s.TokenType, Token: s.AccessToken}
	if s.Record.Issuer != c.Issuer {
		return c.foreign(s)
	}
	if t, err = c.ticket(r.Context(), g, s.AccessToken); err != nil {
		return nil, c.sessionToken(err)
	}
	c.who = &resource.Principal{Token: t.token, Scheme: s.TokenType}
	if c.revoked(c.who) || !c.Now().Before(t.token.ExpiresAt) {
		return nil, errTokenExpired
	}
	return t, nil
}

var errTokenExpired = oauth.Refuse(web.TokenExpired, "the access token of the session is not valid any more")

// sessionToken makes of a refusal of the session's token what the page can do about it: refresh, and see.
func (c *call) sessionToken(err error) error {
	if refused, ok := errors.AsType[*resource.Challenge](err); ok && refused.Code == oauth.InvalidToken {
		return errTokenExpired.With(errors.New(refused.Error())) // in words, or the door would show the challenge
	}
	return err
}

// foreign is the session of an application whose issuer is not ours. Its token came straight from there to the token
// handler and is not read here; it can only go on as it is.
func (c *call) foreign(s *appsession.Session) (*ticket, error) {
	if c.route.Exchange != objects.ExchangeNone {
		return nil, errors.New("the token of another issuer cannot be exchanged: set exchange to none on the route")
	}
	t := foreignToken(s)
	c.who = &resource.Principal{Token: t, Scheme: s.TokenType}
	return &ticket{token: t}, nil
}

// byToken takes the token of the Authorization header, with what proves that it is the caller's.
func (c *call) byToken(r *http.Request, g *generation) (t *ticket, err error) {
	v, request := c.route.verifier, c.request(r)
	if c.credentials, err = v.Credentials(request); err != nil {
		return nil, err
	}
	if t, err = c.ticket(r.Context(), g, c.credentials.Token); err != nil {
		return nil, c.inScheme(err)
	}
	if err := c.checkKind(t.token.Confirmation); err != nil {
		return nil, err
	}
	c.who, err = v.CheckBinding(r.Context(), t.token, c.credentials, request)
	return t, err
}

// request is what proofs are checked against: the path in normal form, and the certificate that the listener vouches for,
// which behind a hop that ends TLS is not the one of the connection.
func (c *call) request(r *http.Request) resource.Request {
	q := resource.Request{Method: r.Method, URL: &url.URL{Path: c.plain, RawPath: c.path, RawQuery: r.URL.RawQuery}, Header: r.Header}
	if cert := c.event.Peer.Certificate; cert != nil {
		q.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	}
	return q
}

// checkKind asks whether the route takes tokens bound like this one. Of a token with two bindings, both count.
func (c *call) checkKind(bound oauth.Confirmation) error {
	detail := ""
	switch {
	case bound.IsZero() && !(c.route.Takes(objects.CredentialBearer) && c.route.AllowBearerTokens):
		detail = "the access token is bound to nothing, which this route does not take"
	case bound.JKT != "" && !c.route.Takes(objects.CredentialDPoP):
		detail = "this route takes no tokens bound to DPoP keys"
	case bound.JKT == "" && bound.X5T != "" && !c.route.Takes(objects.CredentialCertificate):
		detail = "this route takes no tokens bound to certificates"
	default:
		return nil
	}
	return c.inScheme(&resource.Challenge{Status: http.StatusUnauthorized, Code: oauth.InvalidToken, Detail: detail})
}

// inScheme says in which scheme the refused token came.
func (c *call) inScheme(err error) error {
	if refused, ok := errors.AsType[*resource.Challenge](err); ok {
		own := *refused
		own.Scheme = c.credentials.Scheme
		return &own
	}
	return err
}

// onward is the token that goes to the upstream.
func (c *call) onward(ctx context.Context, t *ticket, g *generation) (string, error) {
	if c.route.Exchange != objects.ExchangeNone {
		onward, err := c.exchanged(ctx, t, g)
		if c.session != nil {
			return onward, c.sessionToken(err)
		}
		return onward, c.inScheme(err)
	}
	if c.who.Confirmation.IsZero() && !c.route.AllowBearerUpstream {
		return "", errors.New("a token that nothing binds may not be forwarded: set allow_bearer_upstream on the route")
	}
	return c.credentials.Token, nil
}
