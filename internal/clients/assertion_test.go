package clients_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// assert makes the form of an assertion of a client; edit changes its claims.
func (r *rig) assert(t testing.TB, client string, edit func(map[string]any)) url.Values {
	t.Helper()
	return r.assertBy(t, parties().es256, client, edit)
}

func (r *rig) assertBy(t testing.TB, s *jose.Signer, client string, edit func(map[string]any)) url.Values {
	t.Helper()
	claims := map[string]any{
		"iss": client, "sub": client, "aud": issuer, "jti": "one", "iat": r.now.Unix(), "exp": r.now.Add(time.Minute).Unix(),
	}
	if edit != nil {
		edit(claims)
	}
	compact, err := s.Sign("JWT", claims)
	if err != nil {
		t.Fatal(err)
	}
	return form("client_assertion_type", oauth.AssertionType, "client_assertion", compact)
}

func TestRFC7523_3_Claims(t *testing.T) {
	r := newRig(t)
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	unset := func(name string) func(map[string]any) {
		return func(c map[string]any) { delete(c, name) }
	}
	in := func(d time.Duration) int64 { return r.now.Add(d).Unix() }
	for _, c := range []struct {
		name   string
		client string
		edit   func(map[string]any)
		cause  string // "": accepted
	}{
		{"right", "jwt", nil, ""},
		{"iss is somebody else", "jwt", set("iss", "old"), "iss and sub"},
		{"sub is missing", "jwt", unset("sub"), "iss and sub"},
		{"aud is the token endpoint", "jwt", set("aud", issuer+"/token"), "single string"},
		{"aud is an array", "jwt", set("aud", []string{issuer}), "single string"},
		{"aud is missing", "jwt", unset("aud"), "single string"},
		{"aud is the issuer in another spelling", "jwt", set("aud", "https://LOGIN.example"), "single string"},
		{"aud is the issuer and a slash", "jwt", set("aud", issuer+"/"), "single string"},
		{"old form, the token endpoint", "old", set("aud", issuer+"/token"), ""},
		{"old form, an array", "old", set("aud", []string{"https://else.example", issuer}), ""},
		{"old form, an array without us", "old", set("aud", []string{"https://else.example"}), "neither"},
		{"old form, another endpoint", "old", set("aud", issuer+"/introspect"), "neither"},
		{"old form, a number", "old", set("aud", 7), "aud"},
		{"exp is missing", "jwt", unset("exp"), "exp is missing"},
		{"exp is now", "jwt", set("exp", in(0)), "exp is missing or past"},
		{"exp is 5 minutes ahead", "jwt", set("exp", in(5*time.Minute)), ""},
		{"exp is 6 minutes ahead", "jwt", set("exp", in(6*time.Minute)), "more than five minutes"},
		{"iat is missing", "jwt", unset("iat"), ""},
		{"iat is 10 s ahead", "jwt", set("iat", in(10*time.Second)), ""},
		{"iat is 60 s ahead", "jwt", set("iat", in(time.Minute)), "iat is in the future"},
		{"nbf is 10 s ahead", "jwt", set("nbf", in(10*time.Second)), ""},
		{"nbf is 60 s ahead", "jwt", set("nbf", in(time.Minute)), "nbf is in the future"},
		{"exp is no number", "jwt", set("exp", "soon"), "cannot be read"},
		{"jti is missing", "jwt", unset("jti"), "jti is missing"},
		{"jti has no end", "jwt", set("jti", strings.Repeat("j", 257)), "jti is missing or too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := r.assert(t, c.client, c.edit)
			o.Set("client_id", c.client)
			_, _, err := r.try(offer{form: o})
			if c.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, oauth.InvalidClient, c.cause)
		})
	}
}

func TestRFC7523_3_Signature(t *testing.T) {
	r, p := newRig(t), parties()
	for _, c := range []struct {
		name, client string
		by           *jose.Signer
		cause        string
	}{
		{"ES256", "jwt", p.es256, ""},
		{"PS256", "jwt", p.ps256, ""},
		{"RS256 that was not registered", "jwt", p.rs256, "algorithm not allowed"},
		{"RS256 that was", "rsa", p.rs256, ""},
		{"ES256 where RS256 was registered", "rsa", p.es256, "algorithm not allowed"},
		{"a stranger's key under a known kid", "jwt", p.stranger, "does not verify"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := r.try(offer{form: r.assertBy(t, c.by, c.client, nil)})
			if c.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, oauth.InvalidClient, c.cause)
		})
	}
}

