package request_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// at is a time from now on.
func at(d time.Duration) int64 { return now.Add(d).Unix() }

type mutation struct {
	name   string
	change m
	detail string // of invalid_request_object; "": taken
}

// mutate sends each changed object; errors of what is signed go where it says.
func mutate(t *testing.T, edit func(*objects.Client), list []mutation) {
	t.Helper()
	c := checker(t)
	for _, test := range list {
		t.Run(test.name, func(t *testing.T) {
			_, target, err := c.Check(t.Context(), client(edit), signed(jarType, claims(test.change)))
			if test.detail != "" {
				refusal(t, target, err, oauth.InvalidRequestObject, test.detail, "inner")
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRFC9101_4_Claims(t *testing.T) {
	mutate(t, nil, []mutation{
		{"OIDC Core §6.1, neither iss nor aud", m{"iss": nil, "aud": nil}, ""},
		{"no times", m{"exp": nil, "nbf": nil, "iat": nil, "jti": nil}, ""},
		{"old, and for a day", m{"nbf": at(-2 * time.Hour), "exp": at(24 * time.Hour)}, ""},
		{"no client_id", m{"client_id": nil}, ""},
		{"aud among others", m{"aud": []string{"https://other.example", issuer}}, ""},
		{"another iss", m{"iss": "other"}, "iss is not the client_id"},
		{"an empty iss", m{"iss": ""}, "iss is not the client_id"},
		{"another aud", m{"aud": "https://other.example"}, "aud is not the issuer"},
		{"an aud that begins alike", m{"aud": issuer + "/"}, "aud is not the issuer"},
		{"no aud among them", m{"aud": []string{}}, "aud is not the issuer"},
		{"§6.3, another client_id", m{"client_id": "other"}, "client_id is another one"},
		{"§6.3, an empty client_id", m{"client_id": ""}, "client_id is another one"},
		{"§6.3, a client_id of another type", m{"client_id": []string{"app"}}, "JSON type"},
		{"§10.8, a sub that makes a client assertion of it", m{"sub": "app"}, "sub is the client_id"},
		{"a sub of somebody", m{"sub": "alice"}, ""},
		{"exp just past", m{"exp": at(0)}, "exp is past"},
		{"exp 0", m{"exp": 0}, "exp is past"},
		{"exp in a second", m{"exp": at(time.Second)}, ""},
		{"nbf 10 s ahead", m{"nbf": at(10 * time.Second)}, ""},
		{"nbf 60 s ahead", m{"nbf": at(60 * time.Second)}, "nbf is in the future"},
		{"iat 10 s ahead", m{"iat": at(10 * time.Second)}, ""},
		{"iat 60 s ahead", m{"iat": at(60 * time.Second)}, "iat is in the future"},
		{"a request inside", m{"request": "e30.e30.e30"}, "request or request_uri"},
		{"a request_uri inside", m{"request_uri": "https://app.example/r"}, "request or request_uri"},
		{"a registration inside", m{"registration": m{}}, "registration"},
		{"jti without end", m{"jti": strings.Repeat("j", 257)}, "jti is too long"},
	})
}

func TestFAPI2MessageSigning_5_3_1_Dates(t *testing.T) {
	mutate(t, fapi, []mutation{
		{"everything there", nil, ""},
		{"aud among others", m{"aud": []string{issuer, "https://other.example"}}, ""},
		{"neither iat nor jti", m{"iat": nil, "jti": nil}, ""},
		{"no iss", m{"iss": nil}, "iss is not the client_id"},
		{"no aud", m{"aud": nil}, "aud is not the issuer"},
		{"no exp", m{"exp": nil}, "nbf or exp is missing"},
		{"no nbf", m{"nbf": nil}, "nbf or exp is missing"},
		{"exp past", m{"exp": at(-time.Second)}, "exp is past"},
		{"nbf 8 s ahead", m{"nbf": at(8 * time.Second)}, ""},
		{"nbf a minute ahead", m{"nbf": at(time.Minute)}, "nbf is in the future"},
		{"nbf just within 60 minutes", m{"nbf": at(-59 * time.Minute), "exp": at(time.Minute)}, ""},
		{"nbf more than 60 minutes past", m{"nbf": at(-time.Hour - time.Second), "exp": at(time.Minute)}, "nbf is more than 60 minutes past"},
		{"60 minutes from nbf to exp", m{"nbf": at(0), "exp": at(time.Hour)}, ""},
		{"more than 60 minutes from nbf to exp", m{"nbf": at(0), "exp": at(time.Hour + time.Second)}, "exp is more than 60 minutes after nbf"},
	})
}

// RFC 9101 §4: each parameter has its JSON type, and no other.
func TestRFC9101_4_JSONTypes(t *testing.T) {
	wrong := func(name string, value any) mutation {
		return mutation{name, m{name: value}, "JSON type"}
	}
	list := []mutation{
		{"resource as a string", m{"resource": orders}, ""},
		{"what nobody knows, of any type", m{"a": 1, "b": nil, "c": []int{1}, "d": m{}, "e": true, "f": "x"}, ""},
		wrong("max_age", "60"), wrong("max_age", true), wrong("claims", "{}"), wrong("claims", []string{}), wrong("resource", m{}),
		wrong("resource", []int{1}), wrong("resource", "a\x00"), wrong("authorization_details", "[]"), wrong("authorization_details", m{}),
		wrong("nonce", "a\x00b"),
	}
	for _, name := range []string{
		"response_type", "response_mode", "scope", "nonce", "code_challenge", "code_challenge_method", "dpop_jkt", "prompt", "display",
		"ui_locales", "claims_locales", "acr_values", "login_hint", "id_token_hint",
	} {
		list = append(list, wrong(name, []string{"x"}), wrong(name, 1))
	}
	mutate(t, nil, list)
	c := checker(t)
	for _, change := range []m{{"max_age": -1}, {"max_age": 1.5}} {
		_, target, err := c.Check(t.Context(), client(nil), signed(jarType, claims(change)))
		refusal(t, target, err, oauth.InvalidRequest, "max_age", "inner")
	}
	_, target, err := c.Check(t.Context(), client(nil), signed(jarType, claims(m{"redirect_uri": []string{callback}})))
	refusal(t, target, err, oauth.InvalidRequestObject, "JSON type", "")
	// A null is a value of the wrong type too, where it is not a parameter that is left out.
	_, target, err = c.Check(t.Context(), client(nil), wrapped(must(keyring().es256.Sign(jarType, claims(m{"nonce": (*string)(nil)})))))
	refusal(t, target, err, oauth.InvalidRequestObject, "JSON type", "inner")
}

func TestRFC9101_6_1_Encrypted(t *testing.T) {
	k := keyring()
	to := func(key jose.EncryptionKey, enc jose.ContentAlg) *jose.Encrypter {
		return must(jose.NewEncrypter(key.Public(), jose.ECDHES, enc))
	}
	right := to(k.open, jose.A256GCM)
	other := must(jose.GenerateEncryptionKey(jose.ECDHES))
	nested := must(right.Nest(k.es256, jarType, claims()))
	for _, c := range []struct {
		name, object, detail string
		code                 oauth.Code
	}{
		{"nested", nested, "", ""},
		{"to another key", must(to(other, jose.A256GCM).Nest(k.es256, jarType, claims())), "does not verify", oauth.InvalidRequestObject},
		{"by an algorithm that is off", must(to(k.open, jose.A128GCM).Nest(k.es256, jarType, claims())), "does not verify", oauth.InvalidRequestObject},
		{"not signed inside", must(right.Encrypt(jarType, []byte(`{"iss":"app"}`))), "cty is not JWT", oauth.InvalidRequestObject},
		{"signed by somebody else", must(right.Nest(k.stranger, jarType, claims())), "no key", oauth.InvalidRequestObject},
		{"another claim", must(right.Nest(k.es256, jarType, claims(m{"aud": "x"}))), "aud is not", oauth.InvalidRequestObject},
		{"cut", nested[:len(nested)-4], "does not verify", oauth.InvalidRequestObject},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, target, err := checker(t).Check(t.Context(), client(nil), wrapped(c.object))
			state := "outer"
			if c.name == "another claim" {
				state = "inner"
			}
			if c.code != "" {
				refusal(t, target, err, c.code, c.detail, state)
			} else if err != nil || a.State != "inner" {
				t.Fatal(a, err)
			}
		})
	}
	without := checker(t)
	without.Decrypter = nil
	_, target, err := without.Check(t.Context(), client(nil), wrapped(nested))
	refusal(t, target, err, oauth.InvalidRequestObject, "encrypted request objects are not supported", "outer")
}

func TestOIDCCore_6_2_RequestURI(t *testing.T) {
	const registered, hashed = "https://app.example/r?a=b", "https://app.example/h#PyX4"
	there := map[string]string{registered: must(keyring().es256.Sign(jarType, claims())), hashed: must(keyring().es256.Sign(jarType, claims(m{"state": "hashed"})))}
	asked := 0
	c := checker(t)
	c.ObjectAt = func(_ context.Context, uri string) (string, error) {
		asked++
		if object, ok := there[uri]; ok {
			return object, nil
		}
		return "", errors.New("status 404")
	}
	edit := func(c *objects.Client) {
		c.RequestURIs = []string{registered, hashed, "https://app.example/gone", "https://app.example/empty"}
	}
	there["https://app.example/empty"] = ""
	check := func(uri string) (*request.Authorization, *request.Target, error) {
		outer := wrapped("")
		outer.Set("request_uri", uri)
		return c.Check(t.Context(), client(edit), outer)
	}
	for uri, state := range map[string]string{registered: "inner", hashed: "hashed"} {
		if a, _, err := check(uri); err != nil || a.State != state {
			t.Errorf("%s: %+v, %v", uri, a, err)
		}
	}
	for _, gone := range []string{"https://app.example/gone", "https://app.example/empty"} {
		_, target, err := check(gone)
		refusal(t, target, err, oauth.InvalidRequestURI, "no request object", "outer")
	}
	asked = 0
	for _, other := range []string{"https://app.example/h", "https://app.example/h#other", registered + "&c=d", "https://app.example/other", "http://169.254.169.254/", "urn:x"} {
		_, target, err := check(other)
		refusal(t, target, err, oauth.RequestURINotSupported, "not registered", "outer")
	}
	both := wrapped(there[registered])
	both.Set("request_uri", registered)
	_, target, err := c.Check(t.Context(), client(edit), both)
	refusal(t, target, err, oauth.InvalidRequest, "cannot be combined", "outer")
	if asked != 0 {
		t.Errorf("asked %d times for what is not registered", asked)
	}
	there[registered] = must(keyring().stranger.Sign(jarType, claims()))
	_, target, err = check(registered)
	refusal(t, target, err, oauth.InvalidRequestObject, "no key", "outer")
	c.ObjectAt = nil
	_, target, err = check(registered)
	refusal(t, target, err, oauth.RequestURINotSupported, "", "outer")
}

func TestRFC9101_10_5_RequiredSignature(t *testing.T) {
	must := func(c *objects.Client) { c.RequireSignedRequest = true }
	_, target, err := checker(t).Check(t.Context(), client(must), right())
	refusal(t, target, err, oauth.InvalidRequest, "must sign", "s t/&=")
	if _, _, err = checker(t).Check(t.Context(), client(must), signed(jarType, claims())); err != nil {
		t.Error(err)
	}
	// Keys that cannot be had verify nothing.
	c := checker(t)
	c.Verify = func(context.Context, *objects.Client, string, string, []jose.Alg) (*jose.Token, error) {
		return nil, errors.New("status 500")
	}
	_, target, err = c.Check(t.Context(), client(must), signed(jarType, claims()))
	refusal(t, target, err, oauth.InvalidRequestObject, "status 500", "outer")
}
