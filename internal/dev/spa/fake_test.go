package spa_test

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/dev/spa"
	"github.com/holdfast-iam/holdfast/internal/web"
)

const (
	code  = "k7Q2mX9vL4pR8sT1wZ5yB3nC6dF0gH2jM8qV4xK7aE1"
	state = "u3W8rN5tY1iO6pA9sD2fG7hJ4kL0zX3cV8bM5nQ2wE6"
)

// world is the app, and a token handler with an API that follow the contract and keep one session.
type world struct {
	app, api string // origins

	mu       sync.Mutex
	signedIn bool
	live     bool // the access token works
	dead     bool // the refresh token does not
	lifetime int  // of an access token, seconds
	calls    []string
	form     url.Values // of login/end
}

func newWorld(t *testing.T) *world {
	w := &world{lifetime: 300}
	app, api := unstarted(t), unstarted(t)
	w.app, w.api = origin("app", app), origin("api", api)
	h, err := spa.New(spa.App{
		Name: "Demo app", TokenHandler: w.api + "/apps/demo", API: w.api + "/orders",
		Links: []spa.Link{{URL: "https://mail.holdfast.localhost", Text: "Caught mail"}, {URL: "https://theft.holdfast.localhost", Text: "Be the thief"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	app.Config.Handler, api.Config.Handler = h, w.handler(t)
	app.StartTLS()
	api.StartTLS()
	return w
}

func unstarted(t *testing.T) *httptest.Server {
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	t.Cleanup(s.Close)
	return s
}

func origin(name string, s *httptest.Server) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "https://" + name + ".holdfast.localhost:" + port
}

// set changes the world under its lock.
func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// count is how often something was called.
func (w *world) count(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if c == call {
			n++
		}
	}
	return n
}

func (w *world) handler(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apps/demo/session", w.session)
	mux.HandleFunc("POST /apps/demo/login/start", func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, 200, map[string]any{"authorization_url": w.app + "/callback?code=" + code + "&state=" + state + "&iss=https%3A%2F%2Flogin.example"})
	})
	mux.HandleFunc("POST /apps/demo/login/end", func(rw http.ResponseWriter, r *http.Request) {
		form, err := web.Form(r)
		if err != nil || form.Get("code") == "" {
			answer(rw, 400, map[string]any{"error_code": "access_denied", "detailed_error": "Nobody has signed in."})
			return
		}
		w.form, w.signedIn, w.live = form, true, true
		http.SetCookie(rw, &http.Cookie{Name: "__Host-Http-hf-demo-s", Value: "Zq8" + state, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
		w.session(rw, r)
	})
	mux.HandleFunc("POST /apps/demo/refresh", func(rw http.ResponseWriter, _ *http.Request) {
		if w.dead || !w.signedIn {
			w.signedIn = false
			answer(rw, 401, map[string]any{"error_code": "session_expired"})
			return
		}
		w.live = true
		answer(rw, 200, map[string]any{"access_token_expires_in": w.lifetime})
	})
	mux.HandleFunc("POST /apps/demo/logout", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "" {
			t.Error("logout has a body")
		}
		w.signedIn = false
		answer(rw, 200, map[string]any{"logout_url": w.app + "/?signed-out"})
	})
	mux.HandleFunc("/orders", w.orders)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.admit(t, mux, rw, r) })
}

// admit is rule 3 of the contract, and its CORS.
func (w *world) admit(t *testing.T, next http.Handler, rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("Access-Control-Allow-Origin", w.app)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Allow-Headers", "token-handler-version, content-type")
	h.Set("Vary", "Origin")
	if r.Method == http.MethodOptions {
		return
	}
	if r.Header.Get("token-handler-version") != "1" || !strings.HasPrefix(r.Header.Get("Accept"), "application/json") || r.Header.Get("Origin") != w.app {
		t.Errorf("%s %s came with %v", r.Method, r.URL.Path, r.Header)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/apps/demo"))
	next.ServeHTTP(rw, r)
}

func (w *world) session(rw http.ResponseWriter, _ *http.Request) {
	if !w.signedIn {
		answer(rw, 200, map[string]any{"is_logged_in": false})
		return
	}
	answer(rw, 200, map[string]any{
		"is_logged_in": true, "access_token_expires_in": w.lifetime,
		"id_token_claims": map[string]any{
			"sub": "9f86d081884c7d659a2feaa0c55ad015", "name": "Alice Adams", "email": "alice@example.com", "nonce": code, "acr": "phr", "amr": []string{"swk", "user"}, "auth_time": 1750000000,
		},
	})
}

func (w *world) orders(rw http.ResponseWriter, r *http.Request) {
	switch cookie, err := r.Cookie("__Host-Http-hf-demo-s"); {
	case err != nil || cookie.Value == "" || !w.signedIn || !w.live:
		answer(rw, 401, map[string]any{"error_code": "token_expired", "code": "token_expired", "message": "The access token has ended."})
	case r.Method == http.MethodPost:
		answer(rw, 201, map[string]any{"id": "1004", "item": "Signal lamp", "quantity": 3})
	default:
		answer(rw, 200, map[string]any{"orders": []any{
			map[string]any{"id": "1003", "item": "Mooring line", "quantity": 4}, map[string]any{"id": "1002", "item": "Tide tables", "quantity": 1},
		}, "caller": map[string]any{"subject": "9f86d081884c7d659a2feaa0c55ad015", "client_id": "spa", "scope": "orders.read orders.write"}})
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a browser that has gone cannot be told
}
