package oauth

// ServerMetadata is the document of RFC 8414 §2 and OpenID Connect Discovery §3, with the members of RFC 8628 §4,
// RFC 8705 §3.3 and §5, RFC 9101 §10.5, RFC 9126 §5, RFC 9207 §3, RFC 9396 §10, RFC 9449 §5.1, RFC 9701 §7,
// RFC 9728 §4, the logout specifications, JARM §4 and CIBA §4.
//
// Absence has a meaning of its own. Without request_uri_parameter_supported it is true, so that member is always
// written, and its two sisters with it. Without grant_types_supported a reader takes authorization_code and implicit,
// without response_modes_supported query and fragment, without token_endpoint_auth_methods_supported
// client_secret_basic: who offers anything else fills them in.
type ServerMetadata struct {
	// Endpoints and keys.
	Issuer                             string             `json:"issuer"`
	AuthorizationEndpoint              string             `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                      string             `json:"token_endpoint,omitempty"`
	JWKSURI                            string             `json:"jwks_uri,omitempty"`
	RegistrationEndpoint               string             `json:"registration_endpoint,omitempty"`
	UserinfoEndpoint                   string             `json:"userinfo_endpoint,omitempty"`
	RevocationEndpoint                 string             `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint              string             `json:"introspection_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint string             `json:"pushed_authorization_request_endpoint,omitempty"`
	DeviceAuthorizationEndpoint        string             `json:"device_authorization_endpoint,omitempty"`
	BackchannelAuthenticationEndpoint  string             `json:"backchannel_authentication_endpoint,omitempty"`
	EndSessionEndpoint                 string             `json:"end_session_endpoint,omitempty"`
	MTLSEndpointAliases                *MTLSEndpointAlias `json:"mtls_endpoint_aliases,omitempty"`
	ProtectedResources                 []string           `json:"protected_resources,omitempty"`

	// What may be asked for.
	ScopesSupported               []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported        []string `json:"response_types_supported"`
	ResponseModesSupported        []string `json:"response_modes_supported,omitempty"`
	GrantTypesSupported           []string `json:"grant_types_supported,omitempty"`
	ACRValuesSupported            []string `json:"acr_values_supported,omitempty"`
	SubjectTypesSupported         []string `json:"subject_types_supported,omitempty"`
	PromptValuesSupported         []string `json:"prompt_values_supported,omitempty"`
	DisplayValuesSupported        []string `json:"display_values_supported,omitempty"`
	ClaimTypesSupported           []string `json:"claim_types_supported,omitempty"`
	ClaimsSupported               []string `json:"claims_supported,omitempty"`
	ClaimsLocalesSupported        []string `json:"claims_locales_supported,omitempty"`
	UILocalesSupported            []string `json:"ui_locales_supported,omitempty"`
	CodeChallengeMethodsSupported []string `json:"code_challenge_methods_supported,omitempty"`
	AuthorizationDetailsTypes     []string `json:"authorization_details_types_supported,omitempty"`
	BackchannelTokenDeliveryModes []string `json:"backchannel_token_delivery_modes_supported,omitempty"`

	// How clients authenticate.
	TokenEndpointAuthMethods             []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenEndpointAuthSigningAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	RevocationEndpointAuthMethods        []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	RevocationEndpointAuthSigningAlgs    []string `json:"revocation_endpoint_auth_signing_alg_values_supported,omitempty"`
	IntrospectionEndpointAuthMethods     []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	IntrospectionEndpointAuthSigningAlgs []string `json:"introspection_endpoint_auth_signing_alg_values_supported,omitempty"`
	DPoPSigningAlgs                      []string `json:"dpop_signing_alg_values_supported,omitempty"`

	// Algorithms of what is signed and encrypted.
	IDTokenSigningAlgs            []string `json:"id_token_signing_alg_values_supported,omitempty"`
	IDTokenEncryptionAlgs         []string `json:"id_token_encryption_alg_values_supported,omitempty"`
	IDTokenEncryptionEncs         []string `json:"id_token_encryption_enc_values_supported,omitempty"`
	UserinfoSigningAlgs           []string `json:"userinfo_signing_alg_values_supported,omitempty"`
	UserinfoEncryptionAlgs        []string `json:"userinfo_encryption_alg_values_supported,omitempty"`
	UserinfoEncryptionEncs        []string `json:"userinfo_encryption_enc_values_supported,omitempty"`
	RequestObjectSigningAlgs      []string `json:"request_object_signing_alg_values_supported,omitempty"`
	RequestObjectEncryptionAlgs   []string `json:"request_object_encryption_alg_values_supported,omitempty"`
	RequestObjectEncryptionEncs   []string `json:"request_object_encryption_enc_values_supported,omitempty"`
	AuthorizationSigningAlgs      []string `json:"authorization_signing_alg_values_supported,omitempty"`
	AuthorizationEncryptionAlgs   []string `json:"authorization_encryption_alg_values_supported,omitempty"`
	AuthorizationEncryptionEncs   []string `json:"authorization_encryption_enc_values_supported,omitempty"`
	IntrospectionSigningAlgs      []string `json:"introspection_signing_alg_values_supported,omitempty"`
	IntrospectionEncryptionAlgs   []string `json:"introspection_encryption_alg_values_supported,omitempty"`
	IntrospectionEncryptionEncs   []string `json:"introspection_encryption_enc_values_supported,omitempty"`
	BackchannelRequestSigningAlgs []string `json:"backchannel_authentication_request_signing_alg_values_supported,omitempty"`

	// What is on and what is demanded.
	TLSClientCertificateBoundAccessTokens bool `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	AuthorizationResponseIssParameter     bool `json:"authorization_response_iss_parameter_supported,omitempty"`
	RequirePushedAuthorizationRequests    bool `json:"require_pushed_authorization_requests,omitempty"`
	RequireSignedRequestObject            bool `json:"require_signed_request_object,omitempty"`
	ClaimsParameterSupported              bool `json:"claims_parameter_supported"`
	RequestParameterSupported             bool `json:"request_parameter_supported"`
	RequestURIParameterSupported          bool `json:"request_uri_parameter_supported"`
	RequireRequestURIRegistration         bool `json:"require_request_uri_registration,omitempty"`
	BackchannelUserCodeParameter          bool `json:"backchannel_user_code_parameter_supported,omitempty"`
	BackchannelLogout                     bool `json:"backchannel_logout_supported,omitempty"`
	BackchannelLogoutSession              bool `json:"backchannel_logout_session_supported,omitempty"`
	FrontchannelLogout                    bool `json:"frontchannel_logout_supported,omitempty"`
	FrontchannelLogoutSession             bool `json:"frontchannel_logout_session_supported,omitempty"`

	// For people, and for who trusts a signature more than TLS.
	ServiceDocumentation string `json:"service_documentation,omitempty"`
	PolicyURI            string `json:"op_policy_uri,omitempty"`
	TermsOfServiceURI    string `json:"op_tos_uri,omitempty"`
	SignedMetadata       string `json:"signed_metadata,omitempty"`
}

// MTLSEndpointAlias lists the endpoints on the mutual-TLS host (RFC 8705 §5).
type MTLSEndpointAlias struct {
	TokenEndpoint                      string `json:"token_endpoint,omitempty"`
	RevocationEndpoint                 string `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint              string `json:"introspection_endpoint,omitempty"`
	PushedAuthorizationRequestEndpoint string `json:"pushed_authorization_request_endpoint,omitempty"`
	UserinfoEndpoint                   string `json:"userinfo_endpoint,omitempty"`
	DeviceAuthorizationEndpoint        string `json:"device_authorization_endpoint,omitempty"`
	BackchannelAuthenticationEndpoint  string `json:"backchannel_authentication_endpoint,omitempty"`
	RegistrationEndpoint               string `json:"registration_endpoint,omitempty"`
}
