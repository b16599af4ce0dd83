// Package request checks an authorization request (RFC 6749 §4.1.1 as OAuth 2.1 leaves it, RFC 7636, RFC 8707, RFC
// 9126, RFC 9207, RFC 9449 §10, OpenID Connect Core §3.1.2) and completes it with a code.
//
// It is used wherever such a request arrives, in a browser or pushed. It knows no page and no session: who signs in,
// and whether they agree, is decided by internal/flow.
package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Authorization is a checked request in its normal form. It travels sealed in a cookie, hence the short names.
type Authorization struct {
	ClientID      string   `json:"c"`
	RedirectURI   string   `json:"r"`
	Scope         []string `json:"s,omitempty"`
	Resources     []string `json:"a,omitempty"`
	State         string   `json:"t,omitempty"`
	Nonce         string   `json:"n,omitempty"`
	CodeChallenge string   `json:"k,omitempty"`
	Prompt        []string `json:"p,omitempty"`
	MaxAge        *int64   `json:"m,omitempty"` // seconds
	LoginHint     string   `json:"h,omitempty"`
	DPoPJKT       string   `json:"j,omitempty"`
	ResponseMode  string   `json:"y,omitempty"`
	ACRValues     []string `json:"v,omitempty"` // wished for, in order of preference
	RequiredACR   []string `json:"x,omitempty"` // demanded: acr has to be one of them
	UILocales     []string `json:"g,omitempty"`
	Display       string   `json:"d,omitempty"`
	Subjects      []string `json:"u,omitempty"` // whose answer is wanted: one of these, as the client knows them
	// Claims is the parameter claims (OIDC Core §5.5), Details is authorization_details (RFC 9396 §2), both checked.
	Claims  json.RawMessage `json:"l,omitempty"`
	Details json.RawMessage `json:"e,omitempty"`
	// ClaimScopes are scopes of which only claims are asked for, by name. The person agrees to them like to Scope; the
	// client gets nothing by them but those claims.
	ClaimScopes []string `json:"w,omitempty"`
	// AskAgain is for details of a type that is asked for every time, whatever was allowed before.
	AskAgain bool `json:"f,omitempty"`
}

// Prompts says whether a value is among those of prompt.
func (a *Authorization) Prompts(value string) bool { return slices.Contains(a.Prompt, value) }

// Checker checks the requests of one issuer, and makes the answers to them.
type Checker struct {
	Issuer   string
	Registry *objects.Registry
	// Hint verifies an id_token_hint, which may have expired, and tells whom it is about; nil: none is taken.
	Hint func(client *objects.Client, token string) (subject string, err error)
	Now  func() time.Time
	// Verify checks a token with the registered keys of a client. kid is that of its header.
	Verify func(ctx context.Context, client *objects.Client, compact, kid string, algs []jose.Alg) (*jose.Token, error)
	// ObjectAt reads the request object at an address; nil: there is no reading.
	ObjectAt func(ctx context.Context, uri string) (string, error)
	// Decrypter has what request objects may be encrypted by; nil: they may not.
	Decrypter func() *jose.Decrypter
	// Signer and Encrypter seal answers.
	Signer    func(jose.Alg) (*jose.Signer, error)
	Encrypter func(ctx context.Context, client *objects.Client, alg, enc string) (*jose.Encrypter, error)
}

// bounds of parameters that travel on or are stored.
const (
	maxState = 2048
	maxNonce = 512
	maxHint  = 256
)

// Client finds the client of a request. Without a client there is nobody to redirect to.
func (c *Checker) Client(ctx context.Context, id string) (*objects.Client, error) {
	if id == "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "client_id is missing")
	}
	client, err := c.Registry.Client(ctx, id)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, oauth.Refuse(oauth.InvalidRequest, "this application is not known here").With(err)
	}
	if err != nil {
		return nil, fmt.Errorf("load client: %w", err)
	}
	return client, nil
}

