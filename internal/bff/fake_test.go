package bff_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// fake is an issuer over HTTP that checks what a strict one checks: assertions, their one use, pushed requests, PKCE,
// the key of the login, proofs with nonces, and whose refresh token it is. Its tokens are signed.
type fake struct {
	t      testing.TB
	now    func() time.Time
	server *httptest.Server
	signer *jose.Signer
	nonces *dpop.Nonces

	mu       sync.Mutex
	clients  map[string]jose.Key
	used     map[string]bool // assertions and proofs
	pushed   map[string]url.Values
	codes    map[string]*authorization
	refresh  map[string]*authorization
	revoked  []string
	requests []string // "<path> <grant type>"
	last     http.Header

	// What a test may change.
	rotate     bool
	noRefresh  bool
	expiresIn  int64
	metadata   func(map[string]any)
	claims     func(map[string]any) // of ID tokens
	answer     func(map[string]any) // of the token endpoint
	before     func(path string)    // outside the lock
	fail       map[string]int       // path -> status with nothing to read
	refuse     map[string]oauth.Code
	typ        string
	foreignKey bool // signs with a key that is not published
}

type authorization struct {
	clientID, subject, sid, jkt, used string
	request                           url.Values
	count                             int
}

func newFake(t testing.TB, now func() time.Time) *fake {
	t.Helper()
	f := &fake{
		t: t, now: now, nonces: dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef")), clients: map[string]jose.Key{},
		used: map[string]bool{}, pushed: map[string]url.Values{}, codes: map[string]*authorization{}, refresh: map[string]*authorization{},
		expiresIn: 300, fail: map[string]int{}, refuse: map[string]oauth.Code{}, typ: "JWT",
	}
	f.signer = signer(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", f.serveMetadata)
	mux.HandleFunc("GET /jwks", f.serveKeys)
	mux.HandleFunc("POST /par", f.serve(f.par))
	mux.HandleFunc("POST /token", f.serve(f.token))
	mux.HandleFunc("POST /revoke", f.serve(f.revoke))
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		before, status := f.before, f.fail[r.URL.Path]
		_ = r.ParseForm()
		f.last = r.Header
		f.requests = append(f.requests, r.URL.Path+" "+r.PostForm.Get("grant_type"))
		f.mu.Unlock()
		if before != nil {
			before(r.URL.Path)
		}
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.server.Close)
	return f
}

func signer(t testing.TB) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fake) id() string { return f.server.URL }

// set changes the issuer between requests.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// count is how many requests came.
func (f *fake) count(request string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if r == request {
			n++
		}
	}
	return n
}

func (f *fake) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": f.id(), "authorization_endpoint": f.id() + "/authorize?x=1", "token_endpoint": f.id() + "/token", "jwks_uri": f.id() + "/jwks",
		"pushed_authorization_request_endpoint": f.id() + "/par", "revocation_endpoint": f.id() + "/revoke", "end_session_endpoint": f.id() + "/end-session",
		"dpop_signing_alg_values_supported": []string{"ES256", "EdDSA"}, "authorization_response_iss_parameter_supported": true,
	}
	f.mu.Lock()
	if f.metadata != nil {
		f.metadata(m)
	}
	f.mu.Unlock()
	reply(w, 200, m)
}

