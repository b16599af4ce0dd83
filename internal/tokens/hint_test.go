package tokens_test

import (
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
)

func TestOIDC_3_1_2_1_Hint(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	token, err := r.minter.IDToken(t.Context(), tokens.IDPlan{Client: client(), Grant: r.grant(t, false), Subject: "alice", IssuedAt: r.now()})
	if err != nil {
		t.Fatal(err)
	}
	r.pass(24 * time.Hour)
	if subject, err := r.minter.Hint(client(), token); err != nil || subject != "alice" {
		t.Errorf("an expired one: %q, %v", subject, err)
	}
	for range 2 { // the first key retires, and then is withdrawn
		if err := r.signing.Replace(t.Context(), string(jose.ES256)); err != nil {
			t.Fatal(err)
		}
	}
	if subject, err := r.minter.Hint(client(), token); err == nil {
		t.Errorf("of a withdrawn key: %q", subject)
	}
}

func TestOIDC_3_1_2_1_HintsThatAreNone(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	signer, err := r.signing.Signer(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := jose.NewSigner(key.WithID(signer.Key().ID()))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by   *jose.Signer
		typ  string
		edit func(map[string]any)
		ok   bool
	}{
		"right":                     {signer, "JWT", func(map[string]any) {}, true},
		"without a type":            {signer, "", func(map[string]any) {}, true},
		"one audience of two":       {signer, "JWT", func(m map[string]any) { m["aud"] = []string{"other", "shop"} }, true},
		"of another key":            {stranger, "JWT", func(map[string]any) {}, false},
		"an access token":           {signer, "at+jwt", func(map[string]any) {}, false},
		"a logout token":            {signer, "logout+jwt", func(map[string]any) {}, false},
		"of another issuer":         {signer, "JWT", func(m map[string]any) { m["iss"] = "https://evil.example" }, false},
		"for another client":        {signer, "JWT", func(m map[string]any) { m["aud"] = "other" }, false},
		"for nobody":                {signer, "JWT", func(m map[string]any) { delete(m, "aud") }, false},
		"of nobody, such as a code": {signer, "JWT", func(m map[string]any) { delete(m, "sub") }, false},
		"userinfo":                  {signer, "JWT", func(m map[string]any) { delete(m, "exp") }, false},
		"without iat":               {signer, "JWT", func(m map[string]any) { delete(m, "iat") }, false},
		"sub as a number":           {signer, "JWT", func(m map[string]any) { m["sub"] = 7 }, false},
	} {
		claims := map[string]any{"iss": issuer, "sub": "alice", "aud": "shop", "iat": r.now().Unix(), "exp": r.now().Unix()}
		c.edit(claims)
		token, err := c.by.Sign(c.typ, claims)
		if err != nil {
			t.Fatal(err)
		}
		subject, err := r.minter.Hint(client(), token)
		if (err == nil) != c.ok || (subject == "alice") != c.ok {
			t.Errorf("%s: %q, %v", name, subject, err)
		}
	}
	for _, text := range []string{"", "a.b.c", "alice", "eyJhbGciOiJub25lIn0.e30."} {
		if subject, err := r.minter.Hint(client(), text); err == nil {
			t.Errorf("%q: %q", text, subject)
		}
	}
}

func FuzzHint(f *testing.F) {
	r := newRig(f, tokens.Lifetimes{})
	f.Add("eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.e30.AA")
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, text := range []string{one, two, one + "." + two} {
			if subject, err := r.minter.Hint(client(), text); err == nil {
				t.Fatalf("%q tells of %q", text, subject)
			}
		}
	})
}