// Check applies every rule to a request of this client. Once the target is certain it is returned with any error, which
// then belongs there; before, an error belongs on a page (RFC 6749 §4.1.2.1).
func (c *Checker) Check(ctx context.Context, client *objects.Client, outer url.Values) (*Authorization, *Target, error) {
	params, unread := c.params(ctx, client, outer)
	target, err := c.CheckRedirect(client, params.Get("redirect_uri"), clipState(params.Get("state")), params.Get("response_mode"))
	if unread != nil {
		return nil, target, unread
	}
	if err != nil {
		return nil, nil, err
	}
	a := &Authorization{
		ClientID: client.ID, RedirectURI: params.Get("redirect_uri"), State: params.Get("state"),
		Nonce: params.Get("nonce"), CodeChallenge: params.Get("code_challenge"), LoginHint: params.Get("login_hint"),
		Scope: unique(strings.Fields(params.Get("scope"))), Resources: unique(params["resource"]),
		Prompt: unique(strings.Fields(params.Get("prompt"))), DPoPJKT: params.Get("dpop_jkt"),
	}
	for _, check := range []func(*objects.Client, url.Values, *Authorization) error{
		checkSizes, checkGrant, checkResponseType, checkResponseMode, checkPKCE, checkScope, checkResources, checkPrompt, checkMaxAge, checkJKT,
	} {
		if err := check(client, params, a); err != nil {
			return nil, target, err
		}
	}
	if err := c.checkTargets(ctx, client, params, a); err != nil {
		return nil, target, err
	}
	if err := c.checkSignIn(client, params, a); err != nil {
		return nil, target, err
	}
	if err := c.findClaimScopes(ctx, client, a); err != nil {
		return nil, target, err
	}
	return a, target, nil
}

func clipState(state string) string {
	if len(state) > maxState {
		return "" // too long to send back; the request is refused for it
	}
	return state
}

func checkSizes(_ *objects.Client, _ url.Values, a *Authorization) error {
	if len(a.State) > maxState || len(a.Nonce) > maxNonce || len(a.LoginHint) > maxHint {
		return oauth.Refuse(oauth.InvalidRequest, "state, nonce or login_hint is too long")
	}
	return nil
}

func checkGrant(client *objects.Client, _ url.Values, _ *Authorization) error {
	if !client.AllowsGrant(oauth.GrantAuthorizationCode) {
		return oauth.Refuse(oauth.UnauthorizedClient, "this application may not use the authorization code grant")
	}
	return nil
}

// RFC 6749 §3.1.1; OAuth 2.1 leaves code alone.
func checkResponseType(_ *objects.Client, params url.Values, _ *Authorization) error {
	switch params.Get("response_type") {
	case "code":
		return nil
	case "":
		return oauth.Refuse(oauth.InvalidRequest, "response_type is missing")
	}
	return oauth.Refuse(oauth.UnsupportedResponseType, "the only response_type is code")
}

// RFC 7636 §4.3, with S256 as the only method (RFC 9700 §2.1.1).
func checkPKCE(client *objects.Client, params url.Values, a *Authorization) error {
	switch {
	case a.CodeChallenge == "" && params.Get("code_challenge_method") == "" && !client.RequiresPKCE():
		return nil
	case a.CodeChallenge == "":
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge is required (PKCE)")
	case params.Get("code_challenge_method") != "S256":
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge_method must be S256")
	case len(a.CodeChallenge) != 43 || !isBase64url(a.CodeChallenge):
		return oauth.Refuse(oauth.InvalidRequest, "code_challenge is not the base64url of a SHA-256 hash")
	}
	return nil
}

// RFC 6749 §3.3. Who asks with details need not ask with scopes (RFC 9396 §3).
func checkScope(client *objects.Client, params url.Values, a *Authorization) error {
	if len(a.Scope) == 0 && params.Get("authorization_details") == "" {
		return errNothingAsked
	}
	for _, s := range a.Scope {
		if !client.AllowsScope(s) {
			return oauth.Refuse(oauth.InvalidScope, "a scope is unknown or not allowed for this application")
		}
	}
	return nil
}

// RFC 8707 §2.1.
func checkResources(client *objects.Client, _ url.Values, a *Authorization) error {
	for _, r := range a.Resources {
		if !client.AllowsResource(r) {
			return oauth.Refuse(oauth.InvalidTarget, "a resource is unknown or not allowed for this application")
		}
	}
	return nil
}

// OIDC Core §3.1.2.1: none stands alone. Unknown values are ignored.
func checkPrompt(_ *objects.Client, _ url.Values, a *Authorization) error {
	if a.Prompts("none") && len(a.Prompt) > 1 {
		return oauth.Refuse(oauth.InvalidRequest, "prompt none cannot be combined")
	}
	return nil
}

func checkMaxAge(client *objects.Client, params url.Values, a *Authorization) error {
	text := params.Get("max_age")
	if text == "" {
		a.MaxAge = client.DefaultMaxAge
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return oauth.Refuse(oauth.InvalidRequest, "max_age is not a number of seconds")
	}
	a.MaxAge = &n
	return nil
}

// RFC 9449 §10.
func checkJKT(_ *objects.Client, _ url.Values, a *Authorization) error {
	if a.DPoPJKT != "" && (len(a.DPoPJKT) != 43 || !isBase64url(a.DPoPJKT)) {
		return oauth.Refuse(oauth.InvalidRequest, "dpop_jkt is not a SHA-256 thumbprint")
	}
	return nil
}

func isBase64url(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
