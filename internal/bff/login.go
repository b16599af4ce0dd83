package bff

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	loginLife = 10 * time.Minute
	maxLogins = 5 // of one application in one browser: tabs in which somebody has not finished
	stateTail = 8 // characters
)

// login is a login that has begun: what the answer of the issuer will be held against. The browser keeps it, sealed.
type login struct {
	State    string          `json:"s"`
	Nonce    string          `json:"n"`
	Verifier string          `json:"v"` // RFC 7636 §4.1
	Key      json.RawMessage `json:"k,omitempty"`
	Issuer   string          `json:"i"`
	ClientID string          `json:"c"`
	Scope    string          `json:"sc"`
	MaxAge   *int64          `json:"ma,omitempty"` // seconds, where the pages asked for it
	Began    time.Time       `json:"b"`
}

// loginCookie is the name of the cookie of a login, with a part that is its own: tabs do not disturb each other.
func loginCookie(app *objects.Application, state string) string {
	sum := sha256.Sum256([]byte(state))
	return appsession.LoginCookiePrefix(app) + base64.RawURLEncoding.EncodeToString(sum[:])[:stateTail]
}

type started struct {
	AuthorizationURL string `json:"authorization_url"`
}

// startLogin makes an authorization request (OAuth 2.1 §4.1.1) and returns where the browser has to go with it.
func (e *Endpoints) startLogin(v *visit) error {
	extras, err := v.extras()
	if err != nil {
		return err
	}
	if e.Logins != nil && !e.Logins.Allow(limit.Address(web.EventOf(v.Context()).Peer.Prefix)) {
		return oauth.Refuse(web.TooManyRequests, "this address has begun too many logins").WithHeader("Retry-After", "10")
	}
	m, err := v.issuer.describe(v.Context())
	if err != nil {
		return err
	}
	l, jkt, err := e.newLogin(v, m, extras)
	if err != nil {
		return err
	}
	target, err := e.authorizationURL(v.Context(), v, m, l.parameters(v.app, extras, jkt))
	if err != nil {
		return err
	}
	if err := e.keepLogin(v, l); err != nil {
		return err
	}
	return web.WriteJSON(v.w, http.StatusOK, started{target})
}

func (e *Endpoints) newLogin(v *visit, m *oauth.ServerMetadata, extras url.Values) (l *login, jkt string, err error) {
	l = &login{
		State: keys.NewSecret().Reveal(), Nonce: keys.NewSecret().Reveal(), Verifier: keys.NewSecret().Reveal(),
		Issuer: v.issuer.id, ClientID: v.app.ClientID, Scope: v.app.Scope, Began: e.Sessions.Now(),
	}
	if s := extras.Get("scope"); s != "" {
		l.Scope = s
	}
	if text := extras.Get("max_age"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return nil, "", oauth.Refuse(oauth.InvalidRequest, "max_age is not a number of seconds")
		}
		l.MaxAge = &n
	}
	if !slices.Contains(m.DPoPSigningAlgs, string(jose.ES256)) {
		if !v.app.AllowBearerTokens {
			return nil, "", unavailable(errors.New("the issuer does not bind tokens by DPoP, and the application does not allow bearer tokens"))
		}
		return l, "", nil
	}
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		return nil, "", err
	}
	l.Key, err = key.MarshalJSON()
	return l, key.Thumbprint(), err
}

// parameters are those of the authorization request. What the pages add cannot replace any of ours.
func (l *login) parameters(app *objects.Application, extras url.Values, jkt string) url.Values {
	challenge := sha256.Sum256([]byte(l.Verifier))
	q := url.Values{}
	for name, values := range extras {
		q[name] = slices.Clone(values)
	}
	q.Set("response_type", "code")
	q.Set("client_id", l.ClientID)
	q.Set("redirect_uri", app.RedirectURI)
	q.Set("scope", l.Scope)
	q.Set("state", l.State)
	q.Set("nonce", l.Nonce)
	q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:]))
	q.Set("code_challenge_method", "S256")
	if jkt != "" {
		q.Set("dpop_jkt", jkt) // RFC 9449 §10
	}
	q["resource"] = slices.Clone(app.Resources)
	return q
}

