package tokens_test

import (
	"errors"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// What a person takes back is gone on every node: access tokens in either form, refresh tokens, and nothing else.
func TestEndConsent(t *testing.T) {
	both(t, func(t *testing.T, r *rig, c *objects.Client) {
		ended, offline, other, somebody := r.grant(t, false), r.grant(t, true), r.grant(t, false), r.grant(t, false)
		edit := func(g *store.Grant, change func(*store.Authorization)) {
			g.ID = store.NewID()
			change(&g.Auth)
			r.write(t, func(tx *store.Tx) error { return tx.AddGrant(*g) })
		}
		edit(offline, func(a *store.Authorization) { a.Scope, a.SessionID = []string{"read", "offline_access"}, "" })
		edit(other, func(a *store.Authorization) { a.ClientID = "bank" })
		edit(somebody, func(a *store.Authorization) { a.AccountID = "bob" })
		refreshOf := func(g *store.Grant) (handle string) {
			r.write(t, func(tx *store.Tx) (err error) {
				handle, err = r.minter.AddRefresh(tx, g)
				return err
			})
			return handle
		}
		held := map[string]*store.Grant{}
		for _, g := range []*store.Grant{ended, offline, other, somebody} {
			client := *c
			client.ID = g.Auth.ClientID
			token, _ := r.mint(t, tokens.Plan{Client: &client, API: api(), Subject: g.Auth.AccountID, Scope: g.Auth.Scope, Grant: g})
			held[token], held[refreshOf(g)] = g, g
		}
		for _, who := range []string{"alice", "bob"} {
			r.write(t, func(tx *store.Tx) error {
				return tx.PutConsent(store.Consent{AccountID: who, ClientID: "shop", GrantedAt: tx.Now})
			})
		}
		r.write(t, func(tx *store.Tx) error { return tokens.EndConsent(tx, "alice", "shop") })
		for token, g := range held {
			gone := g == ended || g == offline
			eventually(t, "tokens of the shop are gone", func() bool {
				_, err := r.minter.Recognise(t.Context(), token)
				if err != nil && !errors.Is(err, tokens.ErrInactive) {
					t.Fatal(err)
				}
				return (err != nil) == gone
			})
		}
		r.write(t, func(tx *store.Tx) error {
			alices, errA := tx.Consents("alice")
			bobs, errB := tx.Consents("bob")
			if len(alices) != 0 || len(bobs) != 1 {
				t.Errorf("consents %v, %v", alices, bobs)
			}
			return errors.Join(errA, errB)
		})
	})
}

func TestEndConsentOfNothing(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g := r.grant(t, false)
	err := r.db.Write(t.Context(), func(tx *store.Tx) error { return tokens.EndConsent(tx, "alice", "shop") })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	r.write(t, func(tx *store.Tx) error {
		now, err := tx.Grant(g.ID)
		if !now.RevokedAt.IsZero() {
			t.Error("the grant of a client without consent was ended")
		}
		return err
	})
}
