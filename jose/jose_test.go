package jose_test

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

var everyAlg = []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

func newKey(t testing.TB, a jose.Alg) jose.Key {
	t.Helper()
	k, err := jose.GenerateKey(a)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k jose.Key, typ string, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign(typ, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// craft signs an arbitrary header and payload with ES256, as a hostile client would.
func craft(t testing.TB, k jose.Key, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k.CryptoSigner().(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestSignAndVerify(t *testing.T) {
	for _, a := range everyAlg {
		t.Run(string(a), func(t *testing.T) {
			k := newKey(t, a)
			token := sign(t, k, "at+jwt", map[string]any{"sub": "alice"})
			got, err := jose.Verify(token, everyAlg, k.Public())
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Sub string `json:"sub"`
			}
			if err := got.Claims(&c); err != nil || c.Sub != "alice" {
				t.Errorf("claims %+v, %v", c, err)
			}
			if got.Alg != a || got.KeyID != k.ID() || got.Type != "at+jwt" {
				t.Errorf("header %+v", got)
			}
			if _, err := jose.Verify(token, everyAlg, newKey(t, a).WithID(k.ID())); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("another key of the same id: %v", err)
			}
			if _, err := jose.Verify(token, everyAlg, newKey(t, a)); !errors.Is(err, jose.ErrNoKey) {
				t.Errorf("only a key of another id: %v", err)
			}
			for _, other := range everyAlg {
				if _, err := jose.Verify(token, []jose.Alg{other}, k.Public()); other != a && !errors.Is(err, jose.ErrAlgorithm) {
					t.Errorf("only %s allowed: %v", other, err)
				}
			}
		})
	}
}

func TestRFC8725_3_RefusedHeaders(t *testing.T) {
	k := newKey(t, jose.ES256)
	jwk, err := json.Marshal(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, header string
		want         error
	}{
		{"fine", `{"alg":"ES256"}`, nil},
		{"none", `{"alg":"none"}`, jose.ErrAlgorithm},
		{"None", `{"alg":"None"}`, jose.ErrAlgorithm},
		{"HS256", `{"alg":"HS256"}`, jose.ErrAlgorithm},
		{"alg missing", `{}`, jose.ErrAlgorithm},
		{"alg twice", `{"alg":"ES256","alg":"ES256"}`, jose.ErrMalformed},
		{"alg of another type", `{"alg":["ES256"]}`, jose.ErrMalformed},
		{"jku", `{"alg":"ES256","jku":"https://evil.example/keys"}`, jose.ErrMalformed},
		{"x5u", `{"alg":"ES256","x5u":"https://evil.example/chain"}`, jose.ErrMalformed},
		{"x5c", `{"alg":"ES256","x5c":["AAAA"]}`, jose.ErrMalformed},
		{"jwk", `{"alg":"ES256","jwk":` + string(jwk) + `}`, jose.ErrMalformed},
		{"crit", `{"alg":"ES256","crit":["exp"],"exp":1}`, jose.ErrMalformed},
		{"empty crit", `{"alg":"ES256","crit":[]}`, jose.ErrMalformed},
		{"b64", `{"alg":"ES256","b64":false}`, jose.ErrMalformed},
		{"zip", `{"alg":"ES256","zip":"DEF"}`, jose.ErrMalformed},
		{"trailing data", `{"alg":"ES256"} {}`, jose.ErrMalformed},
		{"not an object", `"ES256"`, jose.ErrMalformed},
		{"ALG in capitals", `{"ALG":"ES256"}`, jose.ErrAlgorithm},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := jose.Verify(craft(t, k, c.header, `{"a":1}`), everyAlg, k.Public()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestRFC7515_2_Base64urlIsCanonical(t *testing.T) {
	k := newKey(t, jose.ES256)
	good := sign(t, k, "", map[string]string{"a": "bc"})
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"padding":            parts[0] + "=." + parts[1] + "." + parts[2],
		"line break":         parts[0] + ".\n" + parts[1] + "." + parts[2],
		"line break inside":  parts[0] + "." + parts[1] + "." + parts[2][:10] + "\r\n" + parts[2][10:],
		"space":              " " + good,
		"stray bits":         parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + "_",
		"four parts":         good + ".",
		"two parts":          parts[0] + "." + parts[1],
		"no signature":       parts[0] + "." + parts[1] + ".",
		"standard alphabet":  parts[0] + "." + parts[1] + "." + "+/" + parts[2][2:],
		"longer than bounds": parts[0] + "." + strings.Repeat("A", jose.MaxToken) + "." + parts[2],
	} {
		if _, err := jose.Verify(token, everyAlg, k.Public()); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRFC9449_4_2_EmbeddedKey(t *testing.T) {
	k := newKey(t, jose.ES256)
	s, err := jose.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.WithEmbeddedKey()
	if err != nil {
		t.Fatal(err)
	}
	token, err := e.Sign("dpop+jwt", map[string]string{"jti": "1"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := jose.VerifyEmbedded(token, everyAlg)
	if err != nil {
		t.Fatal(err)
	}
	if got.JWK.Thumbprint() != k.Thumbprint() || got.JWK.IsPrivate() {
		t.Errorf("embedded %v", got.JWK)
	}
	private, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.VerifyEmbedded(craft(t, k, `{"alg":"ES256","jwk":`+string(private)+`}`, `{}`), everyAlg); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("private key in the header: %v", err)
	}
	if _, err := jose.VerifyEmbedded(sign(t, k, "", 1), everyAlg); !errors.Is(err, jose.ErrMalformed) {
		t.Errorf("no key in the header: %v", err)
	}
}

func TestRFC9449_4_2_EmbeddedKeyIsPublicAndFits(t *testing.T) {
	k, other := newKey(t, jose.ES256), newKey(t, jose.EdDSA)
	doc := func(k jose.Key, change func(map[string]any)) string {
		var m map[string]any
		text, err := json.Marshal(k)
		if err != nil || json.Unmarshal(text, &m) != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(m)
		}
		text, err = json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct {
		name, jwk string
		want      error
	}{
		{"public", doc(k.Public(), nil), nil},
		{"private", doc(k, nil), jose.ErrMalformed},
		{"public with a stray private member", doc(k.Public(), func(m map[string]any) { m["p"] = "AQAB" }), jose.ErrMalformed},
		{"symmetric", `{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, jose.ErrMalformed},
		{"of another type", doc(other.Public(), nil), jose.ErrAlgorithm},
		{"of somebody else", doc(newKey(t, jose.ES256).Public(), nil), jose.ErrSignature},
		{"for encryption", doc(k.Public(), func(m map[string]any) { m["use"] = "enc" }), jose.ErrMalformed},
		{"repeated member", strings.Replace(doc(k.Public(), nil), "{", `{"kty":"EC",`, 1), jose.ErrMalformed},
		{"null", "null", jose.ErrMalformed},
	} {
		token := craft(t, k, `{"alg":"ES256","jwk":`+c.jwk+`}`, `{}`)
		if _, err := jose.VerifyEmbedded(token, everyAlg); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// RFC 8725 §2.1: the public key as the secret of an HMAC, and a key used with an algorithm of another type.
func TestRFC8725_3_1_AlgorithmConfusion(t *testing.T) {
	ec, ed, pss := newKey(t, jose.ES256).WithID(""), newKey(t, jose.EdDSA).WithID(""), newKey(t, jose.PS256).WithID("")
	secret, err := json.Marshal(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	input := b64(`{"alg":"HS256"}`) + "." + b64(`{}`)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	hs := input + "." + b64(string(mac.Sum(nil)))
	if _, err := jose.Verify(hs, append(everyAlg, "HS256", "none"), ec.Public()); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("HS256: %v", err)
	}
	token := sign(t, ec, "", struct{}{})
	for name, k := range map[string]jose.Key{"Ed25519": ed, "RSA": pss} {
		if _, err := jose.Verify(token, everyAlg, k.Public()); !errors.Is(err, jose.ErrNoKey) {
			t.Errorf("ES256 with a key of type %s: %v", name, err)
		}
	}
	if _, err := jose.Verify(sign(t, pss, "", struct{}{}), everyAlg, fromPublic(t, pss, jose.RS256)); !errors.Is(err, jose.ErrNoKey) {
		t.Errorf("PS256 with a key for RS256: %v", err)
	}
	if _, err := jose.Verify(sign(t, pss, "", struct{}{}), everyAlg, fromPublic(t, pss, "")); err != nil {
		t.Errorf("PS256 with an RSA key that says no algorithm: %v", err)
	}
}

func fromPublic(t testing.TB, k jose.Key, a jose.Alg) jose.Key {
	t.Helper()
	p, err := jose.FromPublic(k.CryptoPublic(), a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRFC8725_2_8_StrictJSONInTokens(t *testing.T) {
	k := newKey(t, jose.ES256)
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for name, header := range map[string]string{
		"deep":              `{"alg":"ES256","a":` + deep + `}`,
		"deep after braces": `{"alg":"ES256","b":"` + strings.Repeat("}", 100) + `","a":` + deep + `}`,
		"repeated unknown":  `{"alg":"ES256","x":1,"x":1}`,
		"repeated inside":   `{"alg":"ES256","x":{"y":1,"y":1}}`,
		"repeated escaped":  `{"alg":"ES256","\u0061lg":"none"}`,
		"not UTF-8":         "{\"alg\":\"ES256\",\"a\":\"\xff\"}",
		"empty":             "",
	} {
		if _, err := jose.Verify(craft(t, k, header, `{}`), everyAlg, k.Public()); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("header %s: %v", name, err)
		}
	}
	for name, payload := range map[string]string{
		"repeated":        `{"sub":"a","sub":"b"}`,
		"repeated inside": `{"sub":"a","x":[{"y":1,"y":1}]}`,
		"deep":            `{"sub":"a","a":` + deep + `}`,
		"trailing data":   `{"sub":"a"} {}`,
		"not UTF-8":       "{\"sub\":\"\xff\"}",
		"null":            "null",
		"a string":        `"sub"`,
		"empty":           "",
	} {
		token, err := jose.Verify(craft(t, k, `{"alg":"ES256"}`, payload), everyAlg, k.Public())
		if err != nil {
			t.Errorf("payload %s: %v", name, err)
			continue
		}
		var c struct {
			Sub string `json:"sub"`
		}
		if err := token.Claims(&c); err == nil {
			t.Errorf("payload %s: read %q", name, c.Sub)
		}
	}
}

func TestRFC7519_5_1_TypeIsAMediaType(t *testing.T) {
	k := newKey(t, jose.ES256)
	for written, want := range map[string]string{"": "", "JWT": "jwt", "application/AT+jwt": "at+jwt", "dpop+jwt": "dpop+jwt"} {
		got, err := jose.Peek(sign(t, k, written, struct{}{}))
		if err != nil || got.Type != want {
			t.Errorf("%q: got %+v, %v", written, got, err)
		}
	}
}
