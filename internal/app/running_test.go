package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

// running is a server of this test process, behind a proxy that does not exist: the tests speak plain HTTP to it and
// believe that it is TLS.
type running struct {
	t       *testing.T
	file    string // holdfast.yaml
	log     *journal
	address string
	app     *App
}

// config is the beginning of every configuration here; tenants follow.
const config = `environment: test
database: {url: "sqlite:h.db"}
key_ring: ring.json
admin: {socket: s}
listeners:
  - {name: pages, address: "127.0.0.1:0", hosts: [login.test], tls: {mode: terminated, trusted_hops: [127.0.0.1/32]}}
tenants:
  - {name: main, issuer: "https://login.test"}
`

const things = `kind: api
resource: https://api.test
scopes: [orders.read]
allow_bearer_tokens: true
introspectors: [tool]
---
kind: client
client_id: tool
client_secret: 0123456789abcdef0123456789abcdef0123456789a
token_endpoint_auth_method: client_secret_post
grant_types: [client_credentials]
scope: orders.read
allow_bearer_tokens: true
resources: [https://api.test]
---
kind: user
username: ada
password: correct horse battery
`

// start runs a configuration until the test ends.
func start(t *testing.T, text string, adjust ...func(*App)) *running {
	t.Helper()
	r := prepare(t, text)
	r.serve(adjust...)
	return r
}

// prepare makes the folder of a configuration.
func prepare(t *testing.T, text string) *running {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") // short: the name of a socket has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &running{t: t, file: filepath.Join(dir, "holdfast.yaml"), log: newJournal()}
	if _, err := keys.CreateRing(r.path("ring.json")); err != nil {
		t.Fatal(err)
	}
	r.write("objects.yaml", things)
	r.write("holdfast.yaml", text)
	return r
}

func (r *running) serve(adjust ...func(*App)) {
	t := r.t
	t.Helper()
	cfg, err := LoadConfig(r.file)
	if err != nil {
		t.Fatal(err)
	}
	log, level := newLog(cfg.Log, r.log)
	if r.app, err = Open(t.Context(), cfg, log); err != nil {
		t.Fatal(err)
	}
	r.app.level = level
	for _, f := range adjust {
		f(r.app)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- r.app.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := r.app.Close(); err != nil {
			t.Error(err)
		}
	})
	r.address = r.log.wait(t, "listening", "listener", "pages")["address"].(string)
}

func (r *running) path(name string) string { return filepath.Join(filepath.Dir(r.file), name) }

func (r *running) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// bring applies the objects to a tenant.
func (r *running) bring(tenant string) {
	r.t.Helper()
	docs, err := readDocuments(r.path("objects.yaml"))
	if err == nil {
		_, err = r.app.importAll(r.t.Context(), tenant, docs)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// hangUp does what an operator does after a change, and returns what is logged of it.
func (r *running) hangUp() map[string]any {
	r.t.Helper()
	own := make(chan os.Signal, 1) // so that a signal that comes late ends nothing
	signal.Notify(own, syscall.SIGHUP)
	r.t.Cleanup(func() { signal.Stop(own) })
	r.log.clear()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
	return r.log.wait(r.t, "reloaded")
}

// client has cookies, follows nothing, and reaches the server under any name.
func (r *running) client() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &http.Client{
		Jar: jar, Transport: proxy(r.address), Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type proxy string

func (p proxy) RoundTrip(q *http.Request) (*http.Response, error) {
	in := q.Clone(q.Context())
	in.Host, in.URL.Scheme, in.URL.Host = q.URL.Host, "http", string(p)
	return http.DefaultTransport.RoundTrip(in)
}

type reply struct {
	status int
	header http.Header
	text   string
}

func (a reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.text), &v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.text, err)
	}
	return v
}

func (r *running) get(c *http.Client, address string) reply {
	r.t.Helper()
	return r.answer(c.Get(address))
}

func (r *running) post(c *http.Client, address string, form url.Values) reply {
	r.t.Helper()
	return r.answer(c.PostForm(address, form))
}

func (r *running) answer(resp *http.Response, err error) reply {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

var tool = url.Values{"client_id": {"tool"}, "client_secret": {"0123456789abcdef0123456789abcdef0123456789a"}}

// token asks an issuer for an access token.
func (r *running) token(issuer string) reply {
	r.t.Helper()
	return r.post(r.client(), issuer+"/token", with(tool, "grant_type", "client_credentials", "resource", "https://api.test"))
}

// active asks an issuer about one.
func (r *running) active(issuer, token string) bool {
	r.t.Helper()
	return r.post(r.client(), issuer+"/introspect", with(tool, "token", token)).json(r.t)["active"] == true
}

func with(v url.Values, more ...string) url.Values {
	all := url.Values{}
	for name := range v {
		all.Set(name, v.Get(name))
	}
	for i := 0; i < len(more); i += 2 {
		all.Set(more[i], more[i+1])
	}
	return all
}

// journal is a log that can be waited for.
type journal struct {
	mu   sync.Mutex
	more *sync.Cond
	text bytes.Buffer
}

func newJournal() *journal {
	j := new(journal)
	j.more = sync.NewCond(&j.mu)
	return j
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.more.Broadcast()
	return j.text.Write(b)
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Reset()
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// wait returns the first record with a message and attributes.
func (j *journal) wait(t *testing.T, message string, attrs ...string) map[string]any {
	t.Helper()
	late := false
	timer := time.AfterFunc(20*time.Second, func() { j.mu.Lock(); late = true; j.mu.Unlock(); j.more.Broadcast() })
	defer timer.Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for !late {
		for line := range strings.Lines(j.text.String()) {
			var record map[string]any
			if json.Unmarshal([]byte(line), &record) == nil && fits(record, message, attrs) {
				return record
			}
		}
		j.more.Wait()
	}
	t.Fatalf("no record %q %q in\n%s", message, attrs, j.text.String())
	return nil
}

func fits(record map[string]any, message string, attrs []string) bool {
	if record["msg"] != message {
		return false
	}
	for i := 0; i < len(attrs); i += 2 {
		if record[attrs[i]] != attrs[i+1] {
			return false
		}
	}
	return true
}
