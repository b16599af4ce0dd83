package orders_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/dev/orders"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

const (
	audience = "https://orders.holdfast.localhost:8448"
	gateway  = "gateway"
)

func TestAttack(t *testing.T) {
	issuer := resourcetest.NewIssuer(t, nil)
	h := orders.New(time.Now).Handler(issuer.Verifier(audience))
	resourcetest.Attack(t, h, issuer, resourcetest.Target{URL: audience + "/orders", Audience: audience, Claims: resourcetest.Claims{"scope": orders.ScopeRead}})
}

// hop is the API behind mutual TLS, and what the gateway brings.
type hop struct {
	*httptest.Server
	issuer *resourcetest.Issuer
	ca     *ca.Authority
	pair   tls.Certificate
	t      *testing.T
}

func start(t *testing.T) *hop {
	authority, err := ca.Partners(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := &hop{issuer: resourcetest.NewIssuer(t, nil), ca: authority, t: t}
	h.pair = h.certificate(gateway)
	pem, err := os.ReadFile(authority.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	api := orders.New(time.Now).Handler(h.issuer.Verifier(audience))
	h.Server = httptest.NewUnstartedServer(web.Wrap(api, web.Options{Hosts: []string{"127.0.0.1", "example.com"}}))
	own := httptest.NewUnstartedServer(nil) // for its certificate
	own.StartTLS()
	defer own.Close()
	h.TLS = orders.TLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own.TLS.Certificates[0], nil }, roots, gateway)
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func (h *hop) certificate(name string) tls.Certificate {
	h.t.Helper()
	cert, key, err := h.ca.Client(name, pkix.Name{CommonName: name}, nil, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		h.t.Fatal(err)
	}
	return pair
}

func (h *hop) client(pairs ...tls.Certificate) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: pairs}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// token is one as the gateway gets it: of a person, bound to its certificate.
func (h *hop) token(scope string) string { return h.issuer.Sign(h.claims(scope)) }

func (h *hop) claims(scope string) resourcetest.Claims {
	return h.issuer.Claims(audience).With("scope", scope).With("sub", "alice").With("client_id", "spa").
		With("act", map[string]any{"sub": gateway}).With("cnf", map[string]any{"x5t#S256": ca.Thumbprint(h.pair.Leaf)})
}

func (h *hop) do(method, path, scope, body string) (*http.Response, map[string]any) {
	h.t.Helper()
	return h.with(h.token(scope), method, path, body)
}

func (h *hop) with(token, method, path, body string) (*http.Response, map[string]any) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := h.client(h.pair).Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	told := map[string]any{}
	_ = json.Unmarshal(all, &told) // empty where there is none
	return resp, told
}

