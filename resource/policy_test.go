package resource_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

const about = `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/shop"`

// answer runs a handler under a policy with a token of these claims.
func (b *bench) answer(t *testing.T, p resource.Policy, claims resourcetest.Claims) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	token := b.issuer.Sign(b.BoundToCertificate(claims))
	b.HandlerFunc(p, func(w http.ResponseWriter, r *http.Request) {
		if resource.From(r.Context()).Subject != "alice" {
			t.Error("the handler does not know the caller")
		}
		w.WriteHeader(http.StatusNoContent)
	}).ServeHTTP(w, b.WithCertificate("GET", orders, token))
	return w
}

func TestPolicies(t *testing.T) {
	b := newBench(t, nil)
	scoped := b.issuer.Claims(audience).With("scope", "read write")
	signedIn := scoped.With("acr", "phr").With("auth_time", start.Add(-10*time.Minute).Unix())
	tenant := scoped.With("tenant", "acme").With("roles", []string{"clerk", "chief"}).With("level", 3)
	yes, no := func(*resource.Principal) bool { return true }, func(*resource.Principal) bool { return false }
	for _, c := range []struct {
		name   string
		policy resource.Policy
		claims resourcetest.Claims
		want   int
	}{
		{"the zero value", resource.Policy{}, scoped, 403},
		{"an empty list", resource.Policy{Scopes: []string{}, Claims: map[string]string{}}, scoped, 403},
		{"Scopes of nothing", resource.Scopes(), scoped, 403},
		{"an empty scope", resource.Scopes(""), scoped, 403},
		{"an empty acr", resource.Policy{ACR: []string{""}}, scoped, 403},
		{"a negative age", resource.Policy{MaxAge: -time.Second}, signedIn, 403},
		{"authenticated", resource.Authenticated(), b.issuer.Claims(audience), 204},
		{"one scope", resource.Scopes("read"), scoped, 204},
		{"two scopes", resource.Scopes("write", "read"), scoped, 204},
		{"one of two scopes", resource.Scopes("read", "admin"), scoped, 403},
		{"part of a scope", resource.Scopes("rea"), scoped, 403},
		{"no scope at all", resource.Scopes("read"), b.issuer.Claims(audience), 403},
		{"acr", resource.Policy{ACR: []string{"phrh", "phr"}}, signedIn, 204},
		{"another acr", resource.Policy{ACR: []string{"phrh"}}, signedIn, 401},
		{"no acr", resource.Policy{ACR: []string{"phr"}}, scoped, 401},
		{"young enough", resource.Policy{MaxAge: 10 * time.Minute}, signedIn, 204},
		{"too old", resource.Policy{MaxAge: 9 * time.Minute}, signedIn, 401},
		{"no auth_time", resource.Policy{MaxAge: 24 * time.Hour}, scoped, 401},
		{"auth_time to come", resource.Policy{MaxAge: time.Hour}, scoped.With("auth_time", start.Add(time.Hour).Unix()), 401},
		{"claim", resource.Policy{Claims: map[string]string{"tenant": "acme"}}, tenant, 204},
		{"claim with a list", resource.Policy{Claims: map[string]string{"roles": "chief", "tenant": "acme"}}, tenant, 204},
		{"another claim", resource.Policy{Claims: map[string]string{"tenant": "acme2"}}, tenant, 403},
		{"one of two claims", resource.Policy{Claims: map[string]string{"tenant": "acme", "roles": "boss"}}, tenant, 403},
		{"no claim", resource.Policy{Claims: map[string]string{"tenant": ""}}, scoped, 403},
		{"claim of another type", resource.Policy{Claims: map[string]string{"level": "3"}}, tenant, 403},
		{"Allow says yes", resource.Policy{Allow: yes}, scoped, 204},
		{"Allow says no", resource.Policy{Allow: no}, scoped, 403},
		{"scope and Allow", resource.Policy{Scopes: []string{"admin"}, Allow: yes}, scoped, 403},
	} {
		if w := b.answer(t, c.policy, c.claims); w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
}

// What clients read to know what to do next, to the letter.
func TestChallenges(t *testing.T) {
	b := newBench(t, nil)
	claims := b.issuer.Claims(audience).With("scope", "read")
	h := b.Handler(resource.Authenticated(), http.NotFoundHandler())
	send := func(authorization string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest("GET", orders, nil), httptest.NewRecorder()
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		h.ServeHTTP(w, r)
		return w
	}
	dpopOffer := `DPoP algs="ES256 EdDSA PS256", ` + about
	for _, c := range []struct {
		name   string
		answer *httptest.ResponseRecorder
		status int
		want   []string
	}{
		{"RFC6750_3_1_NoCredentials", send(""), 401, []string{"Bearer " + about, dpopOffer}},
		{"RFC6750_3_1_InvalidRequest", send("Bearer"), 400, []string{
			`Bearer error="invalid_request", error_description="the header Authorization does not hold a token", ` + about}},
		{"RFC6750_3_1_InvalidToken", send("Bearer a.b.c"), 401, []string{
			`Bearer error="invalid_token", error_description="the access token is not valid", ` + about, dpopOffer}},
		{"RFC9449_7_1_InvalidProof", send("DPoP a.b.c"), 401, []string{
			`DPoP error="invalid_dpop_proof", error_description="the scheme DPoP needs exactly one header DPoP", algs="ES256 EdDSA PS256", ` + about}},
		{"RFC6750_3_1_InsufficientScope", b.answer(t, resource.Scopes("read", "write"), claims), 403, []string{
			`Bearer error="insufficient_scope", error_description="the access token lacks a scope", scope="read write", ` + about}},
		{"RFC9470_3_InsufficientUserAuthentication", b.answer(t, resource.Policy{ACR: []string{"phr", "phrh"}, MaxAge: time.Minute}, claims), 401, []string{
			`Bearer error="insufficient_user_authentication", error_description="the user has to sign in again", acr_values="phr phrh", max_age="60", ` + about, dpopOffer}},
		{"RFC9110_15_5_4_Forbidden", b.answer(t, resource.Policy{}, claims), 403, nil},
	} {
		if got := c.answer.Header().Values("WWW-Authenticate"); c.answer.Code != c.status || !slices.Equal(got, c.want) {
			t.Errorf("%s: %d\n got %q\nwant %q", c.name, c.answer.Code, got, c.want)
		}
		if c.answer.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", c.name)
		}
	}
	w := send("Bearer a.b.c")
	if w.Body.String() != `{"error":"invalid_token","error_description":"the access token is not valid"}`+"\n" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	odd := &resource.Challenge{Status: 403, Code: oauth.InsufficientScope, Scopes: []string{`a"\`}}
	if got := odd.Header(); !slices.Equal(got, []string{`Bearer error="insufficient_scope", scope="a\"\\"`}) {
		t.Errorf("RFC 9110 §5.6.4: %q", got)
	}
}

func TestRefusedHearsTheCause(t *testing.T) {
	var heard error
	b := newBench(t, func(c *resource.Config) { c.Refused = func(_ *http.Request, err error) { heard = err } })
	w := b.answer(t, resource.Authenticated(), b.issuer.Claims("https://other.example"))
	if w.Code != 401 || heard == nil || heard.Error() != "invalid_token: the access token is not valid: aud does not name this API" {
		t.Errorf("%d, %v", w.Code, heard)
	}
	if resource.From(context.Background()) != nil {
		t.Error("a caller out of nowhere")
	}
}

func TestClaim(t *testing.T) {
	b := newBench(t, nil)
	token, err := b.VerifyToken(t.Context(), b.issuer.Sign(b.issuer.Claims(audience).With("tenant", "acme").With("limits", map[string]int{"day": 3}).
		With("act", map[string]any{"sub": "gateway", "act": map[string]any{"sub": "shop"}}).With("sid", "s1").With("grant_id", "g1").
		With("amr", []string{"hwk"}).With("big", json.Number("9007199254740993"))))
	if err != nil {
		t.Fatal(err)
	}
	if tenant, err := resource.Claim[string](token, "tenant"); tenant != "acme" || err != nil {
		t.Errorf("%q, %v", tenant, err)
	}
	if limits, err := resource.Claim[struct {
		Day int `json:"day"`
	}](token, "limits"); limits.Day != 3 || err != nil {
		t.Errorf("%v, %v", limits, err)
	}
	if big, err := resource.Claim[int64](&resource.Principal{Token: token}, "big"); big != 9007199254740993 || err != nil {
		t.Errorf("%d, %v", big, err)
	}
	for _, name := range []string{"limits", "none", "Tenant"} {
		if _, err := resource.Claim[string](token, name); !errors.Is(err, resource.ErrClaim) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if token.Actor == nil || token.Actor.Subject != "gateway" || token.Actor.Actor.Subject != "shop" || token.SessionID != "s1" || token.GrantID != "g1" || !slices.Equal(token.AMR, []string{"hwk"}) {
		t.Errorf("%+v", token)
	}
}

func TestRFC9728_3_Metadata(t *testing.T) {
	for _, c := range []struct{ audience, path string }{
		{"https://api.example.com", "/.well-known/oauth-protected-resource"},
		{"https://api.example.com/", "/.well-known/oauth-protected-resource"},
		{"https://api.example.com/shop", "/.well-known/oauth-protected-resource/shop"},
		{"https://api.example.com/shop%2Fa/b", "/.well-known/oauth-protected-resource/shop%2Fa/b"},
		{"urn:shop", ""}, {"http://localhost/shop", ""},
	} {
		b := newBench(t, func(rc *resource.Config) { rc.Audience, rc.Origins = c.audience, []string{"https://api.example.com"} })
		if got := b.MetadataPath(); got != c.path {
			t.Errorf("%s: %q, want %q", c.audience, got, c.path)
		}
	}
	b := newBench(t, func(c *resource.Config) {
		c.Metadata = resource.Metadata{Name: "Shop", Documentation: "https://docs.example.com", Scopes: []string{"read"}, ClientCertificates: true, DPoPRequired: true}
	})
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		b.MetadataHandler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w
	}
	var got map[string]any
	w := get("GET", b.MetadataPath())
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%d %v %v", w.Code, w.Header(), err)
	}
	want := map[string]any{
		"resource": audience, "authorization_servers": []any{b.issuer.URL}, "scopes_supported": []any{"read"},
		"bearer_methods_supported": []any{"header"}, "resource_name": "Shop", "resource_documentation": "https://docs.example.com",
		"tls_client_certificate_bound_access_tokens": true, "dpop_bound_access_tokens_required": true,
		"dpop_signing_alg_values_supported": []any{"ES256", "EdDSA", "PS256"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if w := get("POST", b.MetadataPath()); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", w.Code)
	}
	if w := get("GET", "/.well-known/oauth-protected-resource"); w.Code != 404 {
		t.Errorf("another resource: %d", w.Code)
	}
}
