package request_test

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const plainCallback = "https://app.example/other"

// messages is the profile of signed answers, for a client whose requests are as they are.
func messages(c *objects.Client) { c.Profile = objects.ProfileFAPI2Messages }

// parameters are those that reach the client, and how.
func parameters(t *testing.T, uri string, a *request.Answer) (v url.Values, by string) {
	t.Helper()
	if a.Form != nil {
		if a.URL != uri {
			t.Errorf("the form goes to %s", a.URL)
		}
		return a.Form, "form"
	}
	rest, ok := strings.CutPrefix(a.URL, uri)
	if !ok || rest == "" {
		t.Fatalf("leads to %s", a.URL)
	}
	v, err := url.ParseQuery(rest[1:])
	if err != nil {
		t.Fatal(err)
	}
	return v, rest[:1]
}

// opened are the claims of an answer that is signed by this key for this client.
func opened(t *testing.T, v url.Values, by *jose.Signer) m {
	t.Helper()
	if len(v) != 1 {
		t.Errorf("parameters beside the response: %v", v)
	}
	return verified(t, v.Get("response"), by)
}

func verified(t *testing.T, compact string, by *jose.Signer) m {
	t.Helper()
	token, err := jose.Verify(compact, []jose.Alg{by.Key().Alg()}, by.Key())
	if err != nil {
		t.Fatal(err)
	}
	var c m
	if err := token.Claims(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestResponseModes(t *testing.T) {
	k := keyring()
	want := map[string]string{
		"": "?", "query": "?", "fragment": "#", "form_post": "form", "query.jwt": "?", "fragment.jwt": "#", "form_post.jwt": "form", "jwt": "?",
	}
	if names := slices.Sorted(maps.Keys(want))[1:]; !cmp.Equal(names, slices.Sorted(slices.Values(request.ResponseModes()))) {
		t.Errorf("offered %v", request.ResponseModes())
	}
	for mode, carrier := range want {
		t.Run(mode, func(t *testing.T) {
			target, err := checker(t).CheckRedirect(client(nil), plainCallback, "s t/&=", mode)
			if err != nil {
				t.Fatal(err)
			}
			code := must(target.Code(t.Context(), "g.s"))
			refused := must(target.Error(t.Context(), oauth.Refuse(oauth.AccessDenied, "the person has declined")))
			for _, a := range []struct {
				answer *request.Answer
				said   url.Values
			}{
				{code, url.Values{"code": {"g.s"}, "state": {"s t/&="}}},
				{refused, url.Values{"error": {"access_denied"}, "error_description": {"the person has declined"}, "state": {"s t/&="}}},
			} {
				v, by := parameters(t, plainCallback, a.answer)
				if by != carrier {
					t.Errorf("brought by %s", by)
				}
				if !strings.HasSuffix(mode, "jwt") {
					a.said.Set("iss", issuer) // RFC 9207 §2
					if d := cmp.Diff(a.said, v); d != "" {
						t.Error(d)
					}
					continue
				}
				// JARM §2.1; what is said is said in the JWT alone (FAPI 2.0 Message Signing §5.4.1).
				said := m{"iss": issuer, "aud": "app", "exp": float64(now.Add(5 * time.Minute).Unix())}
				for name := range a.said {
					said[name] = a.said.Get(name)
				}
				if d := cmp.Diff(said, opened(t, v, k.es256)); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func TestAnswersWithoutState(t *testing.T) {
	for _, mode := range []string{"form_post", "jwt"} {
		target := must(checker(t).CheckRedirect(client(nil), plainCallback, "", mode))
		v, _ := parameters(t, plainCallback, must(target.Code(t.Context(), "c")))
		if mode == "jwt" {
			if c := opened(t, v, keyring().es256); c["state"] != nil {
				t.Errorf("claims %v", c)
			}
		} else if v.Has("state") {
			t.Errorf("parameters %v", v)
		}
	}
}

// The query of a redirect URI stays where it is.
func TestRedirectURIWithQuery(t *testing.T) {
	for mode, want := range map[string]string{"query": callback + "&code=c&iss=", "fragment": callback + "#code=c&iss=", "jwt": callback + "&response=ey"} {
		target := must(checker(t).CheckRedirect(client(nil), callback, "", mode))
		if a := must(target.Code(t.Context(), "c")); !strings.HasPrefix(a.URL, want) {
			t.Errorf("%s: %s", mode, a.URL)
		}
	}
}

func TestJARM_3_SignedWith(t *testing.T) {
	k := keyring()
	for name, c := range map[string]struct {
		edit func(*objects.Client)
		by   *jose.Signer
	}{
		"as ID tokens of the profile":  {oidc, k.rs256},
		"as registered for ID tokens":  {func(c *objects.Client) { c.IDTokenSignedAlg = "PS256" }, k.ps256},
		"as registered for the answer": {func(c *objects.Client) { c.IDTokenSignedAlg, c.AuthorizationSignedAlg = "ES256", "PS256" }, k.ps256},
	} {
		t.Run(name, func(t *testing.T) {
			target := must(checker(t).CheckRedirect(client(c.edit), plainCallback, "", "jwt"))
			v, _ := parameters(t, plainCallback, must(target.Code(t.Context(), "c")))
			opened(t, v, c.by)
		})
	}
	// Without a key nothing goes out, in no other form either.
	target := must(checker(t).CheckRedirect(client(func(c *objects.Client) { c.AuthorizationSignedAlg = "EdDSA" }), plainCallback, "", "jwt"))
	if a, err := target.Code(t.Context(), "c"); !errors.Is(err, jose.ErrNoKey) {
		t.Errorf("%v, %v", a, err)
	}
}

func TestJARM_2_2_Encrypted(t *testing.T) {
	k := keyring()
	encrypted := func(alg string) *objects.Client {
		return client(func(c *objects.Client) { c.AuthorizationEncAlg, c.AuthorizationEncEnc = alg, "A256GCM" })
	}
	for _, mode := range []string{"query.jwt", "form_post.jwt"} {
		target := must(checker(t).CheckRedirect(encrypted("ECDH-ES"), plainCallback, "s", mode))
		v, _ := parameters(t, plainCallback, must(target.Code(t.Context(), "c")))
		nested, err := checker(t).Decrypter().Unnest(v.Get("response"))
		if err != nil {
			t.Fatal(err)
		}
		if c := verified(t, nested.JWS, k.es256); c["code"] != "c" || c["aud"] != "app" {
			t.Errorf("claims %v", c)
		}
	}
	target := must(checker(t).CheckRedirect(encrypted("RSA-OAEP-256"), plainCallback, "s", "jwt"))
	if a, err := target.Code(t.Context(), "c"); err == nil {
		t.Errorf("without a key: %v", a)
	}
	// A client that wants encryption and asks for a plain answer gets what it asks for.
	target = must(checker(t).CheckRedirect(encrypted("ECDH-ES"), plainCallback, "s", "query"))
	if v, _ := parameters(t, plainCallback, must(target.Code(t.Context(), "c"))); v.Get("code") != "c" {
		t.Errorf("parameters %v", v)
	}
}

// Whatever is wrong with the mode is said in the default one.
func TestUnsupportedResponseModes(t *testing.T) {
	custom := "com.example.app:/cb"
	uris := func(uri string) func(*objects.Client) {
		return func(c *objects.Client) { c.RedirectURIs, c.ApplicationType = []string{uri}, "native" }
	}
	for name, c := range map[string]struct {
		edit                 func(*objects.Client)
		uri, mode, by, error string
	}{
		"unknown":                    {nil, plainCallback, "web_message", "?", "not supported"},
		"in capitals":                {nil, plainCallback, "FORM_POST", "?", "not supported"},
		"two":                        {nil, plainCallback, "query fragment", "?", "not supported"},
		"a form for an app":          {uris(custom), custom, "form_post", "?", "a form cannot be posted"},
		"a signed form for an app":   {uris(custom), custom, "form_post.jwt", "?", "a form cannot be posted"},
		"a form for an IPv6 address": {uris("http://[::1]/cb"), "http://[::1]:7/cb", "form_post", "?", "a form cannot be posted"},
	} {
		t.Run(name, func(t *testing.T) {
			params := right()
			params.Set("redirect_uri", c.uri)
			params.Set("response_mode", c.mode)
			_, target, err := checker(t).Check(t.Context(), client(c.edit), params)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.Code != oauth.InvalidRequest || !strings.Contains(e.Detail, c.error) {
				t.Fatalf("got %v", err)
			}
			v, by := parameters(t, c.uri, must(target.Error(t.Context(), e)))
			if by != c.by || v.Get("error") != "invalid_request" || v.Get("iss") != issuer {
				t.Errorf("brought by %s: %v", by, v)
			}
		})
	}
	a, _, err := checker(t).Check(t.Context(), client(uris("http://127.0.0.1/cb")), url.Values(merge(right(), "redirect_uri", "http://127.0.0.1:51004/cb", "response_mode", "form_post")))
	if err != nil || a.ResponseMode != "form_post" {
		t.Errorf("a form for loopback: %+v, %v", a, err)
	}
}

func merge(v url.Values, pairs ...string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// FAPI 2.0 Message Signing §5.4.1: answers are signed, and so is the refusal of a request for others.
func TestFAPI2MessageSigning_5_4_1_SignedAnswers(t *testing.T) {
	k := keyring()
	for _, mode := range []string{"", "query", "fragment", "form_post", "web_message"} {
		params := merge(right(), "response_mode", mode)
		_, target, err := checker(t).Check(t.Context(), client(messages), params)
		e, ok := errors.AsType[*oauth.Error](err)
		if !ok || e.Code != oauth.InvalidRequest || !strings.Contains(e.Detail, "signed answers") {
			t.Fatalf("%q: %v", mode, err)
		}
		a := must(target.Error(t.Context(), e))
		v := must(url.Parse(a.URL)).Query()
		if v.Has("error") || v.Has("state") || v.Has("iss") {
			t.Errorf("%q: said outside of the signature: %v", mode, v)
		}
		if c := verified(t, v.Get("response"), k.es256); c["error"] != "invalid_request" || c["state"] != "s t/&=" {
			t.Errorf("%q: claims %v", mode, c)
		}
	}
	for _, mode := range []string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"} {
		if a, _, err := checker(t).Check(t.Context(), client(messages), merge(right(), "response_mode", mode)); err != nil || a.ResponseMode != mode {
			t.Errorf("%s: %+v, %v", mode, a, err)
		}
	}
	lenient := func(c *objects.Client) { c.Profile, c.AllowPlainResponses = objects.ProfileFAPI2Messages, true }
	if a, _, err := checker(t).Check(t.Context(), client(lenient), right()); err != nil || a.ResponseMode != "query" {
		t.Errorf("where plain answers are allowed: %+v, %v", a, err)
	}
}
