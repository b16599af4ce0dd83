package grant_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	payments = "https://pay.example" // knows payments, and orders too
	keyOnly  = "https://key.example"
	certOnly = "https://cert.example"
)

const (
	orderType   = `{"type":"order","schema":{"properties":{"actions":{"items":{"enum":["read","write","cancel"]}},"limit":{"type":"integer"}}}}`
	paymentType = `{"type":"payment","schema":{"properties":{"amount":{"type":"string"},"actions":{}},"required":["amount"]}}`
)

// detailed is acme with APIs that know types of details, and clients that may ask for them.
func detailed(t testing.TB) *tenant {
	t.Helper()
	n := install(t, tokens.Lifetimes{}).acme
	types := `"authorization_details_types":["order","payment"],"resources":["` + orders + `","` + payments + `"]`
	doc := func(kind, body string) objects.Document {
		return objects.Document{Kind: kind, Body: json.RawMessage(body)}
	}
	n.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, n.ring, objects.ManagedByFile, []objects.Document{
			doc("api", `{"resource":"`+orders+`","scopes":["read","write"],"exchangers":["gateway"],"authorization_details_types":[`+orderType+`]}`),
			doc("api", `{"resource":"`+payments+`","scopes":["pay"],"access_token_format":"opaque","access_token_lifetime":60,"authorization_details_types":[`+paymentType+`,`+orderType+`]}`),
			doc("api", `{"resource":"`+inner+`","scopes":["read","audit"],"exchangers":["gateway"],"authorization_details_types":[`+orderType+`]}`),
			doc("api", `{"resource":"`+keyOnly+`","scopes":["read"],"required_binding":"dpop"}`),
			doc("api", `{"resource":"`+certOnly+`","scopes":["read"],"required_binding":"certificate"}`),
			doc("client", `{"client_id":"rich","token_endpoint_auth_method":"none","redirect_uris":["`+callback+`"],"grant_types":["authorization_code","refresh_token"],"scope":"openid read write pay offline_access",`+types+`}`),
			doc("client", `{"client_id":"alone","token_endpoint_auth_method":"none","redirect_uris":["`+callback+`"],"grant_types":["authorization_code","refresh_token"],"scope":"openid read","resources":["`+orders+`"],"authorization_details_types":["order"]}`),
			doc("client", `{"client_id":"richself","token_endpoint_auth_method":"client_secret_post","client_secret":"`+secret+`","grant_types":["client_credentials"],"scope":"read write pay",`+types+`}`),
			doc("client", `{"client_id":"bound","token_endpoint_auth_method":"self_signed_tls_client_auth","jwks":`+string(identities().jwks["mtls"])+`,"grant_types":["client_credentials"],"scope":"read","resources":["`+keyOnly+`","`+certOnly+`"]}`),
		})
		return err
	})
	return n
}

// granting is a code with details, of a client that asks for nothing else unless it says so.
func granting(text string, resources ...string) func(*request.Authorization) {
	return func(a *request.Authorization) {
		a.Scope, a.Resources, a.Details = nil, resources, json.RawMessage(text)
	}
}

func (a answer) details(t tb) string {
	t.Helper()
	if a.body["authorization_details"] == nil {
		return ""
	}
	text, err := json.Marshal(a.body["authorization_details"])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	readWrite = `[{"actions":["read","write"],"type":"order"}]`
	both      = `[{"actions":["read"],"limit":3,"type":"order"},{"amount":"45.00","type":"payment"}]`
	anOrder   = `[{"actions":["read"],"limit":3,"type":"order"}]`
	aPayment  = `[{"amount":"45.00","type":"payment"}]`
)

