package discovery_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/discovery"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

func offer() discovery.Offer {
	return discovery.Offer{
		Issuer: "https://login.example/acme", MTLSIssuer: "https://mtls.login.example/acme",
		Grants: []string{"authorization_code", "refresh_token"}, AuthMethods: []string{"private_key_jwt", "tls_client_auth", "none"},
		AssertionAlgs: []string{"ES256"}, SigningAlgs: []jose.Alg{jose.ES256, jose.RS256},
		Scopes: []string{"openid"}, Claims: []string{"sub", "email"}, ResponseModes: []string{"query", "jwt"},
		ObjectAlgs: []jose.Alg{jose.ES256, jose.PS256}, ObjectKeyAlgs: []jose.KeyAlg{jose.ECDHES}, ObjectEncs: []jose.ContentAlg{jose.A256GCM},
		AnswerKeyAlgs: []jose.KeyAlg{jose.RSAOAEP256}, AnswerEncs: []jose.ContentAlg{jose.A128GCM},
		Prompts: []string{"none", "login"}, Displays: []string{"page"}, Languages: []string{"en"}, ACRValues: []string{"phr"},
	}
}

func newSigning(t testing.TB) *keys.Signing {
	t.Helper()
	db := storetest.Open(t, store.Options{}).For("acme")
	s := keys.NewSigning(keys.SigningConfig{DB: db, Ring: keys.NewRing(), Algs: []jose.Alg{jose.ES256}})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// newHandler serves an issuer below a path as its host does.
func newHandler(t testing.TB, e *discovery.Endpoints) http.Handler {
	t.Helper()
	host, inner := http.NewServeMux(), http.NewServeMux()
	e.Mount(inner)
	e.MountHost(host)
	host.Handle("/acme/", http.StripPrefix("/acme", inner))
	return host
}

func get(t testing.TB, h http.Handler, path, etag string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRFC8414_3_OneDocumentAtBothPaths(t *testing.T) {
	h := newHandler(t, &discovery.Endpoints{Offer: offer(), Signing: newSigning(t)})
	oidc := get(t, h, "/acme/.well-known/openid-configuration", "")
	oauth2 := get(t, h, "/.well-known/oauth-authorization-server/acme", "")
	if oidc.Code != 200 || oauth2.Code != 200 || oidc.Body.String() != oauth2.Body.String() {
		t.Fatalf("%d %s\n%d %s", oidc.Code, oidc.Body, oauth2.Code, oauth2.Body)
	}
	if got := oidc.Header(); got.Get("Content-Type") != "application/json" || got.Get("Cache-Control") != "public, max-age=300" || got.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("header %v", got)
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/acme/.well-known/oauth-authorization-server"} {
		if w := get(t, h, path, ""); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	root := offer()
	root.Issuer = "https://login.example"
	mux := http.NewServeMux()
	e := &discovery.Endpoints{Offer: root, Signing: newSigning(t)}
	e.Mount(mux)
	e.MountHost(mux)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks"} {
		if w := get(t, mux, path, ""); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestRFC8414_2_Metadata(t *testing.T) {
	const base, alias = "https://login.example/acme", "https://mtls.login.example/acme"
	body, err := json.Marshal(offer().Metadata())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	list := func(names ...any) []any { return names }
	want := map[string]any{
		"issuer": base, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token", "jwks_uri": base + "/jwks",
		"userinfo_endpoint": base + "/userinfo", "revocation_endpoint": base + "/revoke", "introspection_endpoint": base + "/introspect",
		"pushed_authorization_request_endpoint": base + "/par", "end_session_endpoint": base + "/end-session",
		"scopes_supported": list("openid"), "claims_supported": list("sub", "email"), "response_types_supported": list("code"),
		"response_modes_supported": list("query", "jwt"), "grant_types_supported": list("authorization_code", "refresh_token"),
		"acr_values_supported": list("phr"), "subject_types_supported": list("public", "pairwise"), "prompt_values_supported": list("none", "login"),
		"display_values_supported": list("page"), "ui_locales_supported": list("en"),
		"id_token_signing_alg_values_supported":            list("ES256", "RS256"),
		"token_endpoint_auth_methods_supported":            list("private_key_jwt", "tls_client_auth", "none"),
		"revocation_endpoint_auth_methods_supported":       list("private_key_jwt", "tls_client_auth", "none"),
		"introspection_endpoint_auth_methods_supported":    list("private_key_jwt", "tls_client_auth"),
		"token_endpoint_auth_signing_alg_values_supported": list("ES256"), "revocation_endpoint_auth_signing_alg_values_supported": list("ES256"),
		"introspection_endpoint_auth_signing_alg_values_supported": list("ES256"),
		"code_challenge_methods_supported":                         list("S256"), "dpop_signing_alg_values_supported": list("ES256", "EdDSA", "PS256"),
		"tls_client_certificate_bound_access_tokens": true, "authorization_response_iss_parameter_supported": true,
		"id_token_encryption_alg_values_supported": list("RSA-OAEP-256"), "id_token_encryption_enc_values_supported": list("A128GCM"),
		"introspection_signing_alg_values_supported":    list("ES256", "RS256"),
		"introspection_encryption_alg_values_supported": list("RSA-OAEP-256"), "introspection_encryption_enc_values_supported": list("A128GCM"),
		"userinfo_signing_alg_values_supported":    list("ES256", "RS256"),
		"userinfo_encryption_alg_values_supported": list("RSA-OAEP-256"), "userinfo_encryption_enc_values_supported": list("A128GCM"),
		"claims_parameter_supported": true, "request_parameter_supported": true, "request_uri_parameter_supported": true,
		"require_request_uri_registration":            true,
		"request_object_signing_alg_values_supported": list("ES256", "PS256"), "request_object_encryption_alg_values_supported": list("ECDH-ES"),
		"request_object_encryption_enc_values_supported": list("A256GCM"), "authorization_signing_alg_values_supported": list("ES256", "RS256"),
		"authorization_encryption_alg_values_supported": list("RSA-OAEP-256"), "authorization_encryption_enc_values_supported": list("A128GCM"),
		"mtls_endpoint_aliases": map[string]any{
			"token_endpoint": alias + "/token", "revocation_endpoint": alias + "/revoke", "introspection_endpoint": alias + "/introspect",
			"userinfo_endpoint": alias + "/userinfo", "pushed_authorization_request_endpoint": alias + "/par",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMetadataSaysOnlyWhatIsOn(t *testing.T) {
	o := offer()
	o.MTLSIssuer, o.Grants, o.AuthMethods = "", []string{"client_credentials"}, []string{"tls_client_auth", "self_signed_tls_client_auth", "client_secret_basic"}
	m := o.Metadata()
	if m.MTLSEndpointAliases != nil || m.TLSClientCertificateBoundAccessTokens {
		t.Error("mutual TLS without a listener")
	}
	if d := cmp.Diff([]string{oauth.AuthSecretBasic}, m.TokenEndpointAuthMethods); d != "" {
		t.Error(d)
	}
	if m.AuthorizationEndpoint != "" || m.PushedAuthorizationRequestEndpoint != "" || len(m.ResponseTypesSupported) != 0 || m.CodeChallengeMethodsSupported != nil {
		t.Error("an authorization endpoint without a grant that needs one")
	}
	if m.RequestParameterSupported || m.RequestURIParameterSupported || m.RequestObjectSigningAlgs != nil || m.AuthorizationSigningAlgs != nil {
		t.Error("requests and answers without an authorization endpoint")
	}
	if m.TokenEndpointAuthSigningAlgs != nil {
		t.Error("algorithms of assertions that are not taken")
	}
	if body, err := json.Marshal(m); err != nil || !json.Valid(body) {
		t.Error(err)
	}
}

func TestRFC9110_13_1_2_NotModified(t *testing.T) {
	signing := newSigning(t)
	h := newHandler(t, &discovery.Endpoints{Offer: offer(), Signing: signing})
	for _, path := range []string{"/acme/.well-known/openid-configuration", "/acme/jwks"} {
		etag := get(t, h, path, "").Header().Get("ETag")
		for given, status := range map[string]int{
			etag: 304, "W/" + etag: 304, `"other", ` + etag: 304, "*": 304, `"other"`: 200, "": 200,
		} {
			w := get(t, h, path, given)
			if w.Code != status || status == 304 && w.Body.Len() != 0 || w.Header().Get("ETag") != etag {
				t.Errorf("%s with %q: %d, %d bytes", path, given, w.Code, w.Body.Len())
			}
		}
	}
	before := get(t, h, "/acme/jwks", "").Header().Get("ETag")
	if err := signing.Announce(t.Context(), string(jose.ES256)); err != nil {
		t.Fatal(err)
	}
	w := get(t, h, "/acme/jwks", before)
	set, err := jose.ParseSet(w.Body.Bytes())
	if w.Code != 200 || err != nil || len(set.Keys) != 2 {
		t.Errorf("after a key was announced: %d, %d keys, %v", w.Code, len(set.Keys), err)
	}
}
