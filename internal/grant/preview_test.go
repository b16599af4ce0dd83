package grant_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// What a preview shows is what the grants issue, less what is made for each token and what it is bound to.
func TestPreviewShowsWhatIsIssued(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	type m = map[string]any
	n.bring(t, "claim_mapping", m{"name": "login", "claim": "login", "into": []string{"access_token", "id_token", "userinfo"}, "source": m{"attribute": "username"}})
	n.write(t, func(tx *store.Tx) error {
		a, err := tx.Account("alice")
		if err != nil {
			return err
		}
		a.Claims = json.RawMessage(`{"email":"alice@example.com","name":"Alice"}`)
		return tx.PutAccount(a)
	})
	for client, want := range map[string]string{"native": "jwt", "sealedcode": "opaque", "pair": "jwt"} {
		got, err := n.endpoints.Preview(t.Context(), tokens.Trial{ClientID: client, User: "Alice", Scope: "openid email read", Resource: orders, ACR: "phr",
			Claims: json.RawMessage(`{"id_token":{"email":null}}`)})
		if err != nil {
			t.Fatal(err)
		}
		if got.Format != want {
			t.Errorf("%s: format %s", client, got.Format)
		}
		access, id := undo(t, got.AccessToken), got.IDToken
		subject := n.minter.Subject(must(n.endpoints.Registry.Client(t.Context(), client)), "alice")
		now := float64(n.now().Unix())
		if d := cmp.Diff(m{
			"iss": n.issuer, "sub": subject, "aud": []any{orders, n.issuer}, "client_id": client, "scope": "openid email read", "iat": now, "exp": now + 300,
			"auth_time": now, "acr": "phr", "amr": []any{"swk", "user"}, "cnf": m{"jkt": "(of the client)"}, "login": "alice",
		}, access); d != "" {
			t.Errorf("%s: access token: %s", client, d)
		}
		if d := cmp.Diff(m{
			"iss": n.issuer, "sub": subject, "aud": client, "iat": now, "exp": now + 300, "auth_time": now, "acr": "phr", "amr": []any{"swk", "user"},
			"login": "alice", "email": "alice@example.com",
		}, undo(t, must(json.Marshal(id)))); d != "" {
			t.Errorf("%s: ID token: %s", client, d)
		}
		userinfo := undo(t, must(json.Marshal(got.Userinfo)))
		if userinfo["sub"] != subject || userinfo["email"] != "alice@example.com" || userinfo["login"] != "alice" || userinfo["name"] != nil {
			t.Errorf("%s: userinfo %v", client, userinfo)
		}
	}
}

// undo reads claims, without the jti.
func undo(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	delete(claims, "jti")
	return claims
}

func TestPreviewOfAClientForItself(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	got, err := n.endpoints.Preview(t.Context(), tokens.Trial{ClientID: "mtls", Resource: orders})
	if err != nil {
		t.Fatal(err)
	}
	claims := undo(t, got.AccessToken)
	if claims["sub"] != "mtls" || claims["scope"] != "read write" || got.IDToken != nil || got.Userinfo != nil {
		t.Errorf("%+v", got)
	}
	if d := cmp.Diff(map[string]any{"x5t#S256": "(of the client)"}, claims["cnf"]); d != "" {
		t.Error(d)
	}
}

func TestPreviewRefusesWhatTheGrantsRefuse(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	n.write(t, func(tx *store.Tx) error {
		return tx.AddAccount(store.Account{ID: "bob", Username: "bob", UserHandle: []byte("bob"), Disabled: true})
	})
	for name, tc := range map[string]struct {
		trial tokens.Trial
		code  oauth.Code
	}{
		"no such client":             {tokens.Trial{ClientID: "nobody", User: "alice"}, oauth.InvalidRequest},
		"no such person":             {tokens.Trial{ClientID: "native", User: "nobody"}, oauth.InvalidRequest},
		"a disabled person":          {tokens.Trial{ClientID: "native", User: "bob"}, oauth.InvalidGrant},
		"a scope of others":          {tokens.Trial{ClientID: "native", User: "alice", Scope: "openid old"}, oauth.InvalidScope},
		"a resource of others":       {tokens.Trial{ClientID: "native", User: "alice", Resource: legacy}, oauth.InvalidTarget},
		"a person where there is no": {tokens.Trial{ClientID: "machine", User: "alice"}, oauth.UnauthorizedClient},
		"nobody where there is one":  {tokens.Trial{ClientID: "native"}, oauth.UnauthorizedClient},
		"no resource among two":      {tokens.Trial{ClientID: "both"}, oauth.InvalidTarget},
		"claims that are none":       {tokens.Trial{ClientID: "native", User: "alice", Claims: json.RawMessage(`[]`)}, oauth.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.endpoints.Preview(t.Context(), tc.trial)
			if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != tc.code {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
}

// A preview leaves nothing behind: no grant, no token, no record.
func TestPreviewIssuesNothing(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme
	before := n.changes(t)
	got, err := n.endpoints.Preview(t.Context(), tokens.Trial{ClientID: "sealedcode", User: "alice", Resource: orders})
	if err != nil || n.changes(t) != before {
		t.Errorf("%v, and %d changes", err, n.changes(t)-before)
	}
	if n.active(t, string(got.AccessToken)) {
		t.Error("a preview is taken for a token")
	}
}
