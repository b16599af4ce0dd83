// Package oauth holds the words of the protocols: error codes, grant types, client authentication methods, and the
// JSON documents that servers and clients exchange. It decides nothing; whoever enforces a rule names its section.
//
// Sources: RFC 6749 and its extensions RFC 7009, 7591, 7636, 7662, 8414, 8628, 8693, 8705, 8707, 9101, 9126, 9207,
// 9396, 9449, 9470, OpenID Connect Core, Discovery, Registration and CIBA, and JARM.
package oauth

import (
	"maps"
	"net/http"
)

// Code is an error code as it travels in the member or parameter "error".
type Code string

// Error codes, each with the section that defines it.
const (
	InvalidRequest          Code = "invalid_request"           // RFC 6749 §5.2
	InvalidClient           Code = "invalid_client"            // RFC 6749 §5.2
	InvalidGrant            Code = "invalid_grant"             // RFC 6749 §5.2
	UnauthorizedClient      Code = "unauthorized_client"       // RFC 6749 §5.2
	UnsupportedGrantType    Code = "unsupported_grant_type"    // RFC 6749 §5.2
	InvalidScope            Code = "invalid_scope"             // RFC 6749 §5.2
	AccessDenied            Code = "access_denied"             // RFC 6749 §4.1.2.1
	UnsupportedResponseType Code = "unsupported_response_type" // RFC 6749 §4.1.2.1
	ServerError             Code = "server_error"              // RFC 6749 §4.1.2.1
	TemporarilyUnavailable  Code = "temporarily_unavailable"   // RFC 6749 §4.1.2.1

	InvalidToken      Code = "invalid_token"      // RFC 6750 §3.1
	InsufficientScope Code = "insufficient_scope" // RFC 6750 §3.1

	UnsupportedTokenType Code = "unsupported_token_type" // RFC 7009 §2.2.1
	InvalidTarget        Code = "invalid_target"         // RFC 8707 §2

	InvalidAuthorizationDetails Code = "invalid_authorization_details" // RFC 9396 §5

	InvalidDPoPProof Code = "invalid_dpop_proof" // RFC 9449 §5
	UseDPoPNonce     Code = "use_dpop_nonce"     // RFC 9449 §8

	InteractionRequired      Code = "interaction_required"       // OIDC Core §3.1.2.6
	LoginRequired            Code = "login_required"             // OIDC Core §3.1.2.6
	AccountSelectionRequired Code = "account_selection_required" // OIDC Core §3.1.2.6
	ConsentRequired          Code = "consent_required"           // OIDC Core §3.1.2.6
	InvalidRequestURI        Code = "invalid_request_uri"        // OIDC Core §3.1.2.6
	InvalidRequestObject     Code = "invalid_request_object"     // OIDC Core §3.1.2.6
	RequestNotSupported      Code = "request_not_supported"      // OIDC Core §3.1.2.6
	RequestURINotSupported   Code = "request_uri_not_supported"  // OIDC Core §3.1.2.6
	RegistrationNotSupported Code = "registration_not_supported" // OIDC Core §3.1.2.6

	UnmetAuthenticationRequirements Code = "unmet_authentication_requirements" // OIDC Unmet Authentication Requirements §1

	InvalidRedirectURI    Code = "invalid_redirect_uri"    // RFC 7591 §3.2.2
	InvalidClientMetadata Code = "invalid_client_metadata" // RFC 7591 §3.2.2
)

// Error is a refusal that the caller sees. Anything that is not an *Error is an internal fault and shows as
// server_error.
type Error struct {
	Code   Code
	Detail string            // error_description: for the client's developer; never echoes input
	Status int               // HTTP status where the code has one; 0 takes that of the code
	Header map[string]string // response headers that belong to the refusal, e.g. DPoP-Nonce, Retry-After
	Err    error             // the cause, for the log and the audit trail only
}

// Refuse makes a visible error.
func Refuse(code Code, detail string) *Error { return &Error{Code: code, Detail: detail} }

// With returns a copy that carries a cause for the log.
func (e *Error) With(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// WithHeader returns a copy that sets a response header.
func (e *Error) WithHeader(name, value string) *Error {
	c := *e
	c.Header = maps.Clone(e.Header)
	if c.Header == nil {
		c.Header = map[string]string{}
	}
	c.Header[name] = value
	return &c
}

// WithStatus returns a copy with another HTTP status.
func (e *Error) WithStatus(status int) *Error {
	c := *e
	c.Status = status
	return &c
}

// Error is for the log: code, description and cause.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus is the status on the back channel (RFC 6749 §5.2, RFC 6750 §3.1).
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	switch e.Code {
	case InvalidClient, InvalidToken:
		return http.StatusUnauthorized
	case InsufficientScope, AccessDenied:
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}
