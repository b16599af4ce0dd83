package holdfasttest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

var mutations = slices.Concat(requestMutations, profileMutations, objectMutations, codeMutations, clientMutations, proofMutations)

// Parameters of the request, wherever they stand.
var requestMutations = []mutation{
	{"response_type token", "qs", nil, param("response_type", "token"), atRequest("unsupported_response_type")},
	{"no response_type", "q", nil, param("response_type"), atRequest("invalid_request")},
	{"unknown response_mode", "q", func(c combination) bool { return !c.message() }, param("response_mode", "pigeon"), atRequest("invalid_request")},
	{"no challenge", "paq", func(c combination) bool { return c.profile != "oidc" || c.auth == "none" }, func(y *try) {
		param("code_challenge")(y)
		param("code_challenge_method")(y)
	}, atRequest("invalid_request")},
	{"plain challenge", "pq", nil, param("code_challenge_method", "plain"), atRequest("invalid_request")},
	{"challenge that is no hash", "q", nil, param("code_challenge", "short"), atRequest("invalid_request")},
	{"no scope", "q", nil, param("scope"), atRequest("invalid_scope")},
	{"foreign scope", "pqs", nil, param("scope", "openid admin.users.write"), atRequest("invalid_scope")},
	{"foreign resource", "q", nil, param("resource", "https://other.example"), atRequest("invalid_target")},
	{"contradicting prompt", "q", nil, param("prompt", "none login"), atRequest("invalid_request")},
	{"max_age that is none", "q", nil, param("max_age", "-1"), atRequest("invalid_request")},
	{"sign-in that is too old", "qs", nil, func(y *try) {
		param("prompt", "none")(y)
		param("max_age", "0")(y)
	}, always("client login_required")},
	{"claims that are none", "q", nil, param("claims", `{"id_token": 1}`), atRequest("invalid_request")},
	{"another redirect_uri", "pq", nil, param("redirect_uri", driverCallback+"&more"), atPage("invalid_request")},
	{"no redirect_uri", "q", nil, param("redirect_uri"), atPage("invalid_request")},
	{"repeated parameter", "q", func(c combination) bool { return !c.signs() }, param("state", "the state", "another"), atPage("invalid_request")},
}

// What a profile demands.
var profileMutations = []mutation{
	{"not pushed", "par", func(c combination) bool { return c.fapi() }, func(y *try) { y.unpushed = true }, always("client invalid_request")},
	{"not signed", "par", combination.message, func(y *try) { y.combination.request = "pushed" }, always("par invalid_request")},
	{"plain answer", "par", combination.message, param("response_mode", "query"), always("par invalid_request")},
	{"no word of the answer", "p", combination.message, param("response_mode"), always("par invalid_request")},
	{"request_uri that is pushed", "pa", func(c combination) bool { return c.request == "pushed" }, param("request_uri", "urn:ietf:params:oauth:request_uri:x"), always("par invalid_request")},
	{"pushed by somebody else", "pa", func(c combination) bool { return c.pushes() && !c.fapi() && c.auth != "none" }, func(y *try) {
		y.pusher = another(y)
	}, func(c combination) string {
		switch c.auth {
		case "client_secret_basic":
			return "par invalid_request" // client_id says something else
		case "client_secret_jwt", "private_key_jwt":
			return "par invalid_client"
		}
		return "page invalid_request_uri" // it is a request of the other
	}},
}

