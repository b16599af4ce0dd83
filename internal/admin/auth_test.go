package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/admin"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

const path = "/admin/v1/clients"

func TestRFC9449_7_BoundTokenNeedsItsProof(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		code    string
	}{
		{"no credentials", []string{"Authorization", ""}, "invalid_token"},
		{"no proof", []string{"DPoP", ""}, "invalid_dpop_proof"},
		{"as a bearer token", []string{"Authorization", "Bearer token-of-acme", "DPoP", ""}, "invalid_token"},
		{"as a bearer token with proof", []string{"Authorization", "Bearer token-of-acme"}, "invalid_token"},
		{"not a proof", []string{"DPoP", "x.y.z"}, "invalid_dpop_proof"},
		{"unknown token", []string{"Authorization", "DPoP nonsense"}, "invalid_token"},
		{"another scheme", []string{"Authorization", "Basic dXNlcjpwYXNz"}, "invalid_token"},
		{"no token", []string{"Authorization", "DPoP"}, "invalid_token"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := single(t)
			w := b.call(http.StatusUnauthorized, "GET", path, "", test.headers...)
			if !strings.Contains(w.Body.String(), `"code":"`+test.code+`"`) || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), `DPoP realm="admin"`) {
				t.Errorf("%v %s", w.Header(), w.Body)
			}
		})
	}
}

