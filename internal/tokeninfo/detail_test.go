package tokeninfo_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// RFC 9396 §9.2: introspection tells the details of the token, and of a refresh token all that were granted.
func TestRFC9396_9_2_Introspection(t *testing.T) {
	i := newRig(t).issuers["acme"]
	granted := json.RawMessage(`[{"actions":["read"],"type":"order"},{"amount":"45.00","type":"payment"}]`)
	forAPI := json.RawMessage(`[{"actions":["read"],"type":"order"}]`)
	for _, format := range []string{"jwt", "opaque"} {
		client := *must(i.registry.Client(t.Context(), "shop"))
		client.AccessTokenFormat = format
		g := store.Grant{
			ID: store.NewID(), Bearer: true, CreatedAt: i.now(), ExpiresAt: i.now().Add(time.Hour),
			Auth: store.Authorization{ClientID: "shop", AccountID: "alice", Details: granted},
		}
		a := i.minter.Access(tokens.Plan{
			Client: &client, API: must(i.registry.API(t.Context(), orders)), Subject: "alice", Details: forAPI, Grant: &g,
			Binding: oauth.Confirmation{}, Account: &store.Account{ID: "alice"}, IssuedAt: i.now(),
		})
		var refresh string
		i.write(t, func(tx *store.Tx) (err error) {
			if err = tx.AddGrant(g); err != nil {
				return err
			}
			if refresh, err = i.minter.AddRefresh(tx, &g); err != nil {
				return err
			}
			return i.minter.Add(tx, a)
		})
		for name, c := range map[string]struct {
			token, caller string
			want          json.RawMessage
		}{
			"the API":                     {must(i.minter.Mint(a)), "orders-api", forAPI},
			"the client":                  {must(i.minter.Mint(a)), "shop", forAPI},
			"the client, a refresh token": {refresh, "shop", granted},
		} {
			got := i.introspect(t, c.token, basic(c.caller))
			var want any
			if err := json.Unmarshal(c.want, &want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got.body["authorization_details"]); d != "" {
				t.Errorf("%s, %s: %s", format, name, d)
			}
		}
	}
	plain, _ := i.issue(t, "jwt", "openid", oauth.Confirmation{})
	if got := i.introspect(t, plain, basic("shop")); got.body["authorization_details"] != nil || got.body["active"] != true {
		t.Errorf("a token without details: %v", got.body)
	}
}
