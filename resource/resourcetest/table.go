package resourcetest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Target is a route that Attack asks for.
type Target struct {
	Method   string // "" is GET
	URL      string // as clients know it: https, on one of the origins of the API
	Audience string // of the API
	Claims   Claims // what else a good token needs, such as scope
}

// Forgery is a request that must not pass.
type Forgery struct {
	Name    string // begins with the section that forbids it
	Request func() *http.Request
	Status  int
	Code    oauth.Code // in the challenge
	Again   bool       // the request is right and passes once; sent again, as it is, it must not
}

// Attack sends right requests, which the handler has to answer with 2xx, and then each forgery, which it has to refuse with
// the right status and error. The handler must trust the issuer and be protected by package resource, with bearer tokens
// that nothing binds left out, as they are by default.
func Attack(t *testing.T, h http.Handler, i *Issuer, target Target) {
	t.Helper()
	f := newForger(i, target)
	for name, r := range map[string]*http.Request{
		"bound to a DPoP key":    f.client.WithKey(f.Method, f.URL, f.keyed(f.claims()), i.now()),
		"bound to a certificate": f.client.WithCertificate(f.Method, f.URL, f.certified(f.claims())),
	} {
		if got := send(h, r); got.Code/100 != 2 {
			t.Fatalf("a right request, %s: status %d, %q", name, got.Code, got.Header().Values("WWW-Authenticate"))
		}
	}
	for _, c := range Forgeries(i, target) {
		t.Run(c.Name, func(t *testing.T) {
			if c.Again {
				if first := send(h, c.Request()); first.Code/100 != 2 {
					t.Fatalf("the first time: status %d, %q", first.Code, first.Header().Values("WWW-Authenticate"))
				}
			}
			got := send(h, c.Request())
			challenge := strings.Join(got.Header().Values("WWW-Authenticate"), ", ")
			if got.Code != c.Status || c.Code != "" && !strings.Contains(challenge, `error="`+string(c.Code)+`"`) {
				t.Errorf("status %d, %s, want %d, %s", got.Code, challenge, c.Status, c.Code)
			}
			if c.Code == "" && strings.Contains(challenge, "error=") {
				t.Errorf("an error where there were no credentials: %s", challenge)
			}
		})
	}
}

// Forgeries lists requests that must not pass, for a test that sends them some other way than Attack.
func Forgeries(i *Issuer, target Target) []Forgery {
	f := newForger(i, target)
	var all []Forgery
	for _, some := range [][]Forgery{f.envelopes(), f.signatures(), f.allClaims(), f.bindings(), f.proofs()} {
		all = append(all, some...)
	}
	return all
}

type forger struct {
	Target
	issuer *Issuer
	client *Client
	thief  *Client
}

func newForger(i *Issuer, target Target) *forger {
	if target.Method == "" {
		target.Method = http.MethodGet
	}
	return &forger{Target: target, issuer: i, client: NewClient(i.tb), thief: NewClient(i.tb)}
}

func (f *forger) claims() Claims {
	c := f.issuer.Claims(f.Audience)
	for name, value := range f.Claims {
		c[name] = value
	}
	return c
}

func (f *forger) keyed(c Claims) string     { return f.issuer.Sign(f.client.BoundToKey(c)) }
func (f *forger) certified(c Claims) string { return f.issuer.Sign(f.client.BoundToCertificate(c)) }

// bad is a token that is refused whoever sends it; it comes over the connection it is bound to.
func (f *forger) bad(name, token string) Forgery {
	return Forgery{Name: name, Status: http.StatusUnauthorized, Code: oauth.InvalidToken, Request: func() *http.Request {
		return f.client.WithCertificate(f.Method, f.URL, token)
	}}
}

