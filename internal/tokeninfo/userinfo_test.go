package tokeninfo_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

type httpRequest = http.Request

func (i *issuer) proof(method, token string) option { return i.proofAt(i.url, method, token) }

func (i *issuer) proofAt(base, method, token string) option {
	return header("DPoP", must(dpop.Make(i.key, method, base+"/userinfo", i.nonces.Current(i.now()), token, i.now())))
}

func (i *issuer) jkt() oauth.Confirmation {
	return oauth.Confirmation{JKT: i.key.Key().Thumbprint()}
}

func TestOIDCCore_5_4_ClaimsByScope(t *testing.T) {
	i := newRig(t).issuers["acme"]
	for scope, want := range map[string]map[string]any{
		"openid":         {},
		"openid read":    {},
		"openid profile": {"name": "Alice Doe", "given_name": "Alice", "updated_at": 1700000000.0},
		"openid email":   {"email": "alice@example.com", "email_verified": true},
		"openid phone":   {"phone_number": "+49 1", "phone_number_verified": false},
		"openid address": {"address": map[string]any{"formatted": "Street 1", "country": "DE"}},
		"openid shoes":   {"shoe_size": 42.0},
	} {
		want["sub"] = "alice"
		access, _ := i.issue(t, "jwt", scope, oauth.Confirmation{})
		for _, method := range []string{"GET", "POST"} {
			a := i.do(t, method, "/userinfo", nil, header("Authorization", "Bearer "+access))
			if d := cmp.Diff(want, a.body); a.status != 200 || d != "" {
				t.Errorf("%s %s: %d\n%s", method, scope, a.status, d)
			}
		}
	}
}

func TestRFC6750_2_WaysToSendTheToken(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "opaque", "openid", oauth.Confirmation{})
	form := url.Values{"access_token": {access}}
	for name, tc := range map[string]struct {
		method  string
		path    string
		form    url.Values
		options []option
		status  int
		code    string
	}{
		"header":                    {"GET", "", nil, []option{header("Authorization", "bEARER "+access)}, 200, ""},
		"form":                      {"POST", "", form, nil, 200, ""},
		"form and header":           {"POST", "", form, []option{header("Authorization", "Bearer "+access)}, 400, "invalid_request"},
		"form with others":          {"POST", "", url.Values{"x": {"y"}}, []option{header("Authorization", "Bearer "+access)}, 200, ""},
		"two headers":               {"GET", "", nil, []option{header("Authorization", "Bearer "+access), header("Authorization", "Bearer "+access)}, 400, "invalid_request"},
		"never in the address":      {"GET", "?access_token=" + access, nil, nil, 401, ""},
		"form of a GET":             {"GET", "", form, nil, 401, ""},
		"nothing after the scheme":  {"GET", "", nil, []option{header("Authorization", "Bearer")}, 400, "invalid_request"},
		"HTTP Basic":                {"GET", "", nil, []option{basic("shop")}, 401, ""},
		"a bearer token as DPoP":    {"GET", "", nil, []option{header("Authorization", "DPoP "+access), i.proof("GET", access)}, 401, "invalid_token"},
		"a token that is not alive": {"GET", "", nil, []option{header("Authorization", "Bearer abc")}, 401, "invalid_token"},
	} {
		if a := i.do(t, tc.method, "/userinfo"+tc.path, tc.form, tc.options...); a.status != tc.status || tc.code != "" && a.body["error"] != tc.code {
			t.Errorf("%s: %d %v", name, a.status, a.body)
		}
	}
}

func TestRFC9449_7_DPoPBoundToken(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "jwt", "openid", i.jkt())
	other, _ := i.issue(t, "jwt", "openid", i.jkt())
	stolen := i.key
	auth := header("Authorization", "DPoP "+access)
	once := i.proof("GET", access)
	if a := i.do(t, "GET", "/userinfo", nil, header("Authorization", "dpop "+access), once); a.status != 200 || a.header.Get("DPoP-Nonce") != i.nonces.Current(i.now()) {
		t.Fatalf("%d %v", a.status, a.body)
	}
	if a := i.do(t, "POST", "/userinfo", nil, auth, i.proof("POST", access)); a.status != 200 {
		t.Errorf("POST: %d %v", a.status, a.body)
	}
	if a := i.do(t, "GET", "/userinfo", nil, auth, func(r *httpRequest) { r.Host = "mtls.example:8443" }, i.proofAt(mtls, "GET", access)); a.status != 200 {
		t.Errorf("at the alias: %d %v", a.status, a.body)
	}
	noNonce := header("DPoP", must(dpop.Make(i.key, "GET", i.url+"/userinfo", "", access, i.now())))
	thief := must(jose.NewSigner(must(jose.GenerateKey(jose.ES256))))
	i.key = thief
	foreign := i.proof("GET", access)
	i.key = stolen
	for name, tc := range map[string]struct {
		options []option
		code    string
	}{
		"9 no nonce":            {[]option{auth, noNonce}, "use_dpop_nonce"},
		"11_1 used before":      {[]option{auth, once}, "invalid_dpop_proof"},
		"4_3 another method":    {[]option{auth, i.proof("POST", access)}, "invalid_dpop_proof"},
		"4_3 another address":   {[]option{auth, i.proofAt(mtls, "GET", access)}, "invalid_dpop_proof"},
		"4_3 of another token":  {[]option{auth, i.proof("GET", other)}, "invalid_dpop_proof"},
		"4_3 without ath":       {[]option{auth, i.proof("GET", "")}, "invalid_dpop_proof"},
		"4_3 no proof":          {[]option{auth}, "invalid_dpop_proof"},
		"4_3 two proofs":        {[]option{auth, i.proof("GET", access), i.proof("GET", access)}, "invalid_dpop_proof"},
		"7_1 another key":       {[]option{auth, foreign}, "invalid_token"},
		"7_2 as a bearer token": {[]option{header("Authorization", "Bearer "+access), i.proof("GET", access)}, "invalid_token"},
	} {
		a := i.do(t, "GET", "/userinfo", nil, tc.options...)
		if a.status != 401 || a.body["error"] != tc.code {
			t.Errorf("%s: %d %v", name, a.status, a.body)
		}
		challenge := strings.Join(a.header.Values("WWW-Authenticate"), "\n")
		if !strings.Contains(challenge, `error="`+tc.code+`"`) || !strings.Contains(challenge, "DPoP ") || !strings.Contains(challenge, `algs="ES256 EdDSA PS256"`) {
			t.Errorf("%s: challenge %q", name, challenge)
		}
	}
	if a := i.do(t, "POST", "/userinfo", url.Values{"access_token": {access}}, i.proof("POST", access)); a.status != 401 {
		t.Errorf("in a form: %d", a.status)
	}
}

