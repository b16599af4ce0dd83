package gateway_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

type m = map[string]any

func isTaken(err error) bool { return errors.Is(err, store.ErrTaken) }

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// startAPI starts the API behind. It takes connections with any certificate; the token says which one is good.
func (r *rig) startAPI(t testing.TB, authority *ca.Authority) {
	t.Helper()
	certFile, keyFile, err := authority.Server("orders", []string{"orders.holdfast.localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewUnstartedServer(http.HandlerFunc(r.serveAPI))
	api.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	api.EnableHTTP2 = true
	api.StartTLS()
	t.Cleanup(api.Close)
	_, port, _ := strings.Cut(api.Listener.Addr().String(), ":")
	r.api = "https://orders.holdfast.localhost:" + port
}

func (r *rig) serveAPI(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	v, behave := r.verifier, r.behave
	if !r.quiet {
		r.seen = append(r.seen, q.Clone(q.Context()))
	}
	r.mu.Unlock()
	if v != nil {
		who, err := v.Verify(q.Context(), resource.RequestOf(q))
		if err != nil {
			v.Refuse(w, q, err)
			return
		}
		w.Header().Set("X-Api-Subject", who.Subject)
	}
	if behave == nil {
		behave = func(w http.ResponseWriter, q *http.Request) { fmt.Fprintf(w, "%s %s", q.Method, q.URL.RequestURI()) }
	}
	behave(w, q)
}

// does sets what the API does with requests whose token it has found good; nil is its default.
func (r *rig) does(behave http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behave = behave
}

// checks has the API check tokens for an audience, as if clients came to the given origin.
func (r *rig) checks(t testing.TB, c resource.Config) {
	t.Helper()
	c.Issuers, c.JWKS, c.Transport, c.Now = []string{issuerURL}, map[string]string{issuerURL: issuerURL + "/jwks"}, r, r.now
	v, err := resource.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verifier = v
}

// last is the last request that the API has seen.
func (r *rig) last(t testing.TB) *http.Request {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) == 0 {
		t.Fatal("the API has seen no request")
	}
	return r.seen[len(r.seen)-1]
}

func (r *rig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// refusal is the last refusal that was recorded.
func (r *rig) refusal(t testing.TB) refused {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refusals) == 0 {
		t.Fatal("no refusal was recorded")
	}
	return r.refusals[len(r.refusals)-1]
}

// refused is how many refusals were recorded since forgive.
func (r *rig) refused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.refusals)
}

func (r *rig) forgive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals = nil
}

func (r *rig) documents() []objects.Document {
	lists := []string{"gateway"}
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		panic(err)
	}
	docs := []objects.Document{
		document("api", m{"resource": r.origin, "scopes": []string{"read", "write"}, "introspectors": lists, "exchangers": lists}),
		document("api", m{"resource": r.api, "scopes": []string{"read", "write"}}),
		document("application", m{"name": "demo", "client_id": "spa", "key": key, "origins": []string{spa}, "redirect_uri": spa + "/callback"}),
		document("application", m{"name": "backoffice", "client_id": "spa", "key": key, "origins": []string{"https://back.holdfast.localhost"},
			"redirect_uri": "https://back.holdfast.localhost/callback"}),
	}
	for _, id := range []string{"spa", "phone", "partner", "loose", "sealed"} {
		docs = append(docs, document("client", m{"client_id": id, "token_endpoint_auth_method": "none", "redirect_uris": []string{spa + "/callback"},
			"scope": "openid read write", "resources": []string{r.origin}, "allow_bearer_tokens": id == "loose"}))
	}
	return append(docs, r.routes()...)
}

// routes are /orders for everybody, and one more of each kind.
func (r *rig) routes() []objects.Document {
	var docs []objects.Document
	add := func(name string, more m) {
		body := m{"name": name, "hosts": []string{r.origin, r.mtls}, "path": "/" + name, "upstream": r.api, "methods": []string{"GET", "POST", "HEAD"},
			"credentials": []string{"cookie", "dpop", "certificate"}, "application": "demo", "audience": r.origin, "scopes": []string{"read"},
			"upstream_audience": r.api}
		for k, v := range more {
			if body[k] = v; v == nil {
				delete(body, k)
			}
		}
		docs = append(docs, document("route", body))
	}
	tokensOnly := func(more m) m { more["application"] = nil; return more }
	add("orders", m{"websocket": true, "max_body": 1 << 16})
	add("spa", m{"credentials": []string{"cookie"}, "timeout": 1})
	add("admin", tokensOnly(m{"path": "/orders/admin", "methods": []string{"GET"}, "scopes": []string{"read", "write"}, "credentials": []string{"certificate"}}))
	add("proof", tokensOnly(m{"credentials": []string{"dpop"}, "strip_prefix": true}))
	add("loose", tokensOnly(m{"credentials": []string{"bearer"}, "allow_bearer_tokens": true}))
	add("asis", m{"exchange": "none", "upstream_audience": nil})
	add("asisloose", tokensOnly(m{"exchange": "none", "upstream_audience": nil, "credentials": []string{"bearer"}, "allow_bearer_tokens": true, "allow_bearer_upstream": true}))
	add("prefertoken", m{"prefer": "token"})
	add("prefercookie", m{"prefer": "cookie"})
	add("stepup", tokensOnly(m{"credentials": []string{"certificate"}, "acr_values": []string{"phrh"}, "max_age": 60}))
	add("pagestepup", m{"credentials": []string{"cookie"}, "acr_values": []string{"phrh"}})
	add("pagewrite", m{"credentials": []string{"cookie"}, "scopes": []string{"write"}})
	add("away", tokensOnly(m{"upstream": "https://localhost:1", "credentials": []string{"certificate"}}))
	add("twice", tokensOnly(m{"credentials": []string{"certificate"}}))
	add("twice-again", tokensOnly(m{"path": "/twice", "credentials": []string{"certificate"}}))
	return docs
}

