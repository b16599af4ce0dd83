package request_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// outcome is what a check comes to.
type outcome struct {
	Auth  *request.Authorization
	Code  oauth.Code
	There string
}

func outcomeOf(t interface{ Fatalf(string, ...any) }, a *request.Authorization, target *request.Target, err error) outcome {
	o := outcome{Auth: a}
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		o.Code = e.Code
	} else if err != nil {
		t.Fatalf("internal: %v", err)
	}
	if target != nil {
		answer, err := target.Code(context.Background(), "c")
		if err != nil {
			t.Fatalf("answer: %v", err)
		}
		o.There = answer.URL + " " + answer.Form.Encode()
	}
	return o
}

// What is signed means what it would mean in an address.
func TestObjectsMeanWhatAddressesMean(t *testing.T) {
	c, cl := checker(t), client(func(c *objects.Client) { c.AuthorizationDetails = []string{"order"} })
	names := slices.Collect(maps.Keys(right()))
	names = append(names, "nonce", "prompt", "login_hint", "dpop_jkt", "acr_values", "display", "ui_locales", "response_mode", "unknown")
	values := []string{
		"", "none", "login consent", "openid", "openid write", "a b  a", "S256", "plain", "code", "token", challenge, callback, "https://evil.example/",
		"fragment", "form_post", "jwt", "form_post.jwt", "phr 1", "de en-GB", "page", "ä\u2028\"\\<", strings.Repeat("x", 600), strings.Repeat("y", 2100),
	}
	rapid.Check(t, func(rt *rapid.T) {
		plain := right()
		for name, value := range rapid.MapOfN(rapid.SampledFrom(names), rapid.SampledFrom(values), 0, 4).Draw(rt, "changes") {
			if plain.Set(name, value); value == "" {
				plain.Del(name)
			}
		}
		object := m{"iss": "app", "aud": issuer}
		for name := range plain {
			object[name] = plain.Get(name)
		}
		plain.Set("client_id", "app")
		object["client_id"] = "app"
		if age := rapid.Int64Range(-1, 9).Draw(rt, "max_age"); age > 0 {
			plain.Set("max_age", string(must(json.Marshal(age))))
			object["max_age"] = age
		}
		if list := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{orders, stock, "https://payroll.example"}), 0, 2, rapid.ID).Draw(rt, "resource"); len(list) > 0 {
			plain["resource"], object["resource"] = list, list
		}
		if details := rapid.SampledFrom([]string{"", `[{"type":"order","actions":["read"]}]`, `[{"type":"x"}]`, `[]`}).Draw(rt, "details"); details != "" {
			plain.Set("authorization_details", details)
			object["authorization_details"] = json.RawMessage(details)
		}
		a, target, err := c.Check(t.Context(), cl, plain)
		want := outcomeOf(rt, a, target, err)
		a, target, err = c.Check(t.Context(), cl, url.Values{"client_id": {"app"}, "request": {must(keyring().es256.Sign(jarType, object))}})
		got := outcomeOf(rt, a, target, err)
		if want.There != "" && strings.Contains(want.There, "response=") { // ES256 never signs the same way twice
			want.There, got.There = cut(want.There), cut(got.There)
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("%v: %s", plain, d)
		}
	})
}

func cut(answer string) string { return answer[:strings.Index(answer, "response=")] }

// Whatever a client signs: either it is a request of that client, to one of its addresses, or it is refused.
func FuzzObject(f *testing.F) {
	for _, c := range []m{nil, {"max_age": 1}, {"claims": m{}}, {"resource": []string{"a"}}, {"request": "x"}, {"exp": 1e99}, {"aud": []any{nil}}, {"nonce": nil}} {
		f.Add(must(json.Marshal(claims(c))), false)
	}
	f.Add([]byte(`{"iss":"app","client_id":"app"}`), true)
	f.Add([]byte(" {\"iss\" : \"app\" , \"max_age\" :\t-0, \"claims\":{\"\\u0000\":{}} } "), true)
	f.Add([]byte(`{}`), true)
	f.Add([]byte(`[]`), false)
	f.Add([]byte(`{"redirect_uri":"https://evil.example/"}`), true)
	c := checker(f)
	f.Fuzz(func(t *testing.T, payload []byte, dated bool) {
		if !json.Valid(payload) {
			return
		}
		object, err := keyring().eddsa.Sign(jarType, json.RawMessage(payload)) // the same for the same payload
		if err != nil || len(object) > jose.MaxToken {
			return
		}
		cl := client(func(c *objects.Client) {
			if dated {
				c.Profile = objects.ProfileFAPI2
			}
		})
		outer := wrapped(object)
		outer.Set("code_challenge", challenge)
		a, target, err := c.Check(t.Context(), cl, outer)
		if (err == nil) != (a != nil) || a != nil && (target == nil || a.ClientID != "app") {
			t.Fatalf("%v %v %v", a, target, err)
		}
		o := outcomeOf(t, a, target, err)
		if target != nil && !strings.HasPrefix(o.There, "https://app.example/") {
			t.Fatalf("leads to %s", o.There)
		}
		if a == nil {
			return
		}
		var said struct {
			State     string `json:"state"`
			Challenge string `json:"code_challenge"`
			Redirect  string `json:"redirect_uri"`
		}
		if err := json.Unmarshal(payload, &said); err != nil || a.State != said.State || a.CodeChallenge != said.Challenge || a.RedirectURI != said.Redirect {
			t.Fatalf("taken from elsewhere: %+v, %s", a, payload)
		}
	})
}

// Whatever arrives as a request object, a signature or an envelope, is refused or verified, and never crashes.
func FuzzCompactObject(f *testing.F) {
	k := keyring()
	good := must(k.es256.Sign(jarType, claims()))
	f.Add(good)
	f.Add(must(must(jose.NewEncrypter(k.open.Public(), jose.ECDHES, jose.A256GCM)).Nest(k.es256, jarType, claims())))
	f.Add("e30.e30.")
	f.Add("....")
	f.Add(good[:len(good)-1])
	c := checker(f)
	f.Fuzz(func(t *testing.T, object string) {
		if object == "" {
			return
		}
		a, target, err := c.Check(t.Context(), client(nil), wrapped(object))
		o := outcomeOf(t, a, target, err)
		if err != nil && o.Code != oauth.InvalidRequestObject && o.Code != oauth.RequestNotSupported {
			t.Fatalf("%s: %v", object, err)
		}
	})
}
