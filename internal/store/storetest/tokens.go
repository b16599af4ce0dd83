package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

func session(b *bench, id string) store.Session {
	return store.Session{
		ID: id, SecretHash: "h", AccountID: "id1", ACR: "phr", AMR: []string{"hwk", "user"}, UserAgent: "Mozilla", AddressPrefix: "192.0.2.0/24",
		Factors:  []store.Factor{{Kind: "passkey", At: b.in(0), AMR: []string{"hwk"}, PasskeyID: "cred", DeviceBound: true}},
		AuthTime: b.in(0), CreatedAt: b.in(0), LastUsedAt: b.in(0), IdleUntil: b.in(8 * time.Hour), ExpiresAt: b.in(24 * time.Hour),
		Version: 1,
	}
}

func testSessions(t *testing.T, b *bench) {
	v := session(b, "s1")
	one := func(tx *store.Tx) (store.Session, error) { return tx.Session("s1") }
	list := func(tx *store.Tx) ([]store.Session, error) { return tx.Sessions("id1") }
	missing(t, b.DB, one)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddSession(v) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddSession(v) })
	same(t, load(t, b.DB, one), v)

	v.ACR, v.Factors = "phrh", append(v.Factors, store.Factor{Kind: "password", At: b.in(0)})
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutSession(v) })
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutSession(v) })
	b.sleep(time.Minute)
	v.Version, v.IdleUntil, v.LastUsedAt = 2, b.in(time.Hour), b.in(0)
	write(t, b.DB, func(tx *store.Tx) error { return tx.TouchSession("s1", v.IdleUntil) })
	same(t, load(t, b.DB, one), v)

	newer := session(b, "s2")
	newer.IdleUntil = b.in(30 * time.Minute)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddSession(newer) })
	same(t, load(t, b.DB, list), []store.Session{newer, v})
	b.sleep(30 * time.Minute)
	same(t, load(t, b.DB, list), []store.Session{v}) // the other has been idle too long

	end := func(tx *store.Tx) error { return tx.EndSession("s1") }
	ended := b.in(0)
	for range 2 { // the second time changes nothing
		write(t, b.DB, end)
		b.sleep(time.Second)
	}
	same(t, load(t, b.DB, list), []store.Session{})
	v.EndedAt, v.Version = ended, 3
	same(t, load(t, b.DB, one), v)
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.TouchSession("s1", b.in(time.Hour)) })
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutSession(v) })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.EndSession("none") })
	announced(t, b, store.EventSession, "s1", ended)
}

// announced checks that there is exactly one event, and that it is this one.
func announced(t *testing.T, b *bench, kind, key string, notBefore time.Time) {
	t.Helper()
	events, err := b.Events(t.Context(), time.Time{})
	if err != nil || len(events) != 1 {
		t.Fatalf("events: %v, %v; want one", events, err)
	}
	if e := events[0]; e.Kind != kind || e.Key != key || !e.NotBefore.Equal(notBefore) || e.Tenant != "acme" || e.ID == "" {
		t.Errorf("event: %+v", e)
	}
}

func authorization(b *bench) store.Authorization {
	return store.Authorization{
		ClientID: "app", AccountID: "id1", SessionID: "s1", RedirectURI: "https://app/cb", Nonce: "n", CodeChallenge: "c", ACR: "phr",
		AMR: []string{"hwk"}, Scope: []string{"openid"}, Resources: []string{"https://api"}, AuthTime: b.in(-time.Minute),
		DPoPJKT: "jkt", Claims: json.RawMessage(`{"userinfo":{"email":null}}`),
	}
}

func testCodes(t *testing.T, b *bench) {
	c := store.Code{GrantID: "g1", SecretHash: "h", Auth: authorization(b), IssuedAt: b.in(0), ExpiresAt: b.in(time.Minute)}
	one := func(tx *store.Tx) (store.Code, error) { return tx.Code("g1") }
	spend := func(tx *store.Tx) error { return tx.SpendCode("g1") }
	missing(t, b.DB, one)
	refused(t, b.DB, store.ErrNotFound, spend)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddCode(c) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddCode(c) })
	same(t, load(t, b.DB, one), c)
	c.SpentAt = b.in(0)
	write(t, b.DB, spend)
	b.sleep(time.Second)
	refused(t, b.DB, store.ErrTaken, spend)
	same(t, load(t, b.DB, one), c)
}

func grant(b *bench, id string) store.Grant {
	return store.Grant{
		ID: id, Auth: authorization(b), JKT: "jkt", X5T: "x5t", Bearer: true, CreatedAt: b.in(0), ExpiresAt: b.in(time.Hour), Version: 1,
	}
}

