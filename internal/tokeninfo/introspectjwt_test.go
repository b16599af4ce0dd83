package tokeninfo_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const introspectionJWT = "application/token-introspection+jwt"

var (
	asJWT     = header("Accept", introspectionJWT)
	asPhantom = header("Accept", "application/jwt")
)

// verify opens a JWT of the issuer.
func (i *issuer) verify(t testing.TB, compact, typ string, alg jose.Alg) map[string]any {
	t.Helper()
	token, err := jose.Verify(compact, []jose.Alg{alg}, i.minter.Signing.PublicKeys()...)
	if err != nil {
		t.Fatalf("%q: %v", compact, err)
	}
	if token.Type != typ {
		t.Errorf("typ %s", token.Type)
	}
	var claims map[string]any
	if err := json.Unmarshal(token.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestRFC9701_5_SignedAnswer(t *testing.T) {
	r := newRig(t)
	for _, i := range r.issuers {
		for _, format := range []string{"jwt", "opaque"} {
			for caller, alg := range map[string]jose.Alg{"shop": jose.ES256, "orders-api": jose.ES256, "eddsa-api": jose.EdDSA} {
				access, _ := i.issue(t, format, "openid read", oauth.Confirmation{JKT: "thumb"})
				plain := i.introspect(t, access, basic(caller))
				i.pass(time.Second)
				a := i.introspect(t, access, basic(caller), asJWT)
				if a.status != 200 || a.header.Get("Content-Type") != introspectionJWT {
					t.Fatalf("%s by %s: %d %s", format, caller, a.status, a.header.Get("Content-Type"))
				}
				want := map[string]any{"iss": i.url, "aud": caller, "iat": float64(i.now().Unix()), "token_introspection": plain.body}
				if d := cmp.Diff(want, i.verify(t, a.text, "token-introspection+jwt", alg)); d != "" || plain.body["active"] != true {
					t.Errorf("%s by %s: %s", format, caller, d)
				}
			}
		}
	}
}

func TestRFC9701_5_InactiveAnswer(t *testing.T) {
	r := newRig(t)
	i := r.issuers["acme"]
	foreign, _ := r.issuers["beta"].issue(t, "jwt", "openid read", oauth.Confirmation{})
	access, refresh := i.issue(t, "opaque", "openid read", oauth.Confirmation{})
	check := func(name, token, caller string) {
		t.Helper()
		a := i.introspect(t, token, basic(caller), asJWT)
		want := map[string]any{"iss": i.url, "aud": caller, "iat": float64(i.now().Unix()), "token_introspection": map[string]any{"active": false}}
		if d := cmp.Diff(want, i.verify(t, a.text, "token-introspection+jwt", jose.ES256)); a.status != 200 || d != "" {
			t.Errorf("%s: %d\n%s", name, a.status, d)
		}
	}
	check("nonsense", "abc", "shop")
	check("another issuer's", foreign, "orders-api")
	check("meant for another API", access, "stranger")
	check("a refresh token of another", refresh, "orders-api")
	i.pass(time.Hour)
	check("expired", access, "orders-api")
}

func TestRFC9701_5_EncryptedAnswer(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "opaque", "openid read", oauth.Confirmation{})
	by := jose.Decrypter{Algs: []jose.KeyAlg{jose.ECDHES}, Contents: []jose.ContentAlg{jose.A256GCM}, Keys: []jose.EncryptionKey{sealedAPI()}}
	for token, active := range map[string]bool{access: true, "abc": false} {
		a := i.introspect(t, token, basic("sealed-api"), asJWT)
		nested, err := by.Unnest(a.text)
		if err != nil || a.header.Get("Content-Type") != introspectionJWT {
			t.Fatalf("%s: %v", a.header.Get("Content-Type"), err)
		}
		about, _ := i.verify(t, nested.JWS, "token-introspection+jwt", jose.ES256)["token_introspection"].(map[string]any)
		if about["active"] != active {
			t.Errorf("about %v", about)
		}
	}
	// What cannot be encrypted does not go out otherwise.
	if a := i.introspect(t, access, basic("lost-api"), asJWT); a.status != 400 || a.body["error"] != "invalid_request" {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// An answer is no access token, wherever it is shown.
func TestRFC9701_8_1_AnswerIsNoAccessToken(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "jwt", "openid read", oauth.Confirmation{})
	answer := i.introspect(t, access, basic("shop"), asJWT).text
	if a := i.introspect(t, answer, basic("shop")); a.body["active"] != false {
		t.Errorf("introspection: %s", a.text)
	}
	if a := i.do(t, "GET", "/userinfo", nil, header("Authorization", "Bearer "+answer)); a.status != 401 || a.body["error"] != "invalid_token" {
		t.Errorf("userinfo: %d %s", a.status, a.text)
	}
}

func TestRFC9701_4_Accept(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "opaque", "openid read", oauth.Confirmation{})
	const plain, signed, phantom = "application/json", introspectionJWT, "application/jwt"
	for accept, want := range map[string]string{
		"": plain, "*/*": plain, "application/*": plain, "text/html": plain, "nonsense;;": plain, plain: plain,
		signed: signed, "Application/Token-Introspection+JWT": signed, phantom: phantom,
		signed + ", " + plain:                   signed,
		plain + ", " + signed:                   plain,
		plain + ";q=0.5, " + signed:             signed,
		signed + ";q=0.2, " + plain:             plain,
		signed + ", */*;q=0.8":                  signed,
		signed + ";q=0":                         plain,
		signed + ";q=x":                         plain,
		phantom + ";q=0.9, " + signed:           signed,
		"text/html, " + signed + ";q=0.1":       signed,
		phantom + ";q=0.4, " + plain + ";q=0.3": phantom,
	} {
		a := i.introspect(t, access, basic("orders-api"), header("Accept", accept))
		if got := a.header.Get("Content-Type"); a.status != 200 || got != want {
			t.Errorf("%q: %d %s, want %s", accept, a.status, got, want)
		}
	}
	if a := i.introspect(t, access, basic("orders-api"), header("Accept", plain+";q=0.5"), header("Accept", signed)); a.header.Get("Content-Type") != signed {
		t.Errorf("two fields: %s", a.header.Get("Content-Type"))
	}
}

func TestRFC9701_4_RefusalsAreJSON(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "opaque", "openid read", oauth.Confirmation{})
	for _, accept := range []option{asJWT, asPhantom} {
		for name, form := range map[string]url.Values{"nobody": {"token": {access}}, "a public client": {"token": {access}, "client_id": {"app"}}} {
			if a := i.do(t, "POST", "/introspect", form, accept); a.status != 401 || a.body["error"] != "invalid_client" {
				t.Errorf("%s: %d %s", name, a.status, a.text)
			}
		}
	}
}

