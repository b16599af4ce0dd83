package oauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/oauth"
)

func TestRFC6749_5_2_Status(t *testing.T) {
	for code, want := range map[oauth.Code]int{
		oauth.InvalidRequest:         http.StatusBadRequest,
		oauth.InvalidGrant:           http.StatusBadRequest,
		oauth.InvalidDPoPProof:       http.StatusBadRequest,
		oauth.UseDPoPNonce:           http.StatusBadRequest,
		oauth.InvalidClient:          http.StatusUnauthorized,
		oauth.InvalidToken:           http.StatusUnauthorized,
		oauth.InsufficientScope:      http.StatusForbidden,
		oauth.ServerError:            http.StatusInternalServerError,
		oauth.TemporarilyUnavailable: http.StatusServiceUnavailable,
	} {
		if got := oauth.Refuse(code, "").HTTPStatus(); got != want {
			t.Errorf("%s: got %d, want %d", code, got, want)
		}
	}
	if got := oauth.Refuse(oauth.InvalidRequest, "").WithStatus(http.StatusUnsupportedMediaType).HTTPStatus(); got != 415 {
		t.Errorf("a status of its own: got %d", got)
	}
}

func TestErrorsAreCopiedNotChanged(t *testing.T) {
	plain := oauth.Refuse(oauth.UseDPoPNonce, "use the nonce")
	one := plain.WithHeader("DPoP-Nonce", "1")
	two := one.WithHeader("Retry-After", "2").With(io.EOF)
	if plain.Header != nil || len(one.Header) != 1 || one.Err != nil || len(two.Header) != 2 {
		t.Errorf("%+v, %+v, %+v", plain, one, two)
	}
	if !errors.Is(two, io.EOF) || two.Error() != "use_dpop_nonce: use the nonce: EOF" || plain.Error() != "use_dpop_nonce: use the nonce" {
		t.Errorf("%v, %v", two, plain)
	}
}

