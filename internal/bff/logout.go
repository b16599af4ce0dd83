package bff

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
)

// left is the answer: where the browser goes to sign out of the issuer too.
type left struct {
	LogoutURL string `json:"logout_url,omitempty"`
}

// logout ends the session here, then its tokens at the issuer. An issuer that cannot be reached keeps nobody logged in.
func (e *Endpoints) logout(v *visit) error {
	e.clearCookies(v)
	s, err := e.live(v)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(v.Context())
	err = e.Sessions.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := e.end(tx, ctx, v.app, &s.Record, "logout")
		return err
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if c, err := v.issuer.client(v.app, e.Sessions.Ring); err != nil {
		web.EventOf(ctx).Cause(err)
	} else {
		e.revoke(ctx, c, s.Tokens)
	}
	return web.WriteJSON(v.w, http.StatusOK, left{e.logoutURL(ctx, v)})
}

// clearCookies takes the session and all logins of the application away.
func (e *Endpoints) clearCookies(v *visit) {
	appsession.ClearSession(v.w, v.Request, v.app)
	for _, l := range e.pendingLogins(v) {
		appsession.ClearCookie(v.w, v.app, loginCookie(v.app, l.State))
	}
}

// logoutURL is the logout of OpenID Connect RP-Initiated Logout 1.0 §2; "" for an issuer that has none. It names the
// client and carries no id_token_hint: pages read this address, and no token is for them.
func (e *Endpoints) logoutURL(ctx context.Context, v *visit) string {
	m, err := v.issuer.describe(ctx)
	if err != nil || m.EndSessionEndpoint == "" {
		web.EventOf(ctx).Cause(err)
		return ""
	}
	q := url.Values{"client_id": {v.app.ClientID}}
	if v.app.PostLogoutRedirectURI != "" {
		q.Set("post_logout_redirect_uri", v.app.PostLogoutRedirectURI)
	}
	address, err := withQuery(m.EndSessionEndpoint, q)
	web.EventOf(ctx).Cause(err)
	return address
}

// revoke tells the issuer that tokens are not needed any more (RFC 7009 §2.1): the refresh token, which takes what was
// issued from it along, or the access token where it is all there is. That it does not work is for the log alone.
func (e *Endpoints) revoke(ctx context.Context, c *client, t appsession.Tokens) {
	token, hint := t.RefreshToken.Reveal(), "refresh_token"
	if token == "" {
		token, hint = t.AccessToken, "access_token"
	}
	if token == "" {
		return
	}
	m, err := c.describe(ctx)
	if err == nil && m.RevocationEndpoint != "" {
		_, err = c.post(ctx, m.RevocationEndpoint, url.Values{"token": {token}, "token_type_hint": {hint}}, jose.Key{})
	}
	if err != nil {
		web.EventOf(ctx).Cause(errors.Join(errors.New("tokens were not revoked"), err))
	}
}
