package objects_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	orderType = `{"type":"order","title":"Order","words":["May {actions}"],"schema":{"properties":{"actions":{"items":{"enum":["read","write"]}}}}}`
	stockType = `{"type":"stock","schema":{"properties":{}}}`
)

func api(resource, members string) objects.Document {
	return document("api", `{"resource":"`+resource+`"`+members+`}`)
}

func TestAPIRules(t *testing.T) {
	for name, c := range map[string]struct {
		members string
		want    []string
	}{
		"nothing":                   {``, nil},
		"types":                     {`,"authorization_details_types":[` + orderType + `,` + stockType + `]`, nil},
		"a type twice":              {`,"authorization_details_types":[` + orderType + `,` + orderType + `]`, []string{"authorization_details_types[1].type"}},
		"a type without schema":     {`,"authorization_details_types":[{"type":"a"}]`, []string{"authorization_details_types[0].schema"}},
		"words of an unknown field": {`,"authorization_details_types":[{"type":"a","words":["{x}"],"schema":{}}]`, []string{"authorization_details_types[0].words[0]"}},
		"a misspelt member":         {`,"authorization_details_types":[{"type":"a","word":["x"],"schema":{}}]`, []string{"authorization_details_types[0].word"}},
		"types that are no list":    {`,"authorization_details_types":{"type":"a"}`, []string{"authorization_details_types"}},
		"bound to a key":            {`,"required_binding":"dpop"`, nil},
		"bound to a certificate":    {`,"required_binding":"certificate"`, nil},
		"bound to something":        {`,"required_binding":"tls"`, []string{"required_binding"}},
		"bound and not":             {`,"required_binding":"dpop","allow_bearer_tokens":true`, []string{"required_binding"}},
	} {
		t.Run(name, func(t *testing.T) {
			problems := objects.Validate(api("https://a.example", c.members))
			if got := paths(problems); !slices.Equal(got, c.want) {
				t.Errorf("got %v", problems)
			}
		})
	}
}

func TestRFC9396_10_ClientNamesTypes(t *testing.T) {
	for _, c := range []struct {
		names any
		want  []string
	}{
		{[]string{"order", "https://pay.example/v1"}, nil},
		{[]string{"order", ""}, []string{"authorization_details_types[1]"}},
		{"order", []string{"authorization_details_types"}},
	} {
		if got := paths(objects.Validate(with(m{"authorization_details_types": c.names}))); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v", c.names, got)
		}
	}
}

func TestTakesBinding(t *testing.T) {
	key, certificate := oauth.Confirmation{JKT: "k"}, oauth.Confirmation{X5T: "c"}
	both, none := oauth.Confirmation{JKT: "k", X5T: "c"}, oauth.Confirmation{}
	for name, c := range map[string]struct {
		api   objects.API
		takes []oauth.Confirmation
	}{
		"default":     {objects.API{}, []oauth.Confirmation{key, certificate, both}},
		"bearer":      {objects.API{AllowBearerTokens: true}, []oauth.Confirmation{key, certificate, both, none}},
		"key":         {objects.API{RequiredBinding: "dpop"}, []oauth.Confirmation{key, both}},
		"certificate": {objects.API{RequiredBinding: "certificate"}, []oauth.Confirmation{certificate, both}},
	} {
		for _, bound := range []oauth.Confirmation{key, certificate, both, none} {
			if got := c.api.TakesBinding(bound); got != slices.Contains(c.takes, bound) {
				t.Errorf("%s takes %+v: %v", name, bound, got)
			}
		}
	}
}

// shops has two APIs that know orders, of which one knows more, and one that knows none.
func shops(t *testing.T) (*store.DB, *objects.Registry) {
	t.Helper()
	db := storetest.Open(t).For("acme")
	mustImport(t, db, keys.NewRing(), objects.ManagedByFile,
		api("https://a.example", `,"authorization_details_types":[`+orderType+`]`),
		api("https://b.example", `,"authorization_details_types":[`+stockType+`,`+strings.Replace(orderType, `,"write"`, "", 1)+`]`),
		api("https://c.example", ``))
	return db, objects.New(db)
}

