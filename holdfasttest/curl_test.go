package holdfasttest_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

func TestPartnerWithCurlAndOpenSSL(t *testing.T) { partnerWithCurl(t, holdfasttest.Start(t)) }

// partnerWithCurl does what a partner's developer does on the first day.
func partnerWithCurl(t *testing.T, s *holdfasttest.Server) {
	c := s.Clients["partner_mtls"]
	own := []string{"--cert", c.CertFile, "--key", c.KeyFile}
	foreignCert, foreignKey := filepath.Join(t.TempDir(), "c.pem"), filepath.Join(t.TempDir(), "k.pem")
	runProgram(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
		"-subj", "/O=Holdfast/CN=partner.example", "-out", foreignCert, "-keyout", foreignKey)
	foreign := []string{"--cert", foreignCert, "--key", foreignKey}
	curl := func(args ...string) (body map[string]any, all string) {
		t.Helper()
		all = runProgram(t, "curl", append([]string{"-s", "--cacert", s.CAFile}, args...)...)
		if i := strings.LastIndex(all, "\r\n\r\n"); i >= 0 {
			_ = json.Unmarshal([]byte(all[i:]), &body) // an answer with headers
		} else if err := json.Unmarshal([]byte(all), &body); err != nil {
			t.Fatalf("curl %v: %v\n%s", args, err, all)
		}
		return body, all
	}
	ask := []string{
		s.MTLSIssuer + "/token", "-d", "grant_type=client_credentials", "-d", "client_id=" + c.ID,
		"--data-urlencode", "scope=" + c.Scope, "--data-urlencode", "resource=" + c.Resource,
	}
	got, _ := curl(append(ask, own...)...)
	token, _ := got["access_token"].(string)
	if token == "" || got["expires_in"] != float64(300) {
		t.Fatalf("token: %v", got)
	}
	thumbprint := strings.TrimSpace(runProgram(t, "sh", "-c",
		"openssl x509 -in '"+c.CertFile+"' -outform DER | openssl dgst -sha256 -binary | openssl base64 -A | tr '+/' '-_' | tr -d '='"))
	rs := s.Clients["resource_server"]
	seen, _ := curl("-u", rs.ID+":"+rs.Secret, s.Issuer+"/introspect", "-d", "token="+token)
	if cnf, _ := seen["cnf"].(map[string]any); seen["active"] != true || cnf["x5t#S256"] != thumbprint {
		t.Errorf("introspection: %v, certificate %s", seen, thumbprint)
	}
	for name, args := range map[string][]string{"another certificate": foreign, "no certificate": nil} {
		if a, _ := curl(append(ask, args...)...); a["error"] != "invalid_client" {
			t.Errorf("token with %s: %v", name, a)
		}
		a, all := curl(append([]string{"-i", s.MTLSIssuer + "/userinfo", "-H", "Authorization: Bearer " + token}, args...)...)
		if a["error"] != "invalid_token" || !strings.HasPrefix(all, "HTTP/2 401") {
			t.Errorf("userinfo with %s: %s", name, all)
		}
	}
	// With its own certificate it is the right holder, of a token that is for no person.
	if a, all := curl(append([]string{"-i", s.MTLSIssuer + "/userinfo", "-H", "Authorization: Bearer " + token}, own...)...); a["error"] != "insufficient_scope" {
		t.Errorf("userinfo with the certificate: %s", all)
	}
}
