package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const twoMore = `  - {name: path, issuer: "https://login.test/path"}
  - {name: host, issuer: "https://other.test", display_name: Other}
`

func TestReloadAddsAndRemovesTenants(t *testing.T) {
	r := start(t, config)
	r.bring("main")
	main := r.app.current.Load().tenant("main")
	old, _ := r.token("https://login.test").json(t)["access_token"].(string)
	c := r.client()
	r.get(c, "https://login.test/jwks")
	if got := r.get(c, "https://other.test/jwks").status; got != 421 {
		t.Errorf("before: %d", got)
	}

	r.write("holdfast.yaml", strings.Replace(config, "[login.test]", "[login.test, other.test]", 1)+twoMore)
	if got := r.hangUp(); got["tenants_added"] != "path host" || got["tenants_changed"] != nil {
		t.Errorf("logged %v", got)
	}
	for _, issuer := range []string{"https://login.test/path", "https://other.test"} {
		if got := r.get(c, issuer+"/.well-known/openid-configuration").json(t)["issuer"]; got != issuer {
			t.Errorf("%s calls itself %v", issuer, got)
		}
	}
	if r.app.current.Load().tenant("main") != main {
		t.Error("a tenant without changes was made anew")
	}
	if !r.active("https://login.test", old) {
		t.Error("a token from before the change is not good any more")
	}
	r.bring("path")
	r.bring("host")
	for _, issuer := range []string{"https://login.test/path", "https://other.test"} {
		token, _ := r.token(issuer).json(t)["access_token"].(string)
		if !r.active(issuer, token) || r.active(issuer, old) || r.active("https://login.test", token) {
			t.Errorf("%s: the tokens of tenants are not apart", issuer)
		}
	}
	removed := r.app.current.Load().tenant("path")
	r.write("holdfast.yaml", strings.Replace(config, "[login.test]", "[login.test, other.test]", 1)+strings.SplitAfter(twoMore, "\n")[1])
	if got := r.hangUp(); got["tenants_removed"] != "path" || got["tenants_added"] != nil {
		t.Errorf("logged %v", got)
	}
	removed.running.Wait() // its loops have ended
	if got := r.get(c, "https://login.test/path/jwks").status; got != 404 {
		t.Errorf("a removed tenant: %d", got)
	}
}

func TestReloadChangesTenants(t *testing.T) {
	more := strings.SplitAfter(twoMore, "\n")[0]
	r := start(t, config+more)
	r.bring("main")
	r.bring("path")
	if got := r.token("https://login.test").json(t)["expires_in"]; got != 300.0 {
		t.Errorf("before: %v", got)
	}
	before := r.app.current.Load()
	changed := strings.Replace(config, `"https://login.test"}`, `"https://login.test", lifetimes: {access_token: 1m}, signing_algorithms: [PS256]}`, 1) + more
	r.write("holdfast.yaml", changed)
	if got := r.hangUp(); got["tenants_changed"] != "main" {
		t.Errorf("logged %v", got)
	}
	answer := r.token("https://login.test").json(t)
	if answer["expires_in"] != 60.0 || !r.active("https://login.test", answer["access_token"].(string)) {
		t.Errorf("after: %v", answer)
	}
	if before.tenants[0].running.Wait(); r.app.current.Load().tenants[1] != before.tenants[1] {
		t.Error("another tenant was made anew")
	}

	r.write("holdfast.yaml", changed+"mail: {host: localhost, port: 1, from: a@b.test, tls: none}\n")
	if got := r.hangUp(); got["tenants_changed"] != "main path" {
		t.Errorf("mail: logged %v", got)
	}
	if got := r.app.current.Load().tenants[1].mail.From; got != "a@b.test" {
		t.Errorf("mail is from %q", got)
	}
	// What changes a registry reaches the new one.
	r.write("objects.yaml", strings.Replace(things, "scope: orders.read", "scope: orders.read\nclient_name: Tool\naccess_token_format: opaque", 1))
	r.bring("main")
	for range 100 {
		if token, _ := r.token("https://login.test").json(t)["access_token"].(string); !strings.HasPrefix(token, "ey") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the new tenant does not hear of changes")
}

func TestReloadKeepsConnections(t *testing.T) {
	r := start(t, config)
	reused := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	c := r.client()
	r.get(c, "https://login.test/jwks")
	r.write("holdfast.yaml", config+strings.SplitAfter(twoMore, "\n")[0])
	r.hangUp()
	q, err := http.NewRequestWithContext(ctx, "GET", "https://login.test/path/jwks", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.answer(c.Do(q)); got.status != 200 || !reused {
		t.Errorf("%d, reused %v", got.status, reused)
	}
}

func TestReloadRefusesWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"two mistakes": {strings.NewReplacer("main,", "MAIN,", "https:", "http:").Replace(config), []string{"holdfast.yaml:8: tenants[0].name", "holdfast.yaml:8: tenants[0].issuer"}},
		"no YAML":      {"tenants: [", []string{"holdfast.yaml:2: "}},
		"unknown key":  {config + "tenant: 1\n", []string{"holdfast.yaml:9: tenant: there is no such setting"}},
		"needs a listener that comes with the restart": {
			strings.Replace(config, "tenants:", "  - {name: b, address: \"127.0.0.1:1\", hosts: [b.test], tls: {mode: terminated, trusted_hops: [127.0.0.1/32]}}\ntenants:", 1) +
				"  - {name: b, issuer: \"https://b.test\"}\n",
			[]string{"tenants[1].issuer: has a host that no listener serves, until the restart that other changes need"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, config)
			before := r.app.current.Load()
			r.write("holdfast.yaml", c.text)
			if got := r.hangUp(); got["tenants_changed"] != nil || r.app.current.Load() != before {
				t.Errorf("something has changed: %v", got)
			}
			for _, want := range c.want {
				if log := r.log.String(); !strings.Contains(log, want) {
					t.Errorf("%q is not in %s", want, log)
				}
			}
			if got := r.get(r.client(), "https://login.test/jwks").status; got != 200 {
				t.Errorf("what was there answers %d", got)
			}
		})
	}
}

