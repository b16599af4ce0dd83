package holdfasttest_test

import (
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Names of the gateway that is loaded.
const (
	loadGateway  = "https://gateway.load.example"
	loadPartners = "https://partners.load.example"
	loadShop     = "https://shop.load.example"
	loadUpstream = "orders.holdfast.localhost"
	ordered      = "/orders/7"
)

// gate is a server with a gateway under load, and an API behind it in a process of its own.
type gate struct {
	*load
	upstream string      // https://orders.holdfast.localhost:port
	fresh    chan string // tokens that nobody has used yet
}

// gatewayCase is one kind of request to the API through the gateway, with what it has to sign and verify for that.
type gatewayCase struct {
	name           string
	signs, verifys int
	client         string // whose tokens are new with each request; "": the one of before
	do             func(*gate, *loader) error
}

var gatewayCases = []gatewayCase{
	{"cookie, known", 0, 0, "", (*gate).byCookie},
	{"JWT, known", 0, 0, "", (*gate).byKnown},
	{"JWT, first time", 1, 2, "caller", (*gate).byFresh},
	{"opaque, first time", 1, 0, "sealed", (*gate).byFresh},
}

// BenchmarkLoadGateway compares the CPU time that a request of 1 KiB takes in the gateway with that of a bare
// httputil.ReverseProxy and of nginx, all in turns, each on one core in a process of its own, over plain HTTP in front and
// mutual TLS behind, with connections that stay open, to the same API. Whatever else the machine does slows all down.
//
//	go test -run '^$' -bench LoadGateway -benchtime 8000x ./holdfasttest
func BenchmarkLoadGateway(b *testing.B) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		b.Run(protocol+" behind", func(b *testing.B) {
			g := newGate(b, protocol)
			bare, f := g.other(b, serveProxy(b, g.folder)), g.floor(b)
			var nginx *crew // which speaks no HTTP/2 to what is behind it
			if protocol == "HTTP/1.1" {
				nginx = g.other(b, g.serveNginx(b))
			}
			for _, k := range gatewayCases {
				b.Run(k.name, func(b *testing.B) { g.compare(b, &k, f, bare, nginx) })
			}
		})
	}
}

// compare measures one kind of request.
func (g *gate) compare(b *testing.B, k *gatewayCase, f *floor, bare, nginx *crew) {
	own := g.crew(b, g.served, func(c *loader) error { return k.do(g, c) })
	share := (b.N + turns - 1) / turns
	var spent, bareSpent, nginxSpent, crypto time.Duration
	for range turns {
		bareSpent += bare.work(b, share)
		if nginx != nil {
			nginxSpent += nginx.work(b, share)
		}
		if k.client != "" {
			g.issue(b, k.client, share)
		}
		crypto += time.Duration(k.signs*share)*each(share, f.sign) + time.Duration(k.verifys*share)*each(share, f.verify)
		spent += own.work(b, share)
	}
	all := float64(turns*share) / 1000
	b.ReportMetric(spent.Seconds()/all, "cpu-s/1000")
	b.ReportMetric(bareSpent.Seconds()/all, "bare-s/1000")
	b.ReportMetric(float64(spent)/float64(bareSpent), "x-bare")
	b.ReportMetric(float64(spent)/float64(bareSpent+crypto), "x-floor")
	if nginx != nil {
		b.ReportMetric(nginxSpent.Seconds()/all, "nginx-s/1000")
		b.ReportMetric(float64(spent)/float64(nginxSpent), "x-nginx")
	}
	b.ReportMetric(0, "ns/op") // of the driver, which says nothing
}

// other gathers loaders for another proxy to the same API, who send what a browser would.
func (g *gate) other(b *testing.B, s *served) *crew {
	b.Helper()
	base := "http://" + s.address
	g.addresses[base] = s.address
	return g.crew(b, s, func(c *loader) error { return c.order(base, c.asPage("a=b")) })
}

// order gets the kilobyte.
func (c *loader) order(base string, change func(*http.Request)) error {
	a, err := c.get(base, ordered, change)
	if err == nil {
		err = a.want(http.StatusOK)
	}
	if err == nil && len(a.body) != len(kilobyte) {
		err = fmt.Errorf("%d bytes", len(a.body))
	}
	return err
}

