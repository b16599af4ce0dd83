package holdfasttest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// hop is the loopback address that nginx speaks from, and the only one that the listeners trust.
const hop = "127.0.0.2"

// handing is a way to hand a client certificate over: in which header, how nginx writes it, and how a liar would.
type handing struct {
	header, variable string
	write            func(der []byte) string
}

var handings = []handing{
	{"X-SSL-Client-Cert", "$ssl_client_escaped_cert", func(der []byte) string {
		return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}},
	{"Client-Cert", "$client_cert", func(der []byte) string { // RFC 9440 §2.1
		return ":" + base64.StdEncoding.EncodeToString(der) + ":"
	}},
}

// proxied is a landscape behind an nginx that ends TLS where its clients expect it.
type proxied struct {
	*holdfasttest.Server
	handing
	ports []string // of the plain listeners behind: for people, and for partners
}

// behindNginx starts both.
func behindNginx(t *testing.T, h handing) *proxied {
	t.Helper()
	program := nginxProgram(t)
	p := &proxied{handing: h}
	var held []net.Listener // so that nobody else is given these ports meanwhile
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		p.ports = append(p.ports, port)
	}
	p.Server = holdfasttest.Start(t, holdfasttest.WithConfiguration(func(_, text string) string {
		for _, l := range held {
			_ = l.Close() // it was only held
		}
		return p.terminated(text)
	}))
	p.startNginx(t, program)
	return p
}

// nginxProgram is where nginx is.
func nginxProgram(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // which is not on everybody's path
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("NGINX IS MISSING, so nothing is shown about it or in comparison with it: apt-get install nginx")
	}
	return program
}

// terminated is the configuration of the landscape without TLS on the two listeners that nginx stands before.
func (p *proxied) terminated(text string) string {
	trusting := "{mode: terminated, trusted_hops: [" + hop + "/32]"
	head, tail, _ := strings.Cut(text, "  - name: admin")
	for i, tls := range []string{trusting + "}", trusting + ", client_certificate_header: " + p.header + "}"} {
		head = nth(head, `address: \S+`, i, "address: 127.0.0.1:"+p.ports[i])
		head = nth(head, `tls: \{[^}]*\}`, i, "tls: "+tls)
	}
	return head + "  - name: admin" + tail
}

// nth replaces one match of an expression.
func nth(text, expression string, n int, with string) string {
	at := regexp.MustCompile(expression).FindAllStringIndex(text, -1)[n]
	return text[:at[0]] + with + text[at[1]:]
}

// nginxConfig is that of the documentation, on loopback. The map writes the lines of a PEM file as RFC 9440 has them.
const nginxConfig = `
daemon off;
master_process off;
pid @folder/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path @folder/body; proxy_temp_path @folder/proxy;
  fastcgi_temp_path @folder/fastcgi; uwsgi_temp_path @folder/uwsgi; scgi_temp_path @folder/scgi;
  ssl_certificate     @data/ca/server.pem;
  ssl_certificate_key @data/ca/server.key;
  map $ssl_client_raw_cert $client_cert {
    "~^-----BEGIN CERTIFICATE-----\n@expression-----END CERTIFICATE-----" ":@lines:";
    default "";
  }
  proxy_bind @hop;
  server {
    listen 127.0.0.1:@public_pages ssl http2;
    location / {
      proxy_pass http://127.0.0.1:@plain_pages;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header @header "";
    }
  }
  server {
    listen 127.0.0.1:@public_mtls ssl http2;
    ssl_verify_client optional_no_ca;
    location / {
      proxy_pass http://127.0.0.1:@plain_mtls;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header @header @certificate;
    }
  }
}
`

// config fills the configuration in.
func (p *proxied) config(folder string) string {
	var expression, lines strings.Builder
	for i := range 32 { // more than any certificate here has
		fmt.Fprintf(&expression, `(?:(?<l%d>[^\n-]+)\n)?`, i)
		fmt.Fprintf(&lines, `$l%d`, i)
	}
	return strings.NewReplacer(
		"@folder", folder, "@data", p.Data, "@hop", hop, "@header", p.header, "@certificate", p.variable,
		"@public_pages", portOf(p.Issuer), "@plain_pages", p.ports[0], "@public_mtls", portOf(p.MTLSIssuer), "@plain_mtls", p.ports[1],
		"@expression", expression.String(), "@lines", lines.String(),
	).Replace(nginxConfig)
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// startNginx runs nginx until the test ends.
func (p *proxied) startNginx(t *testing.T, program string) {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(file, []byte(p.config(folder)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-p", folder, "-c", file)
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("nginx said: %s", said)
		}
	})
	for range 500 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+portOf(p.MTLSIssuer)); err == nil {
			_ = c.Close() // only to see that somebody answers
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nginx does not answer")
}

// lying is a client that says in a header which certificate it has.
func (h handing) lying(c *http.Client, der []byte) *http.Client {
	own := *c
	own.Transport = &liar{c.Transport, h.header, h.write(der)}
	return &own
}

type liar struct {
	http.RoundTripper
	header, value string
}

func (l *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header[l.header] = []string{l.value}
	return l.RoundTripper.RoundTrip(r)
}

