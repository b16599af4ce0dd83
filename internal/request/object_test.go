package request_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

const jarType = "oauth-authz-req+jwt"

type m = map[string]any

// pairs are keys that take time to make.
type pairs struct {
	es256, ps256, rs256, eddsa, stranger *jose.Signer
	open                                 jose.EncryptionKey // of the issuer
}

var keyring = sync.OnceValue(func() pairs {
	made := func(a jose.Alg) *jose.Signer { return must(jose.NewSigner(must(jose.GenerateKey(a)))) }
	return pairs{made(jose.ES256), made(jose.PS256), made(jose.RS256), made(jose.EdDSA), made(jose.ES256), must(jose.GenerateEncryptionKey(jose.ECDHES))}
})

// checker reads the request objects of a client that has all keys but the one of a stranger, and makes its answers.
func checker(t testing.TB) *request.Checker {
	k := keyring()
	return &request.Checker{
		Issuer: issuer, Registry: registry(t), Now: func() time.Time { return now },
		Verify: func(_ context.Context, _ *objects.Client, compact, _ string, algs []jose.Alg) (*jose.Token, error) {
			return jose.Verify(compact, algs, k.es256.Key(), k.ps256.Key(), k.rs256.Key(), k.eddsa.Key())
		},
		Decrypter: func() *jose.Decrypter {
			return &jose.Decrypter{Algs: []jose.KeyAlg{jose.ECDHES}, Contents: []jose.ContentAlg{jose.A256GCM}, Keys: []jose.EncryptionKey{k.open}}
		},
		Signer: func(a jose.Alg) (*jose.Signer, error) {
			if s, ok := map[jose.Alg]*jose.Signer{jose.ES256: k.es256, jose.RS256: k.rs256, jose.PS256: k.ps256}[a]; ok {
				return s, nil
			}
			return nil, jose.ErrNoKey
		},
		Encrypter: func(_ context.Context, _ *objects.Client, alg, enc string) (*jose.Encrypter, error) {
			return jose.NewEncrypter(k.open.Public(), jose.KeyAlg(alg), jose.ContentAlg(enc))
		},
	}
}

