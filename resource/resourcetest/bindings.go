package resourcetest

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
)

// bindings are about whom the token belongs to (RFC 8705 §3, RFC 9449 §6 and §7, RFC 7800 §3).
func (f *forger) bindings() []Forgery {
	cnf := func(name string, value any) Forgery {
		return f.bad(name, f.issuer.Sign(f.claims().With("cnf", value)))
	}
	stolen := func(name string, token string, by func(token string) *http.Request) Forgery {
		return Forgery{name, func() *http.Request { return by(token) }, 401, oauth.InvalidToken, false}
	}
	byKey := func(c *Client) func(string) *http.Request {
		return func(token string) *http.Request { return c.WithKey(f.Method, f.URL, token, f.issuer.now()) }
	}
	byCertificate := func(c *Client) func(string) *http.Request {
		return func(token string) *http.Request { return c.WithCertificate(f.Method, f.URL, token) }
	}
	bare := func(token string) *http.Request {
		r := f.client.WithCertificate(f.Method, f.URL, token)
		r.TLS = nil
		return r
	}
	inHeader := func(token string) *http.Request {
		r := f.thief.WithCertificate(f.Method, f.URL, token)
		r.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(f.client.Leaf.Raw)+":")
		return r
	}
	both := f.issuer.Sign(f.claims().With("cnf", map[string]string{"x5t#S256": f.client.X5T(), "jkt": f.client.JKT()}))
	return []Forgery{
		f.bad("Unbound", f.issuer.Sign(f.claims())),
		stolen("RFC9449_6_UnboundUnderDPoP", f.issuer.Sign(f.claims()), byKey(f.client)),
		stolen("RFC8705_3_CertificateOfAnother", f.certified(f.claims()), byCertificate(f.thief)),
		stolen("RFC8705_3_NoCertificate", f.certified(f.claims()), bare),
		stolen("RFC9440_3_HeaderFromAnybody", f.certified(f.claims()), inHeader),
		stolen("RFC8705_3_UnderDPoP", f.certified(f.claims()), byKey(f.client)),
		stolen("RFC9449_7_2_Downgrade", f.keyed(f.claims()), byCertificate(f.client)),
		stolen("RFC9449_7_1_KeyOfAnother", f.keyed(f.claims()), byKey(f.thief)).as(401, oauth.InvalidDPoPProof),
		stolen("RFC7800_3_BothButOnlyTheCertificate", both, byCertificate(f.client)),
		stolen("RFC7800_3_BothButOnlyTheKey", both, byKey(f.client)),
		cnf("RFC7800_3_1_UnknownMethod", map[string]string{"jwe": "a"}),
		cnf("RFC7800_3_1_UnknownMethodToo", map[string]string{"x5t#S256": f.client.X5T(), "kid": "a"}),
		cnf("RFC7800_3_1_Nothing", map[string]string{}),
		cnf("RFC7800_3_1_Text", f.client.X5T()),
		cnf("RFC8705_3_1_EmptyThumbprint", map[string]string{"x5t#S256": ""}),
		cnf("RFC8705_3_1_ThumbprintIsAList", map[string][]string{"x5t#S256": {f.client.X5T()}}),
		f.bad("RFC7800_3_1_Null", f.forgeNull()),
	}
}

func (f *forger) forgeNull() string {
	key, claims := f.issuer.privateKey(), f.claims()
	claims["cnf"] = nil
	return Forge(f.issuer.tb, &key, map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": key.ID()}, claims)
}

// proofs are about the header DPoP (RFC 9449 §4.3, §7.1, §11.1).
func (f *forger) proofs() []Forgery {
	now := f.issuer.now()
	token := f.keyed(f.claims())
	with := func(name string, proofs ...string) Forgery {
		return Forgery{name, func() *http.Request {
			r := httptest.NewRequest(f.Method, f.URL, nil)
			r.Header.Set("Authorization", "DPoP "+token)
			for _, p := range proofs {
				r.Header.Add("DPoP", p)
			}
			return r
		}, http.StatusUnauthorized, oauth.InvalidDPoPProof, false}
	}
	proof := func(method, url, token string, at time.Time) string { return f.client.Proof(method, url, token, at) }
	right := func() string { return proof(f.Method, f.URL, token, now) }
	origin, path, _ := strings.Cut(strings.TrimPrefix(f.URL, "https://"), "/")
	forged := func(header map[string]any) string {
		return Forge(f.issuer.tb, &f.client.key, header, map[string]any{
			"jti": rand.Text(), "htm": f.Method, "htu": f.URL, "iat": now.Unix(), "ath": "",
		})
	}
	return []Forgery{
		with("RFC9449_4_3_NoProof"),
		with("RFC9449_4_3_TwoProofs", right(), right()),
		with("RFC9449_4_3_TwoProofsInOne", right()+", "+right()),
		with("RFC9449_4_3_NotAJWT", "a.b.c"),
		with("RFC9449_4_3_OtherMethod", proof("PATCH", f.URL, token, now)),
		with("RFC9449_4_3_OtherPath", proof(f.Method, f.URL+"x", token, now)),
		with("RFC9449_4_3_OtherHost", proof(f.Method, "https://evil.example/"+path, token, now)),
		with("RFC9449_4_3_OtherScheme", proof(f.Method, "http://"+origin+"/"+path, token, now)),
		with("RFC9449_4_3_Old", proof(f.Method, f.URL, token, now.Add(-5*time.Minute))),
		with("RFC9449_4_3_FromTheFuture", proof(f.Method, f.URL, token, now.Add(5*time.Minute))),
		with("RFC9449_4_3_NoAccessTokenHash", proof(f.Method, f.URL, "", now)),
		with("RFC9449_4_3_OtherAccessToken", proof(f.Method, f.URL, f.keyed(f.claims()), now)),
		with("RFC9449_4_3_KeyOfAnother", f.thief.Proof(f.Method, f.URL, token, now)),
		with("RFC9449_4_3_TypJWT", forged(map[string]any{"alg": "ES256", "typ": "JWT", "jwk": f.client.key.Public()})),
		with("RFC9449_4_3_NoKey", forged(map[string]any{"alg": "ES256", "typ": "dpop+jwt"})),
		with("RFC9449_4_3_PrivateKey", forged(map[string]any{"alg": "ES256", "typ": "dpop+jwt", "jwk": f.client.key})),
		with("RFC9449_11_1_Replay", right()).again(),
	}
}

func send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