func TestRFC9396_7_DetailsOfATokenAreAnswered(t *testing.T) {
	n := detailed(t)
	for name, c := range map[string]struct {
		granted  string
		at       []string // granted resources
		resource string   // of the token request
		want     string
		aud      string
	}{
		"the only API that knows them":                  {aPayment, nil, "", aPayment, payments},
		"one resource granted":                          {readWrite, []string{orders}, "", readWrite, orders},
		"RFC 9396 §9.1, those of the one API":           {both, []string{orders, payments}, orders, anOrder, orders},
		"RFC 9396 §9.1, those of the other":             {both, []string{orders, payments}, payments, both, payments},
		"RFC 9396 §3.2, by location":                    {`[{"locations":["` + payments + `"],"type":"order"},{"limit":1,"type":"order"}]`, nil, orders, `[{"limit":1,"type":"order"}]`, orders},
		"RFC 9396 §3.2, the only API that has a detail": {`[{"locations":["` + payments + `"],"type":"order"}]`, nil, "", `[{"locations":["` + payments + `"],"type":"order"}]`, payments},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t)
			code := n.code(t, "rich", granting(c.granted, c.at...))
			a := ok(t, n.post(t, with(codeForm("rich", code), "resource", c.resource), k.proof()))
			claims := n.claims(t, a.str("access_token"))
			if a.details(t) != c.want || string(claims.Details) != c.want || a.body["scope"] != nil || claims.Scope != "" {
				t.Errorf("answer %v, claims %+v", a.body, claims)
			}
			if !slices.Equal(claims.Audience, []string{c.aud}) {
				t.Errorf("for %v", claims.Audience)
			}
			// RFC 9396 §6: a refresh keeps all that was granted, whatever this token was for.
			a = ok(t, n.post(t, with(refreshForm("rich", a.str("refresh_token")), "resource", c.resource), k.proof()))
			if a.details(t) != c.want {
				t.Errorf("refreshed to %v", a.body)
			}
		})
	}
}

func TestRFC9396_3_1_DetailsBesideScope(t *testing.T) {
	n := detailed(t)
	code := n.code(t, "alone", func(a *request.Authorization) { a.Details = json.RawMessage(readWrite) })
	a := ok(t, n.post(t, codeForm("alone", code), newKey(t).proof()))
	if a.details(t) != readWrite || a.str("scope") != "openid read" || a.str("id_token") == "" {
		t.Errorf("answer %v", a.body)
	}
	// What is of no API stays away from a token that is for the issuer alone.
	code = n.code(t, "rich", func(a *request.Authorization) { a.Scope, a.Details = []string{"openid"}, json.RawMessage(readWrite) })
	a = ok(t, n.post(t, codeForm("rich", code), newKey(t).proof()))
	if claims := n.claims(t, a.str("access_token")); a.details(t) != "" || claims.Details != nil || !slices.Equal(claims.Audience, []string{n.issuer}) {
		t.Errorf("answer %v for %v", a.body, claims.Audience)
	}
}

func TestRFC9396_6_Narrowing(t *testing.T) {
	n := detailed(t)
	located := `[{"type":"order","actions":["read"],"locations":["` + orders + `","` + payments + `"]}]`
	for name, c := range map[string]struct {
		granted, asked, want, code string
	}{
		"all":                 {readWrite, readWrite, readWrite, ""},
		"in another order":    {readWrite, `[{"type":"order","actions":["write","read"]}]`, `[{"actions":["write","read"],"type":"order"}]`, ""},
		"fewer actions":       {readWrite, `[{"type":"order","actions":["read"]}]`, `[{"actions":["read"],"type":"order"}]`, ""},
		"fewer objects":       {both, anOrder, anOrder, ""},
		"fewer locations":     {located, `[{"type":"order","actions":["read"],"locations":["` + orders + `"]}]`, `[{"actions":["read"],"locations":["` + orders + `"],"type":"order"}]`, ""},
		"one action more":     {readWrite, `[{"type":"order","actions":["read","cancel"]}]`, "", "invalid_authorization_details"},
		"any action":          {readWrite, `[{"type":"order"}]`, "", "invalid_authorization_details"},
		"a limit gone":        {both, `[{"type":"order","actions":["read"]}]`, "", "invalid_authorization_details"},
		"a higher limit":      {both, `[{"type":"order","actions":["read"],"limit":4}]`, "", "invalid_authorization_details"},
		"locations gone":      {located, `[{"type":"order","actions":["read"]}]`, "", "invalid_authorization_details"},
		"an object more":      {anOrder, both, "", "invalid_authorization_details"},
		"nothing granted":     {"", anOrder, "", "invalid_authorization_details"},
		"of another resource": {both, aPayment, "", "invalid_authorization_details"},
		"no JSON":             {readWrite, `[`, "", "invalid_authorization_details"},
		"a member twice":      {readWrite, `[{"type":"order","type":"order"}]`, "", "invalid_authorization_details"},
		"none, and no scope":  {readWrite, `[]`, "", "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t)
			edit := granting(c.granted, orders, payments)
			if c.granted == "" {
				edit = func(a *request.Authorization) { a.Resources = []string{orders, payments} }
			}
			form := with(codeForm("rich", n.code(t, "rich", edit)), "resource", orders)
			values := url.Values{"authorization_details": {c.asked}}
			for name, value := range form {
				values.Set(name, value)
			}
			a := n.send(t, values, k.proof())
			if c.code != "" {
				want(t, a, 400, c.code)
				return
			}
			if ok(t, a).details(t) != c.want || string(n.claims(t, a.str("access_token")).Details) != c.want {
				t.Errorf("code: answer %v", a.body)
			}
			// The grant itself keeps what the person allowed; the next token narrows anew.
			whole := ok(t, n.post(t, with(refreshForm("rich", a.str("refresh_token")), "resource", orders), k.proof()))
			if whole.details(t) == "" || len(whole.details(t)) < len(c.want) {
				t.Errorf("refresh: answer %v", whole.body)
			}
			values = url.Values{
				"grant_type": {"refresh_token"}, "client_id": {"rich"}, "refresh_token": {a.str("refresh_token")}, "resource": {orders},
				"authorization_details": {c.asked},
			}
			if a := ok(t, n.send(t, values, k.proof())); a.details(t) != c.want {
				t.Errorf("narrowed refresh: answer %v", a.body)
			}
		})
	}
}