// claims are those of a request object that is right everywhere; changes replace some, and nil removes.
func claims(changes ...m) m {
	c := m{
		"iss": "app", "aud": issuer, "client_id": "app", "nbf": now.Unix(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": "1",
		"redirect_uri": callback, "response_type": "code", "scope": "openid read", "state": "inner", "code_challenge": challenge,
		"code_challenge_method": "S256",
	}
	for _, more := range changes {
		maps.Copy(c, more)
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// wrapped is a request with an object; its parameters outside lead to the same client, with another state.
func wrapped(object string) url.Values {
	return url.Values{"client_id": {"app"}, "request": {object}, "redirect_uri": {callback}, "state": {"outer"}}
}

func signed(typ string, c m) url.Values { return wrapped(must(keyring().es256.Sign(typ, c))) }

func fapi(c *objects.Client) { c.Profile = objects.ProfileFAPI2 }
func oidc(c *objects.Client) { c.Profile = objects.ProfileOIDC }

// refusal requires an error for the client, and says by its state which parameters named the place. "" is a page.
func refusal(t *testing.T, target *request.Target, err error, code oauth.Code, detail, state string) {
	t.Helper()
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Error(), detail) {
		t.Fatalf("got %v, want %s with %q", err, code, detail)
	}
	if target == nil || state == "" {
		if target != nil || state != "" {
			t.Fatalf("target %v, want state %q", target, state)
		}
		return
	}
	q := must(url.Parse(address(t, must(target.Error(t.Context(), e))))).Query()
	if q.Get("state") != state || q.Get("error") != string(code) || q.Get("iss") != issuer {
		t.Errorf("answer %v, want state %q", q, state)
	}
}

func TestRFC9101_6_3_OnlyWhatIsInside(t *testing.T) {
	object := claims(m{
		"max_age": 60, "resource": []string{orders, stock}, "nonce": "n", "prompt": "login", "dpop_jkt": challenge, "login_hint": "alice",
		"claims": m{"userinfo": m{"email": nil}}, "unknown": m{"a": 1}, "empty": "", "ui_locales": "de",
	})
	outer := signed(jarType, object)
	for name, value := range map[string]string{
		"redirect_uri": "https://evil.example/", "scope": "profile", "nonce": "other", "response_type": "token", "max_age": "1",
		"acr_values": "phr", "code_challenge_method": "plain", "response_mode": "form_post", "resource": "https://payroll.example",
	} {
		outer.Set(name, value)
	}
	a, target, err := checker(t).Check(t.Context(), client(nil), outer)
	if err != nil {
		t.Fatal(err)
	}
	age := int64(60)
	want := &request.Authorization{
		ClientID: "app", RedirectURI: callback, Scope: []string{"openid", "read"}, Resources: []string{orders, stock}, State: "inner", Nonce: "n",
		CodeChallenge: challenge, Prompt: []string{"login"}, MaxAge: &age, LoginHint: "alice", DPoPJKT: challenge, ResponseMode: "query",
		UILocales: []string{"de"}, Claims: a.Claims,
	}
	if d := cmp.Diff(want, a); d != "" || !strings.Contains(string(a.Claims), "email") {
		t.Errorf("%s: %s", a.Claims, d)
	}
	if to := address(t, must(target.Code(t.Context(), "c"))); !strings.HasPrefix(to, callback+"&") || !strings.Contains(to, "state=inner") {
		t.Errorf("leads to %s", to)
	}
	// What is only outside does not count.
	a, _, err = checker(t).Check(t.Context(), client(nil), signed(jarType, claims(m{"state": nil})))
	if err != nil || a.State != "" {
		t.Errorf("state %q, %v", a.State, err)
	}
	_, target, err = checker(t).Check(t.Context(), client(nil), signed(jarType, claims(m{"redirect_uri": nil})))
	refusal(t, target, err, oauth.InvalidRequest, "redirect_uri is missing", "")
	outer = signed(jarType, claims(m{"scope": nil, "response_type": nil}))
	outer.Set("response_type", "code")
	_, target, err = checker(t).Check(t.Context(), client(nil), outer)
	refusal(t, target, err, oauth.InvalidRequest, "response_type is missing", "inner")
}

// OpenID Connect has response_type and scope outside in any case, so clients leave them out inside.
func TestOIDCCore_6_1_OutsideToo(t *testing.T) {
	outer := signed("JWT", claims(m{"scope": nil, "response_type": nil}))
	outer.Set("response_type", "code")
	outer.Set("scope", "profile")
	a, _, err := checker(t).Check(t.Context(), client(oidc), outer)
	if err != nil || !cmp.Equal(a.Scope, []string{"profile"}) {
		t.Fatalf("%+v, %v", a, err)
	}
	outer = signed("JWT", claims())
	outer.Set("response_type", "token")
	_, target, err := checker(t).Check(t.Context(), client(oidc), outer)
	refusal(t, target, err, oauth.InvalidRequestObject, "response_type is another one", "inner")
}

func TestRFC9101_6_2_Signature(t *testing.T) {
	k, right := keyring(), claims()
	by := func(s *jose.Signer, typ string) string { return must(s.Sign(typ, right)) }
	good := by(k.es256, jarType)
	parts := strings.Split(good, ".")
	impostor := must(jose.NewSigner(must(jose.GenerateKey(jose.ES256)).WithID(k.es256.Key().ID())))
	for _, c := range []struct {
		name   string
		edit   func(*objects.Client)
		object string
		code   oauth.Code // "": taken
		detail string
	}{
		{"ES256", nil, good, "", ""},
		{"PS256", nil, by(k.ps256, jarType), "", ""},
		{"RS256", nil, by(k.rs256, ""), "", ""},
		{"§10.8, another typ that is common", nil, by(k.es256, "JWT"), "", ""},
		{"§10.8, with the whole media type", nil, by(k.es256, "application/oauth-authz-req+jwt"), "", ""},
		{"§10.8, an access token", nil, by(k.es256, "at+jwt"), oauth.InvalidRequestObject, "type of the token"},
		{"§10.8, a client assertion", nil, by(k.es256, "client-authentication+jwt"), oauth.InvalidRequestObject, "type of the token"},
		{"the registered algorithm", func(c *objects.Client) { c.RequestObjectAlg = "PS256" }, by(k.ps256, jarType), "", ""},
		{"another than the registered algorithm", func(c *objects.Client) { c.RequestObjectAlg = "PS256" }, good, oauth.InvalidRequestObject, "algorithm not allowed"},
		{"FAPI 2.0 §5.4.1, RS256", fapi, by(k.rs256, jarType), oauth.InvalidRequestObject, "algorithm not allowed"},
		{"a key of somebody else", nil, by(k.stranger, jarType), oauth.InvalidRequestObject, "no key"},
		{"a key of somebody else under this kid", nil, by(impostor, jarType), oauth.InvalidRequestObject, "does not verify"},
		{"another signature", nil, parts[0] + "." + parts[1] + "." + strings.Split(by(k.es256, "JWT"), ".")[2], oauth.InvalidRequestObject, "does not verify"},
		{"other claims", nil, parts[0] + ".eyJpc3MiOiJhcHAifQ." + parts[2], oauth.InvalidRequestObject, "does not verify"},
		{"no signature", nil, parts[0] + "." + parts[1] + ".", oauth.RequestNotSupported, "not signed"},
		{"alg none", nil, "eyJhbGciOiJub25lIn0." + parts[1] + ".", oauth.RequestNotSupported, "not signed"},
		{"alg none with a signature", nil, "eyJhbGciOiJub25lIn0." + parts[1] + "." + parts[2], oauth.RequestNotSupported, "not signed"},
		{"FAPI, alg none", fapi, "eyJhbGciOiJub25lIn0." + parts[1] + ".", oauth.InvalidRequestObject, "not signed"},
		{"§10.5, alg none", func(c *objects.Client) { c.RequireSignedRequest = true }, "eyJhbGciOiJub25lIn0." + parts[1] + ".", oauth.InvalidRequestObject, "not signed"},
		{"alg NONE", nil, "eyJhbGciOiJOT05FIn0." + parts[1] + "." + parts[2], oauth.InvalidRequestObject, "algorithm not allowed"},
		{"alg HS256", nil, "eyJhbGciOiJIUzI1NiJ9." + parts[1] + "." + parts[2], oauth.InvalidRequestObject, "algorithm not allowed"},
		{"a header jku", nil, "eyJhbGciOiJFUzI1NiIsImprdSI6Imh0dHBzOi8veCJ9." + parts[1] + "." + parts[2], oauth.InvalidRequestObject, "jku"},
		{"a key that comes along", nil, must(must(k.stranger.WithEmbeddedKey()).Sign(jarType, right)), oauth.InvalidRequestObject, "jwk"},
		{"JSON and no token", nil, `{"iss":"app"}`, oauth.InvalidRequestObject, "not a compact JWS"},
		{"two parts", nil, parts[0] + "." + parts[1], oauth.InvalidRequestObject, "not a compact JWS"},
		{"claims that are a list", nil, must(k.es256.Sign(jarType, []string{"iss"})), oauth.InvalidRequestObject, "claims of the request object"},
		{"claims of another type", nil, must(k.es256.Sign(jarType, claims(m{"exp": "soon"}))), oauth.InvalidRequestObject, "claims of the request object"},
		{"a claim twice", nil, must(k.es256.Sign(jarType, json.RawMessage(`{"iss":"app","iss":"other"}`))), oauth.InvalidRequestObject, "claims of the request object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, target, err := checker(t).Check(t.Context(), client(c.edit), wrapped(c.object))
			if c.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			refusal(t, target, err, c.code, c.detail, "outer")
		})
	}
}
