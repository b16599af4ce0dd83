package account_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

const endPath = "/account/access/end"

// allow has somebody allow the shop and an application that is gone since, and gives both a grant.
func (w *world) allow(account string) {
	w.T.Helper()
	const orders = "https://api.example.com/orders"
	w.Write(func(tx *store.Tx) error {
		_, err := objects.Import(tx, w.Ring, objects.ManagedByFile, []objects.Document{
			{Kind: "client", Body: json.RawMessage(`{"client_id":"shop","client_name":"The <Shop>","token_endpoint_auth_method":"none","redirect_uris":["https://shop.example/cb"]}`)},
			{Kind: "scope", Body: json.RawMessage(`{"name":"orders.read","title":"Read your orders"}`)},
			{Kind: "api", Body: json.RawMessage(`{"resource":"` + orders + `","name":"Orders","authorization_details_types":[
				{"type":"order","title":"Order goods","words":["Up to {limit}"],"schema":{"properties":{"limit":{}}}}]}`)},
		})
		if err != nil {
			return err
		}
		for _, client := range []string{"shop", "gone"} {
			err := tx.PutConsent(store.Consent{
				AccountID: account, ClientID: client, Scope: []string{"openid", "orders.read"}, Resources: []string{orders}, GrantedAt: tx.Now,
				Details: json.RawMessage(`[{"limit":50,"type":"order"}]`),
			})
			if err != nil {
				return err
			}
			err = tx.AddGrant(store.Grant{
				ID: "grant of " + account + " for " + client, CreatedAt: tx.Now, ExpiresAt: tx.Now.Add(time.Hour),
				Auth: store.Authorization{AccountID: account, ClientID: client, Scope: []string{"offline_access"}},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// alive are the live grants of everybody, and revoked those that the feed tells of.
func (w *world) grants(accounts ...string) (alive, revoked []string) {
	w.T.Helper()
	w.Write(func(tx *store.Tx) error {
		for _, a := range accounts {
			list, err := tx.Grants(a)
			if err != nil {
				return err
			}
			for _, g := range list {
				alive = append(alive, g.ID)
			}
		}
		return nil
	})
	events, err := w.DB.Events(w.T.Context(), time.Time{})
	w.OK(err)
	for _, e := range events {
		if e.Kind == store.EventGrant {
			revoked = append(revoked, e.Key)
		}
	}
	slices.Sort(alive)
	return alive, revoked
}

func TestApplicationsWithAccess(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice").Shows(http.StatusOK, "You have not given any application access")
	w.allow("alice")
	p := b.Get("/account").Shows(http.StatusOK, "Applications with access", "The <Shop>", "Since today", "Read your orders", "Sign you in", "Order goods", "gone")
	for _, text := range []string{"<p>Up to <bdi>50</bdi></p>", `<span class="tag">Orders</span>`, `href="/account/access/end?client=shop"`} {
		if !strings.Contains(p.Body, text) {
			t.Errorf("the page lacks %s", text)
		}
	}
	w.AddAccount("bob", `{}`)
	bob := w.browser()
	if p := bob.signIn("bob"); strings.Contains(p.Body, "Shop") {
		t.Error("Bob sees what Alice has allowed")
	}
}

func TestEndingAccess(t *testing.T) {
	w := newWorld(t)
	w.AddAccount("bob", `{}`)
	w.allow("alice")
	w.allow("bob")
	b := w.browser()
	b.signIn("alice")
	p := b.Get(endPath+"?client=shop").Shows(http.StatusOK, "Remove access?", "The <Shop> will not be able to use your account any more")
	if alive, _ := w.grants("alice"); len(alive) != 2 {
		t.Fatalf("asking has ended something: %q", alive)
	}
	p = b.Submit(p, endPath).Shows(http.StatusOK, "The application has no access to your account any more.", "gone")
	if strings.Contains(p.Body, "Shop") {
		t.Error("the application is still on the page")
	}
	alive, revoked := w.grants("alice", "bob")
	if !slices.Equal(alive, []string{"grant of alice for gone", "grant of bob for gone", "grant of bob for shop"}) || !slices.Equal(revoked, []string{"grant of alice for shop"}) {
		t.Errorf("alive %q, revoked %q", alive, revoked)
	}
	w.Write(func(tx *store.Tx) error {
		acts, err := tx.Audits(store.AuditFilter{Action: "consent.revoke"})
		if len(acts) != 1 || acts[0].ActorID != "alice" || acts[0].ObjectKind != "client" || acts[0].ObjectID != "shop" {
			t.Errorf("audit %+v", acts)
		}
		return err
	})
	// Once more, or what was never allowed: there is nothing.
	for _, client := range []string{"shop", "unknown", ""} {
		b.Get(endPath + "?client=" + client).Shows(http.StatusNotFound)
	}
	b.Post(endPath, url.Values{"client": {"unknown"}}).Shows(http.StatusNotFound)
	// Of an application that is gone the name is too.
	p = b.Get(endPath+"?client=gone").Shows(http.StatusOK, "gone will not be able")
	b.Submit(p, endPath).Shows(http.StatusOK, "You have not given any application access")
}

func TestEndingAccessNeedsAFreshProof(t *testing.T) {
	w := newWorld(t)
	w.allow("alice")
	b := w.browser()
	b.signIn("alice")
	w.Time = w.Time.Add(5 * time.Minute)
	p := b.Get(endPath+"?client=shop").Shows(http.StatusOK, "enter your password again")
	b.Post(endPath, url.Values{"client": {"shop"}}).Shows(http.StatusOK, "enter your password again")
	if alive, _ := w.grants("alice"); len(alive) != 2 {
		t.Fatalf("ended without a proof: %q", alive)
	}
	p = b.Submit(p, password, "password", right).Shows(http.StatusOK, "Remove access?")
	b.Submit(p, endPath).Shows(http.StatusOK, "has no access")

	// With a passkey it is that one.
	a := authenticator()
	w.addPasskey("alice", a)
	w.Time = w.Time.Add(5 * time.Minute)
	p = b.Get(endPath+"?client=gone").Shows(http.StatusOK, "Use one of your passkeys")
	p = b.Submit(p, verify, "response", p.Answer(verify, a.Get)).Shows(http.StatusOK, "Remove access?")
	b.Submit(p, endPath).Shows(http.StatusOK, "has no access")
}