// Whatever a client asks for with a code, its token says nothing that the person had not allowed.
func TestTokensNeverSayMoreThanWasGranted(t *testing.T) {
	n := detailed(t)
	action := rapid.SampledFrom([]string{"read", "write", "cancel"})
	object := rapid.Custom(func(t *rapid.T) map[string]any {
		d := map[string]any{"type": "order"}
		if rapid.Bool().Draw(t, "actions") {
			d["actions"] = rapid.SliceOfNDistinct(action, 1, 3, func(s string) string { return s }).Draw(t, "actions")
		}
		if rapid.Bool().Draw(t, "limited") {
			d["limit"] = rapid.IntRange(1, 2).Draw(t, "limit")
		}
		return d
	})
	lists := rapid.SliceOfN(object, 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		granted, err := details.Parse(string(must(json.Marshal(lists.Draw(t, "granted")))))
		if err != nil {
			t.Fatal(err)
		}
		asked := string(must(json.Marshal(lists.Draw(t, "asked"))))
		code := n.code(t, "alone", granting(string(granted.JSON())))
		values := url.Values{"authorization_details": {asked}}
		for name, value := range codeForm("alone", code) {
			values.Set(name, value)
		}
		a := n.send(t, values, newKey(t).proof())
		wanted, _ := details.Parse(asked)
		if !granted.Covers(wanted) {
			want(t, a, 400, "invalid_authorization_details")
			return
		}
		got, err := details.Read(n.claims(t, ok(t, a).str("access_token")).Details)
		if err != nil || !granted.Covers(got) || !got.Covers(wanted) || !wanted.Covers(got) {
			t.Fatalf("granted %s, asked %s, got %s", granted.JSON(), asked, got.JSON())
		}
	})
}

