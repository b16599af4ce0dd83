package consents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

const apiA, apiB = "https://a.example", "https://b.example"

func TestNeeded(t *testing.T) {
	a, b := []string{apiA}, []string{apiB}
	given := &store.Consent{
		Scope: []string{"openid", "read"}, Resources: a, Allowed: map[string][]string{apiA: {"openid", "read"}},
		Details: json.RawMessage(`[{"type":"order","actions":["read","write"]}]`),
	}
	revoked := *given
	revoked.RevokedAt = time.Unix(1, 0)
	earlier := &store.Consent{Scope: []string{"openid", "read"}, Resources: []string{apiA, apiB}}
	apart := &store.Consent{Allowed: map[string][]string{apiA: {"read"}, apiB: {"write"}}}
	third, first, none := &objects.Client{Resources: a}, &objects.Client{FirstParty: true}, &objects.Client{}
	two := &objects.Client{Resources: []string{apiA, apiB}}
	detail := func(text string) consents.Asked {
		return consents.Asked{Scope: []string{"openid"}, Details: json.RawMessage(text)}
	}
	for _, c := range []struct {
		name   string
		client *objects.Client
		given  *store.Consent
		asked  consents.Asked
		want   bool
	}{
		{"never asked before", third, nil, consents.Asked{Scope: []string{"openid"}}, true},
		{"the same", third, given, consents.Asked{Scope: []string{"read", "openid"}, Resources: a}, false},
		{"less", third, given, consents.Asked{Scope: []string{"openid"}, Resources: a}, false},
		{"one scope more", third, given, consents.Asked{Scope: []string{"openid", "write"}, Resources: a}, true},
		{"another API", two, given, consents.Asked{Scope: []string{"read"}, Resources: b}, true},
		{"one API more", two, given, consents.Asked{Scope: []string{"read"}, Resources: []string{apiA, apiB}}, true},
		{"a scope of one API at another", two, apart, consents.Asked{Scope: []string{"write"}, Resources: a}, true},
		{"the APIs apart", two, apart, consents.Asked{Scope: []string{"write"}, Resources: b}, false},
		{"any API, of which there is one", third, given, consents.Asked{Scope: []string{"openid"}}, false},
		{"any API, of which there are two", two, given, consents.Asked{Scope: []string{"openid"}}, true},
		{"no API", none, &store.Consent{Allowed: map[string][]string{"": {"openid"}}}, consents.Asked{Scope: []string{"openid"}}, false},
		{"no API, one scope more", none, &store.Consent{Allowed: map[string][]string{"": {"openid"}}}, consents.Asked{Scope: []string{"openid", "email"}}, true},
		{"revoked since", third, &revoked, consents.Asked{Scope: []string{"openid"}, Resources: a}, true},
		{"the request insists", third, given, consents.Asked{Scope: []string{"openid"}, Always: true}, true},
		{"first party", first, nil, consents.Asked{Scope: []string{"openid"}}, false},
		{"first party that insists", first, nil, consents.Asked{Scope: []string{"openid"}, Always: true}, true},
		{"remembered by an earlier release", two, earlier, consents.Asked{Scope: []string{"read"}, Resources: b}, false},
		{"not remembered by it", two, earlier, consents.Asked{Scope: []string{"write"}, Resources: b}, true},
		{"the same detail", third, given, detail(`[{"type":"order","actions":["write","read"]}]`), false},
		{"less of a detail", third, given, detail(`[{"type":"order","actions":["write"]}]`), false},
		{"more of a detail", third, given, detail(`[{"type":"order","actions":["write","cancel"]}]`), true},
		{"another detail", third, given, detail(`[{"type":"order","actions":["read"]},{"type":"payment"}]`), true},
		{"a detail that cannot be read", third, given, detail(`{`), true},
		{"the first detail", third, earlier, detail(`[{"type":"order"}]`), true},
		{"first party with a detail", first, nil, detail(`[{"type":"order"}]`), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := consents.Needed(c.client, c.given, c.asked); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestRemember(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		acme := db.For("acme")
		write := func(fn func(*store.Tx) error) {
			t.Helper()
			if err := acme.Write(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		load := func(db *store.DB, client string) *store.Consent {
			t.Helper()
			c, err := consents.Load(t.Context(), db, "alice", client)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		remember := func(scope, resources []string, details ...string) {
			t.Helper()
			write(func(tx *store.Tx) error {
				return consents.Remember(tx, "alice", "app", consents.Asked{Scope: scope, Resources: resources, Details: json.RawMessage(strings.Join(details, ""))})
			})
		}
		if c := load(acme, "app"); c != nil {
			t.Fatalf("before: %+v", c)
		}
		remember([]string{"openid", "read"}, []string{"https://a.example"})
		remember([]string{"write", "openid"}, nil)
		c := load(acme, "app")
		if d := cmp.Diff([]string{"openid", "read", "write"}, c.Scope); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"https://a.example"}, c.Resources); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[string][]string{"": {"openid", "write"}, "https://a.example": {"openid", "read"}}, c.Allowed); d != "" {
			t.Error(d)
		}
		remember(nil, []string{"https://b.example"}, `[{"actions":["read"],"type":"order"}]`)
		remember(nil, []string{"https://b.example"}, `[{"actions":["read","write"],"type":"order"},{"type":"payment"}]`)
		c = load(acme, "app")
		if got := string(c.Details); got != `[{"actions":["read","write"],"type":"order"},{"type":"payment"}]` {
			t.Errorf("details %s", got)
		}
		if scope, ok := c.Allowed["https://b.example"]; !ok || len(scope) != 0 {
			t.Errorf("allowed %v", c.Allowed)
		}
		if load(acme, "other") != nil || load(db.For("beta"), "app") != nil {
			t.Error("it counts for another client or tenant")
		}
		write(func(tx *store.Tx) error { return tx.RevokeConsent("alice", "app") })
		if c := load(acme, "app"); c != nil && c.RevokedAt.IsZero() {
			t.Errorf("revoked, yet %+v", c)
		}
		remember([]string{"openid"}, nil)
		if c := load(acme, "app"); cmp.Diff([]string{"openid"}, c.Scope) != "" || c.Details != nil || len(c.Allowed) != 1 {
			t.Errorf("what was revoked came back: %+v", c)
		}
	})
}

func TestDetailsAreRememberedWithinBounds(t *testing.T) {
	db := storetest.Open(t).For("acme")
	client := &objects.Client{}
	nth := func(n int) consents.Asked {
		return consents.Asked{Details: json.RawMessage(fmt.Sprintf(`[{"n":%d,"type":"payment"}]`, n))}
	}
	var c *store.Consent
	for n := range 70 {
		err := db.Write(t.Context(), func(tx *store.Tx) error { return consents.Remember(tx, "alice", "app", nth(n)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := consents.Load(t.Context(), db, "alice", "app")
	if err != nil {
		t.Fatal(err)
	}
	if consents.Needed(client, c, nth(69)) || consents.Needed(client, c, nth(6)) || !consents.Needed(client, c, nth(5)) {
		t.Errorf("remembered %s", c.Details)
	}
}

// remembering is what a person has allowed, written down one by one.
type remembering struct {
	scopes  map[[2]string]bool // API and scope; without a scope the API alone
	details details.List
}

// grows says whether a request has anything that is not written down.
func (r *remembering) grows(a consents.Asked, asked details.List) bool {
	for _, api := range a.Resources {
		for _, s := range append([]string{""}, a.Scope...) {
			if !r.scopes[[2]string{api, s}] {
				return true
			}
		}
	}
	for _, d := range asked {
		if !slices.ContainsFunc(r.details, func(had details.Detail) bool { return details.List{had}.Covers(details.List{d}) }) {
			return true
		}
	}
	return false
}

func (r *remembering) add(a consents.Asked, asked details.List) {
	for _, api := range a.Resources {
		for _, s := range append([]string{""}, a.Scope...) {
			r.scopes[[2]string{api, s}] = true
		}
	}
	r.details = append(r.details, asked...)
}

// A person is asked when something has grown, and only then.
func TestNeededIfAndOnlyIfSomethingGrew(t *testing.T) {
	db := storetest.Open(t).For("acme")
	client := &objects.Client{Resources: []string{apiA, apiB}}
	some := func(t *rapid.T, label string, of ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), func(s string) string { return s }).Draw(t, label)
	}
	person := 0
	rapid.Check(t, func(t *rapid.T) {
		person++
		account := fmt.Sprint("person ", person)
		write := func(fn func(*store.Tx) error) {
			if err := db.Write(context.Background(), fn); err != nil {
				t.Fatal(err)
			}
		}
		model := &remembering{scopes: map[[2]string]bool{}}
		agreed := false
		for range rapid.IntRange(1, 8).Draw(t, "requests") {
			a := consents.Asked{Scope: some(t, "scope", "openid", "read", "write"), Resources: some(t, "APIs", apiA, apiB)}
			var list details.List
			for range rapid.IntRange(0, 2).Draw(t, "details") {
				d := details.Detail{"type": rapid.SampledFrom([]string{"order", "payment"}).Draw(t, "type")}
				for i, action := range some(t, "actions", "read", "write") {
					had, _ := d["actions"].([]any)
					d["actions"] = append(had[:i:i], action)
				}
				list = append(list, d)
			}
			a.Details = list.JSON()
			whole := a.Of(client)
			given, err := consents.Load(context.Background(), db, account, "app")
			if err != nil {
				t.Fatal(err)
			}
			if got := consents.Needed(client, given, a); got != (!agreed || model.grows(whole, list)) {
				t.Fatalf("asked %+v with %+v: needed is %v", a, given, got)
			}
			switch rapid.IntRange(0, 4).Draw(t, "answer") {
			case 0: // no
			case 1:
				if agreed {
					write(func(tx *store.Tx) error { return tx.RevokeConsent(account, "app") })
				}
				model, agreed = &remembering{scopes: map[[2]string]bool{}}, false
			default:
				write(func(tx *store.Tx) error { return consents.Remember(tx, account, "app", whole) })
				model.add(whole, list)
				agreed = true
			}
		}
	})
}
