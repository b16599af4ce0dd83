package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// maxAnswer bounds what the issuer answers, in bytes.
const maxAnswer = 64 << 10

// issuer is the issuer as its client sees it. The connection authenticates the client (RFC 8705 §2).
type issuer struct {
	id, base, client string
	http             *http.Client
	now              func() time.Time
}

func newIssuer(e *Endpoints) *issuer {
	return &issuer{
		id: e.Issuer, base: strings.TrimSuffix(e.IssuerURL, "/"), client: e.ClientID, now: e.Now,
		http: &http.Client{Transport: e.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// failed is an answer that is not the one asked for.
type failed struct {
	status int
	code   oauth.Code
}

func (f failed) Error() string { return fmt.Sprintf("the issuer answered %d %s", f.status, f.code) }

// post sends a form, escaped so that nothing in a token becomes another parameter, and reads the answer into v.
func (i *issuer) post(ctx context.Context, path string, form url.Values, v any) error {
	form.Set("client_id", i.client)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	answer, err := i.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(body) > maxAnswer:
		return errors.New("the answer of the issuer is too large")
	case answer.StatusCode != http.StatusOK:
		var refused struct {
			Error oauth.Code `json:"error"`
		}
		_ = json.Unmarshal(body, &refused) // it may be no JSON at all
		return failed{answer.StatusCode, oauth.Code(clip(string(refused.Error)))}
	}
	return jose.Unmarshal(body, v)
}

// clip keeps a code of somebody else short, for the log.
func clip(s string) string { return s[:min(len(s), 64)] }

// introspect asks about a token (RFC 7662 §2).
func (i *issuer) introspect(ctx context.Context, token string) (*oauth.Introspection, error) {
	answer := new(oauth.Introspection)
	err := i.post(ctx, "/introspect", url.Values{"token": {token}, "token_type_hint": {"access_token"}}, answer)
	if err != nil {
		return nil, fmt.Errorf("%w: introspect: %w", resource.ErrUnavailable, err)
	}
	return answer, nil
}

// errGeneration says that our certificate was changed while a token was exchanged.
var errGeneration = oauth.Refuse(oauth.TemporarilyUnavailable, "the certificate of the gateway is being changed").WithHeader("Retry-After", "1")

var errIssuer = oauth.Refuse(web.AuthorizationServer, "the token could not be exchanged").WithStatus(http.StatusBadGateway)

// exchange exchanges a token for one for another audience that is bound to our certificate (RFC 8693 §2). Errors:
// *resource.Challenge where the token is no good, errGeneration, an *oauth.Error where the issuer has failed.
func (i *issuer) exchange(ctx context.Context, token, audience string, g *generation) (*onward, error) {
	var answer oauth.TokenResponse
	err := i.post(ctx, "/token", url.Values{
		"grant_type": {oauth.GrantTokenExchange}, "subject_token": {token}, "subject_token_type": {oauth.TokenTypeAccess},
		"requested_token_type": {oauth.TokenTypeAccess}, "resource": {audience},
	}, &answer)
	switch refused, ok := errors.AsType[failed](err); {
	case ok && refused.status == http.StatusBadRequest && (refused.code == oauth.InvalidRequest || refused.code == oauth.InvalidGrant):
		c := refuseToken("the access token is not valid")
		c.Err = err
		return nil, c
	case ok && refused.code == oauth.InvalidScope:
		return nil, &resource.Challenge{
			Status: http.StatusForbidden, Code: oauth.InsufficientScope, Detail: "the access token has no scope of this API", Err: err,
		}
	case err != nil:
		return nil, errIssuer.With(fmt.Errorf("exchange: %w", err))
	}
	now := i.now()
	if err := i.checkExchanged(&answer, audience, g); err != nil {
		return nil, err
	}
	return &onward{answer.AccessToken, now.Add(time.Duration(answer.ExpiresIn)*time.Second - early)}, nil
}

// checkExchanged reads, without verifying what came over an authenticated connection, whether the token is the one asked
// for: for that API alone, and of no use to anybody but us.
func (i *issuer) checkExchanged(a *oauth.TokenResponse, audience string, g *generation) error {
	var claims struct {
		Issuer   string             `json:"iss"`
		Audience jose.Audience      `json:"aud"`
		Bound    oauth.Confirmation `json:"cnf"`
	}
	token, err := jose.Peek(a.AccessToken)
	if err == nil {
		err = token.Claims(&claims)
	}
	switch {
	case err != nil:
		return errIssuer.With(fmt.Errorf("read exchanged token: %w", err))
	case claims.Issuer != i.id || !slices.Equal(claims.Audience, jose.Audience{audience}) || !strings.EqualFold(a.TokenType, oauth.TypeBearer):
		return errIssuer.With(errors.New("the exchanged token is not the one asked for"))
	case claims.Bound.X5T != g.thumbprint:
		return errGeneration
	}
	return nil
}