// asPage makes a request that of a script of the shop.
func (c *loader) asPage(cookies string) func(*http.Request) {
	return func(r *http.Request) {
		for name, value := range map[string]string{
			"Accept": "application/json", "Token-Handler-Version": "1", "Origin": loadShop, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Cookie": cookies,
		} {
			r.Header.Set(name, value)
		}
	}
}

func (g *gate) byCookie(c *loader) (err error) {
	if c.token == "" {
		if c.token, err = c.begin(); err != nil {
			return err
		}
	}
	return c.order(loadGateway, c.asPage(c.token))
}

// begin signs the person in to the shop, who has a session at the issuer, and gives the cookie of the session.
func (c *loader) begin() (cookie string, err error) {
	a, err := c.post(loadGateway, "/apps/shop/login/start", url.Values{}, c.asPage(""), c.fromSomewhere)
	if err != nil {
		return "", err
	}
	to, err := url.Parse(a.member("authorization_url"))
	if err != nil || to.Path == "" {
		return "", fmt.Errorf("login/start: %d %s", a.status, a.body)
	}
	login, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	if a, err = c.get(loadIssuer, to.RequestURI(), c.withSession); err != nil {
		return "", err
	}
	back, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		return "", err
	}
	if a, err = c.post(loadGateway, "/apps/shop/login/end", back.Query(), c.asPage(login), c.fromSomewhere); err != nil {
		return "", err
	}
	for _, line := range a.header.Values("Set-Cookie") {
		if pair, _, _ := strings.Cut(line, ";"); strings.HasPrefix(pair, "__Host-Http-hf-shop-s=") { // logins may end in -s, too
			return pair, nil
		}
	}
	return "", fmt.Errorf("login/end: %d %s", a.status, a.body)
}

// fromSomewhere has each request come from a network of its own: from one, few people sign in at a time.
func (c *loader) fromSomewhere(r *http.Request) {
	n := c.unique.Add(1)
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.1", n>>8&255, n&255))
}

// callerToken gets a token for the gateway that is bound to the partner's certificate.
func (c *loader) callerToken(client string) (string, error) {
	form := clientForm()
	form.Set("client_id", client)
	form.Set("resource", loadGateway)
	a, err := c.tokens(loadMTLS, form, c.withCertificate)
	if err != nil {
		return "", err
	}
	return a.member("access_token"), nil
}

func (g *gate) byKnown(c *loader) (err error) {
	if c.token == "" {
		if c.token, err = c.callerToken("caller"); err != nil {
			return err
		}
	}
	return c.order(loadPartners, c.withToken(c.token))
}

func (c *loader) withToken(token string) func(*http.Request) {
	return func(r *http.Request) {
		c.withCertificate(r)
		r.Header.Set("Authorization", "Bearer "+token)
	}
}

func (g *gate) byFresh(c *loader) (err error) {
	token := ""
	select {
	case token = <-g.fresh:
	default:
		if token, err = c.callerToken("caller"); err != nil { // the first one of a loader
			return err
		}
	}
	return c.order(loadPartners, c.withToken(token))
}

// issue gets tokens for later.
func (g *gate) issue(b *testing.B, client string, n int) {
	b.Helper()
	g.fresh = make(chan string, n)
	g.crew(b, g.served, func(c *loader) error {
		token, err := c.callerToken(client)
		if err != nil {
			return err
		}
		select {
		case g.fresh <- token:
		default:
		}
		return nil
	}).work(b, n)
}

// newGate starts the API and the server before it.
func newGate(b *testing.B, protocol string) *gate {
	b.Helper()
	g := prepareGate(b, protocol)
	g.served = serveHoldfast(b, g.folder, 1)
	g.signIn(b)
	return g
}

