package objects_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

// mapping returns the document of a mapping without problems with some members replaced, or removed where nil.
func mapping(t testing.TB, changes m) objects.Document {
	t.Helper()
	doc := m{"name": "a", "source": m{"claim": "email"}, "claim": "mail", "into": []string{"access_token"}}
	for k, v := range changes {
		doc[k] = v
		if v == nil {
			delete(doc, k)
		}
	}
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return document(objects.KindClaimMapping, string(body))
}

func TestClaimMappings(t *testing.T) {
	steps := func(list ...m) m { return m{"transforms": list} }
	for _, c := range []struct {
		name    string
		changes m
		want    []string // paths of problems
	}{
		{"good", nil, nil},
		{"everything", m{"transforms": []m{{"do": "lower"}, {"do": "prefix", "with": "x:"}}, "clients": []string{"web"}, "apis": []string{"https://api.example"}}, nil},
		{"an attribute", m{"source": m{"attribute": "department"}}, nil},
		{"the session", m{"source": m{"session": "amr"}, "into": []string{"userinfo", "id_token"}}, nil},
		{"the client", m{"source": m{"client": "software_id"}}, nil},
		{"a constant", m{"source": m{"constant": []string{"a", "b"}}}, nil},
		{"a number", m{"source": m{"constant": 7}}, nil},
		{"a claim by URI", m{"claim": "https://example.com/department"}, nil},
		{"no name", m{"name": nil}, []string{"name"}},
		{"a name with a blank", m{"name": "a b"}, []string{"name"}},
		{"no source", m{"source": nil}, []string{"source"}},
		{"two sources", m{"source": m{"claim": "email", "session": "acr"}}, []string{"source"}},
		{"a source nobody knows", m{"source": m{"claim": "email", "fallback": "name"}}, []string{"source"}},
		{"no standard claim", m{"source": m{"claim": "shoe_size"}}, []string{"source.claim"}},
		{"sub, which pairwise subjects hide", m{"source": m{"claim": "sub"}}, []string{"source.claim"}},
		{"all attributes at once", m{"source": m{"claim": "attributes"}}, []string{"source.claim"}},
		{"no attribute", m{"source": m{"attribute": "a b"}}, []string{"source.attribute"}},
		{"the session id", m{"source": m{"session": "sid"}}, []string{"source.session"}},
		{"a client's secret", m{"source": m{"client": "client_secret"}}, []string{"source.client"}},
		{"an object as constant", m{"source": m{"constant": m{"a": 1}}}, []string{"source.constant"}},
		{"nothing as constant", m{"source": m{"constant": ""}}, []string{"source.constant"}},
		{"mixed constant", m{"source": m{"constant": []any{"a", 1}}}, []string{"source.constant"}},
		{"an unknown step", steps(m{"do": "eval", "with": "x"}), []string{"transforms[0]"}},
		{"a step too many members", steps(m{"do": "lower"}, m{"do": "upper", "if": "x"}), []string{"transforms[1]"}},
		{"a step without argument", steps(m{"do": "split"}), []string{"transforms[0]"}},
		{"a step with one too many", steps(m{"do": "first", "with": "2"}), []string{"transforms[0]"}},
		{"eleven steps", steps(slices.Repeat([]m{{"do": "lower"}}, 11)...), []string{"transforms"}},
		{"no claim", m{"claim": nil}, []string{"claim"}},
		{"a claim with a blank", m{"claim": "a b"}, []string{"claim"}},
		{"nowhere", m{"into": nil}, []string{"into"}},
		{"elsewhere", m{"into": []string{"saml"}}, []string{"into[0]"}},
		{"twice", m{"into": []string{"userinfo", "userinfo"}}, []string{"into[1]"}},
		{"an ID token for an API", m{"into": []string{"access_token", "id_token"}, "apis": []string{"https://api.example"}}, []string{"into[1]"}},
		{"no client", m{"clients": []string{"a b"}}, []string{"clients[0]"}},
		{"no API", m{"apis": []string{"api"}}, []string{"apis[0]"}},
		{"unknown members, which would widen it", m{"client": []string{"web"}}, []string{"client"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := objects.Validate(mapping(t, c.changes))
			if got := paths(problems); !slices.Equal(got, c.want) {
				t.Errorf("problems of %q, want %q", got, c.want)
			}
			for _, p := range problems {
				if p.Warning || p.Remedy == "" {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

func TestClaimsOfTheProtocolAreNoTargets(t *testing.T) {
	for _, claim := range []string{
		"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "client_id", "scope", "act", "may_act", "sid", "nonce", "azp", "auth_time",
		"acr", "amr", "at_hash", "c_hash", "s_hash", "grant_id", "authorization_details", "active", "token_type", "_claim_names", "_claim_sources",
		"events", "sub_id", "attributes",
	} {
		if got := paths(objects.Validate(mapping(t, m{"claim": claim}))); !slices.Equal(got, []string{"claim"}) {
			t.Errorf("%s: problems of %q", claim, got)
		}
	}
}

func TestTransforms(t *testing.T) {
	type step = objects.Transform
	do := func(steps ...step) []step { return steps }
	for _, c := range []struct {
		name, value string
		steps       []step
		want        any
	}{
		{"as it is", `"a"`, nil, "a"},
		{"nothing", ``, nil, nil},
		{"null", `null`, nil, nil},
		{"empty text", `""`, nil, nil},
		{"empty list", `[]`, nil, nil},
		{"a list of other things", `["a",1]`, nil, nil},
		{"a large number", `12345678901234567890`, nil, json.Number("12345678901234567890")},
		{"lower", `"ÄB"`, do(step{Do: "lower"}), "äb"},
		{"upper, of each", `["a","b"]`, do(step{Do: "upper"}), []string{"A", "B"}},
		{"lower, of a boolean", `true`, do(step{Do: "lower"}), nil},
		{"prefix", `["a","b"]`, do(step{Do: "prefix", With: "x:"}), []string{"x:a", "x:b"}},
		{"prefix, of a number", `7`, do(step{Do: "prefix", With: "emp-"}), "emp-7"},
		{"split", `"a, b,,c"`, do(step{Do: "split", With: ","}), []string{"a", "b", "c"}},
		{"split into nothing", `" , "`, do(step{Do: "split", With: ","}), nil},
		{"split, of a list", `["a"]`, do(step{Do: "split", With: ","}), nil},
		{"first", `["a","b"]`, do(step{Do: "first"}), "a"},
		{"first, of a text", `"a"`, do(step{Do: "first"}), "a"},
		{"first, of nothing", `[]`, do(step{Do: "first"}), nil},
		{"join", `["a","b"]`, do(step{Do: "join", With: " "}), "a b"},
		{"join, of a text", `"a"`, do(step{Do: "join", With: " "}), "a"},
		{"join, of a boolean", `true`, do(step{Do: "join", With: " "}), nil},
		{"default", ``, do(step{Do: "default", With: "none"}), "none"},
		{"default, not needed", `false`, do(step{Do: "default", With: "none"}), false},
		{"default, before", `""`, do(step{Do: "default", With: "none"}, step{Do: "upper"}), "NONE"},
		{"boolean", `"Yes"`, do(step{Do: "boolean"}), true},
		{"boolean, no", `"0"`, do(step{Do: "boolean"}), false},
		{"boolean, of one", `true`, do(step{Do: "boolean"}), true},
		{"boolean, neither", `"perhaps"`, do(step{Do: "boolean"}), nil},
		{"boolean, by default", `"perhaps"`, do(step{Do: "boolean"}, step{Do: "default", With: "false"}, step{Do: "boolean"}), false},
		{"member", `{"country":"DE"}`, do(step{Do: "member", With: "country"}, step{Do: "lower"}), "de"},
		{"member, missing", `{"country":"DE"}`, do(step{Do: "member", With: "region"}), nil},
		{"member, of a text", `"a"`, do(step{Do: "member", With: "country"}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			mapping := objects.ClaimMapping{Transforms: c.steps}
			if d := cmp.Diff(c.want, mapping.Transform(json.RawMessage(c.value))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestClaimMappingsOfATenant(t *testing.T) {
	db := storetest.Open(t, store.Options{}).For("acme")
	ring, registry := keys.NewRing(), objects.New(db)
	list, err := registry.ClaimMappings(t.Context())
	if err != nil || len(list.Mappings) != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	mustImport(t, db, ring, objects.ManagedByFile, mapping(t, m{"name": "b"}), mapping(t, m{"name": "a", "clients": []string{"web"}}))
	registry.Heard(store.Event{Tenant: "acme", Kind: store.EventObject, Key: "claim_mapping/a"})
	if list, err = registry.ClaimMappings(t.Context()); err != nil || len(list.Mappings) != 2 || list.Mappings[0].Name != "a" {
		t.Fatalf("%+v, %v", list, err)
	}
	a, b := list.Mappings[0], list.Mappings[1]
	if !a.Applies("access_token", "web", "") || a.Applies("access_token", "other", "") || a.Applies("id_token", "web", "") || !b.Applies("access_token", "other", "x") {
		t.Errorf("%+v, %+v", a, b)
	}
	narrow := objects.ClaimMapping{Into: []string{"access_token"}, APIs: []string{"https://api.example"}}
	if narrow.Applies("access_token", "web", "") || !narrow.Applies("access_token", "web", "https://api.example") {
		t.Error("a mapping for an API is for others too")
	}
}

func TestAttributesOfPeople(t *testing.T) {
	for _, c := range []struct {
		attributes string
		want       []string
	}{
		{`{"department":"R&D","groups":["a","b"],"level":7,"manager":true}`, nil},
		{`{"username":"x"}`, []string{"attributes"}},
		{`{"a b":"x"}`, []string{"attributes"}},
		{`{"a":{"b":1}}`, []string{"attributes.a"}},
		{`{"a":null}`, []string{"attributes.a"}},
		{`[]`, []string{"attributes"}},
	} {
		_, problems := objects.ParseUser(document(objects.KindUser, `{"username":"alice","attributes":`+c.attributes+`}`))
		if got := paths(problems); !slices.Equal(got, c.want) {
			t.Errorf("%s: problems of %q, want %q", c.attributes, got, c.want)
		}
	}
}

// FuzzClaimMapping looks for documents that are accepted and upset who applies them, or aim at a claim of the protocol.
func FuzzClaimMapping(f *testing.F) {
	f.Add(string(mapping(f, nil).Body), `"a"`)
	f.Add(string(mapping(f, m{"transforms": []m{{"do": "split", "with": ","}, {"do": "first"}, {"do": "join", "with": " "}}}).Body), `["a","b"]`)
	f.Add(string(mapping(f, m{"source": m{"constant": []string{"x"}}, "transforms": []m{{"do": "member", "with": "a"}, {"do": "boolean"}}}).Body), `{"a":[]}`)
	f.Fuzz(func(t *testing.T, body, value string) {
		for _, p := range objects.Validate(document(objects.KindClaimMapping, body)) {
			if !p.Warning {
				return
			}
		}
		var one objects.ClaimMapping
		if err := jose.Unmarshal([]byte(body), &one); err != nil {
			t.Fatalf("accepted, yet %v", err)
		}
		if objects.ReservedClaim(one.Claim) {
			t.Errorf("accepted %s", one.Claim)
		}
		if _, err := json.Marshal(one.Transform(json.RawMessage(value))); err != nil {
			t.Error(err)
		}
		one.Transform(one.Source.Constant)
	})
}
