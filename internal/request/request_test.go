package request_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
)

const (
	issuer    = "https://login.example"
	callback  = "https://app.example/cb?tenant=1"
	orders    = "https://orders.example"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func client(edit func(*objects.Client)) *objects.Client {
	c := &objects.Client{ID: "app", Resources: []string{orders, "https://stock.example"}}
	c.RedirectURIs = []string{callback, "https://app.example/other"}
	c.ApplicationType, c.Scope = "web", "openid profile read"
	c.GrantTypes = []string{oauth.GrantAuthorizationCode}
	if edit != nil {
		edit(c)
	}
	return c
}

func right() url.Values {
	return url.Values{
		"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid read"},
		"state": {"s t/&="}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
}

func TestCheckNormalForm(t *testing.T) {
	v := right()
	for name, value := range map[string]string{
		"scope": " openid  read openid", "nonce": "n", "prompt": "login consent login", "max_age": "60",
		"login_hint": "alice", "dpop_jkt": challenge, "response_mode": "query", "ui_locales": "de", "unknown": "ignored",
	} {
		v.Set(name, value)
	}
	v["resource"] = []string{orders, "https://stock.example", orders}
	a, target, err := (&request.Checker{Issuer: issuer, Registry: registry(t)}).Check(t.Context(), client(nil), v)
	if err != nil || target == nil {
		t.Fatal(err)
	}
	age := int64(60)
	want := &request.Authorization{
		ClientID: "app", RedirectURI: callback, Scope: []string{"openid", "read"}, Resources: []string{orders, "https://stock.example"},
		State: "s t/&=", Nonce: "n", CodeChallenge: challenge, Prompt: []string{"login", "consent"}, MaxAge: &age, LoginHint: "alice", DPoPJKT: challenge,
		ResponseMode: "query", UILocales: []string{"de"},
	}
	if d := cmp.Diff(want, a); d != "" {
		t.Error(d)
	}
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back request.Authorization
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, &back); d != "" {
		t.Errorf("after a journey: %s", d)
	}
}

