// Package node tests the recipe for Node.js against real tokens and connections.
package node

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

const (
	audience = "https://orders.example.com"
	target   = audience + "/orders"
)

// TestNode runs the server as its readers would, in a copy of this folder.
func TestNode(t *testing.T) {
	issuer := resourcetest.NewIssuer(t, nil)
	url := start(t, issuer)
	client, thief := resourcetest.NewClient(t), resourcetest.NewClient(t)
	claims := issuer.Claims(audience).With("scope", "orders.read")
	keyed := issuer.Sign(client.BoundToKey(claims))
	certified := issuer.Sign(client.BoundToCertificate(claims))
	both := issuer.Sign(claims.With("cnf", map[string]string{"x5t#S256": client.X5T(), "jkt": client.JKT()}))
	proof := func() string { return client.Proof("GET", target, keyed, time.Now()) }
	issuer.Answer(http.StatusInternalServerError, "")
	for scheme, token := range map[string]string{"Bearer ": certified, "DPoP ": keyed} {
		if status, _, challenge := get(t, url, scheme+token, proof(), client); status != 503 || challenge != "" {
			t.Errorf("%swithout keys: %d %q", scheme, status, challenge)
		}
	}
	issuer.Answer(http.StatusOK, "max-age=600")
	once := proof()
	for _, c := range []struct {
		name, authorization, proof string
		by                         *resourcetest.Client // whose certificate; nil: none
		want                       int
	}{
		{"certificate", "Bearer " + certified, "", client, 200},
		{"certificate of another", "Bearer " + certified, "", thief, 401},
		{"no certificate", "Bearer " + certified, "", nil, 401},
		{"certificate under DPoP", "DPoP " + certified, client.Proof("GET", target, certified, time.Now()), client, 401},
		{"key", "DPoP " + keyed, once, nil, 200},
		{"key, the proof again", "DPoP " + keyed, once, nil, 401},
		{"key, another proof", "DPoP " + keyed, proof(), client, 200},
		{"key of another", "DPoP " + keyed, thief.Proof("GET", target, keyed, time.Now()), nil, 401},
		{"key, no proof", "DPoP " + keyed, "", nil, 401},
		{"key, proof for another host", "DPoP " + keyed, client.Proof("GET", "https://evil.example/orders", keyed, time.Now()), nil, 401},
		{"key, proof for another method", "DPoP " + keyed, client.Proof("POST", target, keyed, time.Now()), nil, 401},
		{"key, proof for another token", "DPoP " + keyed, client.Proof("GET", target, certified, time.Now()), nil, 401},
		{"key under Bearer", "Bearer " + keyed, "", client, 401},
		{"both, only the certificate", "Bearer " + both, "", client, 401},
		{"both, only the key", "DPoP " + both, client.Proof("GET", target, both, time.Now()), nil, 401},
		{"bound to nothing", "Bearer " + issuer.Sign(claims), "", client, 401},
		{"for another API", "Bearer " + issuer.Sign(client.BoundToCertificate(claims.With("aud", "https://other.example"))), "", client, 401},
		{"of another issuer", "Bearer " + issuer.Sign(client.BoundToCertificate(claims.With("iss", "https://other.example"))), "", client, 401},
		{"expired", "Bearer " + issuer.Sign(client.BoundToCertificate(claims.With("exp", time.Now().Add(-time.Hour).Unix()))), "", client, 401},
		{"an ID token", "Bearer " + issuer.SignAs("JWT", client.BoundToCertificate(claims)), "", client, 401},
		{"too little scope", "Bearer " + issuer.Sign(client.BoundToCertificate(claims.With("scope", "orders.readonly"))), "", client, 403},
		{"nothing", "", "", client, 401},
		{"another scheme", "Basic YTpi", "", client, 401},
	} {
		status, body, challenge := get(t, url, c.authorization, c.proof, c.by)
		if status != c.want || (status == 200) != (body == `{"customer":"alice"}`) || (status == 200) != (challenge == "") {
			t.Errorf("%s: %d %s %q, want %d", c.name, status, body, challenge, c.want)
		}
	}
	if status, _, _ := get(t, url+"?access_token="+certified, "", "", client); status != 400 {
		t.Errorf("a token in the query: %d", status)
	}
}

func get(t *testing.T, url, authorization, proof string, by *resourcetest.Client) (status int, body, challenge string) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true} // the test looks at what the server says, not who it is
	if by != nil {
		config.Certificates = []tls.Certificate{by.KeyPair}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header.Get("WWW-Authenticate")
}

// start installs what the lock file names, starts the server on a free port and returns the URL of its orders.
func start(t *testing.T, issuer *resourcetest.Issuer) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: the recipe for Node.js is not tested, for %s is not installed", program)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "verify.mjs", "server.mjs"} {
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := serverCertificate(t)
	server := exec.CommandContext(t.Context(), "node", "server.mjs")
	server.Dir = dir
	server.Env = append(os.Environ(), "PORT=0", "ISSUER="+issuer.URL, "AUDIENCE="+audience, "ORIGIN="+audience,
		"CERT="+write("tls.crt", cert), "KEY="+write("tls.key", key), "NODE_EXTRA_CA_CERTS="+write("issuer.crt", issuer.Certificate()))
	server.Stderr = t.Output()
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	_, port, _ := strings.Cut(strings.TrimSpace(line), "listening on ")
	return "https://" + net.JoinHostPort("127.0.0.1", port) + "/orders"
}

func serverCertificate(t *testing.T) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "orders"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}
