package objects

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Forms of access token, for Client.AccessTokenFormat and API.TokenFormat.
const (
	FormatJWT    = "jwt"
	FormatOpaque = "opaque"
)

// Client is a registered client with its defaults filled in. It is shared and must not be changed.
type Client struct {
	oauth.ClientMetadata
	ID      string         `json:"client_id"`
	Profile string         `json:"profile,omitempty"` // ProfileOAuth21 if empty
	Secrets []StoredSecret `json:"secrets,omitempty"`
	// AuthMigration lets it authenticate by an older method beside TokenAuthMethod, for a time.
	AuthMigration *AuthMigration `json:"token_endpoint_auth_migration,omitempty"`

	FirstParty        bool     `json:"first_party,omitempty"`         // no consent is asked for
	Resources         []string `json:"resources,omitempty"`           // APIs it may ask tokens for
	AccessTokenFormat string   `json:"access_token_format,omitempty"` // jwt or opaque; "": what the API wants
	AllowedOrigins    []string `json:"allowed_origins,omitempty"`     // of its pages that call the issuer themselves

	AllowBearerTokens          bool `json:"allow_bearer_tokens,omitempty"` // tokens may be bound to nothing
	AllowWeakSecret            bool `json:"allow_weak_secret,omitempty"`   // secrets under 32 characters
	AllowCustomSchemeRedirects bool `json:"allow_custom_scheme_redirects,omitempty"`
	// AllowTokenEndpointAudience takes assertions in the old form, for the token endpoint or with several audiences.
	AllowTokenEndpointAudience bool `json:"allow_token_endpoint_audience,omitempty"`
	// What a profile of FAPI demands and these let go.
	AllowUnpushedRequests bool `json:"allow_unpushed_requests,omitempty"`
	AllowUnsignedRequests bool `json:"allow_unsigned_requests,omitempty"`
	AllowPlainResponses   bool `json:"allow_plain_responses,omitempty"` // authorization responses that are not signed

	keys    jose.Set   // of JWKS
	offered []jose.Alg // of the tenant, which the registry knows
}

// Keys are the registered keys of JWKS, parsed once and shared.
func (c *Client) Keys() jose.Set { return c.keys }

// AllowsGrant says whether the client may use a grant type.
func (c *Client) AllowsGrant(grant string) bool { return slices.Contains(c.GrantTypes, grant) }

// AllowsScope says whether the client may ask for a scope.
func (c *Client) AllowsScope(scope string) bool { return slices.Contains(c.Scopes(), scope) }

// AllowsResource says whether the client may ask for tokens for an API.
func (c *Client) AllowsResource(resource string) bool { return slices.Contains(c.Resources, resource) }

// standardScopes is what a client that signs people in may ask for without saying so.
const standardScopes = "openid profile email address phone"

// withDefaults fills in what the document left out (RFC 7591 §2, OIDC Registration §2). Tokens are bound
// unless the client may have bearer tokens: to its certificate where it authenticates with one, by DPoP
// otherwise, and by what each request has while a client changes over between the two.
func (c *Client) withDefaults() {
	c.followProfile()
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []string{oauth.GrantAuthorizationCode}
	}
	code := c.AllowsGrant(oauth.GrantAuthorizationCode)
	if len(c.ResponseTypes) == 0 && code {
		c.ResponseTypes = []string{"code"}
	}
	if c.TokenAuthMethod == "" {
		c.TokenAuthMethod = oauth.AuthSecretBasic
	}
	if c.ApplicationType == "" {
		c.ApplicationType = "web"
	}
	if c.Scope == "" && code {
		c.Scope = standardScopes
		if c.AllowsGrant(oauth.GrantRefreshToken) {
			c.Scope += " " + oauth.ScopeOfflineAccess
		}
	}
	if !c.AllowBearerTokens && !c.DPoPBoundTokens && !c.CertificateBoundTokens && !c.changesBinding() {
		c.CertificateBoundTokens = usesCertificate(c.TokenAuthMethod)
		c.DPoPBoundTokens = !c.CertificateBoundTokens
	}
}

// decodeClient reads what is stored.
func decodeClient(body json.RawMessage) (*Client, error) {
	c := new(Client)
	if err := json.Unmarshal(body, c); err != nil {
		return nil, err
	}
	c.withDefaults()
	if len(c.JWKS) > 0 {
		var err error
		if c.keys, err = jose.ParseSet(c.JWKS); err != nil {
			return nil, fmt.Errorf("keys of client: %w", err)
		}
	}
	return c, nil
}

// publicClient leaves its secrets out, hashed or sealed: a client is shown and written back without them.
func publicClient(body json.RawMessage) (json.RawMessage, error) {
	c := new(Client)
	if err := json.Unmarshal(body, c); err != nil {
		return nil, err
	}
	c.Secrets = nil
	return json.Marshal(c)
}

// scopeList splits a scope of RFC 6749 §3.3.
func scopeList(scope string) []string { return strings.Fields(scope) }