func TestRFC8705_3_CertificateBoundToken(t *testing.T) {
	r := newRig(t)
	i := r.issuers["acme"]
	access, _ := i.issue(t, "jwt", "openid", oauth.Confirmation{X5T: ca.Thumbprint(i.cert)})
	auth := header("Authorization", "Bearer "+access)
	for name, tc := range map[string]struct {
		options []option
		status  int
	}{
		"the certificate":     {[]option{auth, i.withCert(i.cert)}, 200},
		"none":                {[]option{auth}, 401},
		"another":             {[]option{auth, i.withCert(r.issuers["beta"].cert)}, 401},
		"in the scheme DPoP":  {[]option{header("Authorization", "DPoP "+access), i.withCert(i.cert)}, 401},
		"a header is nothing": {[]option{auth, header("Client-Cert", "x")}, 401},
	} {
		if a := i.do(t, "GET", "/userinfo", nil, tc.options...); a.status != tc.status || tc.status == 401 && a.body["error"] != "invalid_token" {
			t.Errorf("%s: %d %v", name, a.status, a.body)
		}
	}
	both := i.jkt()
	both.X5T = ca.Thumbprint(i.cert)
	access, _ = i.issue(t, "jwt", "openid", both)
	auth = header("Authorization", "DPoP "+access)
	if a := i.do(t, "GET", "/userinfo", nil, auth, i.proof("GET", access)); a.status != 401 {
		t.Errorf("proof without certificate: %d", a.status)
	}
	if a := i.do(t, "GET", "/userinfo", nil, auth, i.withCert(i.cert), i.proofAt(mtls, "GET", access)); a.status != 200 {
		t.Errorf("both: %d %v", a.status, a.body)
	}
}

func TestRFC6750_3_1_Challenges(t *testing.T) {
	i := newRig(t).issuers["acme"]
	api, _ := i.issue(t, "jwt", "read", oauth.Confirmation{})
	for name, tc := range map[string]struct {
		options []option
		status  int
		want    []string
	}{
		"no token": {nil, 401, []string{`Bearer realm="holdfast"`, `DPoP realm="holdfast", algs="ES256 EdDSA PS256"`}},
		"dead token": {[]option{header("Authorization", "Bearer abc")}, 401, []string{
			`Bearer realm="holdfast", error="invalid_token", error_description="the access token is not valid"`,
			`DPoP realm="holdfast", algs="ES256 EdDSA PS256"`,
		}},
		"without openid": {[]option{header("Authorization", "Bearer "+api)}, 403, []string{
			`Bearer realm="holdfast", error="insufficient_scope", error_description="the scope openid is needed"`,
			`DPoP realm="holdfast", algs="ES256 EdDSA PS256"`,
		}},
	} {
		a := i.do(t, "GET", "/userinfo", nil, tc.options...)
		if d := cmp.Diff(tc.want, a.header.Values("WWW-Authenticate")); a.status != tc.status || d != "" {
			t.Errorf("%s: %d\n%s", name, a.status, d)
		}
	}
}

func TestUserinfoEndsWithThePerson(t *testing.T) {
	r := newRig(t)
	i := r.issuers["acme"]
	access, _ := i.issue(t, "jwt", "openid", oauth.Confirmation{})
	foreign, _ := r.issuers["beta"].issue(t, "jwt", "openid", oauth.Confirmation{})
	status := func(token string) int {
		t.Helper()
		return i.do(t, "GET", "/userinfo", nil, header("Authorization", "Bearer "+token)).status
	}
	if status(access) != 200 || status(foreign) != 401 {
		t.Error("a token of another issuer is taken, or one of ours is not")
	}
	i.write(t, func(tx *store.Tx) error {
		a, err := tx.Account("alice")
		if err != nil {
			return err
		}
		a.Disabled = true
		return tx.PutAccount(a)
	})
	if status(access) != 401 {
		t.Error("a disabled account is told about")
	}
	beta := r.issuers["beta"]
	opaque, refresh := beta.issue(t, "opaque", "openid", oauth.Confirmation{})
	held, err := beta.minter.Recognise(t.Context(), refresh)
	if err != nil {
		t.Fatal(err)
	}
	beta.write(t, func(tx *store.Tx) error { return tokens.RevokeGrant(tx, &held.Refresh.Grant) })
	if a := beta.do(t, "GET", "/userinfo", nil, header("Authorization", "Bearer "+opaque)); a.status != 401 {
		t.Errorf("after the grant was revoked: %d", a.status)
	}
	i.pass(time.Hour)
	if status(foreign) != 401 {
		t.Error("expired and foreign")
	}
}
