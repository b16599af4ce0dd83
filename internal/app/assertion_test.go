package app

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// endpoints are those at which clients authenticate, each with a request that is otherwise refused for another reason
// or not at all.
var endpoints = map[string]url.Values{
	"/token":      {"grant_type": {"client_credentials"}},
	"/par":        {"response_type": {"code"}},
	"/introspect": {"token": {"abc"}},
	"/revoke":     {"token": {"abc"}},
}

// Wherever a client authenticates, the rules of its assertions are those of its profile (FAPI 2.0 §5.3.2.1; protocol
// notes on audience and times).
func TestRFC7523_3_TheSameAtEveryEndpoint(t *testing.T) {
	s := signer(t, jose.ES256, "a")
	set, err := json.Marshal(jose.Set{Keys: []jose.Key{s.Key()}})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, config)
	client := func(more string) string {
		return `{"kind": "client", "token_endpoint_auth_method": "private_key_jwt", "redirect_uris": ["https://bank.example/callback"], "jwks": ` + string(set) + `, ` + more + `}`
	}
	r.write("objects.yaml", client(`"client_id": "bank", "profile": "fapi2", "grant_types": ["authorization_code", "client_credentials"]`)+
		"\n---\n"+client(`"client_id": "old", "profile": "fapi2", "grant_types": ["authorization_code", "client_credentials"], "allow_token_endpoint_audience": true`))
	r.bring("main")
	const issuer = "https://login.test"
	in := func(d time.Duration) int64 { return r.app.Clock.Now().Add(d).Unix() }
	for path, form := range endpoints {
		for _, c := range []struct {
			name, client string
			aud          any
			iat, nbf     int64
			good         bool
		}{
			{"the issuer", "bank", issuer, in(0), in(0), true},
			{"the issuer in an array", "bank", []string{issuer}, in(0), in(0), false},
			{"the token endpoint", "bank", issuer + "/token", in(0), in(0), false},
			{"this endpoint", "bank", issuer + path, in(0), in(0), false},
			{"the issuer, by setting", "old", issuer, in(0), in(0), true},
			{"the issuer in an array, by setting", "old", []string{"https://else.example", issuer}, in(0), in(0), true},
			{"the token endpoint, by setting", "old", issuer + "/token", in(0), in(0), true},
			{"somebody else, by setting", "old", "https://else.example", in(0), in(0), false},
			{"iat 10 s ahead", "bank", issuer, in(10 * time.Second), in(0), true},
			{"iat 60 s ahead", "bank", issuer, in(60 * time.Second), in(0), false},
			{"nbf 10 s ahead", "bank", issuer, in(0), in(10 * time.Second), true},
			{"nbf 60 s ahead", "bank", issuer, in(0), in(60 * time.Second), false},
		} {
			assertion, err := s.Sign("JWT", map[string]any{
				"iss": c.client, "sub": c.client, "aud": c.aud, "jti": store.NewID(), "iat": c.iat, "nbf": c.nbf, "exp": in(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			a := r.post(r.client(), issuer+path, with(form, "client_assertion_type", oauth.AssertionType, "client_assertion", assertion))
			var refused struct{ Error string }
			if a.text != "" && json.Unmarshal([]byte(a.text), &refused) != nil {
				t.Fatalf("%s, %s: %d %s", path, c.name, a.status, a.text)
			}
			if good := refused.Error != string(oauth.InvalidClient); good != c.good || !c.good && a.status != 401 {
				t.Errorf("%s, %s: %d %s", path, c.name, a.status, a.text)
			}
		}
	}
}
