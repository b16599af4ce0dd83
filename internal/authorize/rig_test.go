package authorize_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/authorize"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/consent"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/login"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/passkey"
)

const (
	host      = "login.example.com"
	mtlsHost  = "mtls.example.com"
	callback  = "https://app.example/cb"
	secret    = "0123456789abcdef0123456789abcdef-secret"
	password  = "correct horse battery staple"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	orders    = "https://orders.example"
	vault     = "https://vault.example"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// made holds what takes time to make.
type made struct {
	passwords *authn.Passwords
	hash      string
	assertion *jose.Signer
	cert      tls.Certificate
	certKey   jose.Key
}

var once = sync.OnceValue(func() made {
	m := made{passwords: must(authn.NewPasswords()), assertion: must(jose.NewSigner(must(jose.GenerateKey(jose.ES256))))}
	m.hash = must(m.passwords.Hash(password))
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	m.cert = tls.Certificate{Certificate: [][]byte{must(x509.CreateCertificate(rand.Reader, t, t, key.Public(), key))}, PrivateKey: key}
	m.certKey = must(jose.FromPublic(key.Public(), jose.ES256))
	return m
})

// world is one process with two tenants: acme has a host, beta is a path on the same.
type world struct {
	mu         sync.Mutex
	time       time.Time
	url        string // of the store
	root       *store.DB
	ring       *keys.Ring
	server     *httptest.Server
	acme, beta *tenant
	transport  *http.Transport
	refusals   []string // "tenant code client", as the audit hears of them
}

type tenant struct {
	*world
	issuer, mtls string
	db           *store.DB
	sessions     *session.Sessions
	nonces       *dpop.Nonces
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	w.time = w.time.Add(d)
	w.mu.Unlock()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{time: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), ring: keys.NewRing(), url: storetest.SQLiteURL(t)}
	w.root = must(store.Open(t.Context(), w.url, store.Options{Now: w.now, Synchronous: "NORMAL"}))
	w.acme = w.add(t, "acme", "https://"+host, "https://"+mtlsHost)
	w.beta = w.add(t, "beta", "https://"+host+"/beta", "")
	top := http.NewServeMux()
	top.Handle("/beta/", http.StripPrefix("/beta", w.beta.handler(t)))
	top.Handle("/", w.acme.handler(t))
	w.server = httptest.NewUnstartedServer(web.Wrap(top, web.Options{Now: w.now, Hosts: []string{host, mtlsHost}, Refused: w.refused}))
	w.server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.StartTLS()
	t.Cleanup(func() {
		w.server.Close()
		if err := w.root.Close(); err != nil {
			t.Error(err)
		}
	})
	w.transport = w.transportWith(t)
	return w
}

func (w *world) refused(_ *http.Request, e *web.Event, _ int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusals = append(w.refusals, strings.Join([]string{e.Tenant(), string(e.Code()), e.Client()}, " "))
}

// lastRefusal is what the audit has heard last.
func (w *world) lastRefusal() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refusals) == 0 {
		return ""
	}
	return w.refusals[len(w.refusals)-1]
}