// A gateway goes on with the JWT behind an opaque token: the same token, for the API that has asked.
func TestPhantomToken(t *testing.T) {
	i := newRig(t).issuers["acme"]
	for _, bound := range []oauth.Confirmation{{}, {JKT: "thumb"}, {X5T: "print"}} {
		access, _ := i.issue(t, "opaque", "openid read", bound)
		a := i.introspect(t, access, basic("orders-api"), asPhantom)
		if a.status != 200 || a.header.Get("Content-Type") != "application/jwt" {
			t.Fatalf("%d %s %s", a.status, a.header.Get("Content-Type"), a.text)
		}
		var got, want tokens.Claims
		token, err := jose.Verify(a.text, []jose.Alg{jose.ES256}, i.minter.Signing.PublicKeys()...)
		if err != nil || token.Type != "at+jwt" {
			t.Fatalf("%+v, %v", token, err)
		}
		if err := token.Claims(&got); err != nil {
			t.Fatal(err)
		}
		want = *must(i.minter.Inspect(t.Context(), access))
		want.Audience = jose.Audience{orders} // not the issuer
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

func TestPhantomTokenEndsWithItsToken(t *testing.T) {
	i := newRig(t).issuers["acme"]
	pair := func() (opaque, jwt string) {
		t.Helper()
		opaque, _ = i.issue(t, "opaque", "openid read", oauth.Confirmation{})
		return opaque, i.introspect(t, opaque, basic("orders-api"), asPhantom).text
	}
	active := func(token string) bool {
		t.Helper()
		return i.introspect(t, token, basic("shop")).body["active"] == true
	}
	for name, revokes := range map[string]func(opaque, jwt string) string{
		"the opaque token": func(opaque, _ string) string { return opaque },
		"the JWT":          func(_, jwt string) string { return jwt },
	} {
		opaque, jwt := pair()
		if !active(opaque) || !active(jwt) {
			t.Errorf("%s: not active before", name)
		}
		if a := i.revoke(t, revokes(opaque, jwt), basic("shop")); a.status != 200 {
			t.Fatalf("%s: %d %s", name, a.status, a.text)
		}
		if active(opaque) || active(jwt) {
			t.Errorf("%s was revoked, and the other lives on", name)
		}
	}
	opaque, jwt := pair()
	i.pass(5 * time.Minute)
	if active(opaque) || active(jwt) {
		t.Error("one has not expired")
	}
}

func TestNoPhantomToken(t *testing.T) {
	r := newRig(t)
	i := r.issuers["acme"]
	foreign, _ := r.issuers["beta"].issue(t, "opaque", "openid read", oauth.Confirmation{})
	access, refresh := i.issue(t, "opaque", "openid read", oauth.Confirmation{})
	nothing := func(name, token, caller string) {
		t.Helper()
		if a := i.introspect(t, token, basic(caller), asPhantom); a.status != 204 || a.text != "" {
			t.Errorf("%s: %d %q", name, a.status, a.text)
		}
	}
	nothing("nonsense", "abc", "orders-api")
	nothing("another issuer's", foreign, "orders-api")
	nothing("for another API", access, "stranger")
	nothing("for the client itself, which is no API", access, "shop")
	nothing("a refresh token", refresh, "shop")
	i.write(t, func(tx *store.Tx) error { return i.minter.Revoke(tx, must(i.minter.Recognise(t.Context(), access))) })
	nothing("revoked", access, "orders-api")
}