func TestNobodyButTheGatewayConnects(t *testing.T) {
	h := start(t)
	for name, pairs := range map[string][]tls.Certificate{"no certificate": nil, "of a partner": {h.certificate("partner.example")}} {
		if resp, err := h.client(pairs...).Get(h.URL + "/orders"); err == nil {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}

func TestOrders(t *testing.T) {
	h := start(t)
	resp, told := h.do("GET", "/orders", orders.ScopeRead, "")
	if resp.StatusCode != http.StatusOK || fmt.Sprint(told["caller"]) != "map[actor:gateway bound_to:gateway client_id:spa scope:orders.read subject:alice]" {
		t.Fatalf("%s %v", resp.Status, told)
	}
	before := len(told["orders"].([]any))
	resp, told = h.do("POST", "/orders", orders.ScopeWrite, `{"item":"Anchor","quantity":2}`)
	if resp.StatusCode != http.StatusCreated || told["id"] == "" || told["item"] != "Anchor" {
		t.Fatalf("%s %v", resp.Status, told)
	}
	if _, told = h.do("GET", "/orders", orders.ScopeRead, ""); len(told["orders"].([]any)) != before+1 {
		t.Errorf("the order is not there: %v", told)
	}
	for name, c := range map[string]struct {
		method, scope, body string
		status              int
	}{
		"scope to write":   {"POST", orders.ScopeRead, `{"item":"Anchor","quantity":2}`, 403},
		"scope to read":    {"GET", orders.ScopeWrite, "", 403},
		"no order":         {"POST", orders.ScopeWrite, "", 400},
		"unknown member":   {"POST", orders.ScopeWrite, `{"item":"Anchor","quantity":2,"price":0}`, 400},
		"quantity":         {"POST", orders.ScopeWrite, `{"item":"Anchor","quantity":0}`, 400},
		"too long":         {"POST", orders.ScopeWrite, `{"item":"` + strings.Repeat("x", 5000) + `","quantity":1}`, 400},
		"unknown method":   {"DELETE", orders.ScopeWrite, "", 405},
		"nobody asks that": {"GET", "", "", 403},
	} {
		if resp, told := h.do(c.method, "/orders", c.scope, c.body); resp.StatusCode != c.status {
			t.Errorf("%s: %s %v", name, resp.Status, told)
		}
	}
}

// RFC 9396: the scope lets orders be placed, the details of the token say which.
func TestDetailsLimitOrders(t *testing.T) {
	h := start(t)
	order := func(actions []string, limit int) map[string]any {
		return map[string]any{"type": "order", "actions": actions, "limit": limit}
	}
	for name, c := range map[string]struct {
		details []any
		status  int
	}{
		"within":            {[]any{order([]string{"place"}, 2)}, 201},
		"within one of two": {[]any{order([]string{"place"}, 1), order([]string{"place"}, 3)}, 201},
		"beyond":            {[]any{order([]string{"place"}, 1)}, 403},
		"of other actions":  {[]any{order([]string{"read"}, 9)}, 403},
		"unreadable":        {[]any{map[string]any{"type": "order", "actions": "place", "limit": 9}}, 403},
		"of another type":   {[]any{map[string]any{"type": "payment", "limit": 9}}, 403},
	} {
		token := h.issuer.Sign(h.claims(orders.ScopeWrite).With("authorization_details", c.details))
		if resp, told := h.with(token, "POST", "/orders", `{"item":"Anchor","quantity":2}`); resp.StatusCode != c.status {
			t.Errorf("%s: %s %v", name, resp.Status, told)
		}
	}
	token := h.issuer.Sign(h.claims(orders.ScopeRead).With("authorization_details", []any{order([]string{"place"}, 9)}))
	if resp, told := h.with(token, "POST", "/orders", `{"item":"Anchor","quantity":2}`); resp.StatusCode != 403 {
		t.Errorf("without the scope: %s %v", resp.Status, told)
	}
}

func TestStream(t *testing.T) {
	h := start(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", h.URL+"/orders/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token(orders.ScopeRead))
	resp, err := h.client(h.pair).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != ": listening" || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %s", resp.Status, lines.Text())
	}
	h.do("POST", "/orders", orders.ScopeWrite, `{"item":"Anchor","quantity":2}`)
	var got bytes.Buffer
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data:") {
		got.WriteString(lines.Text() + "\n")
	}
	if !strings.Contains(got.String(), "event: order") || !strings.Contains(lines.Text(), `"item":"Anchor"`) {
		t.Errorf("%s%s", got.String(), lines.Text())
	}
}

func TestRFC6455_Echo(t *testing.T) {
	h := start(t)
	config, err := websocket.NewConfig(strings.Replace(h.URL, "https:", "wss:", 1)+"/orders/ws", "https://app.holdfast.localhost")
	if err != nil {
		t.Fatal(err)
	}
	config.TlsConfig = &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{h.pair}}
	if _, err := websocket.DialConfig(config); err == nil {
		t.Error("it opens without a token")
	}
	config.Header.Set("Authorization", "Bearer "+h.token(orders.ScopeRead))
	c, err := websocket.DialConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, sent := range []string{"ahoy", strings.Repeat("x", 4000)} {
		var got string
		if err := websocket.Message.Send(c, sent); err != nil {
			t.Fatal(err)
		}
		if err := websocket.Message.Receive(c, &got); err != nil || got != sent {
			t.Errorf("%q came back as %q: %v", sent, got, err)
		}
	}
}
