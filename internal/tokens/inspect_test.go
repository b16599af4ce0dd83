package tokens_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// both runs a test with a JWT and with an opaque token, and with a feed that is followed and one that is stale: the
// answer has to be the same.
func both(t *testing.T, fn func(t *testing.T, r *rig, c *objects.Client)) {
	for _, format := range []string{objects.FormatJWT, objects.FormatOpaque} {
		for _, followed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, followed %v", format, followed), func(t *testing.T) {
				r := newRig(t, tokens.Lifetimes{})
				if followed {
					r.follow(t)
				}
				c := client()
				c.AccessTokenFormat = format
				fn(t, r, c)
			})
		}
	}
}

func (r *rig) active(t testing.TB, token string) bool {
	t.Helper()
	_, err := r.minter.Inspect(t.Context(), token)
	if err != nil && !errors.Is(err, tokens.ErrInactive) {
		t.Fatal(err)
	}
	return err == nil
}

func TestRevocationIsSeen(t *testing.T) {
	both(t, func(t *testing.T, r *rig, c *objects.Client) {
		for name, revoke := range map[string]func(tx *store.Tx, token string, g *store.Grant) error{
			"the token": func(tx *store.Tx, token string, _ *store.Grant) error {
				held, err := r.minter.Recognise(t.Context(), token)
				if err != nil {
					return err
				}
				return r.minter.Revoke(tx, held)
			},
			"the grant": func(tx *store.Tx, _ string, g *store.Grant) error { return tokens.RevokeGrant(tx, g) },
			"the session": func(tx *store.Tx, _ string, g *store.Grant) error {
				return tx.AddEvent(store.Event{Kind: store.EventSession, Key: g.Auth.SessionID, NotBefore: tx.Now, ExpiresAt: tx.Now.Add(time.Minute)})
			},
			"the client": func(tx *store.Tx, _ string, _ *store.Grant) error {
				return tx.AddEvent(store.Event{Kind: store.EventClient, Key: "shop", NotBefore: tx.Now, ExpiresAt: tx.Now.Add(time.Minute)})
			},
			"the key": func(tx *store.Tx, _ string, g *store.Grant) error {
				return tx.AddEvent(store.Event{Kind: store.EventKey, Key: g.JKT, NotBefore: tx.Now, ExpiresAt: tx.Now.Add(time.Minute)})
			},
		} {
			r.pass(2 * time.Minute) // what was revoked before is forgotten
			g := r.grant(t, false)
			token, _ := r.mint(t, tokens.Plan{
				Client: c, Subject: "alice", Scope: []string{"openid"}, Grant: g, Binding: oauth.Confirmation{JKT: g.JKT},
			})
			eventually(t, name+": active before", func() bool { return r.active(t, token) })
			r.write(t, func(tx *store.Tx) error { return revoke(tx, token, g) })
			eventually(t, name+": not active after", func() bool { return !r.active(t, token) })
		}
	})
}

func TestRevocationOfOthersIsNone(t *testing.T) {
	both(t, func(t *testing.T, r *rig, c *objects.Client) {
		g := r.grant(t, false)
		token, _ := r.mint(t, tokens.Plan{Client: c, Subject: "alice", Scope: []string{"openid"}, Grant: g})
		r.write(t, func(tx *store.Tx) error { return tokens.RevokeGrant(tx, r.grantIn(t, tx)) })
		err := r.root.For("other").Write(t.Context(), func(tx *store.Tx) error {
			return tx.AddEvent(store.Event{Kind: store.EventClient, Key: "shop", NotBefore: tx.Now, ExpiresAt: tx.Now.Add(time.Minute)})
		})
		if err != nil {
			t.Fatal(err)
		}
		r.heardSoFar(t)
		if !r.active(t, token) {
			t.Error("not active")
		}
	})
}

// heardSoFar waits until a revocation that is written now is known, and so everything that was written before.
func (r *rig) heardSoFar(t testing.TB) {
	t.Helper()
	g := r.grant(t, false)
	token, _ := r.mint(t, tokens.Plan{Client: client(), Subject: "alice", Scope: []string{"openid"}, Grant: g})
	r.write(t, func(tx *store.Tx) error { return tokens.RevokeGrant(tx, g) })
	eventually(t, "the feed has heard", func() bool { return !r.active(t, token) })
}

func (r *rig) grantIn(t testing.TB, tx *store.Tx) *store.Grant {
	g := store.Grant{ID: store.NewID(), CreatedAt: r.now(), ExpiresAt: r.now().Add(time.Hour)}
	if err := tx.AddGrant(g); err != nil {
		t.Fatal(err)
	}
	return &g
}

func TestExpiredTokens(t *testing.T) {
	both(t, func(t *testing.T, r *rig, c *objects.Client) {
		token, _ := r.mint(t, tokens.Plan{Client: c, API: api(), Subject: "shop", Scope: []string{"read"}})
		r.pass(299 * time.Second)
		if !r.active(t, token) {
			t.Error("not active before its time")
		}
		r.pass(time.Second)
		if r.active(t, token) {
			t.Error("active at exp")
		}
	})
}

