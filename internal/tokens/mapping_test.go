package tokens_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// alice is who the grants of the rig are of.
func alice(r *rig) *store.Account {
	return &store.Account{ID: "alice", Username: "Alice@Example.com", UpdatedAt: r.now(), Claims: json.RawMessage(
		`{"name":"Alice Doe","email":"alice@example.com","email_verified":true,"phone_number":"+49 1","nickname":null,
			"address":{"country":"DE"},"attributes":{"department":"R&D, Sales","level":7,"motto":"` + strings.Repeat("x", 3000) + `"}}`)}
}

func mappings(t testing.TB, list ...objects.ClaimMapping) *objects.ClaimMappings {
	t.Helper()
	all := new(objects.ClaimMappings)
	for i := range list {
		if list[i].Into == nil {
			list[i].Into = []string{"access_token", "id_token", "userinfo"}
		}
		all.Mappings = append(all.Mappings, &list[i])
	}
	return all
}

type (
	source = objects.ClaimSource
	step   = objects.Transform
)

// each has a mapping for every source, and for what cannot be had.
func each(t testing.TB) *objects.ClaimMappings {
	return mappings(t,
		objects.ClaimMapping{Claim: "login", Source: source{Attribute: "username"}, Transforms: []step{{Do: "lower"}}},
		objects.ClaimMapping{Claim: "departments", Source: source{Attribute: "department"}, Transforms: []step{{Do: "split", With: ","}}},
		objects.ClaimMapping{Claim: "level", Source: source{Attribute: "level"}},
		objects.ClaimMapping{Claim: "verified", Source: source{Claim: "email_verified"}},
		objects.ClaimMapping{Claim: "country", Source: source{Claim: "address"}, Transforms: []step{{Do: "member", With: "country"}}},
		objects.ClaimMapping{Claim: "changed", Source: source{Claim: "updated_at"}},
		objects.ClaimMapping{Claim: "how", Source: source{Session: "amr"}, Transforms: []step{{Do: "join", With: "+"}}},
		objects.ClaimMapping{Claim: "level_of_assurance", Source: source{Session: "acr"}},
		objects.ClaimMapping{Claim: "since", Source: source{Session: "auth_time"}},
		objects.ClaimMapping{Claim: "app", Source: source{Client: "client_id"}, Transforms: []step{{Do: "upper"}}},
		objects.ClaimMapping{Claim: "region", Source: source{Constant: json.RawMessage(`["eu"]`)}},
		objects.ClaimMapping{Claim: "motto", Source: source{Attribute: "motto"}}, // larger than a claim may be
		objects.ClaimMapping{Claim: "nick", Source: source{Claim: "nickname"}},
		objects.ClaimMapping{Claim: "nothing", Source: source{Attribute: "absent"}},
		objects.ClaimMapping{Claim: "region", Source: source{Constant: json.RawMessage(`"late"`)}},
		objects.ClaimMapping{Claim: "sub", Source: source{Constant: json.RawMessage(`"mallory"`)}},
		objects.ClaimMapping{Claim: "other_client", Clients: []string{"other"}, Source: source{Constant: json.RawMessage(`1`)}},
		objects.ClaimMapping{Claim: "other_api", APIs: []string{"https://other.example"}, Source: source{Constant: json.RawMessage(`1`)}},
	)
}

func eachMapped(r *rig) map[string]any {
	now := float64(r.now().Unix())
	return map[string]any{
		"login": "alice@example.com", "departments": []any{"R&D", "Sales"}, "level": 7.0, "verified": true, "country": "DE",
		"changed": now, "how": "hwk+user", "level_of_assurance": "phr", "since": now - 60, "app": "SHOP", "region": []any{"eu"},
	}
}