func (w *world) add(t testing.TB, name, issuer, mtls string) *tenant {
	t.Helper()
	n := &tenant{world: w, issuer: issuer, mtls: mtls, db: w.root.For(name), nonces: dpop.NewNonces([]byte("key of nonces " + name))}
	n.sessions = &session.Sessions{DB: n.db, Ring: w.ring, Now: w.now, Idle: 1000 * time.Hour, Absolute: 2000 * time.Hour}
	n.write(t, func(tx *store.Tx) error {
		if _, err := objects.Import(tx, w.ring, objects.ManagedByFile, documents(name)); err != nil {
			return err
		}
		for _, id := range []string{"alice", "bob"} {
			err := tx.AddAccount(store.Account{ID: id, Username: id, UserHandle: []byte(id), PasswordHash: once().hash, Claims: json.RawMessage(`{}`)})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return n
}

func documents(tenant string) []objects.Document {
	type m = map[string]any
	docs := []objects.Document{
		{Kind: "api", Body: json.RawMessage(`{"resource":"` + orders + `","name":"Orders","scopes":["read"]}`)},
		{Kind: "api", Body: json.RawMessage(`{"resource":"` + vault + `","scopes":["pay"],"required_acr":"phr","max_authentication_age":300}`)},
	}
	add := func(id, method string, more m) {
		body := m{"client_id": id, "client_name": "The " + id, "token_endpoint_auth_method": method, "redirect_uris": []string{callback},
			"scope": "openid profile read", "resources": []string{orders}}
		for k, v := range more {
			body[k] = v
		}
		docs = append(docs, objects.Document{Kind: "client", Body: must(json.Marshal(body))})
	}
	jwks := func(k jose.Key) m { return m{"jwks": jose.Set{Keys: []jose.Key{k}}} }
	add("app", "none", nil)
	add("own", "none", m{"first_party": true})
	add("native", "none", m{"application_type": "native", "redirect_uris": []string{"http://127.0.0.1/cb"}, "first_party": true})
	add("web", "client_secret_basic", m{"client_secret": secret, "first_party": true})
	add("jwt", "private_key_jwt", jwks(once().assertion.Key()))
	add("mtls", "self_signed_tls_client_auth", jwks(once().certKey))
	add("bank", "none", m{"first_party": true, "scope": "openid read pay", "resources": []string{orders, vault}})
	add("pusher", "none", m{"require_pushed_authorization_requests": true})
	if tenant == "acme" {
		add("only-acme", "none", nil)
	}
	return append(docs, signers()...)
}

// subject is an account as clients know it, hinted the subject of an ID token.
func subject(_ *objects.Client, accountID string) string { return "sub of " + accountID }

func hinted(_ *objects.Client, token string) (string, error) {
	if account, ok := strings.CutPrefix(token, "token of "); ok {
		return subject(nil, account), nil
	}
	return "", errors.New("forged")
}

// handler is the issuer as the roof assembles it.
func (n *tenant) handler(t testing.TB) http.Handler {
	t.Helper()
	registry, base := objects.New(n.db), strings.TrimPrefix(n.issuer, "https://"+host)
	keeper := &flow.Keeper{DB: n.db, Sealer: n.ring, Now: n.now, Base: base}
	pages := must(web.NewPages(web.Theme{Name: "Test", Base: base}))
	failures := &limit.Failures{DB: n.db, Now: n.now}
	rp := must(passkey.New(passkey.Party{ID: host, Name: "Test", Origins: []string{"https://" + host}}))
	checker := &request.Checker{Issuer: n.issuer, Registry: registry, Hint: hinted}
	decider := &flow.Decider{DB: n.db, Sessions: n.sessions, Checker: checker, Subject: subject}
	e := &authorize.Endpoints{
		Issuer: n.issuer, MTLSIssuer: n.mtls, DB: n.db, Ring: n.ring, Checker: checker,
		Clients: &clients.Authenticator{Issuer: n.issuer, Registry: registry, Ring: n.ring, Failures: failures, Now: n.now},
		Decider: decider, Keeper: keeper, Pages: pages, Nonces: n.nonces, Now: n.now, CodeLifetime: time.Minute, PushedLifetime: 90 * time.Second,
	}
	n.seals(e)
	people, protocol := web.NewMux(web.PageDoor(pages)), web.NewMux(web.OAuthDoor)
	e.MountPages(people.ServeMux)
	e.MountProtocol(protocol.ServeMux)
	(&login.Endpoints{
		DB: n.db, Registry: registry, Sessions: n.sessions, Keeper: keeper, Decider: decider, Pages: pages, Passwords: once().passwords,
		Passkeys: &authn.Passkeys{DB: n.db, RP: rp, Sealer: n.ring, Now: n.now}, Failures: failures, Now: n.now,
	}).Mount(people.ServeMux)
	(&consent.Endpoints{DB: n.db, Registry: registry, Sessions: n.sessions, Keeper: keeper, Pages: pages, Now: n.now}).Mount(people.ServeMux)
	protected := web.Protect(people, "POST /authorize")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.EventOf(r.Context()).SetTenant(n.db.Tenant())
		if r.URL.Path == "/par" {
			protocol.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func (n *tenant) write(t fataler, fn func(*store.Tx) error) {
	t.Helper()
	if err := n.db.Write(context.Background(), fn); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// visitor is a browser, or with a certificate a client.
type visitor struct {
	*world
	client *http.Client
	jar    map[string]string
}

// visitor comes without a certificate, over the connections that all of them share.
func (w *world) visitor() *visitor { return w.visitorOver(w.transport) }

func (w *world) visitorOver(transport *http.Transport) *visitor {
	return &visitor{world: w, jar: map[string]string{}, client: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// partner comes with the registered certificate.
func (w *world) partner(t testing.TB) *visitor { return w.visitorOver(w.transportWith(t, once().cert)) }

func (w *world) transportWith(t testing.TB, certs ...tls.Certificate) *http.Transport {
	roots := x509.NewCertPool()
	roots.AddCert(w.server.Certificate())
	address := w.server.Listener.Addr().String()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// page is one answer.
type page struct {
	status int
	header http.Header
	body   string
	at     *url.URL
}

func (v *visitor) send(t fataler, r *http.Request) *page {
	t.Helper()
	for name, value := range v.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := v.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	for _, c := range resp.Cookies() {
		if v.jar[c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.jar, c.Name)
		}
	}
	return &page{resp.StatusCode, resp.Header, string(body), r.URL}
}

func (v *visitor) get(t fataler, address string) *page {
	t.Helper()
	return v.send(t, must(http.NewRequest(http.MethodGet, address, nil)))
}

func (v *visitor) post(t fataler, address string, form url.Values, header ...string) *page {
	t.Helper()
	r := must(http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return v.send(t, r)
}

// location is where a redirect leads, "" if the answer is none.
func (p *page) location() string {
	if p.status != http.StatusSeeOther {
		return ""
	}
	u, err := p.at.Parse(p.header.Get("Location"))
	if err != nil {
		return ""
	}
	return u.String()
}

// follow goes along redirects on our own host.
func (v *visitor) follow(t fataler, p *page) *page {
	t.Helper()
	for range 5 {
		if !strings.HasPrefix(p.location(), "https://"+host+"/") {
			return p
		}
		p = v.get(t, p.location())
	}
	t.Fatalf("redirects without end at %s", p.at)
	return nil
}

var (
	forms  = regexp.MustCompile(`(?s)<form method="post" action="([^"]+)"[^>]*>(.*?)</form>`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
	button = regexp.MustCompile(`<button type="submit"(?: name="([^"]+)" value="([^"]+)")? id="([^"]+)"`)
)

// press fills in the form that has a button of this id, and sends it as the page would.
func (v *visitor) press(t fataler, p *page, id string, fields ...string) *page {
	t.Helper()
	for _, f := range forms.FindAllStringSubmatch(p.body, -1) {
		for _, b := range button.FindAllStringSubmatch(f[2], -1) {
			if b[3] != id {
				continue
			}
			form := url.Values{}
			for _, h := range hidden.FindAllStringSubmatch(f[2], -1) {
				form.Set(h[1], h[2])
			}
			for i := 0; i < len(fields); i += 2 {
				form.Set(fields[i], fields[i+1])
			}
			if b[1] != "" {
				form.Set(b[1], b[2])
			}
			return v.post(t, must(p.at.Parse(f[1])).String(), form, "Origin", "https://"+host, "Sec-Fetch-Site", "same-origin")
		}
	}
	t.Fatalf("no button %s on %s: %d %s", id, p.at, p.status, p.body)
	return nil
}

// signIn gives the browser a session without a page.
func (v *visitor) signIn(t fataler, n *tenant, account string) store.Session {
	t.Helper()
	return v.signInWith(t, n, account, store.Factor{Kind: session.Password, AMR: []string{"pwd"}}, nil)
}

// signInWith is for factors that need a script; old is the session of the browser.
func (v *visitor) signInWith(t fataler, n *tenant, account string, f store.Factor, old *store.Session) store.Session {
	t.Helper()
	var s store.Session
	var handle string
	n.write(t, func(tx *store.Tx) (err error) {
		f.At = tx.Now
		s, handle, err = n.sessions.New(tx, account, f, web.Peer{}, old)
		return err
	})
	v.jar[web.SessionCookie] = handle
	return s
}

// parameters of a right request; pairs change them, "" removes.
func parameters(client string, pairs ...string) url.Values {
	v := url.Values{
		"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"the state"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

func (n *tenant) ask(client string, pairs ...string) string {
	return n.issuer + "/authorize?" + parameters(client, pairs...).Encode()
}

// answer is what reached the client, through a redirect or the leaving page.
func (p *page) answer(t fataler, n *tenant) url.Values {
	t.Helper()
	to := p.location()
	if p.status == http.StatusOK {
		to = strings.TrimPrefix(p.header.Get("Refresh"), "0;url=")
	}
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, callback+"?") {
		t.Fatalf("no answer for the client: %d, to %q: %s", p.status, to, p.body)
	}
	q := u.Query()
	if q.Get("iss") != n.issuer || q.Get("state") != "the state" || q.Has("code") == q.Has("error") {
		t.Errorf("answer %v", q)
	}
	if cache := p.header.Get("Cache-Control"); cache != "no-store" {
		t.Errorf("the answer may be cached: %q", cache)
	}
	return q
}

// code is the stored code of an answer.
func (n *tenant) code(t fataler, q url.Values) store.Code {
	t.Helper()
	id, s, _ := keys.SplitHandle(q.Get("code"))
	var c store.Code
	n.write(t, func(tx *store.Tx) (err error) {
		c, err = tx.Code(id)
		return err
	})
	if !n.ring.Matches(c.SecretHash, s) {
		t.Errorf("the code is not the stored one")
	}
	return c
}

// isErrorPage requires a page for the person, which leads nowhere.
func (p *page) isErrorPage(t fataler, code string) {
	t.Helper()
	if p.status < 400 || p.status > 499 || p.header.Get("Location") != "" || p.header.Get("Refresh") != "" ||
		!strings.Contains(p.body, `id="error-code">`+code+`<`) || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
		t.Errorf("got %d to %q %q, want a page with %s: %.300s", p.status, p.location(), p.header.Get("Refresh"), code, p.body)
	}
}

func (v *visitor) interactions() int {
	n := 0
	for name := range v.jar {
		if strings.HasPrefix(name, web.InteractionCookie) {
			n++
		}
	}
	return n
}

func has(list []string, one string) bool { return slices.Contains(list, one) }
