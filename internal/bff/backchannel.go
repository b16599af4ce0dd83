package bff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// logoutClaims are those of OpenID Connect Back-Channel Logout 1.0 §2.4.
type logoutClaims struct {
	Issuer    string                     `json:"iss"`
	Subject   string                     `json:"sub"`
	Audience  jose.Audience              `json:"aud"`
	IssuedAt  jose.NumericDate           `json:"iat"`
	ExpiresAt jose.NumericDate           `json:"exp"`
	ID        string                     `json:"jti"`
	Events    map[string]json.RawMessage `json:"events"`
	SessionID string                     `json:"sid"`
	Nonce     json.RawMessage            `json:"nonce"`
}

const (
	logoutEvent  = "http://schemas.openid.net/event/backchannel-logout"
	logoutMaxAge = 10 * time.Minute // since iat
	logoutMaxLen = 256              // bytes of jti
)

// backchannel ends sessions on the word of the issuer (Back-Channel Logout 1.0 §2.5 to §2.8). No browser takes part, so
// nothing of what pages need applies. The answer is 200, or 400 for whatever went wrong.
func (e *Endpoints) backchannel(w http.ResponseWriter, r *http.Request) error {
	err := e.logoutByIssuer(r)
	if err == nil {
		web.NoStore(w.Header())
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if _, ok := errors.AsType[*oauth.Error](err); ok {
		return err
	}
	return oauth.Refuse(oauth.ServerError, "the sessions could not be ended").WithStatus(http.StatusBadRequest).With(err)
}

func (e *Endpoints) logoutByIssuer(r *http.Request) error {
	app, err := e.application(r)
	if err != nil {
		return err
	}
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	i := e.issuerOf(app)
	c, err := i.checkLogout(r.Context(), form.Get("logout_token"), app.ClientID)
	if err != nil {
		bad := oauth.Refuse(oauth.InvalidRequest, "the logout token is not valid").With(err)
		return bad.WithStatus(http.StatusBadRequest)
	}
	ctx := r.Context()
	replayed := false
	err = e.Sessions.DB.Write(ctx, func(tx *store.Tx) error {
		err := tx.Spend(store.Spend{Kind: "logout", Key: app.Name + "\x00" + i.id + "\x00" + c.ID, Until: c.ExpiresAt.Add(clockSkew)})
		if replayed = errors.Is(err, store.ErrTaken); err != nil {
			return err
		}
		ended, err := e.Sessions.EndAll(tx, app, i.id, c.Subject, c.SessionID)
		for k := range ended {
			err = errors.Join(err, ending(tx, ctx, &ended[k], "back-channel logout"))
		}
		return err
	})
	if replayed {
		return oauth.Refuse(oauth.InvalidRequest, "the logout token was used before").With(err)
	}
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return nil
}

// checkLogout verifies a logout token (§2.6).
func (i *issuer) checkLogout(ctx context.Context, compact, clientID string) (*logoutClaims, error) {
	token, err := i.verify(ctx, compact)
	if err != nil {
		return nil, err
	}
	c := new(logoutClaims)
	if err := token.Claims(c); err != nil {
		return nil, err
	}
	now := i.now()
	switch {
	case token.Type != "" && token.Type != "jwt" && token.Type != "logout+jwt":
		return nil, errors.New("typ is that of another kind of token")
	case c.Issuer != i.id:
		return nil, errors.New("iss is not the issuer")
	case !slices.Contains(c.Audience, clientID):
		return nil, errors.New("aud is not the application")
	case c.IssuedAt.IsZero() || c.IssuedAt.After(now.Add(clockSkew)) || c.IssuedAt.Before(now.Add(-logoutMaxAge)):
		return nil, errors.New("iat is missing, in the future or long ago")
	case !now.Before(c.ExpiresAt.Add(clockSkew)) || c.ExpiresAt.After(now.Add(24*time.Hour)):
		return nil, errors.New("exp is missing, past or far ahead")
	case c.Subject == "" && c.SessionID == "":
		return nil, errors.New("neither sub nor sid is there")
	case !isObject(c.Events[logoutEvent]):
		return nil, errors.New("events is not a logout")
	case c.Nonce != nil:
		return nil, errors.New("nonce is there")
	case c.ID == "" || len(c.ID) > logoutMaxLen:
		return nil, errors.New("jti is missing or too long")
	}
	return c, nil
}

func isObject(raw json.RawMessage) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(raw, &members) == nil && members != nil
}
