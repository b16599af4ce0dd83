package tokens_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// The parameter claims: what a client may see it gets where it asked for it, and nothing is refused for want of a claim.
func TestOIDCCore_5_5_RequestedClaims(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g, a := r.grant(t, false), alice(r)
	g.Auth.Scope = []string{"openid"}
	c := client()
	c.Scope = "openid profile email"
	for _, tc := range []struct {
		name, asked   string
		id, userinfo  []string
		third, agreed bool
		scope         []string // of the request; openid alone when nil
	}{
		{name: "nothing"},
		{name: "in the ID token", asked: `{"id_token":{"email":{"essential":true},"name":null}}`, id: []string{"email", "name"}},
		{name: "at userinfo", asked: `{"userinfo":{"email":null}}`, userinfo: []string{"email"}},
		{name: "essential, yet absent", asked: `{"id_token":{"birthdate":{"essential":true}}}`},
		{name: "kept as null", asked: `{"id_token":{"nickname":null}}`},
		{name: "of a scope the client has not", asked: `{"id_token":{"phone_number":null,"address":null}}`},
		{name: "of no scope", asked: `{"id_token":{"attributes":null,"shoe_size":null}}`},
		{name: "of the protocol", asked: `{"userinfo":{"iss":null,"sub":{"value":"x"},"acr":null}}`},
		{name: "with the right value", asked: `{"id_token":{"email":{"value":"alice@example.com"},"email_verified":{"values":[false,true]}}}`, id: []string{"email", "email_verified"}},
		{name: "with another value", asked: `{"id_token":{"email":{"value":"bob@example.com"},"email_verified":{"values":["true"]}}}`},
		{name: "unasked by a third party", third: true, asked: `{"id_token":{"email":null}}`},
		{name: "agreed to now", third: true, scope: []string{"openid", "profile"}, asked: `{"id_token":{"email":null,"name":null}}`, id: []string{"name"}},
		{name: "agreed to before", third: true, agreed: true, asked: `{"id_token":{"email":null,"name":null}}`, id: []string{"email"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.write(t, func(tx *store.Tx) error {
				if tc.agreed {
					return consents.Remember(tx, "alice", "shop", consents.Asked{Scope: []string{"openid", "email"}})
				}
				return nil
			})
			c.FirstParty, g.Auth.Claims, g.Auth.Scope = !tc.third, json.RawMessage(tc.asked), []string{"openid"}
			if tc.scope != nil {
				g.Auth.Scope = tc.scope
			}
			id, err := r.minter.IDClaims(t.Context(), tokens.IDPlan{Client: c, Grant: g, Subject: "alice", Account: a, IssuedAt: r.now()})
			if err != nil {
				t.Fatal(err)
			}
			for _, own := range []string{"iss", "sub", "aud", "iat", "exp", "auth_time", "acr", "amr", "sid"} {
				delete(id, own)
			}
			if d := cmp.Diff(tc.id, slices.Sorted(maps.Keys(id))); d != "" {
				t.Errorf("ID token: %s", d)
			}
			claims, err := r.minter.Userinfo(t.Context(), tokens.UserinfoPlan{Client: c, Grant: g, Account: a, Subject: "alice", Scope: []string{"openid"}})
			if err != nil {
				t.Fatal(err)
			}
			if string(claims["sub"]) != `"alice"` {
				t.Errorf("sub is %s", claims["sub"])
			}
			delete(claims, "sub")
			if d := cmp.Diff(tc.userinfo, slices.Sorted(maps.Keys(claims))); d != "" {
				t.Errorf("userinfo: %s", d)
			}
		})
	}
	r.write(t, func(tx *store.Tx) error { return tx.RevokeConsent("alice", "shop") })
	c.FirstParty, g.Auth.Scope, g.Auth.Claims = false, []string{"openid"}, json.RawMessage(`{"id_token":{"email":null}}`)
	id, err := r.minter.IDClaims(t.Context(), tokens.IDPlan{Client: c, Grant: g, Subject: "alice", Account: a, IssuedAt: r.now()})
	if err != nil || id["email"] != nil {
		t.Errorf("after the consent was revoked: %v, %v", id["email"], err)
	}
}

// What an account holds under the names of the protocol never gets out, whatever a scope says.
func TestUserinfoKeepsTheProtocol(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	r.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, r.ring, objects.ManagedByFile, []objects.Document{{Kind: objects.KindScope, Body: json.RawMessage(
			`{"name":"all","claims":["sub","iss","acr","attributes","name"]}`)}})
		return err
	})
	a := &store.Account{ID: "alice", Claims: json.RawMessage(`{"sub":"mallory","iss":"x","acr":"phrh","attributes":{"a":1},"name":"Alice"}`)}
	claims, err := r.minter.Userinfo(t.Context(), tokens.UserinfoPlan{Client: client(), Grant: r.grant(t, false), Account: a, Subject: "alice", Scope: []string{"all"}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"sub": "alice", "name": "Alice"}, decoded(t, claims)); d != "" {
		t.Error(d)
	}
}
