package request_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
)

// The example of the specification.
func TestOIDC_5_5_ParseClaims(t *testing.T) {
	got, err := request.ParseClaims([]byte(`{
	 "userinfo": {
	  "given_name": {"essential": true},
	  "nickname": null,
	  "email": {"essential": true},
	  "http://example.info/claims/groups": null
	 },
	 "id_token": {
	  "auth_time": {"essential": true},
	  "acr": {"values": ["urn:mace:incommon:iap:silver", 2], "purpose": "ignored"},
	  "sub": {"value": "248289761001"}
	 },
	 "later": ["ignored"]
	}`))
	want := &request.ClaimsRequest{
		Userinfo: map[string]*request.ClaimRequest{
			"given_name": {Essential: true}, "nickname": nil, "email": {Essential: true}, "http://example.info/claims/groups": nil,
		},
		IDToken: map[string]*request.ClaimRequest{
			"auth_time": {Essential: true}, "sub": {Value: json.RawMessage(`"248289761001"`)},
			"acr": {Values: []json.RawMessage{json.RawMessage(`"urn:mace:incommon:iap:silver"`), json.RawMessage(`2`)}},
		},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Fatalf("%v\n%s", err, d)
	}
	var wanted []string
	for _, name := range []string{"sub", "acr", "auth_time", "nobody"} {
		for _, v := range got.IDToken[name].Wanted() {
			wanted = append(wanted, string(v))
		}
	}
	if d := cmp.Diff([]string{`"248289761001"`, `"urn:mace:incommon:iap:silver"`, "2"}, wanted); d != "" {
		t.Error(d)
	}
}

func TestOIDC_5_5_NormalForm(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                "",
		`{"userinfo":null,"id_token":{}}`:   "",
		`{"other":{"email":null}}`:          "",
		`{"userinfo": {"email": null} }`:    `{"userinfo":{"email":null}}`,
		`{"userinfo":{"b":null,"a":{}}}`:    `{"userinfo":{"a":{},"b":null}}`,
		`{"id_token":{"a":{"value":null}}}`: `{"id_token":{"a":{}}}`,
		`{"id_token":{"a":{"values":[],"essential":false,"x":1}}}`:          `{"id_token":{"a":{}}}`,
		`{"id_token":{"a":{"value":{"c": [ 1 ], "b":2},"essential":true}}}`: `{"id_token":{"a":{"essential":true,"value":{"c":[1],"b":2}}}}`,
	} {
		v := right()
		v.Set("claims", text)
		a, _, err := (&request.Checker{Issuer: issuer}).Check(t.Context(), client(func(c *objects.Client) { c.FirstParty = true }), v)
		if err != nil || string(a.Claims) != want {
			t.Errorf("%s: %v, %v", text, a, err)
			continue
		}
		if want == "" {
			continue
		}
		again, err := request.ParseClaims(a.Claims)
		if err != nil {
			t.Errorf("%s cannot be read back: %v", a.Claims, err)
		}
		if kept, _ := json.Marshal(again); string(kept) != want {
			t.Errorf("%s has become %s", want, kept)
		}
	}
}

func TestOIDC_5_5_ClaimsThatAreNone(t *testing.T) {
	many := func(n int, form string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(form, i)
		}
		return strings.Join(list, ",")
	}
	for name, text := range map[string]string{
		"no JSON":         `given_name`,
		"null":            `null`,
		"a list":          `["email"]`,
		"a claim as text": `{"userinfo":{"email":"yes"}}`,
		"a place as list": `{"id_token":["email"]}`,
		"essential text":  `{"id_token":{"email":{"essential":"true"}}}`,
		"values text":     `{"id_token":{"acr":{"values":"phr"}}}`,
		"two sayings":     `{"id_token":{"acr":{"value":"1","values":["phr"]}}}`,
		"named twice":     `{"id_token":{"acr":null,"acr":{"essential":true}}}`,
		"without a name":  `{"id_token":{"":null}}`,
		"a long name":     `{"id_token":{"` + strings.Repeat("x", 129) + `":null}}`,
		"something after": `{} {}`,
		"many claims":     `{"userinfo":{` + many(65, `"c%d":null`) + `}}`,
		"many values":     `{"userinfo":{"c":{"values":[` + many(33, `%d`) + `]}}}`,
		"deep":            `{"userinfo":{"c":{"value":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}}}`,
		"long":            `{"userinfo":{"c":{"value":"` + strings.Repeat("x", 4096) + `"}}}`,
		"long if escaped": `{"userinfo":{"c":{"value":"` + strings.Repeat("<", 1000) + `"}}}`,
	} {
		v := right()
		v.Set("claims", text)
		a, target, err := (&request.Checker{Issuer: issuer}).Check(t.Context(), client(nil), v)
		e, ok := errors.AsType[*oauth.Error](err)
		if !ok || e.Code != oauth.InvalidRequest || target == nil || a != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is asked for by name the person agrees to by its scope, unless the request has that anyway.
func TestOIDC_5_5_ScopesOfClaims(t *testing.T) {
	db := storetest.Open(t).For("acme")
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := objects.Import(tx, keys.NewRing(), objects.ManagedByFile, []objects.Document{
			{Kind: "scope", Body: json.RawMessage(`{"name":"contact","claims":["email","shoe_size"]}`)},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checker := &request.Checker{Issuer: issuer, Registry: objects.New(db)}
	for _, c := range []struct {
		name, claims string
		edit         func(*objects.Client)
		want         []string
	}{
		{"none", `{}`, nil, nil},
		{"of a scope asked for", `{"userinfo":{"shoe_size":null}}`, nil, nil},
		{"of another", `{"userinfo":{"name":null},"id_token":{"nickname":{"essential":true}}}`, nil, []string{"profile"}},
		{"of two", `{"userinfo":{"name":null,"phone_number":null}}`, nil, []string{"profile", "phone"}},
		{"of two, one of them asked for", `{"id_token":{"email":null}}`, nil, nil},
		{"of one that the client has not", `{"userinfo":{"address":null}}`, nil, nil},
		{"of none", `{"userinfo":{"http://example.info/claims/groups":null}}`, nil, nil},
		{"of the protocol", `{"id_token":{"auth_time":{"essential":true}}}`, nil, nil},
		{"first party", `{"userinfo":{"name":null}}`, func(c *objects.Client) { c.FirstParty = true }, nil},
	} {
		v := right()
		v.Set("scope", "openid contact")
		v.Set("claims", c.claims)
		a, _, err := checker.Check(t.Context(), client(func(cl *objects.Client) {
			cl.Scope = "openid email contact profile phone unknown"
			if c.edit != nil {
				c.edit(cl)
			}
		}), v)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, a.ClaimScopes); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func FuzzParseClaims(f *testing.F) {
	f.Add([]byte(`{"userinfo":{"email":null,"a":{"essential":true,"values":[1,"b",{"c":null}]}},"id_token":{"acr":{"value":"phr"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := request.ParseClaims(text)
		if err != nil {
			return
		}
		kept, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(kept) > 4096 {
			return
		}
		again, err := request.ParseClaims(kept)
		if err != nil {
			t.Fatalf("%s cannot be read back: %v", kept, err)
		}
		if once, _ := json.Marshal(again); string(once) != string(kept) {
			t.Fatalf("%s has become %s", kept, once)
		}
	})
}