func TestRFC9396_6_ClientCredentials(t *testing.T) {
	n := detailed(t)
	for name, c := range map[string]struct {
		details, scope, resource string
		want, wantScope, aud     string
		code                     string
	}{
		"the only API that knows it":  {aPayment, "", "", aPayment, "", payments, ""},
		"beside scope":                {anOrder, "read", orders, anOrder, "read", orders, ""},
		"by location":                 {`[{"locations":["` + orders + `"],"type":"order"}]`, "", "", `[{"locations":["` + orders + `"],"type":"order"}]`, "", orders, ""},
		"none":                        {"", "", orders, "", "read write", orders, ""},
		"at several":                  {anOrder, "", "", "", "", "", "invalid_target"},
		"of another API":              {aPayment, "", orders, "", "", "", "invalid_authorization_details"},
		"one of two of another API":   {both, "", orders, "", "", "", "invalid_authorization_details"},
		"an unknown type":             {`[{"type":"wire"}]`, "", orders, "", "", "", "invalid_authorization_details"},
		"an unknown field":            {`[{"type":"order","to":"x"}]`, "", orders, "", "", "", "invalid_authorization_details"},
		"an invalid value":            {`[{"type":"order","limit":"x"}]`, "", orders, "", "", "", "invalid_authorization_details"},
		"a location not the client's": {`[{"type":"order","locations":["` + inner + `"]}]`, "", orders, "", "", "", "invalid_authorization_details"},
		"no JSON":                     {`x`, "", orders, "", "", "", "invalid_authorization_details"},
	} {
		t.Run(name, func(t *testing.T) {
			values := url.Values{"grant_type": {"client_credentials"}, "client_id": {"richself"}, "client_secret": {secret}}
			for name, value := range map[string]string{"authorization_details": c.details, "scope": c.scope, "resource": c.resource} {
				if value != "" {
					values.Set(name, value)
				}
			}
			a := n.send(t, values, newKey(t).proof())
			if c.code != "" {
				want(t, a, 400, c.code)
				return
			}
			claims := n.claims(t, ok(t, a).str("access_token"))
			if a.details(t) != c.want || string(claims.Details) != c.want || claims.Scope != c.wantScope || !slices.Equal(claims.Audience, []string{c.aud}) {
				t.Errorf("answer %v, claims %+v", a.body, claims)
			}
		})
	}
	values := url.Values{"grant_type": {"client_credentials"}, "client_id": {"machine"}, "client_secret": {secret}, "authorization_details": {anOrder}}
	want(t, n.send(t, values), 400, "invalid_authorization_details") // RFC 9396 §10: not registered for it
}

// A type that a client or an API has lost since is not issued any more.
func TestDetailsEndWithTheirType(t *testing.T) {
	n := detailed(t)
	code := n.code(t, "rich", granting(both, orders, payments))
	n.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, n.ring, objects.ManagedByFile, []objects.Document{{Kind: "api", Body: json.RawMessage(
			`{"resource":"` + payments + `","scopes":["pay"],"authorization_details_types":[` + paymentType + `]}`)}})
		return err
	})
	a := ok(t, n.post(t, with(codeForm("rich", code), "resource", payments), newKey(t).proof()))
	if a.details(t) != aPayment {
		t.Errorf("answer %v", a.body)
	}
}

func TestExchangeCarriesDetails(t *testing.T) {
	n := detailed(t)
	located := `[{"actions":["read","write"],"locations":["` + orders + `"],"type":"order"}]`
	code := n.code(t, "rich", granting(located))
	outer := ok(t, n.post(t, codeForm("rich", code), newKey(t).proof())).str("access_token")
	a := ok(t, n.post(t, exchangeForm("gateway", outer, inner), gatewayCert()))
	if claims := n.claims(t, a.str("access_token")); a.details(t) != located || string(claims.Details) != located || claims.Scope != "" {
		t.Errorf("answer %v", a.body)
	}
	// An API behind that does not know the type is told nothing of it, and nothing is nothing to exchange for.
	want(t, n.post(t, exchangeForm("gateway", outer, deepest), gatewayCert()), 400, "invalid_scope")
	narrow := func(asked string) answer {
		values := url.Values{"authorization_details": {asked}}
		for name, value := range exchangeForm("gateway", outer, inner) {
			values.Set(name, value)
		}
		return n.send(t, values, gatewayCert())
	}
	if a := ok(t, narrow(`[{"actions":["read"],"locations":["`+orders+`"],"type":"order"}]`)); a.details(t) != `[{"actions":["read"],"locations":["`+orders+`"],"type":"order"}]` {
		t.Errorf("answer %v", a.body)
	}
	want(t, narrow(`[{"actions":["cancel"],"locations":["`+orders+`"],"type":"order"}]`), 400, "invalid_authorization_details")
}