func TestRFC9449_7_ProofFitsTheRequest(t *testing.T) {
	b := single(t)
	make := func(method, url, nonce, token string) string {
		proof, err := dpop.Make(b.signer, method, url, nonce, token, b.Now())
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	nonce := b.Nonces.Current(b.Now())
	good := make("GET", adminURL+path, nonce, b.token)
	for name, proof := range map[string]string{
		"method": make("PUT", adminURL+path, nonce, b.token),
		"URL":    make("GET", adminURL+path+"/x", nonce, b.token),
		"host":   make("GET", "https://other.example.com"+path, nonce, b.token),
		"token":  make("GET", adminURL+path, nonce, "another"),
		"key":    make("GET", adminURL+path, nonce, b.token), // replaced below
	} {
		if name == "key" {
			other := newBench(t, b.DB, "other")
			proof, _ = dpop.Make(other.signer, "GET", adminURL+path, nonce, b.token, b.Now())
		}
		if w := b.call(401, "GET", path, "", "DPoP", proof); !strings.Contains(w.Body.String(), "invalid_dpop_proof") {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	w := b.call(401, "GET", path, "", "DPoP", make("GET", adminURL+path, "", b.token))
	if !strings.Contains(w.Body.String(), "use_dpop_nonce") || w.Header().Get("DPoP-Nonce") == "" {
		t.Errorf("no nonce: %v %s", w.Header(), w.Body)
	}
	if w := b.call(200, "GET", path, "", "DPoP", good); w.Header().Get("DPoP-Nonce") == "" {
		t.Error("a good answer brings no nonce")
	}
	b.call(401, "GET", path, "", "DPoP", good) // RFC 9449 §11.1: once
}

func TestRFC9449_11_1_ProofOfARefusedRequestIsSpent(t *testing.T) {
	b := single(t)
	url := "/admin/v1/objects/scope/read"
	first := b.request("PUT", url, `{"name": "a b"}`, "If-None-Match", "*")
	if w := b.do(first); w.Code != 422 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	second := b.request("PUT", url, `{"name": "read"}`, "If-None-Match", "*", "DPoP", first.Header.Get("DPoP"))
	if w := b.do(second); w.Code != 401 {
		t.Errorf("the proof of a refused request worked again: %d %s", w.Code, w.Body)
	}
}

func TestRFC8705_3_CertificateBoundToken(t *testing.T) {
	b := single(t)
	mine, theirs, old := certificate("mine"), certificate("theirs"), certificate("mine")
	old.NotAfter = b.Now().AddDate(0, 0, -1)
	b.token = "cert"
	b.tokens["cert"] = &admin.Token{Subject: "robot", ClientID: "robot", Audience: []string{adminURL}, Scope: allScopes, Bound: oauth.Confirmation{X5T: ca.Thumbprint(mine)}}
	for _, test := range []struct {
		name   string
		peer   web.Peer
		status int
	}{
		{"its certificate", web.Peer{Certificate: mine}, 200},
		{"another certificate", web.Peer{Certificate: theirs}, 401},
		{"expired", web.Peer{Certificate: old}, 401},
		{"no certificate", web.Peer{}, 401},
	} {
		r := b.request("GET", path, "", "Authorization", "Bearer cert", "DPoP", "")
		r = r.WithContext(web.WithEvent(r.Context(), &web.Event{Peer: test.peer}))
		if w := b.do(r); w.Code != test.status {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
	}
	b.call(401, "GET", path, "") // a DPoP proof with some key does not stand for the certificate
}

func TestTokensAreForThisAPIAndBound(t *testing.T) {
	b := single(t)
	for name, change := range map[string]func(*admin.Token){
		"another audience": func(t *admin.Token) { t.Audience = []string{adminURL + "/", "https://api.example.com"} },
		"no audience":      func(t *admin.Token) { t.Audience = nil },
		"bound to nothing": func(t *admin.Token) { t.Bound = oauth.Confirmation{} },
	} {
		token := b.dpopToken(allScopes...)
		change(token)
		b.tokens[b.token] = token
		b.call(401, "GET", path, "")
		if w := b.do(b.request("GET", path, "", "Authorization", "Bearer "+b.token, "DPoP", "")); w.Code != 401 {
			t.Errorf("%s as a bearer token: %d", name, w.Code)
		}
	}
	b.call(500, "GET", path, "", "Authorization", "DPoP fault") // not 401: the token may be good
}

func TestScopesDecideAndRefusalsAreRecorded(t *testing.T) {
	b := single(t)
	b.tokens[b.token] = b.dpopToken("admin.clients.read", "admin.users.write")
	body := `{"redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "none"}`
	b.call(200, "GET", path, "")
	b.call(403, "PUT", path+"/web", body, "If-None-Match", "*")
	b.call(403, "PUT", "/admin/v1/objects/client/web", body, "If-None-Match", "*")
	b.call(403, "POST", "/admin/v1/apply", `{"documents": [{"kind": "client", "body": {}}]}`)
	b.call(403, "POST", "/admin/v1/apply", `{"documents": []}`)
	b.call(403, "GET", "/admin/v1/users", "")
	b.call(403, "GET", "/admin/v1/objects/api", "")
	b.call(403, "POST", "/admin/v1/keys/rotate", `{"alg": "ES256"}`)
	b.call(403, "GET", "/admin/v1/audit", "")
	b.call(404, "GET", path+"/web", "") // nothing was written
	refused := b.records("clients.put")
	if len(refused) != 2 || refused[0].Outcome != audit.Refused || refused[0].ActorID != "alice" || refused[0].Client != "cli" || refused[0].AddressPrefix != "192.0.2.0/24" || refused[0].RequestID != "r-1" {
		t.Errorf("records %+v", refused)
	}
	b.flush()
	if got := b.records("audit.query"); len(got) != 1 || got[0].Outcome != audit.Refused {
		t.Errorf("records %+v", got)
	}
	if got := b.records("clients.list"); len(got) != 1 || got[0].Outcome != audit.Success {
		t.Errorf("records %+v", got)
	}
}

func TestDevToken(t *testing.T) {
	b := single(t)
	bearer := []string{"Authorization", "Bearer development", "DPoP", ""}
	b.call(401, "GET", path, "", bearer...)
	b.DevToken = "development"
	b.call(200, "GET", path, "", bearer...)
	b.call(401, "GET", path, "", "Authorization", "Bearer developmenT", "DPoP", "")
	b.call(401, "GET", path, "", "Authorization", "DPoP development")
	b.DevToken = ""
	b.call(401, "GET", path, "", "Authorization", "Bearer ", "DPoP", "")
}