// directly is a client that passes nginx by, from an address of this machine.
func (p *proxied) directly(t *testing.T, from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, "127.0.0.1:"+p.ports[1])
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestBehindNginx(t *testing.T) {
	for _, h := range handings {
		t.Run(h.header, func(t *testing.T) {
			p := behindNginx(t, h)
			t.Run("a partner with curl", func(t *testing.T) { partnerWithCurl(t, p.Server) })
			t.Run("people and DPoP", p.people)
			t.Run("RFC 8705 3: tokens are bound to the certificate", p.bound)
			t.Run("RFC 9440 4: a header from outside is overwritten", p.spoofed)
			t.Run("a header that passes the proxy by is not believed", p.direct)
		})
	}
}

// people sign in to a client that binds its tokens by DPoP, whose proofs are about the URLs that the client knows.
func (p *proxied) people(t *testing.T) {
	web := asWeb(t, p.Server)
	got := web.redeem("web_confidential", newPerson(t, p.Server).code("web_confidential", p.Users[0], nil))
	if got.Status != http.StatusOK || got.text("token_type") != "DPoP" {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	if a := web.userinfo(got.text("access_token")); a.Status != http.StatusOK || a.text("email") != p.Users[0].Username {
		t.Errorf("%d %v", a.Status, a.Body)
	}
}

// tokens are the partner's for Alice's claims.
func (p *proxied) tokens(t *testing.T) string {
	t.Helper()
	got := asPartner(t, p.Server).redeem("partner_mtls", newPerson(t, p.Server).code("partner_mtls", p.Users[0], nil))
	if got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	return got.text("access_token")
}

func (p *proxied) bound(t *testing.T) {
	token := p.tokens(t)
	if a := asPartner(t, p.Server).userinfo(token); a.Status != http.StatusOK || a.text("email") != p.Users[0].Username {
		t.Fatalf("with the certificate: %d %v", a.Status, a.Body)
	}
	p.worthless(t, token, map[string]*http.Client{
		"no certificate":                     p.HTTP(),
		"a certificate nobody knows":         p.HTTP(selfSigned(t)),
		"another certificate of the partner": p.HTTP(secondCertificate(t, p.Server)),
	})
	for name, certificates := range map[string][]tls.Certificate{"no certificate": nil, "a certificate nobody knows": {selfSigned(t)}} {
		p.unknown(t, name, p.MTLSIssuer, p.HTTP(certificates...))
	}
}

// worthless shows a token as others than its holder.
func (p *proxied) worthless(t *testing.T, token string, thieves map[string]*http.Client) {
	t.Helper()
	for name, client := range thieves {
		thief := asPartner(t, p.Server)
		thief.client = client
		if a := thief.userinfo(token); a.Status != http.StatusUnauthorized || a.text("error") != "invalid_token" {
			t.Errorf("userinfo with %s: %d %v", name, a.Status, a.Body)
		}
	}
}

// unknown asks for a token as somebody who is not the partner.
func (p *proxied) unknown(t *testing.T, name, base string, client *http.Client) {
	t.Helper()
	thief := asPartner(t, p.Server)
	thief.client, thief.base = client, base
	if a := thief.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}}); a.Status != http.StatusUnauthorized || a.text("error") != "invalid_client" {
		t.Errorf("token for %s at %s: %d %v", name, base, a.Status, a.Body)
	}
}

func (p *proxied) spoofed(t *testing.T) {
	token, own := p.tokens(t), p.Certificate("partner_mtls").Certificate[0]
	liars := map[string]*http.Client{
		"no certificate, and a lie":                     p.lying(p.HTTP(), own),
		"a certificate nobody knows, and a lie":         p.lying(p.HTTP(selfSigned(t)), own),
		"another certificate of the partner, and a lie": p.lying(p.HTTP(secondCertificate(t, p.Server)), own),
	}
	p.worthless(t, token, liars)
	delete(liars, "another certificate of the partner, and a lie") // which is the partner, with a token of another certificate
	for name, client := range liars {
		p.unknown(t, name, p.MTLSIssuer, client)
		p.unknown(t, name, p.Issuer, client)
	}
	// Nor does a lie harm somebody who has the certificate.
	honest := asPartner(t, p.Server)
	honest.client = p.lying(honest.client, selfSigned(t).Certificate[0])
	if a := honest.userinfo(token); a.Status != http.StatusOK {
		t.Errorf("the holder who lies: %d %v", a.Status, a.Body)
	}
}

// direct speaks to the plain listener. What nginx writes is believed from the address of nginx, and from no other.
func (p *proxied) direct(t *testing.T) {
	token, own := p.tokens(t), p.Certificate("partner_mtls").Certificate[0]
	for from, want := range map[string]int{hop: http.StatusOK, "127.0.0.1": http.StatusBadRequest, "127.0.0.3": http.StatusBadRequest} {
		c := asPartner(t, p.Server)
		c.client = p.lying(p.directly(t, from), own)
		c.base = strings.Replace(p.MTLSIssuer, "https:", "http:", 1)
		if a := c.userinfo(token); a.Status != want {
			t.Errorf("userinfo from %s: %d %v, want %d", from, a.Status, a.Body, want)
		}
		if a := c.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}}); a.Status != want {
			t.Errorf("token from %s: %d %v, want %d", from, a.Status, a.Body, want)
		}
	}
}
