package request_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
)

const stock = "https://stock.example"

// registry knows the two APIs of the client, of which one knows orders and payments.
func registry(t testing.TB) *objects.Registry {
	t.Helper()
	db := storetest.Open(t).For("acme")
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := objects.Import(tx, keys.NewRing(), objects.ManagedByFile, []objects.Document{
			{Kind: "api", Body: json.RawMessage(`{"resource":"` + orders + `","scopes":["read"],"authorization_details_types":[
				{"type":"order","schema":{"properties":{"actions":{"items":{"enum":["read","write"]}}}}},
				{"type":"payment","ask_every_time":true,"schema":{"properties":{"amount":{"type":"string"}},"required":["amount"]}}]}`)},
			{Kind: "api", Body: json.RawMessage(`{"resource":"` + stock + `"}`)},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects.New(db)
}

// detailed is the client that may ask for orders and payments.
func detailed(c *objects.Client) { c.AuthorizationDetails = []string{"order", "payment", "gone"} }

func TestRFC9396_3_Details(t *testing.T) {
	checker := &request.Checker{Issuer: issuer, Registry: registry(t)}
	for name, c := range map[string]struct {
		details   string
		resources []string
		scope     string
		stored    string
		at        []string
		again     bool
	}{
		"none":                    {"", nil, "read", "", nil, false},
		"an empty list":           {"[]", nil, "read", "", nil, false},
		"with scope":              {`[ {"type":"order" ,"actions":["write","read","write"]} ]`, nil, "openid", `[{"actions":["write","read"],"type":"order"}]`, nil, false},
		"without scope":           {`[{"type":"order"}]`, nil, "", `[{"type":"order"}]`, nil, false},
		"at a resource":           {`[{"type":"order"}]`, []string{orders}, "read", `[{"type":"order"}]`, []string{orders}, false},
		"at a location":           {`[{"type":"order","locations":["` + orders + `"]}]`, nil, "read", `[{"locations":["` + orders + `"],"type":"order"}]`, nil, false},
		"RFC 9396 §3.2, besides":  {`[{"type":"order","locations":["` + orders + `"]}]`, []string{stock}, "read", `[{"locations":["` + orders + `"],"type":"order"}]`, []string{stock, orders}, false},
		"of a type for each time": {`[{"type":"order"},{"type":"payment","amount":"45"}]`, nil, "", `[{"type":"order"},{"amount":"45","type":"payment"}]`, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := right()
			v.Set("authorization_details", c.details)
			v.Set("scope", c.scope)
			v["resource"] = c.resources
			a, _, err := checker.Check(t.Context(), client(detailed), v)
			if err != nil {
				t.Fatal(err)
			}
			if string(a.Details) != c.stored || !slices.Equal(a.Resources, c.at) || a.AskAgain != c.again {
				t.Errorf("got %s at %v, again %v", a.Details, a.Resources, a.AskAgain)
			}
		})
	}
}

func TestRFC9396_5_Refusals(t *testing.T) {
	checker := &request.Checker{Issuer: issuer, Registry: registry(t)}
	for name, c := range map[string]struct {
		details  string
		resource string
		edit     func(*objects.Client)
		code     oauth.Code
	}{
		"no JSON":                           {`order`, "", detailed, oauth.InvalidAuthorizationDetails},
		"no list":                           {`{"type":"order"}`, "", detailed, oauth.InvalidAuthorizationDetails},
		"no type":                           {`[{"actions":["read"]}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"a type not for this client":        {`[{"type":"order"}]`, "", nil, oauth.InvalidAuthorizationDetails},
		"a type of no API":                  {`[{"type":"gone"}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"a type of another API":             {`[{"type":"order"}]`, stock, detailed, oauth.InvalidAuthorizationDetails},
		"an unknown field":                  {`[{"type":"order","privileges":["admin"]}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"an invalid value":                  {`[{"type":"order","actions":["delete"]}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"a field of the wrong type":         {`[{"type":"payment","amount":45}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"a required field lacks":            {`[{"type":"payment"}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"a location not the client's":       {`[{"type":"order","locations":["https://payroll.example"]}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"such a location besides":           {`[{"type":"order","locations":["https://payroll.example"]}]`, orders, detailed, oauth.InvalidAuthorizationDetails},
		"a location that lacks the type":    {`[{"type":"order","locations":["` + stock + `"]}]`, "", detailed, oauth.InvalidAuthorizationDetails},
		"RFC 8707 §2, an API that is gone":  {``, "https://gone.example", func(c *objects.Client) { c.Resources = append(c.Resources, "https://gone.example") }, oauth.InvalidTarget},
		"RFC 6749 §3.3, no scope, nothing":  {`[]`, "", detailed, oauth.InvalidScope},
		"RFC 6749 §3.3, no scope, no value": {``, "", detailed, oauth.InvalidScope},
	} {
		t.Run(name, func(t *testing.T) {
			v := right()
			v.Set("authorization_details", c.details)
			if c.code == oauth.InvalidScope {
				v.Del("scope")
			}
			if c.resource != "" {
				v.Set("resource", c.resource)
			}
			a, target, err := checker.Check(t.Context(), client(c.edit), v)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.Code != c.code || a != nil || target == nil {
				t.Fatalf("got %v, %v, want %s", err, target, c.code)
			}
			if strings.Contains(e.Detail, "payroll") || strings.Contains(e.Detail, "delete") {
				t.Errorf("the description echoes the input: %s", e.Detail)
			}
		})
	}
}
