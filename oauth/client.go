package oauth

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// ClientMetadata is what a client says of itself: RFC 7591 §2 with the members of OpenID Connect Registration §2,
// the logout specifications, RFC 8705 §2.1.2 and §3.4, RFC 9101 §10.5, RFC 9126 §6, RFC 9396 §10, RFC 9449 §5.2,
// RFC 9701 §6, JARM §3 and CIBA §4. Times are seconds. It says what was registered, not what a default would add.
type ClientMetadata struct {
	RedirectURIs            []string        `json:"redirect_uris,omitempty"`
	ResponseTypes           []string        `json:"response_types,omitempty"`
	GrantTypes              []string        `json:"grant_types,omitempty"`
	ApplicationType         string          `json:"application_type,omitempty"` // web or native
	Contacts                []string        `json:"contacts,omitempty"`
	ClientName              string          `json:"client_name,omitempty"`
	LogoURI                 string          `json:"logo_uri,omitempty"`
	ClientURI               string          `json:"client_uri,omitempty"`
	PolicyURI               string          `json:"policy_uri,omitempty"`
	TermsOfServiceURI       string          `json:"tos_uri,omitempty"`
	Scope                   string          `json:"scope,omitempty"` // space-separated
	JWKSURI                 string          `json:"jwks_uri,omitempty"`
	JWKS                    json.RawMessage `json:"jwks,omitempty"`
	SoftwareID              string          `json:"software_id,omitempty"`
	SoftwareVersion         string          `json:"software_version,omitempty"`
	SoftwareStatement       string          `json:"software_statement,omitempty"`
	SectorIdentifierURI     string          `json:"sector_identifier_uri,omitempty"`
	SubjectType             string          `json:"subject_type,omitempty"` // public or pairwise
	IDTokenSignedAlg        string          `json:"id_token_signed_response_alg,omitempty"`
	IDTokenEncryptedAlg     string          `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEncryptedEnc     string          `json:"id_token_encrypted_response_enc,omitempty"`
	UserinfoSignedAlg       string          `json:"userinfo_signed_response_alg,omitempty"`
	UserinfoEncryptedAlg    string          `json:"userinfo_encrypted_response_alg,omitempty"`
	UserinfoEncryptedEnc    string          `json:"userinfo_encrypted_response_enc,omitempty"`
	RequestObjectAlg        string          `json:"request_object_signing_alg,omitempty"`
	RequestObjectEncAlg     string          `json:"request_object_encryption_alg,omitempty"`
	RequestObjectEncEnc     string          `json:"request_object_encryption_enc,omitempty"`
	RequireSignedRequest    bool            `json:"require_signed_request_object,omitempty"`
	RequestURIs             []string        `json:"request_uris,omitempty"`
	TokenAuthMethod         string          `json:"token_endpoint_auth_method,omitempty"`
	TokenAuthSigningAlg     string          `json:"token_endpoint_auth_signing_alg,omitempty"`
	DefaultMaxAge           *int64          `json:"default_max_age,omitempty"`
	RequireAuthTime         bool            `json:"require_auth_time,omitempty"`
	DefaultACRValues        []string        `json:"default_acr_values,omitempty"`
	InitiateLoginURI        string          `json:"initiate_login_uri,omitempty"`
	PostLogoutRedirectURIs  []string        `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI    string          `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSID    bool            `json:"backchannel_logout_session_required,omitempty"`
	FrontchannelLogoutURI   string          `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelLogoutSID   bool            `json:"frontchannel_logout_session_required,omitempty"`
	TLSSubjectDN            string          `json:"tls_client_auth_subject_dn,omitempty"`
	TLSSANDNS               string          `json:"tls_client_auth_san_dns,omitempty"`
	TLSSANURI               string          `json:"tls_client_auth_san_uri,omitempty"`
	TLSSANIP                string          `json:"tls_client_auth_san_ip,omitempty"`
	TLSSANEmail             string          `json:"tls_client_auth_san_email,omitempty"`
	CertificateBoundTokens  bool            `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	DPoPBoundTokens         bool            `json:"dpop_bound_access_tokens,omitempty"`
	RequirePushedRequests   bool            `json:"require_pushed_authorization_requests,omitempty"`
	AuthorizationDetails    []string        `json:"authorization_details_types,omitempty"`
	AuthorizationSignedAlg  string          `json:"authorization_signed_response_alg,omitempty"`
	AuthorizationEncAlg     string          `json:"authorization_encrypted_response_alg,omitempty"`
	AuthorizationEncEnc     string          `json:"authorization_encrypted_response_enc,omitempty"`
	IntrospectionSignedAlg  string          `json:"introspection_signed_response_alg,omitempty"`
	IntrospectionEncAlg     string          `json:"introspection_encrypted_response_alg,omitempty"`
	IntrospectionEncEnc     string          `json:"introspection_encrypted_response_enc,omitempty"`
	BackchannelDelivery     string          `json:"backchannel_token_delivery_mode,omitempty"`
	BackchannelNotification string          `json:"backchannel_client_notification_endpoint,omitempty"`
	BackchannelRequestAlg   string          `json:"backchannel_authentication_request_signing_alg,omitempty"`
	BackchannelUserCode     bool            `json:"backchannel_user_code_parameter,omitempty"`
}

// Scopes is the registered scope as a list.
func (m *ClientMetadata) Scopes() []string { return strings.Fields(m.Scope) }

// UnknownMembers lists, sorted, the top-level members of a JSON object that the given struct, or what it points to, has
// no field for. They are what a decoder drops; RFC 7591 §2 lets a server do that, and whoever calls this says so. A
// translation ("client_name#de", RFC 7591 §2.2) is one of them, for only its untagged name has a field.
func UnknownMembers(document []byte, known any) ([]string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return nil, err
	}
	names := memberNames(reflect.TypeOf(known))
	var unknown []string
	for name := range members {
		if !names[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown, nil
}

var memberCache sync.Map // reflect.Type -> map[string]bool

func memberNames(t reflect.Type) map[string]bool {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	if names, ok := memberCache.Load(t); ok {
		return names.(map[string]bool)
	}
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names[name] = true
		}
	}
	memberCache.Store(t, names)
	return names
}
