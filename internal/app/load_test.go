package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sound = `database: {url: "sqlite:h.db"}
key_ring: ring.json
listeners:
  - {name: pages, address: "127.0.0.1:8443", hosts: [login.example.com], tls: {mode: terminated, trusted_hops: [127.0.0.1/32]}}
tenants:
  - {name: main, issuer: "https://login.example.com"}
`

// folder is where a configuration and its key ring lie.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ring.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSoundConfigurationGetsDefaults(t *testing.T) {
	dir := folder(t)
	c, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte(sound))
	if err != nil {
		t.Fatal(err)
	}
	if c.Environment != "production" || c.Tenants[0].RelyingPartyID != "login.example.com" || c.Listeners[0].ClientCertificate != "never" {
		t.Errorf("defaults: %+v", c)
	}
	if c.Database.URL != "sqlite:"+filepath.Join(dir, "h.db") || c.KeyRing != filepath.Join(dir, "ring.json") {
		t.Errorf("paths are not those of the file's folder: %s, %s", c.Database.URL, c.KeyRing)
	}
}

func TestReferencesAreResolved(t *testing.T) {
	dir := folder(t)
	t.Setenv("HOLDFAST_TEST_HOST", "login.example.com")
	if err := os.WriteFile(filepath.Join(dir, "name"), []byte("main\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("name: main", `name: "${file:name}"`, "https://login.example.com", "https://${env:HOLDFAST_TEST_HOST}").Replace(sound)
	c, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte(text))
	if err != nil || c.Tenants[0].Name != "main" || c.Tenants[0].Issuer != "https://login.example.com" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestEachMistakeHasItsLine(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		line           int
		path           string
	}{
		{"host that nobody serves", "https://login.example.com", "https://other.example.com", 6, "tenants[0].issuer"},
		{"issuer with a slash", "https://login.example.com\"", "https://login.example.com/\"", 6, "tenants[0].issuer"},
		{"issuer with a query", "https://login.example.com\"", "https://login.example.com?a\"", 6, "tenants[0].issuer"},
		{"mutual TLS on a listener that asks nobody", "name: main,", "name: main, mtls_issuer: \"https://login.example.com/m\",", 6, "tenants[0].mtls_issuer"},
		{"relying party of somebody else", "name: main,", "name: main, relying_party_id: example.org,", 6, "tenants[0].relying_party_id"},
		{"bearer token in production", "key_ring: ring.json", "key_ring: ring.json\nadmin: {token_file: t}", 3, "admin.token_file"},
		{"remote database without verification", "sqlite:h.db", "postgres://db.example.com/h", 1, "database.url"},
		{"sessions without a database", "key_ring: ring.json", "sessions_database: {synchronous: FULL}\nkey_ring: ring.json", 2, "sessions_database.url"},
		{"sessions where everything is", "key_ring: ring.json", "sessions_database: {url: \"sqlite:h.db\"}\nkey_ring: ring.json", 2, "sessions_database.url"},
		{"sessions in a remote database without verification", "key_ring: ring.json", "sessions_database: {url: \"postgres://db.example.com/s\"}\nkey_ring: ring.json", 2, "sessions_database.url"},
		{"sessions written half", "key_ring: ring.json", "sessions_database: {url: \"sqlite:s.db\", synchronous: OFF}\nkey_ring: ring.json", 2, "sessions_database.synchronous"},
		{"no proxies", "trusted_hops: [127.0.0.1/32]", "trusted_hops: []", 4, "listeners[0].tls.trusted_hops"},
		{"mail without protection", "key_ring: ring.json", "key_ring: ring.json\nmail: {host: mail.example.com, port: 25, from: a@b.c, tls: none}", 3, "mail.tls"},
		{"token handler without a path", "name: main,", "name: main, token_handler: {url: \"https://login.example.com\"},", 6, "tenants[0].token_handler.url"},
		{"gateway with a path", "name: main,", "name: main, gateway: {urls: [\"https://login.example.com/x\"]},", 6, "tenants[0].gateway.urls[0]"},
		{"gateway without a client", "name: main,", "name: main, gateway: {urls: [\"https://login.example.com\"]},", 6, "tenants[0].gateway.client_id"},
		{"gateway without a certificate", "name: main,", "name: main, gateway: {urls: [\"https://login.example.com\"], client_id: g},", 6, "tenants[0].gateway.certificate"},
		{"gateway that answers nowhere", "name: main,", "name: main, gateway: {client_id: g},", 6, "tenants[0].gateway.urls"},
		{"token handler whose cookies the gateway never sees", "name: main,", "name: main, token_handler: {url: \"https://login.example.com/apps\"}, gateway: {urls: [\"https://api.example.com\"]},", 6, "tenants[0].token_handler.url"},
		{"cookies for a host", "name: main,", "name: main, token_handler: {url: \"https://login.example.com/apps\", cookie_domain: .example.com},", 6, "tenants[0].token_handler.cookie_domain"},
		{"cookies for a label", "name: main,", "name: main, token_handler: {url: \"https://login.example.com/apps\", cookie_domain: com},", 6, "tenants[0].token_handler.cookie_domain"},
		{"cookies for an address", "name: main,", "name: main, token_handler: {url: \"https://login.example.com/apps\", cookie_domain: 192.0.2.1},", 6, "tenants[0].token_handler.cookie_domain"},
		{"cookies for somebody else", "name: main,", "name: main, token_handler: {url: \"https://login.example.com/apps\", cookie_domain: ple.com},", 6, "tenants[0].token_handler.cookie_domain"},
		{"cookies the gateway never sees", "name: main,", "name: main, token_handler: {url: \"https://login.example.com/apps\", cookie_domain: login.example.com}, gateway: {urls: [\"https://api.example.com\"]},", 6, "tenants[0].token_handler.cookie_domain"},
		{"unknown key deep inside", "name: pages,", "name: pages, adress: x,", 4, "listeners[0].adress"},
		{"wrong type", "hosts: [login.example.com]", "hosts: {a: b}", 4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig(filepath.Join(folder(t), "holdfast.yaml"), []byte(strings.Replace(sound, c.old, c.new, 1)))
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("accepted, or another error: %v", err)
			}
			for _, p := range problems {
				if p.Line == c.line && (p.Path == c.path || c.path == "") {
					return
				}
			}
			t.Errorf("got %v", problems)
		})
	}
}

func TestEnvironmentTestStaysOnLoopback(t *testing.T) {
	text := "environment: test\n" + strings.Replace(sound, "127.0.0.1:8443", "0.0.0.0:8443", 1)
	_, err := parseConfig(filepath.Join(folder(t), "holdfast.yaml"), []byte(text))
	if err == nil || !strings.Contains(err.Error(), "listeners[0].address") || !strings.Contains(err.Error(), "tenants[0].issuer") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(sound))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("tenants: {}"))
	dir := folder(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "${") {
			return // would read files of this machine
		}
		c, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), data)
		if (c == nil) == (err == nil) {
			t.Fatal("neither a configuration nor an error")
		}
		if _, ok := errors.AsType[Problems](err); err != nil && !ok {
			t.Fatalf("an error without a place: %v", err)
		}
	})
}

func FuzzReadDocuments(f *testing.F) {
	f.Add([]byte("kind: client\nclient_id: a\n---\nkind: api\n"))
	f.Add([]byte(`{"kind": "scope", "name": "x"}`))
	file := filepath.Join(f.TempDir(), "d.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		docs, err := readDocuments(file)
		if err == nil && len(data) == 0 && len(docs) > 0 {
			t.Fatal("documents out of nothing")
		}
	})
}