func decoded(t *testing.T, claims map[string]json.RawMessage) map[string]any {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMappedClaimsOfAccessTokens(t *testing.T) {
	for _, format := range []string{objects.FormatJWT, objects.FormatOpaque} {
		t.Run(format, func(t *testing.T) {
			r := newRig(t, tokens.Lifetimes{})
			p := plan(r, r.grant(t, false))
			p.Client.AccessTokenFormat, p.Account, p.Mappings = format, alice(r), each(t)
			token, a := r.mint(t, p)
			if d := cmp.Diff(eachMapped(r), decoded(t, a.Claims.Mapped)); d != "" {
				t.Error(d)
			}
			read, err := r.minter.Inspect(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&a.Claims, read); d != "" {
				t.Errorf("read back: %s", d)
			}
			if format == objects.FormatOpaque {
				return
			}
			all := claimsOf(t, r, token, jose.ES256)
			if all["login"] != "alice@example.com" || all["sub"] != "alice" || all["iss"] != issuer {
				t.Errorf("%v", all)
			}
		})
	}
}

func TestMappedClaimsOfOneAPI(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	p := plan(r, r.grant(t, false))
	p.Mappings = mappings(t, objects.ClaimMapping{Claim: "only", APIs: []string{p.API.Resource}, Source: source{Constant: json.RawMessage(`true`)}})
	if a := r.minter.Access(p); string(a.Claims.Mapped["only"]) != "true" {
		t.Errorf("at its API: %s", a.Claims.Mapped)
	}
	p.API = nil
	if a := r.minter.Access(p); a.Claims.Mapped != nil {
		t.Errorf("elsewhere: %s", a.Claims.Mapped)
	}
	from := r.minter.Access(plan(r, p.Grant)).Claims
	from.Mapped = map[string]json.RawMessage{"secret_of_the_other_api": json.RawMessage(`1`)}
	x := tokens.Exchange{From: &from, API: api(), Actor: "gateway", Client: client(), Grant: p.Grant, Mappings: p.Mappings, IssuedAt: r.now()}
	if d := cmp.Diff(map[string]any{"only": true}, decoded(t, r.minter.Exchange(x).Claims.Mapped)); d != "" {
		t.Errorf("after an exchange: %s", d)
	}
}

// A client that acts for itself has neither person nor session.
func TestMappedClaimsWithoutAPerson(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	a := r.minter.Access(tokens.Plan{Client: client(), API: api(), Subject: "shop", Scope: []string{"read"}, Mappings: each(t), IssuedAt: r.now()})
	if d := cmp.Diff(map[string]any{"app": "SHOP", "region": []any{"eu"}}, decoded(t, a.Claims.Mapped)); d != "" {
		t.Error(d)
	}
}

func TestMappedClaimsAreBounded(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	var list []objects.ClaimMapping
	for _, name := range []string{"a", "b", "c", "d"} {
		list = append(list, objects.ClaimMapping{Claim: name, Source: source{Constant: text(t, strings.Repeat(name, 1500))}})
	}
	p := plan(r, r.grant(t, false))
	p.Mappings = mappings(t, list...)
	token, a := r.mint(t, p)
	if len(a.Claims.Mapped) != 2 || a.Claims.Mapped["a"] == nil || a.Claims.Mapped["b"] == nil {
		t.Errorf("%d claims", len(a.Claims.Mapped))
	}
	if !r.active(t, token) {
		t.Error("the token is too large for its issuer")
	}
}

func text(t *testing.T, s string) json.RawMessage {
	t.Helper()
	quoted, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return quoted
}

func TestMappedClaimsOfIDTokensAndUserinfo(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g, a := r.grant(t, false), alice(r)
	token, err := r.minter.IDToken(t.Context(), tokens.IDPlan{Client: client(), Grant: g, Subject: "s-1", Account: a, Mappings: each(t), IssuedAt: r.now()})
	if err != nil {
		t.Fatal(err)
	}
	now := float64(r.now().Unix())
	want := eachMapped(r)
	for name, value := range map[string]any{
		"iss": issuer, "sub": "s-1", "aud": "shop", "exp": now + 300, "iat": now, "auth_time": now - 60, "acr": "phr",
		"amr": []any{"hwk", "user"}, "sid": "session-1",
	} {
		want[name] = value
	}
	if d := cmp.Diff(want, claimsOf(t, r, token, jose.ES256)); d != "" {
		t.Error(d)
	}
	r.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, r.ring, objects.ManagedByFile, []objects.Document{{Kind: objects.KindClaimMapping, Body: json.RawMessage(
			`{"name":"n","claim":"name","into":["userinfo"],"source":{"attribute":"username"}}`)}})
		return err
	})
	claims, err := r.minter.Userinfo(t.Context(), tokens.UserinfoPlan{Client: client(), Grant: g, Account: a, Subject: "s-1", Scope: []string{oauth.ScopeProfile, "unknown"}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"sub": "s-1", "name": "Alice@Example.com", "updated_at": now}, decoded(t, claims)); d != "" {
		t.Error(d)
	}
}

// Whatever mappings there are: no claim of the protocol is made, the bounds hold, and what was put into a token is read
// back from it, in either form.
func TestAnyMappingsAreReadBack(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g, a := r.grant(t, false), alice(r)
	claims := []string{"sub", "aud", "cnf", "scope", "act", "a", "b", "https://example.com/c", "groups", "Sub"}
	sources := []source{
		{Claim: "email"}, {Claim: "address"}, {Attribute: "username"}, {Attribute: "department"}, {Attribute: "motto"}, {Session: "amr"},
		{Session: "auth_time"}, {Client: "client_id"}, {Constant: json.RawMessage(`["x","y"]`)}, {Constant: json.RawMessage(`false`)},
	}
	steps := []step{
		{Do: "lower"}, {Do: "upper"}, {Do: "prefix", With: "p:"}, {Do: "split", With: ","}, {Do: "first"}, {Do: "join", With: " "},
		{Do: "default", With: "none"}, {Do: "boolean"}, {Do: "member", With: "country"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		var list []objects.ClaimMapping
		for range rapid.IntRange(1, 12).Draw(rt, "mappings") {
			list = append(list, objects.ClaimMapping{
				Claim: rapid.SampledFrom(claims).Draw(rt, "claim"), Source: rapid.SampledFrom(sources).Draw(rt, "source"),
				Transforms: rapid.SliceOfN(rapid.SampledFrom(steps), 0, 4).Draw(rt, "steps"),
			})
		}
		p := plan(r, g)
		p.Account, p.Mappings = a, mappings(t, list...)
		p.Client.AccessTokenFormat = rapid.SampledFrom([]string{objects.FormatJWT, objects.FormatOpaque}).Draw(rt, "format")
		token, made := r.mint(t, p)
		size := 0
		for name, value := range made.Claims.Mapped {
			size += len(name) + len(value)
			if objects.ReservedClaim(name) || len(value) > 2<<10 {
				rt.Errorf("%s is %d bytes", name, len(value))
			}
		}
		read, err := r.minter.Inspect(t.Context(), token)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(&made.Claims, read); d != "" || size > 4<<10 {
			rt.Errorf("%d bytes, read back: %s", size, d)
		}
	})
}