// envelopes are about how credentials come (RFC 6750 §2, RFC 9449 §7).
func (f *forger) envelopes() []Forgery {
	right := func(change func(*http.Request)) func() *http.Request {
		return func() *http.Request {
			r := f.client.WithCertificate(f.Method, f.URL, f.certified(f.claims()))
			change(r)
			return r
		}
	}
	authorization := func(value string) func() *http.Request {
		return right(func(r *http.Request) { r.Header.Set("Authorization", value) })
	}
	inQuery := func(name string) func() *http.Request {
		return func() *http.Request {
			token := f.certified(f.claims())
			r := f.client.WithCertificate(f.Method, f.URL+"?a=b&"+name+"="+token, token)
			r.Header.Del("Authorization")
			return r
		}
	}
	return []Forgery{
		{"RFC6750_3_1_NoCredentials", right(func(r *http.Request) { r.Header.Del("Authorization") }), 401, "", false},
		{"RFC6750_3_1_AnotherScheme", authorization("Basic YTpi"), 401, "", false},
		{"RFC6750_2_1_NoToken", authorization("Bearer"), 400, oauth.InvalidRequest, false},
		{"RFC6750_2_1_TwoWords", authorization("Bearer a b"), 400, oauth.InvalidRequest, false},
		{"RFC6750_2_1_TwoTokens", authorization("Bearer a, Bearer b"), 400, oauth.InvalidRequest, false},
		{"RFC6750_2_TwoHeaders", right(func(r *http.Request) { r.Header.Add("Authorization", "Bearer a") }), 400, oauth.InvalidRequest, false},
		{"RFC9700_2_2_TokenInQuery", inQuery("access_token"), 400, oauth.InvalidRequest, false},
		{"RFC9700_2_2_TokenInQueryEscaped", inQuery("%61ccess_token"), 400, oauth.InvalidRequest, false},
		{"RFC9449_7_1_ProofUnderBearer", right(func(r *http.Request) {
			r.Header.Set("DPoP", f.client.Proof(f.Method, f.URL, "", f.issuer.now()))
		}), 400, oauth.InvalidRequest, false},
		f.bad("RFC6750_2_1_NotAJWT", "mF_9.B5f-4.1JqM"),
		f.bad("RFC6750_2_1_Opaque", "2YotnFZFEjr1zCsicMWpAA"),
		f.bad("RFC9068_4_Encrypted", "e30.e30.e30.e30.e30"),
		f.bad("RFC8725_3_11_TooLong", f.certified(f.claims().With("more", strings.Repeat("a", 32<<10)))),
	}
}

// signatures are about who signed, and over what (RFC 9068 §4, RFC 8725 §3).
func (f *forger) signatures() []Forgery {
	key, stranger := f.issuer.privateKey(), f.thief.key
	claims := f.client.BoundToCertificate(f.claims())
	header := func(change ...any) map[string]any {
		h := map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": key.ID()}
		for n := 0; n+1 < len(change); n += 2 {
			h[change[n].(string)] = change[n+1]
		}
		return h
	}
	tb := f.issuer.tb
	forge := func(k *jose.Key, header, payload any) string { return Forge(tb, k, header, payload) }
	public, err := json.Marshal(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	good := f.certified(f.claims())
	parts := strings.Split(good, ".")
	other := strings.Split(f.certified(f.claims().With("sub", "mallory")), ".")
	return []Forgery{
		f.bad("RFC8725_3_1_AlgNone", forge(nil, header("alg", "none"), claims)),
		f.bad("RFC8725_3_1_AlgNoneSigned", forge(&key, header("alg", "none"), claims)),
		f.bad("RFC8725_3_1_AlgES384", forge(&key, header("alg", "ES384"), claims)),
		f.bad("RFC8725_2_1_PublicKeyAsSecret", forgeMAC(tb, public, header("alg", "HS256"), claims)),
		f.bad("RFC9068_4_UnknownKey", forge(&stranger, header("kid", "unknown"), claims)),
		f.bad("RFC9068_4_KeyOfAnother", forge(&stranger, header(), claims)),
		f.bad("RFC9068_4_NoSignature", parts[0]+"."+parts[1]+"."),
		f.bad("RFC9068_4_OtherPayload", parts[0]+"."+other[1]+"."+parts[2]),
		f.bad("RFC9068_4_ZeroSignature", parts[0]+"."+parts[1]+"."+base64.RawURLEncoding.EncodeToString(make([]byte, 64))),
		f.bad("RFC7515_4_1_3_KeyInHeader", forge(&stranger, header("jwk", stranger.Public()), claims)),
		f.bad("RFC7515_4_1_2_KeyURL", forge(&key, header("jku", "https://evil.example/jwks"), claims)),
		f.bad("RFC7515_4_1_11_Critical", forge(&key, header("crit", []string{"exp"}), claims)),
		f.bad("RFC7797_3_B64", forge(&key, header("b64", false), claims)),
		f.bad("RFC9068_2_1_TypJWT", forge(&key, header("typ", "JWT"), claims)),
		f.bad("RFC9068_2_1_TypMissing", forge(&key, map[string]any{"alg": "ES256", "kid": key.ID()}, claims)),
		f.bad("RFC9068_2_1_TypProof", forge(&key, header("typ", "dpop+jwt"), claims)),
		f.bad("RFC8725_2_4_HeaderTwice", forge(&key, `{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"`+key.ID()+`"}`, claims)),
		f.bad("RFC7515_2_Padding", good+"="),
		f.bad("RFC7515_2_LineBreak", parts[0]+"."+parts[1]+".\n"+parts[2]).as(400, oauth.InvalidRequest),
	}
}

func (f Forgery) as(status int, code oauth.Code) Forgery {
	f.Status, f.Code = status, code
	return f
}

func (f Forgery) again() Forgery {
	f.Again = true
	return f
}

func (i *Issuer) privateKey() jose.Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key
}