func (f *fake) serveKeys(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	reply(w, 200, jose.Set{Keys: []jose.Key{f.signer.Key()}})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// refused is an error of RFC 6749 §5.2.
func refused(code oauth.Code, why string) (int, map[string]any) {
	return 400, map[string]any{"error": code, "error_description": why}
}

func (f *fake) serve(h func(r *http.Request, client string, proof *dpop.Proof) (int, map[string]any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		client, err := f.authenticate(r.PostForm)
		if err != nil {
			reply(w, 401, map[string]any{"error": "invalid_client", "error_description": err.Error()})
			return
		}
		var proof *dpop.Proof
		if header := r.Header.Values("DPoP"); len(header) > 0 {
			w.Header().Set("DPoP-Nonce", f.nonces.Current(f.now()))
			proof, err = dpop.Check(header[0], dpop.Expect{Method: "POST", URL: f.id() + r.URL.Path, Now: f.now(), Nonces: f.nonces})
			if errors.Is(err, dpop.ErrNonce) {
				reply(w, 400, map[string]any{"error": "use_dpop_nonce"})
				return
			}
			if err != nil || f.used[proof.ID] {
				reply(w, 400, map[string]any{"error": "invalid_dpop_proof"})
				return
			}
			f.used[proof.ID] = true
		}
		if code := f.refuse[r.URL.Path]; code != "" {
			reply(w, 400, map[string]any{"error": code})
			return
		}
		status, body := h(r, client, proof)
		reply(w, status, body)
	}
}

// authenticate is private_key_jwt as this project's issuer takes it.
func (f *fake) authenticate(form url.Values) (string, error) {
	if form.Get("client_assertion_type") != oauth.AssertionType {
		return "", errors.New("no assertion")
	}
	key, ok := f.clients[form.Get("client_id")]
	if !ok {
		return "", errors.New("no such client")
	}
	token, err := jose.Verify(form.Get("client_assertion"), []jose.Alg{jose.ES256}, key)
	if err != nil {
		return "", err
	}
	var c struct {
		Issuer   string           `json:"iss"`
		Subject  string           `json:"sub"`
		Audience string           `json:"aud"`
		ID       string           `json:"jti"`
		Expires  jose.NumericDate `json:"exp"`
	}
	if err := token.Claims(&c); err != nil {
		return "", err
	}
	if id := form.Get("client_id"); c.Issuer != id || c.Subject != id || c.Audience != f.id() || c.ID == "" || f.used[c.ID] ||
		!c.Expires.After(f.now()) || c.Expires.After(f.now().Add(5*time.Minute)) {
		return "", errors.New("claims of the assertion")
	}
	f.used[c.ID] = true
	return form.Get("client_id"), nil
}

func (f *fake) par(r *http.Request, client string, _ *dpop.Proof) (int, map[string]any) {
	q := maps.Clone(r.PostForm)
	for _, secret := range []string{"client_assertion", "client_assertion_type"} {
		q.Del(secret)
	}
	for name, values := range q {
		if len(values) != 1 && name != "resource" {
			return refused(oauth.InvalidRequest, name)
		}
	}
	if q.Get("client_id") != client || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		len(q.Get("code_challenge")) != 43 || len(q.Get("state")) != 43 || len(q.Get("nonce")) != 43 || q.Has("request_uri") {
		return refused(oauth.InvalidRequest, "the request")
	}
	uri := oauth.RequestURIPrefix + store.NewID()
	f.pushed[uri] = q
	return 201, map[string]any{"request_uri": uri, "expires_in": 90}
}

// authorize is what a person does in the browser: it follows an authorization URL and returns the parameters of the
// page that it ends on.
func (f *fake) authorize(raw, subject string) url.Values {
	f.t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Query().Get("x") != "1" {
		f.t.Fatalf("authorization URL %s", raw)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	q, ok := u.Query(), true
	if q.Has("request_uri") {
		if len(q) != 3 { // x, client_id, request_uri
			f.t.Errorf("authorization URL %s", raw)
		}
		client := q.Get("client_id")
		if q, ok = f.pushed[q.Get("request_uri")]; !ok || client != q.Get("client_id") {
			f.t.Fatalf("unknown request %s", raw)
		}
	}
	code := store.NewID()
	f.codes[code] = &authorization{clientID: q.Get("client_id"), subject: subject, sid: "sid-" + subject, jkt: q.Get("dpop_jkt"), request: q}
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {f.id()}}
}

func (f *fake) token(r *http.Request, client string, proof *dpop.Proof) (int, map[string]any) {
	switch r.PostForm.Get("grant_type") {
	case oauth.GrantAuthorizationCode:
		a := f.codes[r.PostForm.Get("code")]
		delete(f.codes, r.PostForm.Get("code"))
		challenge := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if a == nil || a.clientID != client || a.request.Get("redirect_uri") != r.PostForm.Get("redirect_uri") ||
			a.request.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) {
			return refused(oauth.InvalidGrant, "code")
		}
		if a.jkt != "" && (proof == nil || proof.Thumbprint != a.jkt) {
			return refused(oauth.InvalidGrant, "dpop_jkt")
		}
		return 200, f.issue(a, a.request.Get("nonce"))
	case oauth.GrantRefreshToken:
		a := f.refresh[r.PostForm.Get("refresh_token")]
		if a == nil || a.clientID != client || a.used != "" && a.used != r.PostForm.Get("refresh_token") {
			return refused(oauth.InvalidGrant, "refresh token")
		}
		if a.jkt != "" && (proof == nil || proof.Thumbprint != a.jkt) {
			return refused(oauth.InvalidGrant, "key")
		}
		if f.rotate {
			delete(f.refresh, r.PostForm.Get("refresh_token"))
		}
		return 200, f.issue(a, "")
	}
	return refused(oauth.UnsupportedGrantType, "")
}

func (f *fake) issue(a *authorization, nonce string) map[string]any {
	a.count++
	body := map[string]any{"access_token": "at-" + store.NewID(), "token_type": "DPoP", "expires_in": f.expiresIn, "scope": a.request.Get("scope")}
	if a.jkt == "" {
		body["token_type"] = "Bearer"
	}
	if !f.noRefresh && (a.count == 1 || f.rotate) {
		body["refresh_token"] = "rt-" + store.NewID()
		f.refresh[body["refresh_token"].(string)] = a
	}
	if slices.Contains([]string{"openid", "openid read"}, a.request.Get("scope")) {
		body["id_token"] = f.idToken(a, nonce, body["access_token"].(string))
	}
	if f.answer != nil {
		f.answer(body)
	}
	return body
}

func (f *fake) idToken(a *authorization, nonce, access string) string {
	sum := sha256.Sum256([]byte(access))
	c := map[string]any{
		"iss": f.id(), "sub": a.subject, "aud": a.clientID, "iat": f.now().Unix(), "exp": f.now().Add(5 * time.Minute).Unix(),
		"auth_time": 1893553445, "sid": a.sid, "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]), "name": "Alice",
	}
	if nonce != "" {
		c["nonce"] = nonce
	}
	if f.claims != nil {
		f.claims(c)
	}
	return f.sign(f.typ, c)
}

func (f *fake) sign(typ string, claims map[string]any) string {
	s := f.signer
	if f.foreignKey {
		s = signer(f.t)
	}
	compact, err := s.Sign(typ, claims)
	if err != nil {
		f.t.Error(err)
	}
	return compact
}

func (f *fake) revoke(r *http.Request, client string, _ *dpop.Proof) (int, map[string]any) {
	token := r.PostForm.Get("token")
	f.revoked = append(f.revoked, token)
	if a := f.refresh[token]; a != nil && a.clientID == client {
		delete(f.refresh, token)
	}
	return 200, map[string]any{}
}