// authorizationURL pushes the request (RFC 9126), or puts it into the address for an issuer that does not take it so.
func (e *Endpoints) authorizationURL(ctx context.Context, v *visit, m *oauth.ServerMetadata, q url.Values) (string, error) {
	if m.PushedAuthorizationRequestEndpoint == "" {
		return withQuery(m.AuthorizationEndpoint, q)
	}
	c, err := v.issuer.client(v.app, e.Sessions.Ring)
	if err != nil {
		return "", err
	}
	body, err := c.post(ctx, m.PushedAuthorizationRequestEndpoint, q, jose.Key{})
	if err != nil {
		return "", shown(err)
	}
	var pushed oauth.PushedResponse
	if err := jose.Unmarshal(body, &pushed); err != nil || pushed.RequestURI == "" {
		return "", unavailable(errors.New("the answer to the pushed request cannot be read"))
	}
	return withQuery(m.AuthorizationEndpoint, url.Values{"client_id": {v.app.ClientID}, "request_uri": {pushed.RequestURI}})
}

func withQuery(endpoint string, q url.Values) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("parse endpoint: %w", err)
	}
	all := u.Query()
	for name, values := range q {
		all[name] = values
	}
	u.RawQuery = all.Encode()
	return u.String(), nil
}

// keepLogin gives the browser the login, and makes room for it.
func (e *Endpoints) keepLogin(v *visit, l *login) error {
	pending := e.pendingLogins(v)
	for len(pending) >= maxLogins {
		appsession.ClearCookie(v.w, v.app, loginCookie(v.app, pending[0].State))
		pending = pending[1:]
	}
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write login: %w", err)
	}
	name := loginCookie(v.app, l.State)
	appsession.SetCookie(v.w, v.app, name, e.Sessions.SealCookie(v.app, name, body), loginLife)
	return nil
}

// pendingLogins are those the browser has cookies of, oldest first. What does not open is not ours to count.
func (e *Endpoints) pendingLogins(v *visit) []*login {
	var pending []*login
	prefix := appsession.LoginCookiePrefix(v.app)
	for _, c := range web.CookiesWith(v.Request, prefix) {
		if l, ok := e.openLogin(v.app, c.Name, c.Value); ok && len(c.Name) == len(prefix)+stateTail {
			pending = append(pending, l)
		}
	}
	slices.SortFunc(pending, func(a, b *login) int { return a.Began.Compare(b.Began) })
	return pending
}

func (e *Endpoints) openLogin(app *objects.Application, name, sealed string) (*login, bool) {
	body, ok := e.Sessions.OpenCookie(app, name, sealed)
	if !ok {
		return nil, false
	}
	l := new(login)
	if json.Unmarshal(body, l) != nil || loginCookie(app, l.State) != name {
		return nil, false
	}
	return l, true
}

// takeLogin finds the login that an answer of the issuer belongs to, and takes its cookie away.
func (e *Endpoints) takeLogin(v *visit, state string) (*login, error) {
	if state == "" || len(state) > maxParameter {
		return nil, oauth.Refuse(oauth.InvalidRequest, "state is missing")
	}
	name := loginCookie(v.app, state)
	sealed := web.Cookie(v.Request, name)
	if sealed == "" {
		if len(e.pendingLogins(v)) > 0 {
			return nil, oauth.Refuse(web.InvalidState, "this browser has logins, but not this one")
		}
		return nil, oauth.Refuse(web.LoginExpired, "this browser has no login")
	}
	appsession.ClearCookie(v.w, v.app, name)
	l, ok := e.openLogin(v.app, name, sealed)
	switch {
	case !ok || !keys.Equal(l.State, state) || l.Issuer != v.issuer.id || l.ClientID != v.app.ClientID:
		return nil, oauth.Refuse(web.InvalidState, "the cookie is not that of the login")
	case !e.Sessions.Now().Before(l.Began.Add(loginLife)):
		return nil, oauth.Refuse(web.LoginExpired, "the login began too long ago")
	}
	return l, nil
}

const maxParameter = 4096 // bytes of what an issuer may answer in one

// hasScope says whether a scope is in a list of RFC 6749 §3.3.
func hasScope(list, scope string) bool { return slices.Contains(strings.Fields(list), scope) }
