package jose_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	lib "github.com/go-jose/go-jose/v4"

	"github.com/holdfast-iam/holdfast/jose"
)

var everyMAC = []jose.MAC{jose.HS256, jose.HS384, jose.HS512}

// macWith makes a token of a secret with the library itself.
func macWith(t testing.TB, alg, secret, claims string) string {
	t.Helper()
	s, err := lib.NewSigner(lib.SigningKey{Algorithm: lib.SignatureAlgorithm(alg), Key: []byte(secret)}, (&lib.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func secret(t testing.TB, value string) jose.Secret {
	t.Helper()
	s, err := jose.NewSecret([]byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRFC7518_3_2_MAC(t *testing.T) {
	long, other := strings.Repeat("client secret 16", 4), strings.Repeat("another secret 0", 4)
	for i, m := range everyMAC {
		token := macWith(t, string(m), long, `{"sub":"client"}`)
		got, err := jose.VerifyMAC(token, everyMAC, secret(t, other), secret(t, long))
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		var c struct {
			Sub string `json:"sub"`
		}
		if err := got.Claims(&c); err != nil || c.Sub != "client" || got.Type != "jwt" || string(got.Alg) != string(m) {
			t.Errorf("%s: %+v, %+v, %v", m, got, c, err)
		}
		input, sum := cut(token)
		short := secret(t, long[:32])
		for name, c := range map[string]struct {
			token   string
			macs    []jose.MAC
			secrets []jose.Secret
			want    error
		}{
			"another secret":   {token, everyMAC, []jose.Secret{secret(t, other)}, jose.ErrSignature},
			"no secret":        {token, everyMAC, nil, jose.ErrNoKey},
			"the zero Secret":  {token, everyMAC, []jose.Secret{{}}, jose.ErrNoKey},
			"another hash":     {token, []jose.MAC{everyMAC[(i+1)%3]}, []jose.Secret{secret(t, long)}, jose.ErrAlgorithm},
			"none allowed":     {token, nil, []jose.Secret{secret(t, long)}, jose.ErrAlgorithm},
			"one byte less":    {input + b64(string(sum[:len(sum)-1])), everyMAC, []jose.Secret{secret(t, long)}, jose.ErrSignature},
			"one byte more":    {input + b64(string(sum)+"\x00"), everyMAC, []jose.Secret{secret(t, long)}, jose.ErrSignature},
			"one bit":          {input + b64(string(sum[:len(sum)-1])+string([]byte{sum[len(sum)-1] ^ 1})), everyMAC, []jose.Secret{secret(t, long)}, jose.ErrSignature},
			"half of it":       {input + b64(string(sum[:len(sum)/2])), everyMAC, []jose.Secret{secret(t, long)}, jose.ErrSignature},
			"nothing":          {input, everyMAC, []jose.Secret{secret(t, long)}, jose.ErrMalformed},
			"a beginning only": {token, everyMAC, []jose.Secret{short}, map[bool]error{true: jose.ErrSignature, false: jose.ErrNoKey}[m == jose.HS256]},
		} {
			if _, err := jose.VerifyMAC(c.token, c.macs, c.secrets...); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: got %v, want %v", m, name, err, c.want)
			}
		}
	}
}

// RFC 8725 §3.1: a list of keyed hashes never lets a signature in, nor none, whatever it is filled with.
func TestRFC8725_3_1_MACTakesNothingElse(t *testing.T) {
	k := newKey(t, jose.ES256)
	s := secret(t, strings.Repeat("s", 64))
	for name, token := range map[string]string{
		"ES256":  craft(t, k, `{"alg":"ES256"}`, `{}`),
		"RS256":  sign(t, newKey(t, jose.RS256), "", struct{}{}),
		"none":   b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".AAAA",
		"hs256":  craft(t, k, `{"alg":"hs256"}`, `{}`),
		"HS1":    craft(t, k, `{"alg":"HS1"}`, `{}`),
		"no alg": craft(t, k, `{}`, `{}`),
	} {
		if _, err := jose.VerifyMAC(token, append(everyMAC, "ES256", "RS256", "none", "hs256", "HS1", ""), s); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, header := range map[string]string{
		"jwk":        `{"alg":"HS256","jwk":{"kty":"oct","k":"` + b64(strings.Repeat("s", 64)) + `"}}`,
		"public jwk": `{"alg":"HS256","jwk":` + document(k.Public()) + `}`,
		"jku":        `{"alg":"HS256","jku":"https://evil.example"}`, "crit": `{"alg":"HS256","crit":["a"]}`, "enc": `{"alg":"HS256","enc":"A128GCM"}`,
	} {
		if _, err := jose.VerifyMAC(craft(t, k, header, `{}`), everyMAC, s); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRFC7518_3_2_ShortSecrets(t *testing.T) {
	for _, value := range []string{"", "client secret", strings.Repeat("s", 31)} {
		if _, err := jose.NewSecret([]byte(value)); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%d bytes: %v", len(value), err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	value := strings.Repeat("s3cret!!", 4)
	s := secret(t, value)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "secret", s)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("made", "secret", s)
	doc, err := json.Marshal(map[string]any{"secret": s})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{logged.String(), string(doc)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, s))
	}
	for _, text := range texts {
		if !strings.Contains(text, "[hidden]") || strings.Contains(text, "s3cret") || strings.Contains(text, "115") {
			t.Error(text)
		}
	}
}
