package consents_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestNeeded(t *testing.T) {
	given := &store.Consent{Scope: []string{"openid", "read"}, Resources: []string{"https://a.example"}}
	revoked := &store.Consent{Scope: given.Scope, Resources: given.Resources, RevokedAt: time.Unix(1, 0)}
	third, first := &objects.Client{}, &objects.Client{FirstParty: true}
	a, b := []string{"https://a.example"}, []string{"https://b.example"}
	for _, c := range []struct {
		name   string
		client *objects.Client
		given  *store.Consent
		asked  consents.Asked
		want   bool
	}{
		{"never asked before", third, nil, consents.Asked{Scope: []string{"openid"}}, true},
		{"the same", third, given, consents.Asked{Scope: []string{"read", "openid"}, Resources: a}, false},
		{"less", third, given, consents.Asked{Scope: []string{"openid"}}, false},
		{"one scope more", third, given, consents.Asked{Scope: []string{"openid", "write"}}, true},
		{"another API", third, given, consents.Asked{Scope: []string{"read"}, Resources: b}, true},
		{"revoked since", third, revoked, consents.Asked{Scope: []string{"openid"}}, true},
		{"the request insists", third, given, consents.Asked{Scope: []string{"openid"}, Always: true}, true},
		{"first party", first, nil, consents.Asked{Scope: []string{"openid"}}, false},
		{"first party that insists", first, nil, consents.Asked{Scope: []string{"openid"}, Always: true}, true},
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
		remember := func(scope, resources []string) {
			t.Helper()
			write(func(tx *store.Tx) error {
				return consents.Remember(tx, "alice", "app", consents.Asked{Scope: scope, Resources: resources})
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
		if load(acme, "other") != nil || load(db.For("beta"), "app") != nil {
			t.Error("it counts for another client or tenant")
		}
		write(func(tx *store.Tx) error { return tx.RevokeConsent("alice", "app") })
		if c := load(acme, "app"); c != nil && c.RevokedAt.IsZero() {
			t.Errorf("revoked, yet %+v", c)
		}
		remember([]string{"openid"}, nil)
		if d := cmp.Diff([]string{"openid"}, load(acme, "app").Scope); d != "" {
			t.Errorf("what was revoked came back: %s", d)
		}
	})
}