// The request object (RFC 9101, FAPI 2.0 Message Signing §5.3.1).
var objectMutations = []mutation{
	{"object for another issuer", "pq", signing, inObject("aud", fixed("https://other.example")), atRequest("invalid_request_object")},
	{"object of another client", "pq", signing, inObject("iss", fixed("other")), atRequest("invalid_request_object")},
	{"expired object", "pq", signing, inObject("exp", in(-time.Second)), atRequest("invalid_request_object")},
	{"object that is not valid yet", "pq", signing, inObject("nbf", in(time.Minute)), atRequest("invalid_request_object")},
	{"object of the future", "pq", signing, inObject("iat", in(time.Minute)), atRequest("invalid_request_object")},
	{"clock a little ahead", "pq", signing, func(y *try) {
		inObject("iat", in(8*time.Second))(y)
		inObject("nbf", in(8*time.Second))(y)
	}, always("ok")},
	{"object without exp", "q", datedObj, inObject("exp", nil), atRequest("invalid_request_object")},
	{"object without nbf", "q", datedObj, inObject("nbf", nil), atRequest("invalid_request_object")},
	{"object without aud", "q", datedObj, inObject("aud", nil), atRequest("invalid_request_object")},
	{"object without iss", "q", datedObj, inObject("iss", nil), atRequest("invalid_request_object")},
	{"old object", "q", datedObj, inObject("nbf", in(-61*time.Minute)), atRequest("invalid_request_object")},
	{"object for too long", "q", datedObj, inObject("exp", in(61*time.Minute)), atRequest("invalid_request_object")},
	{"object in an object", "q", signing, inObject("request", fixed("a.b.c")), atRequest("invalid_request_object")},
	{"object by another key", "pq", signing, func(y *try) {
		y.sign = func(claims map[string]any) string { return y.signed("oauth-authz-req+jwt", y.Signer(""), claims) }
	}, atPage("invalid_request_object")},
	{"changed object", "q", signing, func(y *try) {
		sign := y.sign
		y.sign = func(claims map[string]any) string {
			good := strings.Split(sign(claims), ".")
			claims["state"] = "the thief's"
			other := strings.Split(sign(claims), ".")
			return good[0] + "." + other[1] + "." + good[2]
		}
	}, atPage("invalid_request_object")},
	{"object of another kind", "q", signing, func(y *try) {
		y.sign = func(claims map[string]any) string { return y.signed("at+jwt", y.signer, claims) }
	}, atPage("invalid_request_object")},
	{"unsigned object", "pq", signing, func(y *try) {
		sign := y.sign
		y.sign = func(claims map[string]any) string {
			return "eyJhbGciOiJub25lIn0." + strings.Split(sign(claims), ".")[1] + "."
		}
	}, func(c combination) string {
		if c.fapi() {
			return atPage("invalid_request_object")(c)
		}
		return atPage("request_not_supported")(c)
	}},
	{"unregistered request_uri", "p", func(c combination) bool { return c.request == "referenced object" }, func(y *try) {
		y.combination.request = "query"
		y.params = url.Values{"client_id": {y.client()}, "request_uri": {y.shelf.URL + "/other"}}
	}, always("page request_uri_not_supported")},
	{"parameters outside", "q", signing, func(y *try) {
		y.outside.Set("scope", "openid admin.users.write") // RFC 9101 §6.3: only what is inside counts
		y.outside.Set("state", "the thief's")
	}, always("ok")},
}

// The code and what protects it.
var codeMutations = []mutation{
	{"wrong verifier", "par", nil, tokenForm("code_verifier", strings.Repeat("w", 43)), always("token invalid_grant")},
	{"no verifier", "par", nil, tokenForm("code_verifier"), always("token invalid_grant")},
	{"another redirect_uri at the end", "p", nil, tokenForm("redirect_uri", "https://rp.example/other"), always("token invalid_grant")},
	{"made-up code", "pa", nil, tokenForm("code", "made.up"), always("token invalid_grant")},
	{"code used twice", "parq", nil, func(y *try) { y.redeemers = 2 }, always("token invalid_grant")},
	{"code of another client", "pa", func(c combination) bool { return !c.fapi() }, func(y *try) { y.redeemer = another(y) }, always("token invalid_grant")},
	{"another grant", "p", nil, tokenForm("grant_type", "password"), always("token unsupported_grant_type")},
	{"no grant", "p", nil, tokenForm("grant_type"), always("token invalid_request")},
	{"repeated code", "p", nil, tokenForm("code", "one", "two"), always("token invalid_request")},
}

