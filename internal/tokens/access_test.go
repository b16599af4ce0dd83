package tokens_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestRFC9068_2_2_Claims(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	g := r.grant(t, false)
	token, _ := r.mint(t, tokens.Plan{
		Client: client(), API: api(), Subject: "alice", Scope: []string{"openid", "read"},
		Binding: oauth.Confirmation{JKT: "thumb", X5T: "print"}, Grant: g,
	})
	got, err := jose.Verify(token, []jose.Alg{jose.ES256}, r.signing.PublicKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Type != "at+jwt" {
		t.Errorf("typ is %q", got.Type)
	}
	var claims map[string]any
	if err := json.Unmarshal(got.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	if len(claims["jti"].(string)) != 22 {
		t.Errorf("jti %v has not 128 bits", claims["jti"])
	}
	delete(claims, "jti")
	now := float64(r.now().Unix())
	want := map[string]any{
		"iss": issuer, "sub": "alice", "aud": []any{"https://api.example", issuer}, "exp": now + 300, "iat": now,
		"client_id": "shop", "scope": "openid read", "cnf": map[string]any{"jkt": "thumb", "x5t#S256": "print"},
		"sid": "session-1", "grant_id": g.ID, "auth_time": now - 60, "acr": "phr", "amr": []any{"hwk", "user"},
	}
	if d := cmp.Diff(want, claims); d != "" {
		t.Error(d)
	}
}

func TestRFC9068_3_Audience(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	for name, tc := range map[string]struct {
		api   *objects.API
		scope []string
		want  string
	}{
		"an API alone":        {api(), []string{"read"}, `"https://api.example"`},
		"an API and openid":   {api(), []string{"openid", "read"}, `["https://api.example","https://login.example"]`},
		"openid alone":        {nil, []string{"openid"}, `"https://login.example"`},
		"nothing but profile": {nil, []string{"profile"}, `"https://login.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.minter.Access(tokens.Plan{Client: client(), API: tc.api, Subject: "s", Scope: tc.scope, IssuedAt: r.now()})
			got, err := json.Marshal(a.Claims.Audience)
			if err != nil || string(got) != tc.want {
				t.Errorf("aud is %s, %v", got, err)
			}
		})
	}
}

func TestFormAndLifetimeOfAccessTokens(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	short := r.grant(t, false)
	short.ExpiresAt = r.now().Add(time.Minute)
	for name, tc := range map[string]struct {
		client, api string // formats
		lifetime    int64
		grant       *store.Grant
		opaque      bool
		expiresIn   int64
	}{
		"defaults":                   {expiresIn: 300},
		"the API wants opaque":       {api: "opaque", opaque: true, expiresIn: 300},
		"the client wants opaque":    {client: "opaque", opaque: true, expiresIn: 300},
		"the client overrides":       {client: "jwt", api: "opaque", expiresIn: 300},
		"the API says how long":      {lifetime: 60, expiresIn: 60},
		"never longer than a grant":  {grant: short, expiresIn: 60},
		"a grant makes it no longer": {grant: r.grant(t, false), lifetime: 30, expiresIn: 30},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := client(), api()
			c.AccessTokenFormat, p.TokenFormat, p.AccessTokenLifetime = tc.client, tc.api, tc.lifetime
			token, a := r.mint(t, tokens.Plan{Client: c, API: p, Subject: "shop", Scope: []string{"read"}, Grant: tc.grant})
			if a.ExpiresIn() != tc.expiresIn {
				t.Errorf("expires in %d", a.ExpiresIn())
			}
			if opaque := strings.Count(token, ".") == 1; opaque != tc.opaque || a.Stored() != tc.opaque {
				t.Errorf("token %q, stored %v", token, a.Stored())
			}
			got, err := r.minter.Inspect(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&a.Claims, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOpaqueHandleNamesTheGrant(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	c, g := client(), r.grant(t, false)
	c.AccessTokenFormat = objects.FormatOpaque
	token, _ := r.mint(t, tokens.Plan{Client: c, Subject: "alice", Scope: []string{"openid"}, Grant: g})
	if id, _, _ := strings.Cut(token, "."); id != g.ID {
		t.Errorf("the handle begins with %q", id)
	}
	r.write(t, func(tx *store.Tx) error {
		rows, err := tx.AccessTokens(g.ID)
		if err != nil || len(rows) != 1 {
			t.Fatalf("rows %v, %v", rows, err)
		}
		if strings.Contains(rows[0].SecretHash, strings.Split(token, ".")[1]) {
			t.Error("the secret is stored as it is")
		}
		return nil
	})
}

func TestSubjectIsTheSameInOneSectorOnly(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	if got := r.minter.Subject(client(), "alice"); got != "alice" {
		t.Errorf("public subject %q", got)
	}
	pairwise := func(id string, redirect, sector string) string {
		c := &objects.Client{ID: id}
		c.SubjectType, c.SectorIdentifierURI = "pairwise", sector
		if redirect != "" {
			c.RedirectURIs = []string{redirect}
		}
		return r.minter.Subject(c, "alice")
	}
	one := pairwise("a", "https://shop.example/cb", "")
	if one == "alice" || len(one) != 43 {
		t.Errorf("pairwise subject %q", one)
	}
	for name, tc := range map[string]struct {
		got  string
		same bool
	}{
		"another client of the host": {pairwise("b", "https://shop.example:444/other", ""), true},
		"by sector identifier":       {pairwise("c", "https://x.example/", "https://shop.example/sector.json"), true},
		"another host":               {pairwise("a", "https://bank.example/cb", ""), false},
		"no host":                    {pairwise("a", "", ""), false},
	} {
		if (tc.got == one) != tc.same {
			t.Errorf("%s: same is %v", name, !tc.same)
		}
	}
	// A second node, and a start after the ring was renewed, know the same key.
	again := rigOn(t, r.clock, r.root, r.ring, tokens.Lifetimes{})
	c := client()
	c.SubjectType = "pairwise"
	if again.minter.Subject(c, "alice") != one {
		t.Error("the subject changed with a restart")
	}
	if other := newRig(t, tokens.Lifetimes{}); other.minter.Subject(c, "alice") == one {
		t.Error("two installations give the same subject")
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	good := r.minter.Config
	for name, spoil := range map[string]func(*tokens.Config){
		"no issuer":      func(c *tokens.Config) { c.Issuer = "" },
		"no ring":        func(c *tokens.Config) { c.Ring = nil },
		"a day too long": func(c *tokens.Config) { c.Lifetimes.Access = 25 * time.Hour },
	} {
		c := good
		spoil(&c)
		if _, err := tokens.New(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good.Signing = nil
	if _, err := tokens.New(t.Context(), good); err == nil || errors.Is(err, tokens.ErrInactive) {
		t.Errorf("no signing keys: %v", err)
	}
}
