package bff

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// client is an application at its issuer.
type client struct {
	*issuer
	id     string
	signer *jose.Signer // of its assertions
}

func (i *issuer) client(app *objects.Application, ring *keys.Ring) (*client, error) {
	key, err := app.SigningKey(ring)
	if err != nil {
		return nil, err
	}
	s, err := jose.NewSigner(key)
	if err != nil {
		return nil, fmt.Errorf("use key of application: %w", err)
	}
	return &client{i, app.ClientID, s}, nil
}

// refusal is an error of RFC 6749 §5.2.
type refusal struct {
	status int
	code   oauth.Code
}

// Error is for the log.
func (r *refusal) Error() string {
	return fmt.Sprintf("the issuer refused with %d %s", r.status, r.code)
}

// post sends a form as the application, with a proof of key where it is a private one, and returns the body of the
// success. Errors: *refusal, and anything else for an issuer that has failed.
func (c *client) post(ctx context.Context, address string, form url.Values, key jose.Key) ([]byte, error) {
	body, demanded, err := c.try(ctx, address, form, key)
	if demanded { // the issuer has done nothing yet (RFC 9449 §8)
		body, _, err = c.try(ctx, address, form, key)
	}
	return body, err
}

// try sends the form once. demanded says that the issuer wants its nonce, which has just been learnt.
func (c *client) try(ctx context.Context, address string, form url.Values, key jose.Key) (body []byte, demanded bool, err error) {
	assertion, err := c.assertion()
	if err != nil {
		return nil, false, err
	}
	form.Set("client_id", c.id)
	form.Set("client_assertion_type", oauth.AssertionType)
	form.Set("client_assertion", assertion)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, false, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sent := ""
	if key.IsPrivate() {
		sent = c.lastNonce("")
		s, err := jose.NewSigner(key)
		if err != nil {
			return nil, false, fmt.Errorf("use key of session: %w", err)
		}
		proof, err := dpop.Make(s, http.MethodPost, address, sent, "", c.now())
		if err != nil {
			return nil, false, fmt.Errorf("make proof: %w", err)
		}
		r.Header.Set("DPoP", proof)
	}
	status, h, body, err := c.do(r)
	if err != nil {
		return nil, false, fmt.Errorf("call issuer: %w", err)
	}
	nonce := c.lastNonce(h.Get("DPoP-Nonce"))
	if status == http.StatusOK || status == http.StatusCreated {
		return body, false, nil
	}
	why := &refusal{status: status}
	var said struct {
		Error oauth.Code `json:"error"`
	}
	if status < 400 || status >= 500 || jose.Unmarshal(body, &said) != nil || !isCode(said.Error) {
		return nil, false, fmt.Errorf("call issuer: the answer has status %d", status)
	}
	why.code = said.Error
	return nil, said.Error == oauth.UseDPoPNonce && key.IsPrivate() && nonce != sent, why
}

// isCode says whether an error code has the characters of RFC 6749 §5.2, so that it can be shown.
func isCode(code oauth.Code) bool {
	return code != "" && len(code) <= 64 && strings.Trim(string(code), "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// lastNonce is the newest nonce of the issuer, after noting the one given if it is one.
func (i *issuer) lastNonce(given string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if given != "" && len(given) <= 1024 {
		i.nonce = given
	}
	return i.nonce
}

// assertion authenticates the application (RFC 7523 §3), with the issuer as its only audience.
func (c *client) assertion() (string, error) {
	now := c.now()
	a, err := c.signer.Sign("JWT", map[string]any{
		"iss": c.id, "sub": c.id, "aud": c.issuer.id, "jti": store.NewID(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("make assertion: %w", err)
	}
	return a, nil
}

// shown is what pages see of a call that failed: their own parameters may be the reason for some refusals, for the rest
// they can do nothing.
func shown(err error) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		if _, ok := errors.AsType[*oauth.Error](err); ok {
			return err
		}
		return unavailable(err)
	}
	switch r.code {
	case oauth.InvalidScope, oauth.InvalidTarget, oauth.InvalidRequest, oauth.InvalidGrant, oauth.AccessDenied:
		return oauth.Refuse(web.AuthorizationError, "the authorization server answered "+string(r.code)).With(err)
	}
	return oauth.Refuse(web.AuthorizationServer, "the authorization server answered "+string(r.code)).With(err)
}