func TestAssertionNamesItsClient(t *testing.T) {
	r := newRig(t)
	wrong := r.assert(t, "jwt", nil)
	wrong.Set("client_id", "old")
	_, _, err := r.try(offer{form: wrong})
	refused(t, err, oauth.InvalidClient, "iss and sub")
	for name, c := range map[string]struct{ text, cause string }{
		"no JWT":       {"abc", "cannot be read"},
		"unsecured":    {"eyJhbGciOiJub25lIn0.e30.", "cannot be read"},
		"empty claims": {"e30.e30.AA", "algorithm not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			v := form("client_assertion_type", oauth.AssertionType, "client_assertion", c.text)
			_, _, err := r.try(offer{form: v})
			refused(t, err, oauth.InvalidClient, "no client is named")
			v.Set("client_id", "jwt")
			_, _, err = r.try(offer{form: v})
			refused(t, err, oauth.InvalidClient, c.cause)
		})
	}
}

// What was used is told to the caller, who spends it with its own write.
func TestRFC7523_3_7_WorksOnce(t *testing.T) {
	r := newRig(t)
	_, first, err := r.try(offer{form: r.assert(t, "jwt", nil)})
	if err != nil {
		t.Fatal(err)
	}
	spend := func(s []store.Spend) error { return r.db.Spend(context.Background(), s...) }
	if len(first.Spends) != 1 || first.Spends[0].Kind != "assertion" || first.Spends[0].Until.Before(r.now.Add(time.Minute)) {
		t.Fatalf("spends %+v", first.Spends)
	}
	if err := spend(first.Spends); err != nil {
		t.Fatal(err)
	}
	_, again, err := r.try(offer{form: r.assert(t, "jwt", nil)})
	if err != nil {
		t.Fatal(err)
	}
	if err := spend(again.Spends); !errors.Is(err, store.ErrTaken) {
		t.Errorf("the same jti again: %v", err)
	}
	_, other, err := r.try(offer{form: r.assert(t, "old", nil)})
	if err != nil {
		t.Fatal(err)
	}
	if err := spend(other.Spends); err != nil {
		t.Errorf("the same jti of another client: %v", err)
	}
}

func TestJWKSURI(t *testing.T) {
	r := newRig(t)
	_, _, err := r.try(offer{form: r.assert(t, "remote", nil)})
	refused(t, err, oauth.InvalidClient, "the client has no keys")

	var asked []string
	fail := error(nil)
	r.KeysAt = func(_ context.Context, url, kid string) (jose.Set, error) {
		asked = append(asked, url+" "+kid)
		return jose.Set{Keys: []jose.Key{parties().es256.Key()}}, fail
	}
	if _, _, err := r.try(offer{form: r.assert(t, "remote", nil)}); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0] != "https://app.example/jwks e" {
		t.Errorf("asked %q", asked)
	}
	fail = errors.New("the network is down")
	_, _, err = r.try(offer{form: r.assert(t, "remote", nil)})
	refused(t, err, oauth.InvalidClient, "the network is down")
}

func FuzzAssertion(f *testing.F) {
	r := newRig(f)
	claims, err := json.Marshal(map[string]any{"iss": "jwt", "sub": "jwt", "aud": issuer, "jti": "1", "exp": r.now.Add(time.Minute).Unix()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(claims), "")
	f.Add(`{"iss":"old","sub":"old","aud":["https://login.example"],"jti":"\u0000","exp":1e300}`, "")
	f.Add(`{"iss":"jwt","iss":"old"}`, "a.b.c")
	f.Add(`{"aud":{"a":[[[[]]]]},"exp":null,"iat":-1}`, "eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, payload, compact string) {
		for _, id := range []string{"jwt", "old", "remote", ""} {
			v := form("client_assertion_type", oauth.AssertionType, "client_assertion", compact)
			if compact == "" {
				signed, err := parties().es256.Sign("JWT", json.RawMessage(payload))
				if err != nil {
					return
				}
				v.Set("client_assertion", signed)
			}
			if id != "" {
				v.Set("client_id", id)
			}
			client, authn, err := r.try(offer{form: v})
			if err != nil {
				if _, visible := errors.AsType[*oauth.Error](err); !visible {
					t.Fatalf("an internal error from outside bytes: %v", err)
				}
				continue
			}
			if len(authn.Spends) != 1 || id != "" && client.ID != id {
				t.Fatalf("%s by %+v", client.ID, authn)
			}
		}
	})
}
