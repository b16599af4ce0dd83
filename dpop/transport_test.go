package dpop_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// server checks proofs, asks for nonces if it has some, and remembers what it saw.
type server struct {
	*httptest.Server
	nonces  *dpop.Nonces
	refusal func(w http.ResponseWriter) // of a missing nonce

	mu   sync.Mutex
	seen []*http.Request
	body []string
}

func serve(t *testing.T, nonces *dpop.Nonces, refusal func(http.ResponseWriter)) *server {
	s := &server{nonces: nonces, refusal: refusal}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.seen, s.body = append(s.seen, r), append(s.body, string(body))
	s.mu.Unlock()
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), "DPoP ")
	_, err := dpop.Check(r.Header.Get("DPoP"), dpop.Expect{Method: r.Method, URL: s.URL + r.URL.Path, AccessToken: token, Now: now, Nonces: s.nonces})
	if s.nonces != nil {
		w.Header().Set("DPoP-Nonce", s.nonces.Current(now))
	}
	switch {
	case errors.Is(err, dpop.ErrNonce):
		s.refusal(w)
	case err != nil:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/spent":
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
	}
}

func atAPI(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce", algs="ES256"`)
	w.WriteHeader(http.StatusUnauthorized)
}

func atIssuer(w http.ResponseWriter) {
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"error":"use_dpop_nonce"}`)
}

func client(t *testing.T, s *server, token string) *http.Client {
	tr := &dpop.Transport{Signer: signer(t, jose.ES256), Base: s.Client().Transport, Now: func() time.Time { return now }}
	if token != "" {
		tr.Token = func(context.Context) (string, error) { return token, nil }
	}
	return &http.Client{Transport: tr}
}

func do(t *testing.T, c *http.Client, r *http.Request, want int) *http.Response {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != want {
		t.Errorf("%s: status %d, want %d", r.URL, resp.StatusCode, want)
	}
	return resp
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRFC9449_7_1_TransportSendsTokenAndProof(t *testing.T) {
	s := serve(t, nil, nil)
	r := request(t, "POST", s.URL+"/orders?page=2", strings.NewReader("x"))
	do(t, client(t, s, "the-token"), r, 200)
	if got := s.seen[0].Header.Get("Authorization"); got != "DPoP the-token" {
		t.Errorf("Authorization: %q", got)
	}
	if len(r.Header) != 0 {
		t.Errorf("the request of the caller was changed: %v", r.Header)
	}
	r = request(t, "GET", s.URL+"/", nil) // the caller brings the token itself
	r.Header.Set("Authorization", "DPoP another")
	do(t, client(t, s, ""), r, 200)
	do(t, client(t, s, ""), request(t, "GET", s.URL+"/", nil), 200) // none at all
	if got := s.seen[2].Header.Get("Authorization"); got != "" {
		t.Errorf("without a token: Authorization %q", got)
	}
}

func TestRFC9449_8_TransportFollowsNonces(t *testing.T) {
	nonces := dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	for name, refusal := range map[string]func(http.ResponseWriter){"9 API": atAPI, "8 issuer": atIssuer} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nonces, refusal)
			c := client(t, s, "the-token")
			do(t, c, request(t, "POST", s.URL+"/", strings.NewReader("once")), 200)
			if len(s.seen) != 2 || s.body[1] != "once" {
				t.Fatalf("%d requests, bodies %q", len(s.seen), s.body)
			}
			do(t, c, request(t, "GET", s.URL+"/other", nil), 200) // the nonce is known now
			if len(s.seen) != 3 {
				t.Errorf("%d requests, want 3", len(s.seen))
			}
		})
	}
}

func TestRFC9449_8_TransportNeverSendsTwiceWhatItCannotRepeat(t *testing.T) {
	nonces := dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	s := serve(t, nonces, atAPI)
	c := client(t, s, "the-token")
	once := request(t, "POST", s.URL+"/", io.MultiReader(strings.NewReader("stream"))) // has no GetBody
	do(t, c, once, 401)
	if len(s.seen) != 1 {
		t.Errorf("%d requests, want 1", len(s.seen))
	}

	s = serve(t, nonces, atAPI)
	s.nonces = nil // first a nonce is learned …
	c = client(t, s, "")
	resp := do(t, c, request(t, "POST", s.URL+"/spent", strings.NewReader("code")), 400)
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != `{"error":"invalid_grant"}` || len(s.seen) != 1 {
		t.Errorf("a refusal for another reason: %q, %v, %d requests", body, err, len(s.seen))
	}

	never := serve(t, dpop.NewNonces([]byte("another key of thirty-two bytes!")), atAPI)
	handler := never.Config.Handler
	never.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(overwriting{w}, r)
	})
	do(t, client(t, never, "t"), request(t, "GET", never.URL+"/", nil), 401)
	if len(never.seen) != 2 {
		t.Errorf("a server that is never content: %d requests, want 2", len(never.seen))
	}
}

// overwriting hands out a nonce that is never accepted.
type overwriting struct{ http.ResponseWriter }

func (o overwriting) WriteHeader(status int) {
	o.Header().Set("DPoP-Nonce", "never")
	o.ResponseWriter.WriteHeader(status)
}

func TestRFC9449_11_TransportKeepsTheTokenAtHome(t *testing.T) {
	away := serve(t, nil, nil)
	home := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/near" {
			http.Redirect(w, r, "/there", http.StatusFound)
			return
		}
		http.Redirect(w, r, away.URL+"/", http.StatusFound)
	}))
	t.Cleanup(home.Close)
	do(t, client(t, away, "the-token"), request(t, "GET", home.URL+"/near", nil), http.StatusForbidden) // no proof came
	if h := away.seen[0].Header; h.Get("Authorization") != "" || h.Get("DPoP") != "" {
		t.Errorf("sent to another origin: %v", h)
	}
	tr := &dpop.Transport{Signer: signer(t, jose.ES256)}
	if _, err := tr.RoundTrip(request(t, "GET", "http://api.example.com/", nil)); err == nil {
		t.Error("sent a proof over plain HTTP")
	}
	if _, err := new(dpop.Transport).RoundTrip(request(t, "GET", home.URL, nil)); err == nil {
		t.Error("worked without a key")
	}
	failing := &dpop.Transport{Signer: signer(t, jose.ES256), Token: func(context.Context) (string, error) { return "", io.ErrUnexpectedEOF }}
	if _, err := failing.RoundTrip(request(t, "GET", home.URL, nil)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no token to be had: %v", err)
	}
}

// §8.2: nonces belong to the server that gave them.
func TestRFC9449_8_TransportKeepsNoncesByOrigin(t *testing.T) {
	one := serve(t, dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef")), atAPI)
	two := serve(t, dpop.NewNonces([]byte("another key of thirty-two bytes!")), atAPI)
	c := client(t, one, "t")
	for _, s := range []*server{one, two, one, two} {
		do(t, c, request(t, "GET", s.URL+"/", nil), 200)
	}
	if len(one.seen) != 3 || len(two.seen) != 3 {
		t.Errorf("%d and %d requests, want 3 each", len(one.seen), len(two.seen))
	}
}
