package tokeninfo

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// serveUserinfo answers with claims about the person of the token (OpenID Connect Core §5.3), as JSON, or signed where
// the client registered that.
func (e *Endpoints) serveUserinfo(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("DPoP") != "" {
		w.Header().Set("DPoP-Nonce", e.Nonces.Current(e.Now()))
	}
	p, err := e.present(r)
	if err != nil {
		return err
	}
	c, err := e.accept(r.Context(), p)
	if err != nil {
		return err
	}
	client, claims, err := e.userinfo(r.Context(), c)
	if err != nil {
		return err
	}
	sealed, err := e.Tokens.SealUserinfo(r.Context(), client, claims)
	switch {
	case err != nil:
		return err
	case sealed != "":
		writeJWT(w, mediaJWT, sealed) // OpenID Connect Core §5.3.2
		return nil
	}
	return web.WriteJSON(w, http.StatusOK, claims)
}

// accept takes the token, or says what is wrong with it.
func (e *Endpoints) accept(ctx context.Context, p *presented) (*tokens.Claims, error) {
	c, err := e.Tokens.Inspect(ctx, p.token)
	if errors.Is(err, tokens.ErrInactive) {
		return nil, oauth.Refuse(oauth.InvalidToken, "the access token is not valid")
	}
	if err != nil {
		return nil, fmt.Errorf("inspect token: %w", err)
	}
	web.EventOf(ctx).SetClient(c.ClientID)
	if err := e.checkBinding(ctx, p, c); err != nil {
		return nil, err
	}
	switch {
	case !c.HasScope(oauth.ScopeOpenID):
		return nil, oauth.Refuse(oauth.InsufficientScope, "the scope openid is needed")
	case !c.IsFor(e.Issuer):
		return nil, oauth.Refuse(oauth.InvalidToken, "the access token is not for this resource")
	}
	return c, nil
}

// presented is an access token as it came, with what proves that the caller may use it.
type presented struct {
	token  string
	dpop   bool     // in the scheme DPoP, else Bearer
	proofs []string // DPoP header fields
	method string
	url    string
	peer   web.Peer
}

// errNoToken is the answer to a request without a token: a challenge without an error (RFC 6750 §3.1).
var errNoToken = oauth.Refuse(oauth.InvalidToken, "").WithStatus(http.StatusUnauthorized)

// present finds the token: in the Authorization header, or in the form of a POST (RFC 6750 §2.1, §2.2), never in the
// address, and in one place only.
func (e *Endpoints) present(r *http.Request) (*presented, error) {
	p := &presented{proofs: r.Header.Values("DPoP"), method: r.Method, peer: web.EventOf(r.Context()).Peer}
	p.url = e.url(p.peer.Host, "/userinfo")
	inForm, err := tokenInForm(r)
	if err != nil {
		return nil, err
	}
	header := r.Header.Values("Authorization")
	switch {
	case len(header) > 1 || len(header) == 1 && inForm != "":
		return nil, oauth.Refuse(oauth.InvalidRequest, "the access token is given more than once")
	case len(header) == 1:
		return p, p.fromHeader(header[0])
	case inForm != "":
		p.token = inForm
		return p, nil
	}
	return nil, errNoToken
}

func tokenInForm(r *http.Request) (string, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || err != nil || media != "application/x-www-form-urlencoded" {
		return "", nil
	}
	form, err := web.Form(r)
	if err != nil {
		return "", err
	}
	return form.Get("access_token"), nil
}

// fromHeader reads the scheme, whose case does not count (RFC 9110 §11.1), and the token.
func (p *presented) fromHeader(value string) error {
	scheme, token, _ := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(scheme, oauth.TypeDPoP):
		p.dpop = true
	case !strings.EqualFold(scheme, oauth.TypeBearer):
		return errNoToken
	}
	p.token = strings.TrimLeft(token, " ")
	if p.token == "" {
		return oauth.Refuse(oauth.InvalidRequest, "the access token is missing")
	}
	return nil
}
