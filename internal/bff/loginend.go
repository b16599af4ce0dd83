package bff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// endLogin takes the issuer's answer, which a page of the application was sent to and passes on as it is. A page that is
// loaded once more, or in a second tab, passes on what has been answered already: if somebody is logged in, that is the
// answer, and the session stays.
func (e *Endpoints) endLogin(v *visit) error {
	form, err := v.parameters()
	if err != nil {
		return err
	}
	if !form.Has("state") || !form.Has("code") && !form.Has("error") {
		return oauth.Refuse(oauth.InvalidRequest, "the parameters are not those of an authorization response")
	}
	l, err := e.takeLogin(v, form.Get("state"))
	if err == nil {
		err = e.spendLogin(v.Context(), l)
	}
	if err != nil {
		s, serr := e.open(v)
		if serr == nil {
			return e.describe(v, s)
		}
		if !errors.Is(serr, appsession.ErrNone) {
			return serr
		}
		return err
	}
	if err := v.issuer.checkResponse(v.Context(), form); err != nil {
		return err
	}
	s, err := e.redeem(v, l, form.Get("code"))
	if err != nil {
		return err
	}
	if err := e.Sessions.SetCookie(v.w, v.app, s); err != nil {
		return err
	}
	return e.describe(v, s)
}

// spendLogin uses a login up. It comes before the code is redeemed: a code that is redeemed twice takes its tokens along.
func (e *Endpoints) spendLogin(ctx context.Context, l *login) error {
	err := e.Sessions.DB.Spend(ctx, store.Spend{Kind: "login", Key: l.State, Until: l.Began.Add(loginLife)})
	if errors.Is(err, store.ErrTaken) {
		return oauth.Refuse(web.LoginExpired, "the login has been answered before").With(err)
	}
	if err != nil {
		return fmt.Errorf("spend login: %w", err)
	}
	return nil
}

// checkResponse asks whether the answer is this issuer's (RFC 9207 §2.4), and whether it is a refusal.
func (i *issuer) checkResponse(ctx context.Context, form url.Values) error {
	m, err := i.describe(ctx)
	if err != nil {
		return err
	}
	iss := form.Get("iss")
	if iss != "" && iss != i.id || iss == "" && m.AuthorizationResponseIssParameter {
		return oauth.Refuse(web.InvalidState, "the answer does not name the issuer that was asked")
	}
	code := oauth.Code(form.Get("error"))
	switch {
	case !form.Has("error"):
		return nil
	case code == oauth.LoginRequired:
		return oauth.Refuse(oauth.LoginRequired, "the authorization server answered login_required")
	case isCode(code) && slices.Contains(responseErrors, code):
		return oauth.Refuse(web.AuthorizationError, "the authorization server answered "+string(code))
	}
	return oauth.Refuse(web.AuthorizationError, "the authorization server answered with an error of its own")
}

// responseErrors are those of RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6. Others are not repeated.
var responseErrors = []oauth.Code{
	oauth.InvalidRequest, oauth.UnauthorizedClient, oauth.AccessDenied, oauth.UnsupportedResponseType, oauth.InvalidScope,
	oauth.ServerError, oauth.TemporarilyUnavailable, oauth.InteractionRequired, oauth.ConsentRequired,
	oauth.AccountSelectionRequired, oauth.InvalidTarget,
}

// redeem exchanges the code, checks what comes back and begins the session. The session that the browser had is over.
func (e *Endpoints) redeem(v *visit, l *login, code string) (*appsession.Session, error) {
	// The code is gone with the attempt, so a page that leaves shall not break it off.
	ctx := context.WithoutCancel(v.Context())
	c, err := v.issuer.client(v.app, e.Sessions.Ring)
	if err != nil {
		return nil, err
	}
	g := grant{client: c, expect: expectation{clientID: v.app.ClientID, nonce: l.Nonce, maxAge: l.MaxAge, required: hasScope(l.Scope, oauth.ScopeOpenID)}}
	if l.Key != nil {
		if g.key, err = jose.ParseKey(l.Key); err != nil {
			return nil, fmt.Errorf("read key of login: %w", err)
		}
	}
	g.allowBearer = v.app.AllowBearerTokens
	form := url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {v.app.RedirectURI}, "code_verifier": {l.Verifier}}
	if len(v.app.Resources) > 0 {
		form.Set("resource", v.app.Resources[0]) // a token is for one (RFC 8707 §2.2)
	}
	tokens, id, err := g.ask(ctx, form)
	if b, ok := errors.AsType[*broken](err); ok {
		e.revoke(ctx, c, b.tokens)
	}
	if err != nil {
		return nil, shown(err)
	}
	if tokens.Scope == "" {
		tokens.Scope = l.Scope // RFC 6749 §5.1
	}
	return e.begin(ctx, v, c, tokens, id)
}