// Each rule refuses with its code, at the client when and only when the target is certain.
func TestCheckRefusals(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		name   string
		edit   func(*objects.Client)
		pairs  []string // parameters to set; "" unsets
		code   oauth.Code
		onPage bool
	}{
		{"RFC 6749 §3.1.2.2, another redirect_uri", nil, []string{"redirect_uri", "https://evil.example/cb"}, oauth.InvalidRequest, true},
		{"RFC 6749 §3.1.2.3, no redirect_uri", nil, []string{"redirect_uri", ""}, oauth.InvalidRequest, true},
		{"RFC 9700 §2.1, without its query", nil, []string{"redirect_uri", "https://app.example/cb"}, oauth.InvalidRequest, true},
		{"RFC 9700 §2.1, with more query", nil, []string{"redirect_uri", callback + "&x=1"}, oauth.InvalidRequest, true},
		{"RFC 9700 §2.1, in other letters", nil, []string{"redirect_uri", strings.Replace(callback, "app", "APP", 1)}, oauth.InvalidRequest, true},
		{"RFC 6749 §4.1.2.1, the grant is not for this client", func(c *objects.Client) { c.GrantTypes = nil }, nil, oauth.UnauthorizedClient, false},
		{"RFC 6749 §3.1.1, no response_type", nil, []string{"response_type", ""}, oauth.InvalidRequest, false},
		{"RFC 6749 §3.1.1, token", nil, []string{"response_type", "token"}, oauth.UnsupportedResponseType, false},
		{"RFC 6749 §3.1.1, hybrid", nil, []string{"response_type", "code id_token"}, oauth.UnsupportedResponseType, false},
		{"response_mode web_message", nil, []string{"response_mode", "web_message"}, oauth.InvalidRequest, false},
		{"RFC 7636 §4.4.1, no challenge", nil, []string{"code_challenge", ""}, oauth.InvalidRequest, false},
		{"RFC 7636 §4.3, plain", nil, []string{"code_challenge_method", "plain"}, oauth.InvalidRequest, false},
		{"RFC 7636 §4.3, no method is plain", nil, []string{"code_challenge_method", ""}, oauth.InvalidRequest, false},
		{"RFC 7636 §4.2, too short", nil, []string{"code_challenge", challenge[1:]}, oauth.InvalidRequest, false},
		{"RFC 7636 §4.2, too long", nil, []string{"code_challenge", challenge + "A"}, oauth.InvalidRequest, false},
		{"RFC 7636 §4.2, not base64url", nil, []string{"code_challenge", "+" + challenge[1:]}, oauth.InvalidRequest, false},
		{"RFC 6749 §3.3, no scope", nil, []string{"scope", ""}, oauth.InvalidScope, false},
		{"RFC 6749 §3.3, a scope not for this client", nil, []string{"scope", "openid write"}, oauth.InvalidScope, false},
		{"RFC 8707 §2, an API not for this client", nil, []string{"resource", "https://payroll.example"}, oauth.InvalidTarget, false},
		{"OIDC §3.1.2.1, prompt none with another", nil, []string{"prompt", "none login"}, oauth.InvalidRequest, false},
		{"OIDC §3.1.2.1, max_age below zero", nil, []string{"max_age", "-1"}, oauth.InvalidRequest, false},
		{"OIDC §3.1.2.1, max_age in words", nil, []string{"max_age", "ten"}, oauth.InvalidRequest, false},
		{"OIDC §3.1.2.1, max_age beyond measure", nil, []string{"max_age", "99999999999999999999"}, oauth.InvalidRequest, false},
		{"RFC 9449 §10, dpop_jkt is no thumbprint", nil, []string{"dpop_jkt", "abc"}, oauth.InvalidRequest, false},
		{"OIDC §6.1, request", nil, []string{"request", "e30.e30."}, oauth.RequestNotSupported, false},
		{"OIDC §6.2, request_uri", nil, []string{"request_uri", "https://app.example/r"}, oauth.RequestURINotSupported, false},
		{"OIDC §7.2.1, registration", nil, []string{"registration", "{}"}, oauth.RegistrationNotSupported, false},
		{"OIDC §6.1, request at an uncertain target", nil, []string{"request", "e30.e30.", "redirect_uri", "https://evil.example"}, oauth.RequestNotSupported, true},
		{"state without end", nil, []string{"state", long}, oauth.InvalidRequest, false},
		{"state without end beside a request", nil, []string{"state", long, "request", "e30.e30."}, oauth.RequestNotSupported, false},
		{"nonce without end", nil, []string{"nonce", long}, oauth.InvalidRequest, false},
		{"login_hint without end", nil, []string{"login_hint", long}, oauth.InvalidRequest, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := right()
			for i := 0; i < len(c.pairs); i += 2 {
				if v.Set(c.pairs[i], c.pairs[i+1]); c.pairs[i+1] == "" {
					v.Del(c.pairs[i])
				}
			}
			a, target, err := (&request.Checker{Issuer: issuer}).Check(t.Context(), client(c.edit), v)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.Code != c.code || a != nil {
				t.Fatalf("got %v, want %s", err, c.code)
			}
			if (target == nil) != c.onPage {
				t.Fatalf("target %v", target)
			}
			if target != nil {
				checkErrorAddress(t, address(t, must(target.Error(t.Context(), e))), e, v.Get("state"))
			}
			for n := 1; n < len(c.pairs); n += 2 {
				if value := c.pairs[n]; len(value) > 8 && strings.Contains(e.Detail, value) {
					t.Errorf("the description echoes the input: %s", e.Detail)
				}
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// address is where an answer leads that is no form.
func address(t testing.TB, a *request.Answer) string {
	t.Helper()
	if a.Form != nil {
		t.Fatalf("a form: %v", a)
	}
	return a.URL
}

// RFC 9207 §2: iss in every answer; RFC 6749 §4.1.2.1: state, if it was there.
func checkErrorAddress(t *testing.T, address string, e *oauth.Error, state string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, callback+"&") {
		t.Fatalf("address %s: %v", address, err)
	}
	if len(state) > 2048 {
		state = ""
	}
	q := u.Query()
	if q.Get("error") != string(e.Code) || q.Get("iss") != issuer || q.Get("state") != state || q.Has("code") || q.Get("tenant") != "1" {
		t.Errorf("address %s", address)
	}
}

func TestTargetCode(t *testing.T) {
	for uri, want := range map[string]string{
		"https://app.example/cb":     "https://app.example/cb?code=g.s&iss=https%3A%2F%2Flogin.example&state=s+t",
		"https://app.example/cb?a=b": "https://app.example/cb?a=b&code=g.s&iss=https%3A%2F%2Flogin.example&state=s+t",
		"com.example.app:/cb":        "com.example.app:/cb?code=g.s&iss=https%3A%2F%2Flogin.example&state=s+t",
		"http://127.0.0.1:7/":        "http://127.0.0.1:7/?code=g.s&iss=https%3A%2F%2Flogin.example&state=s+t",
	} {
		c := client(func(c *objects.Client) { c.RedirectURIs = []string{uri} })
		target, err := (&request.Checker{Issuer: issuer}).CheckRedirect(c, uri, "s t", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := address(t, must(target.Code(t.Context(), "g.s"))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// RFC 8252 §7.3: the port of a loopback address is free, for native clients and addresses alone.
func TestRFC8252_7_3_LoopbackPort(t *testing.T) {
	for _, c := range []struct {
		kind, registered, asked string
		ok                      bool
	}{
		{"native", "http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true},
		{"native", "http://127.0.0.1:1/cb?a=b", "http://127.0.0.1:51004/cb?a=b", true},
		{"native", "http://[::1]/cb", "http://[::1]:51004/cb", true},
		{"native", "http://127.0.0.1:8080/cb", "http://127.0.0.1/cb", true},
		{"web", "http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", false},
		{"native", "http://127.0.0.1/cb", "http://127.0.0.1:51004/other", false},
		{"native", "http://127.0.0.1/cb", "http://127.0.0.1:51004/cb?x", false},
		{"native", "http://127.0.0.1/cb", "http://127.0.0.1:51004/cb#f", false},
		{"native", "http://127.0.0.1/cb", "https://127.0.0.1:51004/cb", false},
		{"native", "http://127.0.0.1/cb", "http://127.0.0.2:51004/cb", false},
		{"native", "http://127.0.0.1/cb", "http://[::1]:51004/cb", false},
		{"native", "http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb", false},
		{"native", "http://127.0.0.1/cb", "http://evil@127.0.0.1:80/cb", false},
		{"native", "http://127.0.0.1/cb", "http://127.0.0.1.evil.example:80/cb", false},
		{"native", "http://127.0.0.1/cb", "http://127.0.0.1:80\\@evil.example/cb", false},
		{"native", "http://localhost/cb", "http://localhost:51004/cb", false},
		{"native", "http://localhost/cb", "http://localhost/cb", true},
		{"native", "https://app.example/cb", "https://app.example:8443/cb", false},
		{"native", "com.example.app:/cb", "com.example.app:/cb", true},
		{"native", "com.example.app:/cb", "com.example.app:/cb/", false},
	} {
		t.Run(fmt.Sprintf("%s %s for %s", c.kind, c.asked, c.registered), func(t *testing.T) {
			cl := client(func(cl *objects.Client) { cl.ApplicationType, cl.RedirectURIs = c.kind, []string{c.registered} })
			target, err := (&request.Checker{Issuer: issuer}).CheckRedirect(cl, c.asked, "", "")
			if (err == nil) != c.ok || (target != nil) != c.ok {
				t.Fatalf("got %v, %v", target, err)
			}
			if c.ok && !strings.HasPrefix(address(t, must(target.Code(t.Context(), "c"))), c.asked) {
				t.Error("leads elsewhere")
			}
		})
	}
}

func TestDefaultMaxAge(t *testing.T) {
	age := int64(30)
	c := client(func(c *objects.Client) { c.DefaultMaxAge = &age })
	a, _, err := (&request.Checker{}).Check(t.Context(), c, right())
	if err != nil || a.MaxAge == nil || *a.MaxAge != 30 {
		t.Errorf("got %v, %v", a, err)
	}
}

func TestClient(t *testing.T) {
	db := storetest.Open(t).For("acme")
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := objects.Import(tx, keys.NewRing(), objects.ManagedByFile, []objects.Document{{Kind: "client", Body: json.RawMessage(
			`{"client_id":"app","token_endpoint_auth_method":"none","redirect_uris":["https://app.example/cb"]}`)}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checker := &request.Checker{Issuer: issuer, Registry: objects.New(db)}
	if c, err := checker.Client(t.Context(), "app"); err != nil || c.ID != "app" {
		t.Errorf("got %v, %v", c, err)
	}
	for _, id := range []string{"", "nobody"} {
		_, err := checker.Client(t.Context(), id)
		if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.InvalidRequest {
			t.Errorf("client %q: %v", id, err)
		}
	}
	other := &request.Checker{Registry: objects.New(db.For("beta"))}
	if _, err := other.Client(t.Context(), "app"); err == nil {
		t.Error("another tenant knows the client")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(right().Encode())
	f.Add("redirect_uri=http://127.0.0.1:7/cb&state=%00&scope=%20&max_age=1e3&resource=a&resource=b&prompt=none+none")
	f.Add("redirect_uri=http://[::1%25eth0]:1/cb&request=&code_challenge=")
	details := right()
	details.Set("authorization_details", `[{"type":"order","actions":["read"],"locations":["https://orders.example"]}]`)
	f.Add(details.Encode())
	c := client(func(c *objects.Client) {
		c.ApplicationType, c.RedirectURIs = "native", []string{callback, "http://127.0.0.1/cb", "http://[::1]/cb"}
	})
	checker := &request.Checker{Issuer: issuer, Registry: registry(f)}
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		a, target, err := checker.Check(t.Context(), c, v)
		if (err == nil) != (a != nil) || a != nil && target == nil {
			t.Fatalf("%v %v %v", a, target, err)
		}
		if target == nil {
			return
		}
		u, err := url.Parse(address(t, must(target.Error(t.Context(), oauth.Refuse(oauth.InvalidRequest, "x")))))
		if err != nil {
			t.Fatal(err)
		}
		if host := u.Hostname(); host != "app.example" && host != "127.0.0.1" && host != "::1" {
			t.Fatalf("leads to %s", u)
		}
		if q := u.Query(); len(q["iss"]) != 1 || len(q["error"]) != 1 || len(q["state"]) > 1 {
			t.Fatalf("parameters %v", q)
		}
	})
}
