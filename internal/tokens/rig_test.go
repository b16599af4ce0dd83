package tokens_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const issuer = "https://login.example"

// clock is a time that only the test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time       { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.at.Add(d.Microseconds()) }

type rig struct {
	*clock
	root    *store.DB
	db      *store.DB
	ring    *keys.Ring
	signing *keys.Signing
	feed    *feed.Feed
	minter  *tokens.Minter

	registry *objects.Registry
}

func newRig(t testing.TB, l tokens.Lifetimes) *rig {
	t.Helper()
	c := newClock()
	root := storetest.Open(t, store.Options{Now: c.now})
	return rigOn(t, c, root, keys.NewRing(), l)
}

func rigOn(t testing.TB, c *clock, root *store.DB, ring *keys.Ring, l tokens.Lifetimes) *rig {
	t.Helper()
	r := &rig{clock: c, root: root, db: root.For("acme"), ring: ring}
	r.signing = keys.NewSigning(keys.SigningConfig{
		DB: r.db, Ring: ring, Algs: []jose.Alg{jose.ES256, jose.EdDSA},
	})
	if err := r.signing.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.feed = feed.New(root, c.now)
	r.registry = objects.New(r.db)
	m, err := tokens.New(t.Context(), tokens.Config{
		Issuer: issuer, DB: r.db, Ring: ring, Signing: r.signing, Registry: r.registry, Feed: r.feed, Now: c.now, Lifetimes: l,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.minter = m
	return r
}

// follow lets the feed run until the test ends, and waits until it knows what there is.
func (r *rig) follow(t testing.TB) {
	t.Helper()
	t.Cleanup(r.run(t))
}

// catchUp lets the feed read once. As the clock stands still it is not stale after that.
func (r *rig) catchUp(t testing.TB) {
	t.Helper()
	r.run(t)()
}

func (r *rig) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.feed.Run(ctx); close(done) }()
	eventually(t, "the feed is ready", r.feed.Ready)
	return func() { cancel(); <-done }
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

func (r *rig) write(t testing.TB, fn func(*store.Tx) error) {
	t.Helper()
	if err := r.db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func client() *objects.Client {
	return &objects.Client{ID: "shop", ClientMetadata: oauth.ClientMetadata{RedirectURIs: []string{"https://shop.example/cb"}}}
}

func api() *objects.API {
	return &objects.API{Resource: "https://api.example", Scopes: []string{"read", "write"}}
}

// grant stores a grant of alice for the shop.
func (r *rig) grant(t testing.TB, bearer bool) *store.Grant {
	t.Helper()
	g := store.Grant{
		ID: store.NewID(), Bearer: bearer, CreatedAt: r.now(), ExpiresAt: r.now().Add(r.minter.Lifetimes.RefreshAbsolute),
		Auth: store.Authorization{
			ClientID: "shop", AccountID: "alice", SessionID: "session-1", Scope: []string{"openid", "read"},
			ACR: "phr", AMR: []string{"hwk", "user"}, AuthTime: r.now().Add(-time.Minute),
		},
	}
	if !bearer {
		g.JKT = "thumb"
	}
	r.write(t, func(tx *store.Tx) error { return tx.AddGrant(g) })
	return &g
}

// mint plans, stores and mints a token.
func (r *rig) mint(t testing.TB, p tokens.Plan) (string, *tokens.Access) {
	t.Helper()
	if p.IssuedAt.IsZero() {
		p.IssuedAt = r.now()
	}
	a := r.minter.Access(p)
	r.write(t, func(tx *store.Tx) error { return r.minter.Add(tx, a) })
	token, err := r.minter.Mint(a)
	if err != nil {
		t.Fatal(err)
	}
	return token, a
}