// How the client proves itself.
var clientMutations = []mutation{
	{"no proof of the client", "par", func(c combination) bool { return c.secret() || c.auth == "private_key_jwt" }, proven(redeeming, nobody), always("token invalid_client")},
	{"no proof of the client who pushes", "par", func(c combination) bool {
		return c.pushes() && (c.secret() || c.auth == "private_key_jwt")
	}, proven(pushing, nobody), always("par invalid_client")},
	{"wrong secret", "pr", authBy("client_secret_basic"), proven(redeeming, func(y *try, _ url.Values, r *http.Request) {
		r.SetBasicAuth(y.client(), "wrong")
	}), always("token invalid_client")},
	{"secret in another place", "p", authBy("client_secret_basic"), proven(redeeming, func(y *try, v url.Values, _ *http.Request) {
		v.Set("client_id", y.client())
		v.Set("client_secret", driverSecret)
	}), always("token invalid_client")},
	{"two proofs", "p", authBy("client_secret_basic"), proven(redeeming, func(y *try, v url.Values, r *http.Request) {
		r.SetBasicAuth(y.client(), driverSecret)
		v.Set("client_secret", driverSecret)
	}), always("token invalid_request")},
	{"assertion by another key", "pr", authBy("private_key_jwt"), proven(redeeming, func(y *try, v url.Values, _ *http.Request) {
		assert(v, y.sealed(y.Signer(""), y.assertion(y.combination)))
	}), always("token invalid_client")},
	{"assertion by the secret of a client with keys", "p", authBy("private_key_jwt"), proven(redeeming, func(y *try, v url.Values, _ *http.Request) {
		assert(v, macToken(driverSecret, y.assertion(y.combination)))
	}), always("token invalid_client")},
	{"assertion by a key of a client with a secret", "p", authBy("client_secret_jwt"), proven(redeeming, func(y *try, v url.Values, _ *http.Request) {
		assert(v, y.sealed(y.signer, y.assertion(y.combination)))
	}), always("token invalid_client")},
	{"assertion for the token endpoint", "pa", asserting, assertWith(set("aud", func(y *try) any { return y.Issuer + "/token" })), always("token invalid_client")},
	{"assertion for several", "pa", asserting, assertWith(set("aud", func(y *try) any { return []string{y.Issuer, "https://other.example"} })), always("token invalid_client")},
	{"expired assertion", "pa", asserting, assertWith(set("exp", in(-time.Second))), always("token invalid_client")},
	{"assertion for hours", "pa", asserting, assertWith(set("exp", in(time.Hour))), always("token invalid_client")},
	{"assertion of the future", "pa", asserting, assertWith(set("iat", in(time.Minute))), always("token invalid_client")},
	{"assertion without jti", "pa", asserting, assertWith(set("jti", nil)), always("token invalid_client")},
	{"assertion about another", "pa", asserting, assertWith(set("sub", fixed("other"))), always("token invalid_client")},
	{"no certificate", "par", func(c combination) bool { return strings.Contains(c.auth, "tls") }, shows("none"), always("token invalid_client")},
	{"certificate of somebody else", "pr", authBy("tls_client_auth"), shows("own"), always("token invalid_client")},
	{"certificate that is not registered", "pr", authBy("self_signed_tls_client_auth"), shows("partner"), always("token invalid_client")},
}

// shows is the certificate at the token endpoint.
func shows(certificate string) func(*try) {
	return func(y *try) {
		p := *y.redeemer
		p.client = y.ways[certificate]
		y.redeemer = &p
	}
}

func bound(c combination) bool { return c.binding == "dpop" }

// The key that tokens are bound to.
var proofMutations = []mutation{
	{"no DPoP proof", "paq", bound, func(y *try) {
		p := *y.redeemer
		p.key = nil
		y.redeemer = &p
	}, always("token invalid_request")},
	{"another key than that of the request", "pa", func(c combination) bool { return bound(c) && c.pushes() }, func(y *try) {
		p := *y.redeemer
		p.key = y.Signer("")
		y.redeemer = &p
	}, always("token invalid_grant")},
	{"dpop_jkt of another key", "pa", func(c combination) bool { return bound(c) && c.pushes() }, param("dpop_jkt", strings.Repeat("A", 43)), always("par invalid_dpop_proof")},
	{"dpop_jkt that is kept", "pa", func(c combination) bool { return bound(c) && c.request == "query" }, func(y *try) {
		y.params.Set("dpop_jkt", y.redeemer.key.Key().Thumbprint())
	}, always("ok")},
	{"no certificate to bind to", "pa", func(c combination) bool {
		return c.binding == "certificate" && !strings.Contains(c.auth, "tls")
	}, shows("none"), always("token invalid_request")},
	{"token used with another key", "paqrs", bound, func(y *try) {
		p := *y.holder
		p.key = y.Signer("")
		y.holder = &p
	}, always("use invalid_token")},
	{"token used with an old proof", "p", bound, func(y *try) {
		p := *y.holder
		p.nonce = "old"
		y.holder = &p
	}, always("ok")}, // it is told to take a fresh nonce, and does
}