// prepareGate does all that comes before the server.
func prepareGate(b *testing.B, protocol string) *gate {
	b.Helper()
	l, partners := prepareLoad(b)
	g := &gate{load: l}
	authority, err := ca.Development(filepath.Join(g.folder, "ca"), "holdfast.localhost", time.Now())
	if err == nil {
		_, _, err = authority.Server("orders", []string{loadUpstream}, time.Now())
	}
	if err == nil {
		_, _, err = partners.Client("gateway", pkix.Name{CommonName: "gateway", Organization: []string{"Holdfast"}}, nil, time.Now())
	}
	if err != nil {
		b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(serveUpstream(b, g.folder, protocol).address)
	g.upstream = "https://" + loadUpstream + ":" + port
	write(b, filepath.Join(g.folder, "upstream"), g.upstream)
	g.addresses = writeLoad(b, g.folder, g.objects(b))
	g.addresses[loadGateway], g.addresses[loadPartners] = freeAddress(b), freeAddress(b)
	file := filepath.Join(g.folder, "holdfast.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	listeners := fmt.Sprintf(gatewayListeners, g.addresses[loadGateway], g.addresses[loadPartners])
	write(b, file, strings.Replace(string(text), "tenants:", listeners, 1)+gatewayConfig)
	return g
}

const (
	gatewayListeners = `  - name: gateway
    address: %s
    hosts: [gateway.load.example]
    tls: {mode: terminated, trusted_hops: [127.0.0.1/32]}
  - name: partners
    address: %s
    hosts: [partners.load.example]
    tls: {mode: terminated, trusted_hops: [127.0.0.1/32], client_certificate_header: Client-Cert}
    client_certificate: request
tenants:`
	gatewayConfig = `    token_handler: {url: "https://gateway.load.example/apps"}
    gateway: {urls: ["https://gateway.load.example", "https://partners.load.example"], client_id: gateway, certificate: partners/gateway.pem, key: partners/gateway.key, upstream_ca_files: [ca/root.pem]}
`
)

func (g *gate) objects(b *testing.B) []map[string]any {
	b.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		b.Fatal(err)
	}
	jwks, err := json.Marshal(jose.Set{Keys: []jose.Key{key.Public()}})
	if err != nil {
		b.Fatal(err)
	}
	api := []string{loadGateway}
	caller := func(id, format string) map[string]any {
		return map[string]any{
			"kind": "client", "client_id": id, "token_endpoint_auth_method": oauth.AuthTLSClient, "tls_client_auth_subject_dn": "CN=partner.example,O=Holdfast",
			"grant_types": []string{oauth.GrantClientCredentials}, "scope": "orders.read", "resources": api, "access_token_format": format,
			"tls_client_certificate_bound_access_tokens": true,
		}
	}
	return []map[string]any{
		{"kind": "scope", "name": "orders.read", "title": "Read your orders"},
		{"kind": "api", "resource": loadGateway, "scopes": []string{"orders.read"}, "introspectors": []string{"gateway"}, "exchangers": []string{"gateway"}},
		{"kind": "api", "resource": g.upstream, "scopes": []string{"orders.read"}},
		{
			"kind": "client", "client_id": "gateway", "token_endpoint_auth_method": oauth.AuthTLSClient, "tls_client_auth_subject_dn": "CN=gateway,O=Holdfast",
			"grant_types": []string{oauth.GrantTokenExchange}, "resources": []string{g.upstream}, "tls_client_certificate_bound_access_tokens": true,
		},
		caller("caller", "jwt"), caller("sealed", "opaque"),
		{
			"kind": "client", "client_id": "shop", "token_endpoint_auth_method": oauth.AuthPrivateKeyJWT, "jwks": json.RawMessage(jwks), "first_party": true,
			"grant_types": []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}, "redirect_uris": []string{loadShop + "/callback"},
			"scope": "openid profile orders.read", "resources": api, "dpop_bound_access_tokens": true,
		},
		{
			"kind": "application", "name": "shop", "client_id": "shop", "key": key, "origins": []string{loadShop},
			"redirect_uri": loadShop + "/callback", "scope": "openid profile orders.read", "resources": api,
		},
		{
			"kind": "route", "name": "orders", "hosts": []string{loadGateway, loadPartners}, "path": "/orders", "upstream": g.upstream, "credentials": []string{"cookie", "certificate"},
			"application": "shop", "audience": loadGateway, "scopes": []string{"orders.read"}, "upstream_audience": g.upstream,
		},
		{"kind": "user", "username": "alice", "password": loadSecret, "name": "Alice Adams", "given_name": "Alice"},
	}
}