func TestRFC9068_4_ForeignTokens(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	token, _ := r.mint(t, tokens.Plan{Client: client(), API: api(), Subject: "shop", Scope: []string{"read"}})
	id, err := r.minter.IDToken(t.Context(), tokens.IDPlan{Client: client(), Grant: r.grant(t, false), Subject: "alice", IssuedAt: r.now()})
	if err != nil {
		t.Fatal(err)
	}
	own, err := r.signing.Signer(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	other := newRig(t, tokens.Lifetimes{})
	foreign, _ := other.mint(t, tokens.Plan{Client: client(), API: api(), Subject: "shop", Scope: []string{"read"}})
	sign := func(typ string, claims any) string {
		s, err := own.Sign(typ, claims)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	exp := r.now().Add(time.Minute).Unix()
	parts := strings.Split(token, ".")
	for name, tc := range map[string]string{
		"an ID token of ours":        id,
		"signed by another issuer":   foreign,
		"for another issuer":         sign("at+jwt", map[string]any{"iss": "https://else.example", "jti": "1", "exp": exp, "aud": "x"}),
		"without jti":                sign("at+jwt", map[string]any{"iss": issuer, "exp": exp, "aud": "x"}),
		"without exp":                sign("at+jwt", map[string]any{"iss": issuer, "jti": "1", "aud": "x"}),
		"another type":               sign("JWT", map[string]any{"iss": issuer, "jti": "1", "exp": exp, "aud": "x"}),
		"a changed payload":          parts[0] + "." + parts[1][:len(parts[1])-2] + "AA." + parts[2],
		"no signature":               parts[0] + "." + parts[1] + ".",
		"alg none":                   "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
		"nothing":                    "",
		"an unknown handle":          "AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"a handle that is not one":   "../../etc",
		"longer than any of ours":    strings.Repeat("A", 100_000),
		"a refresh token is no such": r.addRefresh(t, r.grant(t, false)),
	} {
		if r.active(t, tc) {
			t.Errorf("%s: active", name)
		}
	}
}

func TestTokensOfOneTenantMeanNothingToAnother(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	c := client()
	c.AccessTokenFormat = objects.FormatOpaque
	opaque, _ := r.mint(t, tokens.Plan{Client: c, API: api(), Subject: "shop", Scope: []string{"read"}})
	refresh := r.addRefresh(t, r.grant(t, false))
	cfg := r.minter.Config
	cfg.DB = r.root.For("other")
	m, err := tokens.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{opaque, refresh} {
		if _, err := m.Recognise(t.Context(), token); !errors.Is(err, tokens.ErrInactive) {
			t.Errorf("recognised: %v", err)
		}
	}
}

func TestReplacedSigningKeyEndsItsTokens(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	r.follow(t)
	r.feed.Subscribe(func(e store.Event) {
		if e.Kind == store.EventObject {
			_ = r.signing.Reload(t.Context())
		}
	})
	token, _ := r.mint(t, tokens.Plan{Client: client(), API: api(), Subject: "shop", Scope: []string{"read"}})
	if !r.active(t, token) {
		t.Fatal("not active")
	}
	if err := r.signing.Rotate(t.Context(), string(jose.ES256)); err != nil {
		t.Fatal(err)
	}
	r.heardSoFar(t)
	if !r.active(t, token) {
		t.Error("a rotation ended the tokens of the key before")
	}
	if err := r.signing.Replace(t.Context(), string(jose.ES256)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token of a withdrawn key is not active", func() bool { return !r.active(t, token) })
}

func TestRevokedRefreshTokenEndsItsGrant(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g := r.grant(t, false)
	handle := r.addRefresh(t, g)
	held, err := r.minter.Recognise(t.Context(), handle)
	if err != nil || held.Refresh == nil || held.ClientID() != "shop" {
		t.Fatalf("%+v, %v", held, err)
	}
	if want := r.now().Add(14 * 24 * time.Hour); !held.Refresh.ExpiresAt().Equal(want) || !held.Refresh.IssuedAt().Equal(r.now()) {
		t.Errorf("expires at %v", held.Refresh.ExpiresAt())
	}
	r.write(t, func(tx *store.Tx) error { return r.minter.Revoke(tx, held) })
	if _, err := r.minter.Recognise(t.Context(), handle); !errors.Is(err, tokens.ErrInactive) {
		t.Errorf("afterwards: %v", err)
	}
	spent := r.addRefresh(t, r.grant(t, true))
	if _, err := r.use(t, spent); err != nil {
		t.Fatal(err)
	}
	if _, err := r.minter.Recognise(t.Context(), spent); !errors.Is(err, tokens.ErrInactive) {
		t.Errorf("a spent token: %v", err)
	}
}
