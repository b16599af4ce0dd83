package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/jose"
)

// scripts are the clients on Node.js, which follow the same steps.
var scripts = []string{"openid-client.mjs", "oauth4webapi.mjs"}

// fapi is one combination of what FAPI 2.0 lets a client choose.
type fapi struct {
	name              string
	profile           string
	method            string // of client authentication
	dpop, certificate bool
	signed            bool // requests and answers
	binding           string
}

var combinations = []fapi{
	{"private_key_jwt and DPoP", "fapi2", "private_key_jwt", true, false, false, "dpop_bound_access_tokens"},
	{"private_key_jwt and certificate", "fapi2", "private_key_jwt", false, true, false, "tls_client_certificate_bound_access_tokens"},
	{"certificate and DPoP", "fapi2", "tls_client_auth", true, true, false, "dpop_bound_access_tokens"},
	{"certificate alone", "fapi2", "tls_client_auth", false, true, false, "tls_client_certificate_bound_access_tokens"},
	{"message signing", "fapi2-message-signing", "private_key_jwt", true, false, true, "dpop_bound_access_tokens"},
}

// TestNode runs each client in each combination against one landscape.
func TestNode(t *testing.T) {
	folder := install(t)
	s := holdfasttest.Start(t)
	for i, c := range combinations {
		settings := c.register(t, s, fmt.Sprintf("rp-%d", i))
		for _, script := range scripts {
			t.Run(c.name+"/"+strings.TrimSuffix(script, ".mjs"), func(t *testing.T) {
				got := run(t, s, folder, script, settings)
				if got.Subject == "" || got.Email != s.Users[0].Username || got.Refused != "invalid_grant" {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}

// register makes the client of a combination and what its script must know.
func (c *fapi) register(t *testing.T, s *holdfasttest.Server, id string) map[string]any {
	t.Helper()
	settings := map[string]any{
		"issuer": s.Issuer, "ca": s.CAFile, "client_id": id, "redirect_uri": callback, "dpop": c.dpop, "signed": c.signed,
		"scope": "openid email offline_access orders.read", "resource": s.Clients["partner_mtls"].Resource, "api": s.GatewayURL + "/orders",
	}
	client := map[string]any{
		"kind": "client", "client_id": id, "profile": c.profile, "token_endpoint_auth_method": c.method, "redirect_uris": []string{callback},
		"grant_types": []string{"authorization_code", "refresh_token"}, "scope": settings["scope"], "resources": []any{settings["resource"]},
		c.binding: true,
	}
	if c.method == "private_key_jwt" {
		key, err := jose.GenerateKey(jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		private, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		settings["jwk"] = json.RawMessage(private)
		client["jwks"] = map[string]any{"keys": []jose.Key{key.Public()}}
	} else {
		client["tls_client_auth_subject_dn"] = "CN=partner.example,O=Holdfast"
	}
	if c.certificate {
		settings["cert"], settings["key"], settings["api"] = s.Clients["partner_mtls"].CertFile, s.Clients["partner_mtls"].KeyFile, s.APIURL
	}
	document, err := json.Marshal(client)
	if err != nil {
		t.Fatal(err)
	}
	s.Apply("", string(document))
	return settings
}

// result is what a script has come to.
type result struct {
	Subject string `json:"sub"`
	Email   string `json:"email"`
	Refused string `json:"refused"`
}

// run runs a script, and signs in where it asks for that.
func run(t *testing.T, s *holdfasttest.Server, folder, script string, settings map[string]any) result {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script, file)
	cmd.Dir, cmd.WaitDelay = folder, 10*time.Second
	problems := new(strings.Builder)
	cmd.Stderr = problems
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	got, err := converse(newPerson(t, s), in, out)
	if waited := cmd.Wait(); waited != nil || err != nil {
		t.Fatalf("%v, %v\n%s", err, waited, problems)
	}
	return got
}

func converse(p *person, in io.Writer, out io.Reader) (result, error) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var said struct {
			Visit string
			Done  *result
		}
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			return result{}, fmt.Errorf("%w: %s", err, lines.Text())
		}
		if said.Done != nil {
			return *said.Done, nil
		}
		if _, err := fmt.Fprintln(in, p.answer(said.Visit)); err != nil {
			return result{}, err
		}
	}
	return result{}, io.ErrUnexpectedEOF
}

// install copies the scripts and installs what the lock file names.
func install(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: clients on Node.js are not tested, for %s is not installed", program)
		}
	}
	folder := t.TempDir()
	for _, name := range append([]string{"package.json", "package-lock.json", "connect.mjs"}, scripts...) {
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return folder
}