func TestReloadLeavesNothingOfAFailure(t *testing.T) {
	r := start(t, config)
	r.write("roots.pem", "no certificate")
	r.write("holdfast.yaml", strings.Replace(config, `"https://login.test"}`, `"https://login.test", client_ca_files: [roots.pem]}`, 1))
	r.hangUp()
	r.log.wait(t, "holdfast.yaml was not taken over: nothing has changed")
	r.app.hearing.Lock()
	if len(r.app.hearers) != 1 {
		t.Errorf("%d tenants are told of changes", len(r.app.hearers))
	}
	r.app.hearing.Unlock()
	r.write("roots.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(t, "roots").Certificate[0]})))
	if got := r.hangUp(); got["tenants_changed"] != "main" {
		t.Errorf("logged %v", got)
	}
}

func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	r := start(t, config)
	r.write("holdfast.yaml", strings.NewReplacer(
		"environment: test", "environment: production\nlog: {format: text, level: warn}", "h.db", "other.db", "ring.json", "holdfast.yaml",
		"socket: s", "socket: other", "127.0.0.1:0", "127.0.0.1:1", `"https://login.test"}`, `"https://login.test", display_name: New}`,
	).Replace(config))
	r.log.clear()
	r.app.reload(t.Context(), true)
	for _, setting := range []string{"environment", "database", "key_ring", "admin", "log.format", "listeners"} {
		r.log.wait(t, "restart needed", "setting", setting)
	}
	now := r.app.current.Load()
	if now.tenants[0].DisplayName != "New" || now.config.Environment != "test" || now.config.Listeners[0].Address != "127.0.0.1:0" {
		t.Errorf("taken over: %+v", now.config)
	}
	r.log.clear()
	r.get(r.client(), "https://login.test/jwks")
	if log := r.log.String(); log != "" {
		t.Errorf("above the level: %s", log)
	}
}

func TestReloadSeesFilesChange(t *testing.T) {
	r := start(t, config, func(a *App) { a.lookEvery = 10 * time.Millisecond })
	r.write("holdfast.yaml", config+strings.SplitAfter(twoMore, "\n")[0])
	if got := r.log.wait(t, "reloaded"); got["tenants_added"] != "path" {
		t.Errorf("logged %v", got)
	}
	r.log.clear()
	r.write("holdfast.yaml", "{")
	r.log.wait(t, "holdfast.yaml was not taken over: nothing has changed")
	time.Sleep(100 * time.Millisecond)
	if n := strings.Count(r.log.String(), "not taken over"); n != 1 {
		t.Errorf("complained %d times of one mistake", n)
	}
}

func TestReplacedTenantsHearUntilTheyServeNothing(t *testing.T) {
	r := start(t, config)
	before := r.app.current.Load().tenants[0]
	ended := make(chan struct{})
	before.serving.Add(1)
	done := before.end
	var once sync.Once // the reload ends it too, later
	before.end = func() { done(); once.Do(func() { close(ended) }) }
	r.write("holdfast.yaml", strings.Replace(config, `"https://login.test"}`, `"https://login.test", display_name: New}`, 1))
	r.hangUp()
	r.app.retire(before, time.Millisecond) // the wait of a reload is longer
	time.Sleep(20 * time.Millisecond)
	if !r.app.hears(before) {
		t.Error("it does not hear of revocations while it serves a stream")
	}
	before.serving.Add(-1)
	<-ended
	if r.app.hears(before) || !r.app.hears(r.app.current.Load().tenants[0]) {
		t.Error("the one before hears still, or its successor does not")
	}
}

func (a *App) hears(t *tenant) bool {
	a.hearing.Lock()
	defer a.hearing.Unlock()
	return a.hearers[t]
}

func TestReloadTakesCertificates(t *testing.T) {
	first, second := selfSigned(t, "first.test"), selfSigned(t, "second.test")
	dir := t.TempDir()
	writePair(t, dir, first)
	c, err := loadCertificate(dir+"/cert.pem", dir+"/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	serves := func(want tls.Certificate) bool {
		got, err := c.get(nil)
		return err == nil && string(got.Certificate[0]) == string(want.Certificate[0])
	}
	if changed, err := c.reload(dir+"/cert.pem", dir+"/key.pem"); changed || err != nil || !serves(first) {
		t.Errorf("unchanged: %v, %v", changed, err)
	}
	if err := os.WriteFile(dir+"/cert.pem", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := c.reload(dir+"/cert.pem", dir+"/key.pem"); changed || err == nil || !serves(first) {
		t.Errorf("half a file: %v, %v", changed, err)
	}
	other := t.TempDir()
	writePair(t, other, second)
	if changed, err := c.reload(other+"/cert.pem", other+"/key.pem"); !changed || err != nil || !serves(second) {
		t.Errorf("other files: %v, %v", changed, err)
	}
}

func writePair(t *testing.T, dir string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(dir+"/"+name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func selfSigned(t *testing.T, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