func (e *Endpoints) begin(ctx context.Context, v *visit, c *client, tokens appsession.Tokens, id identity) (s *appsession.Session, err error) {
	old, err := e.Sessions.FromRequest(v.Request, v.app)
	if err != nil && !errors.Is(err, appsession.ErrNone) {
		return nil, err
	}
	draft := store.AppSession{Issuer: c.issuer.id, Subject: id.Subject, SID: id.SessionID}
	if tokens.RefreshToken == "" {
		draft.ExpiresAt = tokens.AccessExpiresAt
	}
	err = e.Sessions.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if s, err = e.Sessions.New(tx, v.app, draft, tokens); err != nil {
			return err
		}
		if old != nil {
			if _, err := e.end(tx, ctx, v.app, &old.Record, "another login in the same browser"); err != nil {
				return err
			}
		}
		return audit.Add(tx, record(ctx, "app_session.begin", &s.Record))
	})
	if err != nil {
		e.revoke(ctx, c, tokens)
		return nil, fmt.Errorf("begin session: %w", err)
	}
	web.EventOf(ctx).SetSubject(id.Subject)
	if old != nil && old.Record.Issuer == c.issuer.id {
		e.revoke(ctx, c, old.Tokens)
	}
	return s, nil
}

// grant is one call of the token endpoint.
type grant struct {
	*client
	key         jose.Key // to which the tokens shall be bound; the zero key for none
	allowBearer bool
	expect      expectation
}

// tokenAnswer is oauth.TokenResponse, less what issuers differ in.
type tokenAnswer struct {
	AccessToken  string   `json:"access_token"`
	TokenType    string   `json:"token_type"`
	ExpiresIn    *float64 `json:"expires_in"`
	RefreshToken string   `json:"refresh_token"`
	Scope        string   `json:"scope"`
	IDToken      string   `json:"id_token"`
}

// ask sends the form and checks the answer (RFC 6749 §5.1, RFC 9449 §5, OpenID Connect Core §3.1.3.3).
func (g *grant) ask(ctx context.Context, form url.Values) (t appsession.Tokens, id identity, err error) {
	m, err := g.describe(ctx)
	if err != nil {
		return t, id, err
	}
	asked := g.now()
	body, err := g.post(ctx, m.TokenEndpoint, form, g.key)
	if err != nil {
		return t, id, err
	}
	var a tokenAnswer
	if err := jose.Unmarshal(body, &a); err != nil {
		return t, id, fmt.Errorf("read tokens: %w", err)
	}
	t = appsession.Tokens{
		AccessToken: a.AccessToken, Scope: a.Scope, RefreshToken: keys.Secret(a.RefreshToken), IDToken: keys.Secret(a.IDToken), Key: g.key,
	}
	if a.AccessToken == "" || !isTokenText(a.AccessToken) {
		return t, id, &broken{t, errors.New("the answer has no access token")}
	}
	if a.ExpiresIn != nil {
		t.AccessExpiresAt = asked.Add(time.Duration(min(max(*a.ExpiresIn, 0), maxExpiresIn)) * time.Second)
	}
	switch {
	case g.key.IsPrivate() && strings.EqualFold(a.TokenType, oauth.TypeDPoP):
		t.TokenType = oauth.TypeDPoP
	case g.allowBearer && strings.EqualFold(a.TokenType, oauth.TypeBearer):
		t.TokenType = oauth.TypeBearer
	default:
		return t, id, &broken{t, errors.New("the tokens are not bound to the key of the session")}
	}
	id, t.IDClaims, err = g.identify(ctx, a.IDToken, a.AccessToken, g.expect)
	if err != nil {
		return t, id, &broken{t, err}
	}
	return t, id, nil
}

const maxExpiresIn = 10 * 365 * 24 * 60 * 60 // seconds

// isTokenText says whether a token can stand in a header (RFC 9110 §11.2).
func isTokenText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// broken is an answer whose tokens must not be used. They exist all the same.
type broken struct {
	tokens appsession.Tokens
	err    error
}

// Error is for the log.
func (b *broken) Error() string { return "the tokens of the issuer are refused: " + b.err.Error() }

// Unwrap gives the reason.
func (b *broken) Unwrap() error { return b.err }

// identity is what a session keeps of an ID token in clear.
type identity struct {
	Subject   string
	SessionID string
}

// identify checks the ID token of an answer and returns its claims.
func (i *issuer) identify(ctx context.Context, compact, access string, e expectation) (identity, json.RawMessage, error) {
	if compact == "" {
		if e.required {
			return identity{}, nil, errors.New("the answer has no ID token")
		}
		return identity{}, nil, nil
	}
	token, err := i.verify(ctx, compact)
	if err != nil {
		return identity{}, nil, fmt.Errorf("verify ID token: %w", err)
	}
	c, err := e.check(token, i.id, access, i.now())
	if err != nil {
		return identity{}, nil, fmt.Errorf("check ID token: %w", err)
	}
	return identity{c.Subject, c.SessionID}, json.RawMessage(token.Payload), nil
}