func TestRFC9396_5_CheckDetails(t *testing.T) {
	_, r := shops(t)
	client := &objects.Client{}
	client.AuthorizationDetails = []string{"order", "stock", "gone"}
	a, b, c := "https://a.example", "https://b.example", "https://c.example"
	for name, tc := range map[string]struct {
		apis, resources []string
		asked           string
		ok              bool
	}{
		"of one API":                             {[]string{a}, nil, `[{"type":"order","actions":["write"]}]`, true},
		"meant for all that know it":             {[]string{a, b, c}, nil, `[{"type":"order","actions":["read"]},{"type":"stock"}]`, true},
		"not right at one of them":               {[]string{a, b}, nil, `[{"type":"order","actions":["write"]}]`, false},
		"for the other by name":                  {[]string{a, b}, nil, `[{"type":"order","actions":["write"],"locations":["` + a + `"]}]`, true},
		"for both by name":                       {[]string{a, b}, nil, `[{"type":"order","actions":["read"],"locations":["` + a + `","` + b + `"]}]`, true},
		"for one that does not know it":          {[]string{a, b}, nil, `[{"type":"stock","locations":["` + a + `"]}]`, false},
		"for one of two that know it":            {[]string{a, b, c}, nil, `[{"type":"order","actions":["read"],"locations":["` + a + `","` + c + `"]}]`, false},
		"for an API of others":                   {[]string{a}, nil, `[{"type":"order","actions":["read"],"locations":["` + b + `"]}]`, false},
		"for an API that is not":                 {[]string{a, "https://gone.example"}, nil, `[{"type":"order","locations":["https://gone.example"]}]`, false},
		"known nowhere":                          {[]string{a, b, c}, nil, `[{"type":"gone"}]`, false},
		"not the client's":                       {[]string{a, b, c}, nil, `[{"type":"pay"}]`, false},
		"no API":                                 {nil, nil, `[{"type":"order"}]`, false},
		"an unknown field":                       {[]string{a}, nil, `[{"type":"order","limit":1}]`, false},
		"the second is wrong":                    {[]string{a}, nil, `[{"type":"order"},{"type":"order","actions":["delete"]}]`, false},
		"RFC 9396 §3.2, for the resource named":  {[]string{a, b}, []string{a}, `[{"type":"order","actions":["write"]}]`, true},
		"RFC 9396 §3.2, not right at it":         {[]string{a, b}, []string{b}, `[{"type":"order","actions":["write"]}]`, false},
		"RFC 9396 §3.2, a location goes before":  {[]string{a, b}, []string{b}, `[{"type":"order","actions":["write"],"locations":["` + a + `"]}]`, true},
		"RFC 9396 §3.2, unknown at the resource": {[]string{a, b, c}, []string{c}, `[{"type":"order","actions":["read"]}]`, false},
		"nothing": {nil, nil, `[]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			apis, err := r.APIs(t.Context(), tc.apis)
			if err != nil {
				t.Fatal(err)
			}
			list, err := details.Parse(tc.asked)
			if err != nil {
				t.Fatal(err)
			}
			err = objects.CheckDetails(client, apis, tc.resources, list)
			e, refused := errors.AsType[*oauth.Error](err)
			if (err == nil) != tc.ok || refused && e.Code != oauth.InvalidAuthorizationDetails {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDetailTypesFollowTheObjects(t *testing.T) {
	db, r := shops(t)
	types := func() []string {
		t.Helper()
		list, err := r.DetailTypes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if d := cmp.Diff([]string{"order", "stock"}, types()); d != "" {
		t.Error(d)
	}
	mustImport(t, db, keys.NewRing(), objects.ManagedByFile, api("https://c.example", `,"authorization_details_types":[{"type":"pay","schema":{}}]`))
	r.Heard(store.Event{Tenant: "acme", Kind: store.EventObject, Key: "api/https://c.example"})
	if d := cmp.Diff([]string{"order", "pay", "stock"}, types()); d != "" {
		t.Error(d)
	}
	if list, err := objects.New(db.For("beta")).DetailTypes(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("another tenant has %v, %v", list, err)
	}
}