// RFC 8707 §2.2: of several resources that were granted each token is for one, with its scopes, its format and its time.
func TestRFC8707_2_2_OneResourceOfSeveral(t *testing.T) {
	n := detailed(t)
	k := newKey(t)
	code := n.code(t, "rich", func(a *request.Authorization) {
		a.Scope, a.Resources = []string{"read", "pay"}, []string{orders, payments}
	})
	a := ok(t, n.post(t, with(codeForm("rich", code), "resource", orders), k.proof()))
	refresh := a.str("refresh_token")
	check := func(a answer, aud, scope string, lifetime float64, dots int) {
		t.Helper()
		claims := n.claims(t, ok(t, a).str("access_token"))
		if d := cmp.Diff([]string{aud}, []string(claims.Audience)); d != "" || claims.Scope != scope || a.body["expires_in"] != lifetime {
			t.Errorf("%s: answer %v, claims %+v", aud, a.body, claims)
		}
		got := 0
		for _, c := range a.str("access_token") {
			if c == '.' {
				got++
			}
		}
		if got != dots {
			t.Errorf("%s: the token %s", aud, a.str("access_token"))
		}
	}
	check(a, orders, "read", 300, 2)
	check(n.post(t, with(refreshForm("rich", refresh), "resource", payments), k.proof()), payments, "pay", 60, 1)
	check(n.post(t, with(refreshForm("rich", refresh), "resource", orders), k.proof()), orders, "read", 300, 2)
	want(t, n.post(t, refreshForm("rich", refresh), k.proof()), 400, "invalid_target")
	want(t, n.post(t, with(refreshForm("rich", refresh), "resource", orders+" "+payments), k.proof()), 400, "invalid_target")
	want(t, n.post(t, with(refreshForm("rich", refresh), "resource", inner), k.proof()), 400, "invalid_target")
	want(t, n.post(t, with(refreshForm("rich", refresh), "resource", payments, "scope", "read"), k.proof()), 400, "invalid_scope")
}

func TestRequiredBinding(t *testing.T) {
	n := detailed(t)
	cert, k := withCert(identities().cert), newKey(t)
	for name, c := range map[string]struct {
		resource string
		options  []option
		code     string
	}{
		"a key where a key is demanded":                 {keyOnly, []option{cert, k.proof()}, ""},
		"a certificate where a key is demanded":         {keyOnly, []option{cert}, "invalid_request"},
		"a certificate where a certificate is demanded": {certOnly, []option{cert}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := n.post(t, selfForm("bound", "resource", c.resource), c.options...)
			if c.code != "" {
				want(t, a, 400, c.code)
				return
			}
			bound := n.claims(t, ok(t, a).str("access_token")).Confirmation
			if bound == nil || (c.resource == keyOnly && bound.JKT != k.thumbprint()) || (c.resource == certOnly && bound.X5T == "") {
				t.Errorf("bound to %+v", bound)
			}
		})
	}
	// A key alone does not do where a certificate is demanded.
	n.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, n.ring, objects.ManagedByFile, []objects.Document{{Kind: "client", Body: json.RawMessage(
			`{"client_id":"keyed","token_endpoint_auth_method":"client_secret_post","client_secret":"` + secret + `","grant_types":["client_credentials"],"scope":"read","resources":["` + certOnly + `"]}`)}})
		return err
	})
	want(t, n.post(t, withSecret("keyed"), k.proof()), 400, string(oauth.InvalidRequest))
}

// Whoever takes back their consent takes back a code that nobody has redeemed yet.
func TestCodeAfterConsentWasTakenBack(t *testing.T) {
	n := detailed(t)
	consent := store.Consent{AccountID: "alice", ClientID: "rich", Scope: []string{"openid", "read"}}
	put := func(edit func(*store.Consent)) {
		n.write(t, func(tx *store.Tx) error {
			c := consent
			c.GrantedAt = tx.Now
			if edit != nil {
				edit(&c)
			}
			return tx.PutConsent(c)
		})
	}
	form := func() map[string]string { return with(codeForm("rich", n.code(t, "rich")), "resource", orders) }
	put(nil)
	ok(t, n.post(t, form(), newKey(t).proof()))
	waiting := form()
	n.write(t, func(tx *store.Tx) error { return tx.RevokeConsent("alice", "rich") })
	want(t, n.post(t, waiting, newKey(t).proof()), 400, "invalid_grant")

	n.pass(1000)
	ok(t, n.post(t, form(), newKey(t).proof())) // issued later: the person was asked again, or need not be
}