// Where absence means true, false is written; nothing else that is off shows.
func TestRFC8414_2_FalseIsWrittenWhereAbsenceMeansTrue(t *testing.T) {
	doc, err := json.Marshal(oauth.ServerMetadata{Issuer: "https://login.example.com", ResponseTypesSupported: []string{"code"}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"issuer":"https://login.example.com","response_types_supported":["code"],` +
		`"claims_parameter_supported":false,"request_parameter_supported":false,"request_uri_parameter_supported":false}`
	if string(doc) != want {
		t.Errorf("got %s", doc)
	}
}

// Every member that RFC 7591 §2, OIDC Registration §2 and the extensions define comes back as it was registered.
func TestRFC7591_2_EveryMemberIsKept(t *testing.T) {
	const members = "redirect_uris token_endpoint_auth_method grant_types response_types client_name client_uri logo_uri scope " +
		"contacts tos_uri policy_uri jwks_uri jwks software_id software_version software_statement " + // RFC 7591 §2
		"application_type sector_identifier_uri subject_type id_token_signed_response_alg id_token_encrypted_response_alg " +
		"id_token_encrypted_response_enc userinfo_signed_response_alg userinfo_encrypted_response_alg " +
		"userinfo_encrypted_response_enc request_object_signing_alg request_object_encryption_alg " +
		"request_object_encryption_enc token_endpoint_auth_signing_alg default_max_age require_auth_time " +
		"default_acr_values initiate_login_uri request_uris " + // OIDC Registration §2
		"post_logout_redirect_uris backchannel_logout_uri backchannel_logout_session_required " +
		"frontchannel_logout_uri frontchannel_logout_session_required " + // OIDC logout
		"tls_client_auth_subject_dn tls_client_auth_san_dns tls_client_auth_san_uri tls_client_auth_san_ip " +
		"tls_client_auth_san_email tls_client_certificate_bound_access_tokens " + // RFC 8705 §2.1.2, §3.4
		"require_signed_request_object require_pushed_authorization_requests authorization_details_types " + // RFC 9101, 9126, 9396
		"dpop_bound_access_tokens " + // RFC 9449 §5.2
		"introspection_signed_response_alg introspection_encrypted_response_alg introspection_encrypted_response_enc " + // RFC 9701 §6
		"authorization_signed_response_alg authorization_encrypted_response_alg authorization_encrypted_response_enc " + // JARM §3
		"backchannel_token_delivery_mode backchannel_client_notification_endpoint " +
		"backchannel_authentication_request_signing_alg backchannel_user_code_parameter" // CIBA §4
	document := sample(t, members)
	if unknown, err := oauth.UnknownMembers(document, oauth.ClientMetadata{}); err != nil || len(unknown) != 0 {
		t.Fatalf("no field for %v, %v", unknown, err)
	}
	var m oauth.ClientMetadata
	if err := json.Unmarshal(document, &m); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]any
	if json.Unmarshal(document, &before) != nil || json.Unmarshal(again, &after) != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("registered %s, kept %s", document, again)
	}
}

// sample is a document with a value of the right type, and not the zero one, for each member.
func sample(t *testing.T, members string) []byte {
	t.Helper()
	lists := []string{"redirect_uris", "grant_types", "response_types", "contacts", "default_acr_values", "request_uris",
		"post_logout_redirect_uris", "authorization_details_types"}
	doc := map[string]any{}
	for _, name := range strings.Fields(members) {
		switch {
		case slices.Contains(lists, name):
			doc[name] = []string{name}
		case name == "jwks":
			doc[name] = map[string]any{"keys": []any{}}
		case name == "default_max_age":
			doc[name] = 0 // a registered zero is not the same as none
		case strings.HasPrefix(name, "require_"), strings.HasSuffix(name, "_required"), strings.HasSuffix(name, "_bound_access_tokens"),
			name == "backchannel_user_code_parameter":
			doc[name] = true
		default:
			doc[name] = name
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRFC7591_2_UnknownMembers(t *testing.T) {
	type outer struct {
		oauth.ClientMetadata
		ID     string `json:"client_id"`
		Hidden string `json:"-"`
	}
	document := []byte(`{"client_id":"a","client_name":"b","client_name#de":"c","Client_Name":"d","Hidden":"e","-":"f","":"g"}`)
	got, err := oauth.UnknownMembers(document, &outer{})
	if want := []string{"", "-", "Client_Name", "Hidden", "client_name#de"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, known := range []any{nil, 1, map[string]any{}} {
		if got, err := oauth.UnknownMembers([]byte(`{"a":1}`), known); err != nil || !slices.Equal(got, []string{"a"}) {
			t.Errorf("known %v: got %q, %v", known, got, err)
		}
	}
	for _, text := range []string{"", "[]", "1", `"a"`, "{"} {
		if _, err := oauth.UnknownMembers([]byte(text), outer{}); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestRFC7662_2_2_InactiveSaysNothingElse(t *testing.T) {
	with := oauth.Introspection{Active: true, Others: map[string]json.RawMessage{"b": json.RawMessage(`{"c":1}`), "a": json.RawMessage(`"x"`)}}
	if doc, err := json.Marshal(with); err != nil || string(doc) != `{"active":true,"a":"x","b":{"c":1}}` {
		t.Errorf("with others: %s, %v", doc, err)
	}
	doc, err := json.Marshal(oauth.Introspection{})
	if err != nil || string(doc) != `{"active":false}` {
		t.Errorf("got %s, %v", doc, err)
	}
}

func TestRFC7800_3_Confirmation(t *testing.T) {
	doc, err := json.Marshal(oauth.Confirmation{X5T: "a", JKT: "b"})
	if err != nil || string(doc) != `{"x5t#S256":"a","jkt":"b"}` {
		t.Errorf("got %s, %v", doc, err)
	}
	if !(oauth.Confirmation{}).IsZero() || (oauth.Confirmation{JKT: "b"}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func FuzzUnknownMembers(f *testing.F) {
	f.Add([]byte(`{"client_name":"a","client_name#de":"b"}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		unknown, err := oauth.UnknownMembers(document, oauth.ClientMetadata{})
		if err == nil && !slices.IsSorted(unknown) {
			t.Fatalf("not sorted: %q", unknown)
		}
	})
}
