package objects_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

const goodRoute = `{"name": "orders", "hosts": ["https://api.example.com"], "path": "/orders",
	"upstream": "https://orders.internal:8443", "credentials": ["dpop"], "audience": "https://api.example.com",
	"upstream_audience": "https://orders.internal:8443"}`

// altered is goodRoute with members replaced; null removes one.
func altered(t testing.TB, change string) json.RawMessage {
	t.Helper()
	route, by := map[string]any{}, map[string]any{}
	for text, into := range map[string]*map[string]any{goodRoute: &route, change: &by} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range by {
		if v == nil {
			delete(route, k)
		} else {
			route[k] = v
		}
	}
	body, err := json.Marshal(route)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestRouteRules(t *testing.T) {
	for change, want := range map[string][]string{
		`{}`: nil,
		`{"methods": ["GET", "POST"], "scopes": ["read"], "websocket": true, "max_body": 1048576, "timeout": 5}`: nil,
		`{"hosts": []}`: {"hosts"},
		`{"hosts": ["https://api.example.com/"]}`:                                                         {"hosts[0]"},
		`{"hosts": ["http://api.example.com", "https://API.example.com", "https://api.example.com:443"]}`: {"hosts[0]", "hosts[1]", "hosts[2]"},
		`{"path": "orders"}`:                       {"path"},
		`{"path": "/orders/"}`:                     {"path"},
		`{"path": "/a/../b"}`:                      {"path"},
		`{"path": "/a//b"}`:                        {"path"},
		`{"path": "/a%2fb"}`:                       {"path"},
		`{"path": "/a;b"}`:                         {"path"},
		`{"path": "/ä"}`:                           {"path"},
		`{"path": "/"}`:                            nil,
		`{"methods": ["TRACE", "get"]}`:            {"methods[0]", "methods[1]"},
		`{"methods": ["OPTIONS"]}`:                 nil,
		`{"methods": ["POST"], "websocket": true}`: {"methods"},
		`{"methods": ["OPTIONS"], "credentials": ["cookie"], "application": "demo"}`:                                      {"methods[0]"},
		`{"upstream": "http://orders"}`:                                                                                   {"upstream", "upstream"},
		`{"upstream": "http://orders", "allow_plain_http_upstream": true}`:                                                {"upstream"},
		`{"upstream": "http://orders", "allow_plain_http_upstream": true, "exchange": "none", "upstream_audience": null}`: nil,
		`{"upstream": "https://u:p@orders"}`:                                                                              {"upstream"},
		`{"upstream": "https://orders/a?b"}`:                                                                              {"upstream"},
		`{"upstream": "https://orders/a/"}`:                                                                               {"upstream"},
		`{"upstream": "ftp://orders"}`:                                                                                    {"upstream"},
		`{"credentials": []}`:                                                                                             {"credentials"},
		`{"credentials": ["password"]}`:                                                                                   {"credentials[0]"},
		`{"credentials": ["cookie"]}`:                                                                                     {"application"},
		`{"application": "demo"}`:                                                                                         {"application"},
		`{"credentials": ["bearer"]}`:                                                                                     {"credentials"},
		`{"credentials": ["bearer"], "allow_bearer_tokens": true}`:                                                        nil,
		`{"credentials": ["bearer"], "allow_bearer_tokens": true, "exchange": "none", "upstream_audience": null}`: {"allow_bearer_upstream"},
		`{"audience": null}`:          {"audience"},
		`{"upstream_audience": null}`: {"upstream_audience"},
		`{"exchange": "none"}`:        {"upstream_audience"},
		`{"exchange": "phantom"}`:     {"exchange"},
		`{"prefer": "both"}`:          {"prefer"},
		`{"max_body": -1}`:            {"max_body"},
		`{"timeout": 601}`:            {"timeout"},
		`{"max_age": -1}`:             {"max_age"},
		`{"name": "two words"}`:       {"name"},
		`{"unknown": true}`:           {"unknown"},
	} {
		t.Run(change, func(t *testing.T) {
			var paths []string
			for _, p := range objects.Validate(objects.Document{Kind: "route", Body: altered(t, change)}) {
				paths = append(paths, p.Path)
				if p.What == "" || p.Remedy == "" {
					t.Errorf("no help: %v", p)
				}
			}
			slices.Sort(paths)
			if !slices.Equal(paths, want) {
				t.Errorf("problems at %q, want %q", paths, want)
			}
		})
	}
}

// The list of routes follows the feed, and is the same value until something changes.
func TestRoutesFollowTheFeed(t *testing.T) {
	db := storetest.Open(t).For("acme")
	r := objects.New(db)
	list := func() *objects.RouteList {
		t.Helper()
		l, err := r.Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if n := len(list().Routes); n != 0 {
		t.Fatalf("%d routes", n)
	}
	put := func(change string) {
		t.Helper()
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := objects.Import(tx, nil, objects.ManagedByFile, []objects.Document{{Kind: "route", Body: altered(t, change)}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Heard(store.Event{Kind: store.EventObject, Tenant: "acme", Key: "route/orders"})
	}
	put(`{}`)
	first := list()
	if len(first.Routes) != 1 || first != list() {
		t.Fatal("not there, or read twice")
	}
	if got := first.Routes[0]; !slices.Equal(got.Methods, []string{"GET", "HEAD"}) || got.MaxBody == 0 || got.Timeout == 0 || got.Exchange != "token-exchange" {
		t.Errorf("without defaults: %+v", got)
	}
	put(`{"path": "/elsewhere"}`)
	if got := list(); got == first || got.Routes[0].Path != "/elsewhere" {
		t.Error("the change was not heard")
	}
}

func FuzzRouteDocument(f *testing.F) {
	f.Add(goodRoute)
	f.Add(strings.Replace(goodRoute, "/orders", "/..%2f", 1))
	f.Add(`{"name": 1, "hosts": [{}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, p := range objects.Validate(objects.Document{Kind: "route", Body: json.RawMessage(body)}) {
			if p.What == "" {
				t.Errorf("a problem without words: %+v", p)
			}
		}
	})
}
