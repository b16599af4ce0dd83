package objects_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
)

// web is a client without problems.
var web = map[string]any{"client_id": "web", "redirect_uris": []string{"https://app.example.com/cb"}, "client_secret": longSecret}

// with returns the document of web with some members replaced, or removed where nil.
func with(changes map[string]any) objects.Document {
	m := maps.Clone(web)
	for k, v := range changes {
		m[k] = v
		if v == nil {
			delete(m, k)
		}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return objects.Document{}
	}
	return objects.Document{Kind: objects.KindClient, Body: body}
}

func paths(problems []objects.Problem) (list []string) {
	for _, p := range problems {
		list = append(list, p.Path)
	}
	slices.Sort(list)
	return list
}

type m = map[string]any

func TestRFC7591_2_ClientMetadata(t *testing.T) {
	jwks := json.RawMessage(`{"keys":[` + publicJWK + `]}`)
	tests := []struct {
		name    string
		changes m
		want    []string // paths of problems
	}{
		{"good", nil, nil},
		{"no redirect URI", m{"redirect_uris": nil}, []string{"redirect_uris"}},
		{"no redirect URI needed", m{"redirect_uris": nil, "grant_types": []string{"client_credentials"}}, nil},
		{"implicit", m{"grant_types": []string{"authorization_code", "implicit"}, "response_types": []string{"code", "id_token"}}, []string{"grant_types[1]", "response_types[1]"}},
		{"unknown grant", m{"grant_types": []string{"magic"}, "redirect_uris": nil}, []string{"grant_types[0]"}},
		{"code without its grant", m{"grant_types": []string{"client_credentials"}, "response_types": []string{"code"}}, []string{"grant_types"}},
		{"grant without code", m{"response_types": []string{"none"}}, []string{"response_types", "response_types[0]"}},
		{"refresh alone", m{"grant_types": []string{"refresh_token"}}, []string{"grant_types"}},
		{"no secret", m{"client_secret": nil}, []string{"token_endpoint_auth_method"}},
		{"generated secret", m{"client_secret": nil, "generate_client_secret": true}, nil},
		{"weak secret", m{"client_secret": "short"}, []string{"client_secret"}},
		{"weak secret, allowed", m{"client_secret": "short", "allow_weak_secret": true}, nil},
		{"unknown method", m{"token_endpoint_auth_method": "client_secret_magic", "client_secret": nil}, []string{"token_endpoint_auth_method"}},
		{"secret without use", m{"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks}, []string{"token_endpoint_auth_method"}},
		{"keys", m{"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "client_secret": nil}, nil},
		{"no keys", m{"token_endpoint_auth_method": "private_key_jwt", "client_secret": nil}, []string{"token_endpoint_auth_method"}},
		{"keys by URL", m{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://p.example/jwks", "client_secret": nil}, nil},
		{"keys by http", m{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://127.0.0.1/jwks", "client_secret": nil}, []string{"jwks_uri"}},
		{"keys twice", m{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://p.example/jwks", "jwks": jwks, "client_secret": nil}, []string{"jwks"}},
		{"private keys", m{"token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(`{"keys":[` + privateJWK + `]}`), "client_secret": nil}, []string{"jwks"}},
		{"symmetric keys", m{"token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA"}]}`), "client_secret": nil}, []string{"jwks"}},
		{"keys that do not fit", m{"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks, "client_secret": nil, "token_endpoint_auth_signing_alg": "PS256"}, []string{"jwks"}},
		{"self-signed without keys", m{"token_endpoint_auth_method": "self_signed_tls_client_auth", "client_secret": nil}, []string{"token_endpoint_auth_method"}},
		{"certificate", m{"token_endpoint_auth_method": "tls_client_auth", "client_secret": nil, "tls_client_auth_san_dns": "p.example"}, nil},
		{"certificate without name", m{"token_endpoint_auth_method": "tls_client_auth", "client_secret": nil}, []string{"tls_client_auth_subject_dn"}},
		{"certificate with two names", m{"token_endpoint_auth_method": "tls_client_auth", "client_secret": nil, "tls_client_auth_san_dns": "p.example", "tls_client_auth_subject_dn": "CN=p"}, []string{"tls_client_auth_subject_dn"}},
		{"name without certificate", m{"tls_client_auth_san_dns": "p.example"}, []string{"tls_client_auth_subject_dn"}},
		{"public", m{"token_endpoint_auth_method": "none", "client_secret": nil}, nil},
		{"public, bound to a certificate only", m{"token_endpoint_auth_method": "none", "client_secret": nil, "tls_client_certificate_bound_access_tokens": true}, []string{"dpop_bound_access_tokens"}},
		{"public with bearer tokens", m{"token_endpoint_auth_method": "none", "client_secret": nil, "allow_bearer_tokens": true}, nil},
		{"public for itself", m{"token_endpoint_auth_method": "none", "client_secret": nil, "grant_types": []string{"client_credentials"}, "redirect_uris": nil}, []string{"grant_types"}},
		{"algorithm none", m{"id_token_signed_response_alg": "none"}, []string{"id_token_signed_response_alg"}},
		{"encryption", m{"id_token_encrypted_response_alg": "RSA-OAEP"}, []string{"id_token_encrypted_response_alg"}},
		{"pairwise", m{"subject_type": "pairwise"}, nil},
		{"pairwise over hosts", m{"subject_type": "pairwise", "redirect_uris": []string{"https://a.example/", "https://b.example/"}}, []string{"sector_identifier_uri"}},
		{"pairwise sector", m{"subject_type": "pairwise", "redirect_uris": []string{"https://a.example/", "https://b.example/"}, "sector_identifier_uri": "https://a.example/s"}, nil},
		{"subject", m{"subject_type": "secret"}, []string{"subject_type"}},
		{"script as logo", m{"logo_uri": "javascript:alert(1)"}, []string{"logo_uri"}},
		{"scope", m{"scope": "openid a\"b"}, []string{"scope"}},
		{"resource", m{"resources": []string{"https://api.example.com", "api", "https://api.example.com/#x"}}, []string{"resources[1]", "resources[2]"}},
		{"format", m{"access_token_format": "saml"}, []string{"access_token_format"}},
		{"client id", m{"client_id": "two words"}, []string{"client_id"}},
		{"everything at once", m{"redirect_uris": "https://a.example", "grant_types": 7, "client_name": []int{1}, "jwks_uri": "ftp://x", "nonsense": 1, "client_name#de": "x"},
			[]string{"client_name", "client_name#de", "grant_types", "jwks_uri", "nonsense", "redirect_uris", "redirect_uris"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems := objects.Validate(with(test.changes))
			if got := paths(problems); !slices.Equal(got, test.want) {
				t.Errorf("problems of %q, want %q: %v", got, test.want, objects.Problems(problems))
			}
			for _, p := range problems {
				if p.What == "" || p.Remedy == "" || p.Object == "" {
					t.Errorf("%+v does not help", p)
				}
			}
		})
	}
}

func TestRFC6749_3_1_2_RedirectURIs(t *testing.T) {
	tests := []struct {
		uri    string
		plain  bool // accepted
		custom bool // accepted with allow_custom_scheme_redirects
	}{
		{"https://app.example.com/cb", true, true},
		{"https://app.example.com:8443/cb?x=1", true, true},
		{"http://127.0.0.1:1234/cb", true, true},
		{"http://[::1]/cb", true, true},
		{"http://localhost/cb", true, true},
		{"com.example.app:/cb", false, true},
		{"http://app.example.com/cb", false, false},
		{"http://127.0.0.1.example.com/cb", false, false},
		{"https://app.example.com/cb#f", false, false},
		{"https://app.example.com/cb#", false, false},
		{"https://user@app.example.com/cb", false, false},
		{"https://user:pw@app.example.com/cb", false, false},
		{"https://*.example.com/cb", false, false},
		{"https://app.example.com/*", false, false},
		{"https:///cb", false, false},
		{"https:cb", false, false},
		{"https://:443/cb", false, false},
		{"/cb", false, false},
		{"", false, false},
		{"//app.example.com/cb", false, false},
		{"javascript:alert(1)", false, false},
		{"data:text/html,x", false, false},
		{"myapp:/cb", false, false},
		{`https://app.example.com\@evil.example/cb`, false, false},
		{"https://app.example.com/c b", false, false},
		{"https://app.example.com/\n", false, false},
		{"https://äpp.example.com/cb", false, false},
		{"https://app.example.com/%zz", false, false},
	}
	for _, test := range tests {
		for _, custom := range []bool{false, true} {
			want := test.plain
			if custom {
				want = test.custom
			}
			problems := objects.Validate(with(m{"redirect_uris": []string{test.uri}, "allow_custom_scheme_redirects": custom}))
			if got := len(problems) == 0; got != want {
				t.Errorf("%q, custom schemes %v: %v, want accepted %v", test.uri, custom, problems, want)
			}
		}
	}
	if got := paths(objects.Validate(with(m{"redirect_uris": []string{"https://a.example/", "https://a.example/"}}))); !slices.Equal(got, []string{"redirect_uris[1]"}) {
		t.Errorf("a URI listed twice: %v", got)
	}
}

func TestAPIsAndScopes(t *testing.T) {
	tests := []struct {
		kind, body string
		want       []string
	}{
		{"api", `{"resource": "https://api.example.com", "scopes": ["read"], "introspectors": ["gateway"]}`, nil},
		{"api", `{"resource": "urn:example:api"}`, nil},
		{"api", `{}`, []string{"resource"}},
		{"api", `{"resource": "https://api.example.com/#x"}`, []string{"resource"}},
		{"api", `{"resource": "https://u@api.example.com"}`, []string{"resource"}},
		{"api", `{"resource": "api.example.com/x"}`, []string{"resource"}},
		{"api", `{"resource": "https://a", "access_token_lifetime": 5, "access_token_format": "x", "scopes": ["a b"]}`, []string{"access_token_format", "access_token_lifetime", "scopes[0]"}},
		{"api", `{"resource": "https://a", "access_token_lifetime": 86401}`, []string{"access_token_lifetime"}},
		{"api", `{"resource": "https://a", "required_acr": "gold", "max_authentication_age": 29}`, []string{"max_authentication_age", "required_acr"}},
		{"api", `{"resource": "https://a", "max_authentication_age": -1}`, []string{"max_authentication_age"}},
		{"api", `{"resource": "https://a", "required_acr": "phr", "max_authentication_age": 30}`, nil},
		{"scope", `{"name": "read", "title": "Read"}`, nil},
		{"scope", `{"name": "re ad", "claims": [""]}`, []string{"claims[0]", "name"}},
		{"scope", `{"title": "Read"}`, []string{"name"}},
		{"scope", `[]`, []string{"", "name"}},
		{"scope", `{"name": "a", "name": "b"}`, []string{"", "name"}},
		{"scope", `{"name": "a", "Name": "b"}`, []string{"Name"}},
		{"policy", `{}`, []string{""}},
	}
	for _, test := range tests {
		if got := paths(objects.Validate(document(test.kind, test.body))); !slices.Equal(got, test.want) {
			t.Errorf("%s %s: problems of %q, want %q", test.kind, test.body, got, test.want)
		}
	}
}

func TestNameOfDocumentAndBodyMustAgree(t *testing.T) {
	d := document("scope", `{"name": "a"}`)
	d.Name = "b"
	if got := paths(objects.Validate(d)); !slices.Equal(got, []string{"name"}) {
		t.Errorf("problems of %q", got)
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add("client", string(with(nil).Body))
	f.Add("client", `{"jwks":{"keys":[`+publicJWK+`]},"redirect_uris":["http://[::1]:0/"]}`)
	f.Add("api", `{"resource":"https://a"}`)
	f.Add("scope", `{"name":"a","claims":["b"]}`)
	f.Add("user", `{"username":"a","password":"12345678","address":{"locality":"x"}}`)
	f.Fuzz(func(t *testing.T, kind, body string) {
		if kind == objects.KindUser {
			objects.ParseUser(document(kind, body))
			return
		}
		refused := false
		for _, p := range objects.Validate(document(kind, body)) {
			refused = refused || !p.Warning
			if p.What == "" {
				t.Errorf("an empty problem")
			}
		}
		if !refused && !json.Valid([]byte(body)) {
			t.Errorf("accepted %q", body)
		}
	})
}
