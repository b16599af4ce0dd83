package holdfasttest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// try is one attempt, laid out so that each part can be changed before it is made.
type try struct {
	*drivers
	combination
	t         *testing.T
	params    url.Values                  // of the request
	claims    map[string]any              // of the request object, beside the parameters
	sign      func(map[string]any) string // makes the request object
	outside   url.Values                  // what is sent beside a request object
	unpushed  bool
	pusher    *party
	redeemer  *party
	token     url.Values
	holder    *party // who uses the access token
	redeemers int    // how often the code is redeemed
}

func (d *drivers) prepare(t *testing.T, c combination) *try {
	now := time.Now()
	p := d.party(t, c)
	y := &try{
		drivers: d, combination: c, t: t, params: c.parameters(), outside: url.Values{"client_id": {c.client()}},
		pusher: p, redeemer: p, holder: p, redeemers: 1,
		claims: map[string]any{
			"iss": c.client(), "aud": d.Issuer, "nbf": now.Add(-time.Second).Unix(), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": store.NewID(),
		},
		token: url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {driverCallback}, "code_verifier": {verifier}},
	}
	y.sign = func(claims map[string]any) string { return y.signed("oauth-authz-req+jwt", d.signer, claims) }
	return y
}

func (y *try) signed(typ string, by *jose.Signer, claims map[string]any) string {
	token, err := by.Sign(typ, claims)
	if err != nil {
		y.t.Fatal(err)
	}
	return token
}

// ask makes the request, and gives the address that the browser is to visit.
func (y *try) ask() (address, refused string) {
	params := y.params
	if y.signs() {
		claims := maps.Clone(y.claims)
		for name := range params {
			claims[name] = params.Get(name)
			if name == "max_age" || name == "claims" { // RFC 9101 §4: JSON as it is
				claims[name] = json.RawMessage(params.Get(name))
			}
		}
		object := y.sign(claims)
		params = maps.Clone(y.outside)
		if y.request == "referenced object" {
			y.shelf.put("/"+y.client(), object)
			params.Set("request_uri", y.shelf.URL+"/"+y.client())
		} else {
			params.Set("request", object)
		}
	}
	if y.pushes() && !y.unpushed {
		a := y.pusher.post("/par", params)
		if a.Status != http.StatusCreated {
			return "", "par " + a.text("error")
		}
		params = url.Values{"client_id": {y.client()}, "request_uri": {a.text("request_uri")}}
	}
	return y.Issuer + "/authorize?" + params.Encode(), ""
}

var codeOnPage = regexp.MustCompile(`id="error-code">([a-z_]+)<`)

// answered visits the address and reads the answer as the client would, however it comes.
func (y *try) answered(address string) (code, refused string) {
	g := y.follow(y.get(address))
	if found := codeOnPage.FindStringSubmatch(g.text); found != nil {
		return "", "page " + found[1]
	}
	carrier, to, values := "query", g.Header.Get("Location"), url.Values(nil)
	if to == "" {
		carrier = "form_post"
		to, values = form(y.t, g.text, "post-submit")
	}
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, driverCallback) {
		y.t.Fatalf("the answer goes to %q, %v", to, err)
	}
	switch {
	case values != nil:
	case u.Fragment != "":
		carrier = "fragment"
		values, err = url.ParseQuery(u.Fragment)
	default:
		values = u.Query()
		values.Del("from") // of the redirect URI itself
	}
	if err != nil {
		y.t.Fatal(err)
	}
	if response := values.Get("response"); response != "" {
		carrier += ".jwt"
		values = y.opened(response)
	}
	return y.judge(carrier, values)
}

// opened is a signed answer (JARM §2.1), verified.
func (y *try) opened(response string) url.Values {
	token, err := jose.Verify(response, []jose.Alg{jose.ES256, jose.RS256}, y.keys.Keys...)
	if err != nil {
		y.t.Fatal(err)
	}
	var claims struct {
		Audience  string           `json:"aud"`
		ExpiresAt jose.NumericDate `json:"exp"`
	}
	members := map[string]any{}
	if token.Claims(&claims) != nil || token.Claims(&members) != nil || claims.Audience != y.client() || time.Until(claims.ExpiresAt.Time) > 10*time.Minute {
		y.t.Errorf("the signed answer says %v", members)
	}
	values := url.Values{}
	for name, member := range members {
		if text, ok := member.(string); ok {
			values.Set(name, text)
		}
	}
	return values
}

func (y *try) judge(carrier string, values url.Values) (code, refused string) {
	if values.Get("iss") != y.Issuer || values.Get("state") != y.params.Get("state") { // RFC 9207 §2.4
		return "", "answer of somebody else"
	}
	if e := values.Get("error"); e != "" {
		return "", "client " + e
	}
	want := y.response
	if want == "jwt" {
		want = "query.jwt"
	}
	if carrier != want {
		return "", "answer by " + carrier
	}
	return values.Get("code"), ""
}

// redeem exchanges the code, and checks the ID token as a client does (OIDC Core §3.1.3.7).
func (y *try) redeem(code string) (tokens answered, refused string) {
	if !y.token.Has("code") {
		y.token.Set("code", code)
	}
	var a answered
	for range y.redeemers {
		a = y.redeemer.post("/token", y.token)
	}
	if a.Status != http.StatusOK {
		return a, "token " + a.text("error")
	}
	alg := jose.ES256
	if y.profile == "oidc" {
		alg = jose.RS256
	}
	id, err := jose.Verify(a.text("id_token"), []jose.Alg{alg}, y.keys.Keys...)
	if err != nil {
		y.t.Fatal(err)
	}
	var claims struct{ Issuer, Audience, Nonce string }
	members := map[string]any{}
	if err := id.Claims(&members); err != nil {
		y.t.Fatal(err)
	}
	claims.Issuer, _ = members["iss"].(string)
	claims.Audience, _ = members["aud"].(string)
	claims.Nonce, _ = members["nonce"].(string)
	if claims.Issuer != y.Issuer || claims.Audience != y.client() || claims.Nonce != y.params.Get("nonce") {
		return a, "an ID token of somebody else"
	}
	return a, ""
}

// use uses the tokens, as their holder and as somebody who has nothing but them.
func (y *try) use(tokens answered) string {
	access := tokens.text("access_token")
	if a := y.holder.userinfo(access); a.Status != http.StatusOK || a.text("email") == "" {
		return "use " + a.text("error")
	}
	thief := &party{Server: y.Server, t: y.t, client: y.ways["none"], base: y.holder.base, auth: y.holder.auth}
	if a := thief.userinfo(access); (a.Status == http.StatusOK) != (y.binding == "nothing") {
		return "open to thieves"
	}
	if a := y.redeemer.refresh(tokens.text("refresh_token")); a.Status != http.StatusOK {
		return "refresh " + a.text("error")
	}
	return "ok"
}