func (r *rig) gatewayClient(c *resourcetest.Client) objects.Document {
	key, err := jose.FromPublic(c.Leaf.PublicKey, jose.ES256)
	if err != nil {
		panic(err)
	}
	set, err := json.Marshal(jose.Set{Keys: []jose.Key{key.WithID("now")}})
	if err != nil {
		panic(err)
	}
	return document("client", m{"client_id": "gateway", "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": json.RawMessage(set),
		"grant_types": []string{oauth.GrantTokenExchange}, "resources": []string{r.api}})
}

// pass is a token as a client holds it.
type pass struct {
	client  string
	account string
	scope   string
	bound   oauth.Confirmation
	opaque  bool
	acr     string
}

// issue stores a grant of a person to a client and mints a token of it for the API outside.
func (r *rig) issue(t testing.TB, p pass) (string, *tokens.Claims) {
	t.Helper()
	if p.account == "" {
		p.account = "alice"
	}
	if p.scope == "" {
		p.scope = "read"
	}
	client := &objects.Client{ID: p.client}
	if p.opaque {
		client.AccessTokenFormat = objects.FormatOpaque
	}
	g := &store.Grant{ID: store.NewID(), CreatedAt: r.now(), ExpiresAt: r.now().Add(time.Hour), JKT: p.bound.JKT, X5T: p.bound.X5T, Bearer: p.bound.IsZero(),
		Auth: store.Authorization{ClientID: p.client, AccountID: p.account, SessionID: store.NewID(), Scope: strings.Fields(p.scope), ACR: p.acr, AuthTime: r.now()}}
	a := r.minter.Access(tokens.Plan{Client: client, API: &objects.API{Resource: r.origin}, Subject: p.account, Scope: strings.Fields(p.scope),
		Binding: p.bound, Grant: g, IssuedAt: r.now()})
	r.write(t, func(tx *store.Tx) error {
		err := tx.AddAccount(store.Account{ID: p.account, Username: p.account, UserHandle: []byte(p.account), Claims: json.RawMessage(`{}`)})
		if err != nil && !isTaken(err) {
			return err
		}
		if err := tx.AddGrant(*g); err != nil {
			return err
		}
		return r.minter.Add(tx, a)
	})
	token, err := r.minter.Mint(a)
	if err != nil {
		t.Fatal(err)
	}
	return token, &a.Claims
}

// cookie signs somebody in at an application and gives what the browser then holds.
func (r *rig) cookie(t testing.TB, application, account string, opaque bool) (*http.Cookie, *appsession.Session) {
	t.Helper()
	app, err := r.reg.Application(t.Context(), application)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	token, claims := r.issue(t, pass{client: "spa", account: account, bound: oauth.Confirmation{JKT: key.Thumbprint()}, opaque: opaque})
	var s *appsession.Session
	r.write(t, func(tx *store.Tx) (err error) {
		s, err = r.session.New(tx, app, store.AppSession{Issuer: issuerURL, Subject: account, SID: claims.SessionID}, appsession.Tokens{
			AccessToken: token, TokenType: oauth.TypeDPoP, Scope: "read", AccessExpiresAt: time.Unix(claims.ExpiresAt, 0), Key: key,
		})
		return err
	})
	w := httptest.NewRecorder()
	r.session.SetCookie(w, app, s)
	c := w.Result().Cookies()[0]
	return &http.Cookie{Name: c.Name, Value: c.Value}, s
}

// reply is what came back.
type reply struct {
	*http.Response
	body string
}

func send(t testing.TB, c *http.Client, q *http.Request) reply {
	t.Helper()
	a, err := c.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{a, string(body)}
}

func newRequest(t testing.TB, method, url string, body string) *http.Request {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// fromPage makes a request what a page of the application sends.
func fromPage(q *http.Request, cookie *http.Cookie) *http.Request {
	q.Header.Set("Origin", spa)
	q.Header.Set("Sec-Fetch-Site", "same-site")
	q.Header.Set("Token-Handler-Version", "1")
	if cookie != nil {
		q.AddCookie(cookie)
	}
	return q
}

// withProof puts a token and a right proof on a request.
func (r *rig) withProof(q *http.Request, token string) *http.Request {
	q.Header.Set("Authorization", "DPoP "+token)
	proof, err := dpop.Make(r.phone.Signer, q.Method, q.URL.String(), r.nonces.Current(r.now()), token, r.now())
	if err != nil {
		panic(err)
	}
	q.Header.Set("DPoP", proof)
	return q
}