func testGrants(t *testing.T, b *bench) {
	g := grant(b, "g1")
	one := func(tx *store.Tx) (store.Grant, error) { return tx.Grant("g1") }
	list := func(tx *store.Tx) ([]store.Grant, error) { return tx.Grants("id1") }
	touch := func(tx *store.Tx) (err error) {
		g, err = tx.TouchGrant("g1")
		return err
	}
	missing(t, b.DB, one)
	refused(t, b.DB, store.ErrNotFound, touch)
	g = grant(b, "g1")
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddGrant(g) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddGrant(g) })
	same(t, load(t, b.DB, one), g)
	write(t, b.DB, touch)
	want := grant(b, "g1")
	want.Version = 2
	same(t, g, want)
	same(t, load(t, b.DB, list), []store.Grant{want})

	b.sleep(time.Minute)
	revoked, until := b.in(0), b.in(time.Hour)
	for range 2 { // the second time changes nothing
		write(t, b.DB, func(tx *store.Tx) error { return tx.RevokeGrant("g1", until) })
		b.sleep(time.Second)
	}
	announced(t, b, store.EventGrant, "g1", until)
	want.RevokedAt, want.Version = revoked, 3
	same(t, load(t, b.DB, one), want)
	same(t, load(t, b.DB, list), []store.Grant{})
	refused(t, b.DB, store.ErrNotFound, touch)
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.RevokeGrant("none", b.in(time.Hour)) })

	write(t, b.DB, func(tx *store.Tx) error { return tx.AddGrant(grant(b, "g2")) })
	b.sleep(time.Hour)
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error {
		_, err := tx.TouchGrant("g2")
		return err
	})
}

func testRefreshes(t *testing.T, b *bench) {
	r := store.Refresh{
		GrantID: "g1", SecretHash: "h1", IssuedAt: b.in(0), LastUsedAt: b.in(0), IdleUntil: b.in(time.Hour), ExpiresAt: b.in(24 * time.Hour),
	}
	one := func(tx *store.Tx) (store.Refresh, error) { return tx.Refresh("g1", "h1") }
	spend := func(tx *store.Tx) error { return tx.SpendRefresh("g1", "h1") }
	touch := func(tx *store.Tx) error { return tx.TouchRefresh("g1", "h1", b.in(0), b.in(time.Hour)) }
	missing(t, b.DB, one)
	refused(t, b.DB, store.ErrNotFound, spend)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddRefresh(r) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddRefresh(r) })
	same(t, load(t, b.DB, one), r)

	b.sleep(time.Minute)
	r.LastUsedAt, r.IdleUntil = b.in(0), b.in(time.Hour)
	write(t, b.DB, touch)
	same(t, load(t, b.DB, one), r)
	next := r
	next.SecretHash, next.IssuedAt = "h0", b.in(0)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddRefresh(next) })
	write(t, b.DB, spend)
	r.SpentAt = b.in(0)
	b.sleep(time.Minute)
	refused(t, b.DB, store.ErrTaken, spend)
	refused(t, b.DB, store.ErrNotFound, touch)
	same(t, load(t, b.DB, func(tx *store.Tx) ([]store.Refresh, error) { return tx.Refreshes("g1") }), []store.Refresh{next, r})
}

func testAccessTokens(t *testing.T, b *bench) {
	a := store.AccessToken{
		ID: "t1", SecretHash: "h1", GrantID: "g1", ClientID: "app", Claims: json.RawMessage(`{"sub":"id1"}`),
		IssuedAt: b.in(0), ExpiresAt: b.in(time.Minute),
	}
	list := func(tx *store.Tx) ([]store.AccessToken, error) { return tx.AccessTokens("t1") }
	same(t, load(t, b.DB, list), []store.AccessToken{})
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddAccessToken(a) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddAccessToken(a) })
	second := a
	second.SecretHash, second.IssuedAt = "h2", b.in(time.Second)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddAccessToken(second) })
	a.RevokedAt = b.in(0)
	for range 2 {
		write(t, b.DB, func(tx *store.Tx) error { return tx.RevokeAccessToken("t1", "h1") })
		b.sleep(time.Second)
	}
	same(t, load(t, b.DB, list), []store.AccessToken{second, a})
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.RevokeAccessToken("t1", "h3") })
}

func testPushedRequests(t *testing.T, b *bench) {
	p := store.PushedRequest{
		ID: "p1", SecretHash: "h", ClientID: "app", Params: json.RawMessage(`{"scope":"openid"}`),
		OpenUntil: b.in(time.Minute), PurgeAt: b.in(time.Hour),
	}
	one := func(tx *store.Tx) (store.PushedRequest, error) { return tx.PushedRequest("p1") }
	spend := func(tx *store.Tx) error { return tx.SpendPushedRequest("p1") }
	missing(t, b.DB, one)
	refused(t, b.DB, store.ErrNotFound, spend)
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddPushedRequest(p) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddPushedRequest(p) })
	same(t, load(t, b.DB, one), p)
	p.SpentAt = b.in(0)
	write(t, b.DB, spend)
	b.sleep(time.Second)
	refused(t, b.DB, store.ErrTaken, spend)
	same(t, load(t, b.DB, one), p)
}
