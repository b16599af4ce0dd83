package dpop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// Transport is the http.RoundTripper of a client: each request gets a proof of its own and, at an API, the access token
// (§4, §7.1). It follows the nonces of servers (§8, §9): a request that is refused for want of one is sent once more, if
// its body is empty or can be had again from GetBody. Set the fields before the first use; it is then safe for concurrent
// use.
type Transport struct {
	Signer *jose.Signer // the key that tokens are bound to

	// Token gives the access token for a request. nil: the request keeps the header Authorization it has, and a token
	// there under the scheme DPoP is the one the proof is for. At the authorization server there is none.
	Token func(context.Context) (string, error)

	Base http.RoundTripper // nil is http.DefaultTransport
	Now  func() time.Time  // nil is time.Now

	mu     sync.Mutex
	nonces map[string]string // by origin
}

const (
	maxNonce = 256      // bytes; a longer nonce is not kept
	maxPeek  = 64 << 10 // bytes of an error response that are looked at
)

// RoundTrip sends the request with a proof. Over plain HTTP it sends nothing, except to this machine. A request that
// follows a redirect to another origin goes out without token and proof, for they are nobody else's business.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.roundTrip(req)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

func (t *Transport) roundTrip(req *http.Request) (*http.Response, error) {
	if !isHome(req) {
		stranger := req.Clone(req.Context())
		if _, ok := presented(req); ok {
			stranger.Header.Del("Authorization")
		}
		return t.base().RoundTrip(stranger)
	}
	origin := originOf(req)
	used := t.nonce(origin)
	first, err := t.prove(req, used)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base().RoundTrip(first)
	if err != nil {
		return resp, err
	}
	given := t.learn(origin, resp)
	if given == "" || given == used || !asksForNonce(resp) {
		return resp, nil
	}
	again := req.Clone(req.Context())
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return resp, nil
		}
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil // the caller gets the refusal, which says what was wanted
		}
	}
	second, err := t.prove(again, given)
	if err != nil {
		closeBody(again)
		return resp, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxPeek)) // so that the connection is used again
	_ = resp.Body.Close()
	if resp, err = t.base().RoundTrip(second); err == nil {
		t.learn(origin, resp)
	}
	return resp, err
}

// prove gives a copy of the request with token and proof.
func (t *Transport) prove(req *http.Request, nonce string) (*http.Request, error) {
	if t.Signer == nil {
		return nil, errors.New("dpop: the transport has no signer")
	}
	if req.URL.Scheme != "https" && !isLoopback(req.URL.Hostname()) {
		return nil, errors.New("dpop: tokens do not go over plain HTTP")
	}
	token, _ := presented(req)
	clone := req.Clone(req.Context())
	if t.Token != nil {
		var err error
		if token, err = t.Token(req.Context()); err != nil {
			return nil, fmt.Errorf("dpop: access token: %w", err)
		}
		clone.Header.Set("Authorization", "DPoP "+token)
	}
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	target := *req.URL
	if req.Host != "" {
		target.Host = req.Host // what the server sees (RFC 9110 §7.1)
	}
	proof, err := Make(t.Signer, method(req), target.String(), nonce, token, now())
	if err != nil {
		return nil, err
	}
	clone.Header.Set("DPoP", proof)
	return clone, nil
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) nonce(origin string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nonces[origin]
}

// learn keeps the nonce of a response, whatever its status (§8.2).
func (t *Transport) learn(origin string, resp *http.Response) string {
	nonce := resp.Header.Get("DPoP-Nonce")
	if nonce == "" || len(nonce) > maxNonce {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nonces == nil {
		t.nonces = map[string]string{}
	}
	t.nonces[origin] = nonce
	return nonce
}

// asksForNonce recognises the refusals of §8 (400 with a JSON body) and §9 (401 with a challenge). The body stays
// readable.
func asksForNonce(resp *http.Response) bool {
	const code = "use_dpop_nonce"
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return strings.Contains(strings.Join(resp.Header.Values("WWW-Authenticate"), ","), code)
	case http.StatusBadRequest:
		head, err := io.ReadAll(io.LimitReader(resp.Body, maxPeek))
		resp.Body = &rest{Reader: io.MultiReader(bytes.NewReader(head), resp.Body), Closer: resp.Body}
		var body struct {
			Error string `json:"error"`
		}
		return err == nil && jose.Unmarshal(head, &body) == nil && body.Error == code
	}
	return false
}

// rest is a body of which a part was looked at.
type rest struct {
	io.Reader
	io.Closer
}

// isHome says that the request goes where its author sent it: it follows no redirect, or only ones of its first origin.
func isHome(req *http.Request) bool {
	for r := req; r.Response != nil; r = r.Response.Request {
		if r.Response.Request == nil || originOf(r.Response.Request) != originOf(req) {
			return false
		}
	}
	return true
}

func originOf(req *http.Request) string {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	return strings.ToLower(req.URL.Scheme + "://" + host)
}

// presented is the token a caller has put into the header by itself.
func presented(req *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "DPoP") {
		return "", false
	}
	return strings.TrimLeft(token, " "), true
}

func method(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
