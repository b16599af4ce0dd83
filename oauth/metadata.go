package oauth

// ServerMetadata is the document of RFC 8414 §2 and OpenID Connect Discovery §3, with the members of RFC 8705 §5,
// RFC 9101 §10.5, RFC 9126 §5, RFC 9207 §3 and RFC 9449 §5.1. A member without omitempty is written even when false
// because its absence would mean true.
type ServerMetadata struct {
	Issuer                                string             `json:"issuer"`
	AuthorizationEndpoint                 string             `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                         string             `json:"token_endpoint,omitempty"`
	JWKSURI                               string             `json:"jwks_uri,omitempty"`
	RegistrationEndpoint                  string             `json:"registration_endpoint,omitempty"`
	UserinfoEndpoint                      string             `json:"userinfo_endpoint,omitempty"`
	RevocationEndpoint                    string             `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint                 string             `json:"introspection_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint    string             `json:"pushed_authorization_request_endpoint,omitempty"`
	DeviceAuthorizationEndpoint           string             `json:"device_authorization_endpoint,omitempty"`
	EndSessionEndpoint                    string             `json:"end_session_endpoint,omitempty"`
	ScopesSupported                       []string           `json:"scopes_supported,omitempty"`
	ResponseTypesSupported                []string           `json:"response_types_supported"`
	ResponseModesSupported                []string           `json:"response_modes_supported,omitempty"`
	GrantTypesSupported                   []string           `json:"grant_types_supported,omitempty"`
	ACRValuesSupported                    []string           `json:"acr_values_supported,omitempty"`
	SubjectTypesSupported                 []string           `json:"subject_types_supported,omitempty"`
	PromptValuesSupported                 []string           `json:"prompt_values_supported,omitempty"`
	ClaimsSupported                       []string           `json:"claims_supported,omitempty"`
	IDTokenSigningAlgs                    []string           `json:"id_token_signing_alg_values_supported,omitempty"`
	TokenEndpointAuthMethods              []string           `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenEndpointAuthSigningAlgs          []string           `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationEndpointAuthMethods         []string           `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationEndpointAuthSigningAlgs     []string           `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionEndpointAuthMethods      []string           `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionEndpointAuthSigningAlgs  []string           `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	CodeChallengeMethodsSupported         []string           `json:"code_challenge_methods_supported,omitempty"`
	DPoPSigningAlgs                       []string           `json:"dpop_signing_alg_values_supported,omitempty"`
	TLSClientCertificateBoundAccessTokens bool               `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	AuthorizationResponseIssParameter     bool               `json:"authorization_response_iss_parameter_supported,omitempty"`
	RequirePushedAuthorizationRequests    bool               `json:"require_pushed_authorization_requests,omitempty"`
	ClaimsParameterSupported              bool               `json:"claims_parameter_supported"`
	RequestParameterSupported             bool               `json:"request_parameter_supported"`
	RequestURIParameterSupported          bool               `json:"request_uri_parameter_supported"` // absent means true
	RequireRequestURIRegistration         bool               `json:"require_request_uri_registration,omitempty"`
	UILocalesSupported                    []string           `json:"ui_locales_supported,omitempty"`
	ServiceDocumentation                  string             `json:"service_documentation,omitempty"`
	PolicyURI                             string             `json:"op_policy_uri,omitempty"`
	TermsOfServiceURI                     string             `json:"op_tos_uri,omitempty"`
	MTLSEndpointAliases                   *MTLSEndpointAlias `json:"mtls_endpoint_aliases,omitempty"`
}

// MTLSEndpointAlias lists the endpoints on the mutual-TLS host (RFC 8705 §5).
type MTLSEndpointAlias struct {
	TokenEndpoint                      string `json:"token_endpoint,omitempty"`
	RevocationEndpoint                 string `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint              string `json:"introspection_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint string `json:"pushed_authorization_request_endpoint,omitempty"`
	UserinfoEndpoint                   string `json:"userinfo_endpoint,omitempty"`
	DeviceAuthorizationEndpoint        string `json:"device_authorization_endpoint,omitempty"`
	RegistrationEndpoint               string `json:"registration_endpoint,omitempty"`
}
