package holdfasttest_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// reachable lets the landscape fetch from the shelf, which is on this machine.
func (s *shelf) reachable(t *testing.T) func(folder, text string) string {
	return func(folder, text string) string {
		at, err := url.Parse(s.URL)
		if err != nil {
			t.Error(err)
			return text
		}
		root := filepath.Join(folder, "shelf.pem")
		if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
			t.Error(err)
		}
		return text + "\noutbound:\n  ca_files: [shelf.pem]\n  allow:\n    - {purpose: request_uri, cidr: 127.0.0.0/8, ports: [" + at.Port() + "]}\n"
	}
}

// register makes the clients of all combinations.
func (d *drivers) register(t *testing.T) {
	t.Helper()
	var documents strings.Builder
	done := map[string]bool{}
	for _, c := range combinations() {
		if done[c.client()] {
			continue
		}
		done[c.client()] = true
		text, err := json.Marshal(d.document(t, c))
		if err != nil {
			t.Fatal(err)
		}
		documents.WriteString("---\n" + string(text) + "\n")
	}
	d.Apply("", documents.String())
}

func (d *drivers) document(t *testing.T, c combination) map[string]any {
	m := map[string]any{
		"kind": "client", "client_id": c.client(), "profile": c.profile, "token_endpoint_auth_method": c.auth, "first_party": true,
		"redirect_uris": []string{driverCallback}, "grant_types": []string{"authorization_code", "refresh_token"},
		"scope": "openid email offline_access", "request_uris": []string{d.shelf.URL + "/" + c.client()}, "jwks": d.jwks(t),
	}
	if c.secret() {
		m["client_secret"] = driverSecret
	}
	if c.auth == "tls_client_auth" {
		m["tls_client_auth_subject_dn"] = "CN=partner.example,O=Holdfast"
	}
	switch c.binding {
	case "dpop":
		m["dpop_bound_access_tokens"] = true
	case "certificate":
		m["tls_client_certificate_bound_access_tokens"] = true
	case "nothing":
		m["allow_bearer_tokens"] = true
	}
	return m
}

// jwks are the signing key and the self-signed certificate (RFC 8705 §2.2.2).
func (d *drivers) jwks(t *testing.T) map[string]any {
	t.Helper()
	key, err := jose.FromPublic(publicOf(d.own), "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(key.WithID("own"))
	if err != nil {
		t.Fatal(err)
	}
	jwk := map[string]any{}
	if err := json.Unmarshal(text, &jwk); err != nil {
		t.Fatal(err)
	}
	jwk["x5c"] = []string{base64.StdEncoding.EncodeToString(d.own.Certificate[0])}
	return map[string]any{"keys": []any{d.signer.Key(), jwk}}
}

// party is the client of a combination at the back channel.
func (d *drivers) party(t *testing.T, c combination) *party {
	p := &party{Server: d.Server, t: t, client: d.ways["none"], base: d.Issuer, auth: d.proves(c)}
	if c.certified() {
		p.client, p.base = d.ways["partner"], d.MTLSIssuer
		if c.auth == "self_signed_tls_client_auth" {
			p.client = d.ways["own"]
		}
	}
	if c.binding == "dpop" {
		p.key = d.Signer("")
	}
	return p
}

// proves is how a client authenticates.
func (d *drivers) proves(c combination) func(url.Values, *http.Request) {
	return func(v url.Values, r *http.Request) {
		switch c.auth {
		case "client_secret_basic":
			r.SetBasicAuth(c.client(), driverSecret)
		case "client_secret_post":
			v.Set("client_id", c.client())
			v.Set("client_secret", driverSecret)
		case "client_secret_jwt":
			assert(v, macToken(driverSecret, d.assertion(c)))
		case "private_key_jwt":
			assert(v, d.sealed(d.signer, d.assertion(c)))
		default:
			v.Set("client_id", c.client())
		}
	}
}

// assertion are the claims by which a client proves itself (RFC 7523 §3).
func (d *drivers) assertion(c combination) map[string]any {
	now := time.Now()
	return map[string]any{"iss": c.client(), "sub": c.client(), "aud": d.Issuer, "jti": store.NewID(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
}

func (d *drivers) sealed(by *jose.Signer, claims map[string]any) string {
	token, err := by.Sign("JWT", claims)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

func assert(v url.Values, token string) {
	v.Set("client_assertion_type", oauth.AssertionType)
	v.Set("client_assertion", token)
}

// macToken is what a client makes with its secret (RFC 7518 §3.2). The server only reads such tokens.
func macToken(secret string, claims map[string]any) string {
	text, _ := json.Marshal(claims) // of strings and numbers
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func publicOf(c tls.Certificate) crypto.PublicKey { return c.PrivateKey.(crypto.Signer).Public() }

// longRun says whether this is the long run.
func longRun() bool { return os.Getenv("HOLDFAST_CHECK_ALL") != "" }
