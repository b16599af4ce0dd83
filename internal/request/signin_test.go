package request_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
)

// hints are ID tokens by the person they are about.
func hints(_ *objects.Client, token string) (string, error) {
	if subject, ok := strings.CutPrefix(token, "token of "); ok {
		return subject, nil
	}
	return "", errors.New("forged")
}

// ask checks a right request with more parameters.
func ask(t *testing.T, edit func(*objects.Client), pairs ...string) (*request.Authorization, oauth.Code) {
	t.Helper()
	v := right()
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	a, target, err := (&request.Checker{Issuer: issuer, Hint: hints}).Check(t.Context(), client(edit), v)
	if err == nil {
		return a, ""
	}
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || target == nil {
		t.Fatalf("got %v, to %v", err, target)
	}
	return nil, e.Code
}

func TestOIDC_3_1_2_1_ACRValues(t *testing.T) {
	defaults := func(c *objects.Client) { c.DefaultACRValues = []string{"phrh", "unknown"} }
	for _, c := range []struct {
		edit             func(*objects.Client)
		values, claims   string
		wished, required []string
		code             oauth.Code
	}{
		{nil, "", "", nil, nil, ""},
		{nil, "phr", "", []string{"phr"}, nil, ""},
		{nil, " 1  phrh 1 ", "", []string{"1", "phrh"}, nil, ""},
		{nil, "urn:unknown phr gold", "", []string{"phr"}, nil, ""},
		{nil, "urn:unknown", "", nil, nil, ""},
		{defaults, "", "", []string{"phrh"}, nil, ""},
		{defaults, "1", "", []string{"1"}, nil, ""},
		{defaults, "gold", "", nil, nil, ""},
		// OIDC Core §5.5.1.1
		{nil, "", `{"id_token":{"acr":null}}`, nil, nil, ""},
		{nil, "1", `{"id_token":{"acr":{"essential":true}}}`, []string{"1"}, nil, ""},
		{nil, "1", `{"id_token":{"acr":{"values":["phr","gold"]}}}`, []string{"phr"}, nil, ""},
		{nil, "1", `{"id_token":{"acr":{"value":"phr"}}}`, []string{"phr"}, nil, ""},
		{defaults, "1", `{"id_token":{"acr":{"essential":true,"values":["phr","gold","phrh"]}}}`, nil, []string{"phr", "phrh"}, ""},
		{nil, "", `{"id_token":{"acr":{"essential":true,"value":"1"}}}`, nil, []string{"1"}, ""},
		{nil, "", `{"id_token":{"acr":{"essential":true,"value":"gold"}}}`, nil, nil, oauth.UnmetAuthenticationRequirements},
		{nil, "1", `{"id_token":{"acr":{"essential":true,"values":[1,null]}}}`, nil, nil, oauth.UnmetAuthenticationRequirements},
		{nil, "", `{"userinfo":{"acr":{"essential":true,"value":"gold"}}}`, nil, nil, ""},
	} {
		a, code := ask(t, c.edit, "acr_values", c.values, "claims", c.claims)
		if code != c.code {
			t.Errorf("%q %s: %q", c.values, c.claims, code)
		}
		if code == "" && (!slices.Equal(a.ACRValues, c.wished) || !slices.Equal(a.RequiredACR, c.required)) {
			t.Errorf("%q %s: wished %q, required %q", c.values, c.claims, a.ACRValues, a.RequiredACR)
		}
	}
}

// Who has to answer (OIDC Core §3.1.2.1, id_token_hint; §5.5.1, sub).
func TestOIDC_3_1_2_1_Subjects(t *testing.T) {
	for _, c := range []struct {
		hint, claims string
		want         []string
		code         oauth.Code
	}{
		{"", "", nil, ""},
		{"token of alice", "", []string{"alice"}, ""},
		{"something else", "", nil, oauth.InvalidRequest},
		{"", `{"id_token":{"sub":null}}`, nil, ""},
		{"", `{"id_token":{"sub":{"value":"alice"}}}`, []string{"alice"}, ""},
		{"", `{"userinfo":{"sub":{"values":["bob","alice"]}}}`, []string{"bob", "alice"}, ""},
		{"", `{"id_token":{"sub":{"value":"alice"}},"userinfo":{"sub":{"values":["bob","alice"]}}}`, []string{"alice"}, ""},
		{"token of bob", `{"userinfo":{"sub":{"values":["bob","alice"]}}}`, []string{"bob"}, ""},
		{"token of carol", `{"userinfo":{"sub":{"values":["bob","alice"]}}}`, nil, oauth.InvalidRequest},
		{"", `{"id_token":{"sub":{"value":"alice"}},"userinfo":{"sub":{"value":"bob"}}}`, nil, oauth.InvalidRequest},
		{"", `{"id_token":{"sub":{"value":7}}}`, nil, oauth.InvalidRequest},
	} {
		a, code := ask(t, nil, "id_token_hint", c.hint, "claims", c.claims)
		if code != c.code || code == "" && !slices.Equal(a.Subjects, c.want) {
			t.Errorf("%q %s: %v, %q", c.hint, c.claims, a, code)
		}
	}
	v := right()
	v.Set("id_token_hint", "token of alice")
	if _, _, err := (&request.Checker{Issuer: issuer}).Check(t.Context(), client(nil), v); err == nil {
		t.Error("a hint was taken that nobody has verified")
	}
}

