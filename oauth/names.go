package oauth

import (
	"encoding/json"
	"slices"
)

// Grant types (RFC 6749 §4, §6, RFC 8693 §2.1).
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// Client authentication methods (RFC 7591 §2, OIDC Core §9, RFC 8705 §2).
const (
	AuthPrivateKeyJWT = "private_key_jwt"
	AuthTLSClient     = "tls_client_auth"
	AuthSelfSignedTLS = "self_signed_tls_client_auth"
	AuthSecretBasic   = "client_secret_basic"
	AuthSecretPost    = "client_secret_post"
	AuthSecretJWT     = "client_secret_jwt"
	AuthNone          = "none"
)

// TokenTypeAccess is how token exchange calls an access token, whatever its form (RFC 8693 §3).
const TokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token"

// AssertionType is the client_assertion_type of RFC 7523 §2.2.
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// RequestURIPrefix begins every request_uri of RFC 9126 §2.2 that this project's servers make.
const RequestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// Token types on the wire (RFC 6749 §7.1, RFC 9449 §5).
const (
	TypeBearer = "Bearer"
	TypeDPoP   = "DPoP"
)

// Standard scopes of OpenID Connect (Core §5.4, §11).
const (
	ScopeOpenID        = "openid"
	ScopeProfile       = "profile"
	ScopeEmail         = "email"
	ScopeAddress       = "address"
	ScopePhone         = "phone"
	ScopeOfflineAccess = "offline_access"
)

// TokenResponse is a successful answer of the token endpoint (RFC 6749 §5.1, OIDC Core §3.1.3.3).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	IssuedType   string `json:"issued_token_type,omitempty"` // of an exchange only (RFC 8693 §2.2.1)
	// Details are those of the access token (RFC 9396 §7).
	Details json.RawMessage `json:"authorization_details,omitempty"`
}

// Confirmation names the key a token is bound to (RFC 7800 §3): x5t#S256 is the SHA-256 of the certificate
// (RFC 8705 §3.1), jkt the RFC 7638 thumbprint of the DPoP key (RFC 9449 §6.1), both base64url.
type Confirmation struct {
	X5T string `json:"x5t#S256,omitempty"`
	JKT string `json:"jkt,omitempty"`
}

// IsZero says that nothing binds the token.
func (c Confirmation) IsZero() bool { return c == Confirmation{} }

// Actor is who acts for the subject of a token, and for whom that one acts in turn (RFC 8693 §4.1).
type Actor struct {
	Subject string `json:"sub"`
	Actor   *Actor `json:"act,omitempty"`
}

// Introspection is the answer of RFC 7662 §2.2 with the members of RFC 8705 §3.2, RFC 9449 §6.2, RFC 8693 §4.1
// and RFC 9396 §9.2.
type Introspection struct {
	Active    bool            `json:"active"`
	Scope     string          `json:"scope,omitempty"`
	ClientID  string          `json:"client_id,omitempty"`
	Username  string          `json:"username,omitempty"`
	TokenType string          `json:"token_type,omitempty"`
	ExpiresAt int64           `json:"exp,omitempty"`
	IssuedAt  int64           `json:"iat,omitempty"`
	NotBefore int64           `json:"nbf,omitempty"`
	Subject   string          `json:"sub,omitempty"`
	Audience  []string        `json:"aud,omitempty"`
	Issuer    string          `json:"iss,omitempty"`
	ID        string          `json:"jti,omitempty"`
	Confirm   *Confirmation   `json:"cnf,omitempty"`
	AuthTime  int64           `json:"auth_time,omitempty"`
	ACR       string          `json:"acr,omitempty"`
	AMR       []string        `json:"amr,omitempty"`
	Actor     *Actor          `json:"act,omitempty"`
	Details   json.RawMessage `json:"authorization_details,omitempty"`
	SessionID string          `json:"sid,omitempty"`      // with the next, private to this issuer: what ends the token
	GrantID   string          `json:"grant_id,omitempty"` // when it is revoked
	// Others are members that only this issuer has, by name; none is one of the above.
	Others map[string]json.RawMessage `json:"-"`
}

// MarshalJSON writes the others among the members.
func (i Introspection) MarshalJSON() ([]byte, error) {
	type members Introspection
	own, err := json.Marshal(members(i))
	if err != nil || len(i.Others) == 0 {
		return own, err
	}
	others, err := json.Marshal(i.Others)
	if err != nil {
		return nil, err
	}
	return slices.Concat(own[:len(own)-1], []byte(","), others[1:]), nil
}

// PushedResponse is the answer of RFC 9126 §2.2.
type PushedResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}
