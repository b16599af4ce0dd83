package tokeninfo_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestRFC7662_2_2_Introspection(t *testing.T) {
	r := newRig(t)
	for _, i := range r.issuers {
		for _, format := range []string{"jwt", "opaque"} {
			for _, caller := range []string{"shop", "orders-api"} {
				access, _ := i.issue(t, format, "openid read", oauth.Confirmation{JKT: "thumb"})
				a := i.introspect(t, access, basic(caller))
				now := float64(i.now().Unix())
				if id, _ := a.body["jti"].(string); len(id) != 22 {
					t.Errorf("jti %v", a.body["jti"])
				}
				if id, _ := a.body["grant_id"].(string); len(id) != 22 {
					t.Errorf("grant_id %v", a.body["grant_id"])
				}
				delete(a.body, "jti")
				delete(a.body, "grant_id")
				want := map[string]any{
					"active": true, "scope": "openid read", "client_id": "shop", "token_type": "DPoP", "exp": now + 300, "iat": now,
					"sub": "alice", "aud": []any{orders, i.url}, "iss": i.url, "cnf": map[string]any{"jkt": "thumb"},
					"auth_time": now, "acr": "phr", "amr": []any{"hwk"}, "sid": "s-1",
				}
				if d := cmp.Diff(want, a.body); a.status != 200 || d != "" {
					t.Errorf("%s by %s: %d\n%s", format, caller, a.status, d)
				}
			}
		}
	}
}

func TestRFC7662_2_2_TokenTypes(t *testing.T) {
	i := newRig(t).issuers["acme"]
	for name, tc := range map[string]struct {
		bound oauth.Confirmation
		kind  string
		cnf   any
	}{
		"bearer":      {oauth.Confirmation{}, "Bearer", nil},
		"certificate": {oauth.Confirmation{X5T: "print"}, "Bearer", map[string]any{"x5t#S256": "print"}},
	} {
		access, _ := i.issue(t, "jwt", "openid", tc.bound)
		a := i.introspect(t, access, basic("shop"))
		if d := cmp.Diff(tc.cnf, a.body["cnf"]); a.body["token_type"] != tc.kind || d != "" {
			t.Errorf("%s: %v", name, a.body)
		}
	}
}

func TestRFC7662_2_2_Inactive(t *testing.T) {
	r := newRig(t)
	i := r.issuers["acme"]
	foreign, _ := r.issuers["beta"].issue(t, "jwt", "openid read", oauth.Confirmation{})
	other, _ := r.issuers["beta"].issue(t, "opaque", "openid read", oauth.Confirmation{})
	access, refresh := i.issue(t, "opaque", "openid read", oauth.Confirmation{})
	late, idle := i.issue(t, "jwt", "openid read", oauth.Confirmation{})
	check := func(name, token, caller string) {
		t.Helper()
		if a := i.introspect(t, token, basic(caller)); a.status != 200 || a.text != `{"active":false}` {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	check("nonsense", "abc", "shop")
	check("another issuer's", foreign, "shop")
	check("another tenant's", other, "shop")
	check("not the caller's", access, "stranger")
	check("a refresh token of another", refresh, "orders-api")
	i.pass(time.Hour)
	check("expired", late, "shop")
	check("expired with its grant", idle, "shop")
}

func TestRFC7662_2_RefreshToken(t *testing.T) {
	i := newRig(t).issuers["acme"]
	_, refresh := i.issue(t, "jwt", "openid read", oauth.Confirmation{X5T: "print"})
	a := i.introspect(t, refresh, basic("shop"))
	now := float64(i.now().Unix())
	want := map[string]any{
		"active": true, "scope": "openid read", "client_id": "shop", "exp": now + 3600, "iat": now, "sub": "alice", "iss": i.url,
		"cnf": map[string]any{"x5t#S256": "print"},
	}
	if d := cmp.Diff(want, a.body); d != "" {
		t.Error(d)
	}
}

func TestRFC7662_2_1_CallerMustAuthenticate(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "jwt", "openid read", oauth.Confirmation{})
	for name, tc := range map[string]struct {
		form    url.Values
		options []option
		status  int
		code    string
	}{
		"nobody":          {url.Values{"token": {access}}, nil, 401, "invalid_client"},
		"a public client": {url.Values{"token": {access}, "client_id": {"app"}}, nil, 401, "invalid_client"},
		"wrong secret":    {url.Values{"token": {access}}, []option{func(r *httpRequest) { r.SetBasicAuth("shop", "x") }}, 401, "invalid_client"},
		"no token":        {url.Values{}, []option{basic("shop")}, 400, "invalid_request"},
		"two tokens":      {url.Values{"token": {access, access}}, []option{basic("shop")}, 400, "invalid_request"},
	} {
		if a := i.do(t, "POST", "/introspect", tc.form, tc.options...); a.status != tc.status || a.body["error"] != tc.code {
			t.Errorf("%s: %d %v", name, a.status, a.body)
		}
	}
	if a := i.do(t, "GET", "/introspect", nil, basic("shop")); a.status != 405 && a.status != 404 {
		t.Errorf("GET: %d", a.status)
	}
}

func TestRFC7009_2_1_Revocation(t *testing.T) {
	r := newRig(t)
	for _, i := range r.issuers {
		for _, format := range []string{"jwt", "opaque"} {
			access, refresh := i.issue(t, format, "openid read", oauth.Confirmation{})
			active := func(token string) bool {
				t.Helper()
				return i.introspect(t, token, basic("shop")).body["active"] == true
			}
			revoked := func(token, by string, status int) {
				t.Helper()
				a := i.revoke(t, token, basic(by))
				if a.status != status || status == 200 && a.text != "" || status == 400 && a.body["error"] != "invalid_grant" {
					t.Errorf("%d %s", a.status, a.text)
				}
			}
			revoked(access, "stranger", 400)
			revoked(refresh, "orders-api", 400)
			if !active(access) || !active(refresh) {
				t.Error("another client could revoke")
			}
			revoked(access, "shop", 200)
			if active(access) || !active(refresh) {
				t.Error("an access token is revoked alone")
			}
			revoked(access, "shop", 200)
			again, whole := i.issue(t, format, "openid read", oauth.Confirmation{})
			revoked(whole, "shop", 200)
			if active(again) || active(whole) {
				t.Error("the grant lives although its refresh token was revoked")
			}
			revoked("nonsense", "shop", 200)
		}
		var records []store.AuditRecord
		i.write(t, func(tx *store.Tx) (err error) {
			records, err = tx.Audits(store.AuditFilter{})
			return err
		})
		if len(records) != 8 {
			t.Errorf("%d audit records", len(records))
		}
	}
}

func TestRFC7009_2_1_PublicClientRevokesItsOwn(t *testing.T) {
	i := newRig(t).issuers["acme"]
	access, _ := i.issue(t, "jwt", "openid read", oauth.Confirmation{})
	if a := i.do(t, "POST", "/revoke", url.Values{"token": {access}, "client_id": {"app"}}); a.status != 400 || a.body["error"] != "invalid_grant" {
		t.Errorf("%d %v", a.status, a.body)
	}
	if a := i.do(t, "POST", "/revoke", url.Values{"token": {access}}); a.status != 401 {
		t.Errorf("%d %v", a.status, a.body)
	}
	if a := i.do(t, "POST", "/revoke", url.Values{"client_id": {"app"}}); a.status != 400 {
		t.Errorf("%d %v", a.status, a.body)
	}
}