func TestOIDC_3_1_2_1_Pages(t *testing.T) {
	a, code := ask(t, nil, "ui_locales", "fr-CA fr  en-Latn-GB-x-u fr", "claims_locales", "de x-private", "display", "touch")
	if code != "" || !slices.Equal(a.UILocales, []string{"fr-CA", "fr", "en-Latn-GB-x-u"}) || a.Display != "touch" {
		t.Errorf("%v, %q", a, code)
	}
	if a, code := ask(t, nil, "display", "hologram", "prompt", "later"); code != "" || a.Display != "" || !a.Prompts("later") {
		t.Errorf("what nobody knows: %v, %q", a, code)
	}
	for _, name := range []string{"ui_locales", "claims_locales"} {
		for _, list := range []string{
			"de_DE", "1", "d", "deutscheste", "de--DE", "de-", "-de", "de-ümlaut", "de-abcdefghi", "x", strings.Repeat("abcdefgh-", 4) + "a",
			strings.Repeat("de ", 17), "en <script>",
		} {
			if _, code := ask(t, nil, name, list); code != oauth.InvalidRequest {
				t.Errorf("%s=%s: %q", name, list, code)
			}
		}
	}
}

// What each API asks for, by the resources or scopes of the request.
func TestRFC9470_NeedsOfAPIs(t *testing.T) {
	db := storetest.Open(t).For("acme")
	var docs []objects.Document
	for _, body := range []string{
		`{"resource":"https://plain.example","scopes":["look"]}`,
		`{"resource":"https://strong.example","scopes":["read","pay"],"required_acr":"phr"}`,
		`{"resource":"https://stronger.example","scopes":["pay"],"required_acr":"phrh","max_authentication_age":600}`,
		`{"resource":"https://recent.example","scopes":["read"],"max_authentication_age":60}`,
		`{"resource":"https://detail.example","authorization_details_types":[{"type":"order","schema":{"properties":{}}}],"required_acr":"phr"}`,
	} {
		docs = append(docs, objects.Document{Kind: "api", Body: json.RawMessage(body)})
	}
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := objects.Import(tx, keys.NewRing(), objects.ManagedByFile, docs)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checker := &request.Checker{Registry: objects.New(db)}
	c := client(func(c *objects.Client) {
		c.Resources = []string{"https://plain.example", "https://strong.example", "https://stronger.example", "https://recent.example", "https://detail.example", "https://gone.example"}
	})
	for _, test := range []struct {
		scope, resource string
		want            request.Needs
	}{
		{"openid", "", request.Needs{}},
		{"openid look", "", request.Needs{}},
		{"openid read", "", request.Needs{ACR: "phr", MaxAge: time.Minute}},
		{"pay", "", request.Needs{ACR: "phrh", MaxAge: 10 * time.Minute}},
		{"read pay", "", request.Needs{ACR: "phrh", MaxAge: time.Minute}},
		{"openid", "https://strong.example", request.Needs{ACR: "phr"}},
		{"read pay", "https://plain.example", request.Needs{}},
		{"read", "https://strong.example https://stronger.example", request.Needs{ACR: "phrh", MaxAge: 10 * time.Minute}},
		{"read", "https://gone.example", request.Needs{}},
	} {
		got, err := checker.Needs(t.Context(), c, &request.Authorization{Scope: strings.Fields(test.scope), Resources: strings.Fields(test.resource)})
		if d := cmp.Diff(test.want, got); err != nil || d != "" {
			t.Errorf("%s at %s: %v %s", test.scope, test.resource, err, d)
		}
	}
	for asked, want := range map[string]request.Needs{ // RFC 9396 §2
		`[{"type":"order"}]`: {ACR: "phr"},
		`[{"type":"order","locations":["https://detail.example"]}]`: {ACR: "phr"},
		`[{"type":"order","locations":["https://plain.example"]}]`:  {},
		`[{"type":"other"}]`: {},
	} {
		if got, err := checker.Needs(t.Context(), c, &request.Authorization{Details: json.RawMessage(asked)}); err != nil || got != want {
			t.Errorf("%s: %v, %v", asked, got, err)
		}
	}
	other := client(func(c *objects.Client) { c.Resources = nil })
	if got, err := checker.Needs(t.Context(), other, &request.Authorization{Scope: []string{"read"}}); err != nil || got != (request.Needs{}) {
		t.Errorf("of APIs that the client cannot ask for: %v, %v", got, err)
	}
}

func FuzzSignIn(f *testing.F) {
	f.Add("phr 1", `{"id_token":{"acr":{"essential":true,"values":["phr"]},"sub":{"value":"alice"}}}`, "token of alice", "de-DE x-a", "popup")
	f.Fuzz(func(t *testing.T, acr, claims, hint, locales, display string) {
		v := right()
		for name, value := range map[string]string{"acr_values": acr, "claims": claims, "id_token_hint": hint, "ui_locales": locales, "display": display} {
			v[name] = []string{value}
		}
		a, target, err := (&request.Checker{Issuer: issuer, Hint: hints}).Check(t.Context(), client(nil), v)
		if target == nil || (a == nil) != (err != nil) {
			t.Fatalf("%v %v %v", a, target, err)
		}
		if err != nil {
			return
		}
		for _, value := range slices.Concat(a.ACRValues, a.RequiredACR) {
			if !slices.Contains(objects.ACRValues, value) {
				t.Fatalf("acr %q", value)
			}
		}
		if len(a.ACRValues) > 0 && len(a.RequiredACR) > 0 || strings.Contains(strings.Join(a.UILocales, ""), "<") {
			t.Fatalf("%+v", a)
		}
	})
}