// allClaims are about what the token says (RFC 9068 §2.2, §4).
func (f *forger) allClaims() []Forgery {
	now, key := f.issuer.now(), f.issuer.privateKey()
	with := func(name, claim string, value any) Forgery {
		return f.bad(name, f.certified(f.claims().With(claim, value)))
	}
	raw := func(name, payload string) Forgery {
		return f.bad(name, Forge(f.issuer.tb, &key, map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": key.ID()}, payload))
	}
	twice, err := json.Marshal(f.client.BoundToCertificate(f.claims()))
	if err != nil {
		f.issuer.tb.Fatal(err)
	}
	all := []Forgery{
		with("RFC9068_4_OtherIssuer", "iss", "https://evil.example"),
		with("RFC9068_4_IssuerWithSlash", "iss", f.issuer.URL+"/"),
		with("RFC9068_4_IssuerInCapitals", "iss", strings.ToUpper(f.issuer.URL)),
		with("RFC9068_4_IssuerIsAList", "iss", []string{f.issuer.URL}),
		with("RFC9068_4_OtherAudience", "aud", "https://other.example"),
		with("RFC9068_4_AudiencePrefix", "aud", f.Audience+"/more"),
		with("RFC9068_4_AudienceIsAnObject", "aud", map[string]any{f.Audience: true}),
		with("RFC9068_4_AudienceEmpty", "aud", []string{}),
		with("RFC9068_4_Expired", "exp", now.Add(-2*time.Minute).Unix()),
		with("RFC9068_2_2_ExpIsText", "exp", "4102444800"),
		with("RFC7519_4_1_5_NotYet", "nbf", now.Add(5*time.Minute).Unix()),
		with("RFC7519_4_1_6_FromTheFuture", "iat", now.Add(5*time.Minute).Unix()),
		with("RFC9068_2_2_SubIsANumber", "sub", 7),
		with("RFC9068_2_2_SubEmpty", "sub", ""),
		with("RFC9068_2_2_ScopeIsAList", "scope", []string{"a"}),
		raw("RFC8725_2_4_ClaimTwice", `{"sub":"mallory",`+string(twice[1:])),
		raw("RFC7519_7_2_NotAnObject", `["`+f.issuer.URL+`"]`),
		raw("RFC7519_7_2_NotJSON", `iss`),
	}
	for _, required := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		all = append(all, with("RFC9068_2_2_No_"+required, required, nil))
	}
	return all
}
