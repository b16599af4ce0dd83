package objects_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

// keyed is a client of a profile that authenticates with a key.
func keyed(profile string, changes m) objects.Document {
	all := m{"profile": profile, "client_secret": nil, "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(`{"keys":[` + publicJWK + `]}`)}
	for name, value := range changes {
		all[name] = value
	}
	return with(all)
}

func TestProfilesAreChecked(t *testing.T) {
	secret := m{"token_endpoint_auth_method": "client_secret_basic", "client_secret": longSecret, "jwks": nil}
	tests := []struct {
		name, profile string
		changes       m
		want          []string // paths of problems
	}{
		{"default", "", nil, nil},
		{"oidc", "oidc", secret, nil},
		{"fapi2", "fapi2", nil, nil},
		{"message signing", "fapi2-message-signing", nil, nil},
		{"unknown", "fapi1", nil, []string{"profile"}},
		{"FAPI with a secret", "fapi2", secret, []string{"token_endpoint_auth_method"}},
		{"public FAPI client", "fapi2", m{"token_endpoint_auth_method": "none", "jwks": nil}, []string{"token_endpoint_auth_method"}},
		{"RS256", "oauth21", m{"id_token_signed_response_alg": "RS256"}, nil},
		{"RS256 under FAPI", "fapi2", m{"id_token_signed_response_alg": "RS256", "token_endpoint_auth_signing_alg": "RS256"},
			[]string{"id_token_signed_response_alg", "jwks", "token_endpoint_auth_signing_alg"}},
		{"deviation", "fapi2", m{"allow_unpushed_requests": true}, nil},
		{"deviations", "fapi2-message-signing", m{"allow_unsigned_requests": true, "allow_plain_responses": true}, nil},
		{"deviations from nothing", "fapi2", m{"allow_unsigned_requests": true, "allow_plain_responses": true}, []string{"allow_plain_responses", "allow_unsigned_requests"}},
		{"deviation of the default", "", m{"allow_unpushed_requests": true}, []string{"allow_unpushed_requests"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := paths(objects.Validate(keyed(test.profile, test.changes))); !slices.Equal(got, test.want) {
				t.Errorf("problems of %q, want %q", got, test.want)
			}
		})
	}
}

func TestProfilesDecide(t *testing.T) {
	type decided struct{ pkce, pushed, signed, answers bool }
	tests := []struct {
		name, profile string
		changes       m
		want          decided
		alg           jose.Alg
	}{
		{"default", "", nil, decided{pkce: true}, jose.ES256},
		{"oauth21 that pushes", "oauth21", m{"require_pushed_authorization_requests": true}, decided{pkce: true, pushed: true}, jose.ES256},
		{"oidc", "oidc", nil, decided{}, jose.RS256},
		{"public oidc", "oidc", m{"token_endpoint_auth_method": "none", "jwks": nil}, decided{pkce: true}, jose.RS256},
		{"oidc with an algorithm", "oidc", m{"id_token_signed_response_alg": "PS256"}, decided{}, jose.PS256},
		{"fapi2", "fapi2", nil, decided{pkce: true, pushed: true}, jose.ES256},
		{"fapi2 without PAR", "fapi2", m{"allow_unpushed_requests": true}, decided{pkce: true}, jose.ES256},
		{"message signing", "fapi2-message-signing", nil, decided{pkce: true, pushed: true, signed: true, answers: true}, jose.ES256},
		{"unsigned requests", "fapi2-message-signing", m{"allow_unsigned_requests": true}, decided{pkce: true, pushed: true, answers: true}, jose.ES256},
		{"plain responses", "fapi2-message-signing", m{"allow_plain_responses": true}, decided{pkce: true, pushed: true, signed: true}, jose.ES256},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db := storetest.Open(t).For("acme")
			mustImport(t, db, keys.NewRing(), objects.ManagedByFile, keyed(test.profile, test.changes))
			c, err := objects.New(db).Client(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			got := decided{c.RequiresPKCE(), c.RequirePushedRequests, c.RequireSignedRequest, c.RequiresSignedResponse()}
			if got != test.want || c.IDTokenAlg() != test.alg {
				t.Errorf("%+v with %s, want %+v with %s", got, c.IDTokenAlg(), test.want, test.alg)
			}
		})
	}
}

// The tenant says which algorithm comes first; a profile may forbid it, and oidc has that of the standard.
func TestAlgorithmsOfTheTenant(t *testing.T) {
	for _, test := range []struct {
		name, profile string
		tenant        []jose.Alg
		changes       m
		want          jose.Alg
	}{
		{"default", "", []jose.Alg{jose.PS256, jose.ES256}, nil, jose.PS256},
		{"RS256", "", []jose.Alg{jose.RS256}, nil, jose.RS256},
		{"oidc", "oidc", []jose.Alg{jose.PS256, jose.ES256}, nil, jose.RS256},
		{"FAPI", "fapi2", []jose.Alg{jose.RS256, jose.EdDSA}, nil, jose.EdDSA},
		{"FAPI without any", "fapi2", []jose.Alg{jose.RS256}, nil, jose.ES256},
		{"registered", "", []jose.Alg{jose.PS256}, m{"id_token_signed_response_alg": "EdDSA"}, jose.EdDSA},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := storetest.Open(t).For("acme")
			mustImport(t, db, keys.NewRing(), objects.ManagedByFile, keyed(test.profile, test.changes))
			registry := objects.New(db)
			registry.Algs = test.tenant
			c, err := registry.Client(t.Context(), "web")
			if err != nil || c.IDTokenAlg() != test.want {
				t.Errorf("%s, %v; want %s", c.IDTokenAlg(), err, test.want)
			}
		})
	}
}

func TestWhatIsSignedForAClient(t *testing.T) {
	signed := func(profile string, changes m) (list []string) {
		t.Helper()
		db := storetest.Open(t).For("acme")
		mustImport(t, db, keys.NewRing(), objects.ManagedByFile, keyed(profile, changes))
		c, err := objects.New(db).Client(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Signed() {
			list = append(list, s.Member+" "+string(s.Alg))
		}
		return list
	}
	for _, test := range []struct {
		profile string
		changes m
		want    []string
	}{
		{"", nil, []string{"id_token_signed_response_alg ES256"}},
		{"oidc", nil, []string{"id_token_signed_response_alg RS256"}},
		{"", m{"scope": "orders"}, nil},
		{"", m{"grant_types": []string{"client_credentials"}, "redirect_uris": nil}, nil},
		{"", m{"userinfo_signed_response_alg": "PS256"}, []string{"id_token_signed_response_alg ES256", "userinfo_signed_response_alg PS256"}},
		{"fapi2-message-signing", nil, []string{"id_token_signed_response_alg ES256", "authorization_signed_response_alg ES256"}},
	} {
		if got := signed(test.profile, test.changes); !slices.Equal(got, test.want) {
			t.Errorf("%q with %v: %q, want %q", test.profile, test.changes, got, test.want)
		}
	}
}
