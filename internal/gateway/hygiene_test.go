package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/gateway"
	"github.com/holdfast-iam/holdfast/oauth"
)

// spoofed are headers by which some server or other is told who calls it, and over what. The list is written here again, so
// that what is forgotten there is not forgotten here for the same reason.
var spoofed = strings.Fields(`
	Forwarded X-Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-Server X-Forwarded-Uri
	X-Forwarded-Method X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token
	X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info X-Forwarded-Scheme X-Forwarded-Ssl
	X-Real-Ip X-Client-Ip X-Cluster-Client-Ip True-Client-Ip Cf-Connecting-Ip Fastly-Client-Ip X-Envoy-External-Address X-Envoy-Original-Path
	X-Original-Url X-Original-Uri X-Original-Method X-Original-Forwarded-For X-Rewrite-Url X-Http-Method-Override X-Http-Method X-Method-Override
	Client-Cert Client-Cert-Chain Ssl-Client-Cert Ssl-Client-Verify Ssl-Client-Subject-Dn Ssl-Client-Issuer-Dn X-Ssl-Client-Cert X-Ssl-Client-Verify
	X-Ssl-Client-S-Dn X-Ssl-Cert X-Client-Cert X-Client-Certificate X-Arr-Clientcert X-Amzn-Mtls-Clientcert X-Amzn-Mtls-Clientcert-Leaf
	X-Amzn-Mtls-Clientcert-Subject X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups X-Auth-Request-Access-Token
	X-User X-User-Id X-Userinfo X-Remote-User Remote-User Remote-Groups Remote-Email Remote-Name X-Webauth-User X-Authenticated-User X-Authentik-Username
	X-Pomerium-Jwt-Assertion X-Goog-Authenticated-User-Email X-Goog-Iap-Jwt-Assertion X-Ms-Client-Principal X-Ms-Client-Principal-Id
	X-Amzn-Oidc-Data X-Amzn-Oidc-Identity Cf-Access-Jwt-Assertion Cf-Access-Authenticated-User-Email X-Consumer-Id X-Consumer-Username
	X-Credential-Identifier X-Jwt-Assertion X-Endpoint-Api-Userinfo X-Apigateway-Api-Userinfo X-Access-Token X-Id-Token X-Spiffe-Id
	Proxy Proxy-Authorization X-Request-Id X-Csrf X-Csrf-Token X-Xsrf-Token Token-Handler-Version Cookie2`)

// Nothing that a caller says about itself reaches the API, however it is spelled and with whichever credential.
func TestSpoofedHeaders(t *testing.T) {
	r := landscape(t)
	for name, way := range r.ways(t) {
		t.Run(name, func(t *testing.T) {
			client, q := way("GET", "/orders", "")
			for i, h := range spoofed {
				if h == "Token-Handler-Version" || h == "X-Csrf" {
					continue // has to be right
				}
				for j, spelled := range []string{h, strings.ToLower(h), strings.ReplaceAll(h, "-", "_"), strings.ToUpper(strings.Replace(h, "-", "_", 1))} {
					q.Header[spelled] = []string{fmt.Sprintf("spoofed %d.%d", i, j)}
				}
			}
			q.Header["AUTHORIZATION_"], q.Header["Token_Handler_Version"] = []string{"kept spoofed"}, []string{"spoofed"}
			q.Header.Set("X-Own-Business", "kept")
			q.Header.Set("Connection", "Authorization, X-Request-Id, X-Forwarded-For, Client-Cert")
			if a := send(t, client, q); a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			got := r.last(t)
			for h, values := range got.Header {
				for _, v := range values {
					if strings.Contains(v, "spoofed") && !strings.Contains(v, "kept") {
						t.Errorf("%s: %s", h, v)
					}
				}
			}
			host := strings.TrimPrefix(r.origin, "https://")
			if name[:4] == "cert" {
				host = strings.TrimPrefix(r.mtls, "https://")
			}
			for h, want := range map[string]string{
				"X-Own-Business": "kept", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": host, "X-Forwarded-Proto": "https", "Cookie": "", "Dpop": "",
			} {
				if v := got.Header.Values(h); want != "" && !slices.Equal(v, []string{want}) || want == "" && len(v) > 0 {
					t.Errorf("%s: %q, want %q", h, v, want)
				}
			}
			if v := got.Header.Values("Authorization"); len(v) != 1 || !strings.HasPrefix(v[0], "Bearer ey") {
				t.Errorf("Authorization %q", v)
			}
			if host := strings.TrimPrefix(r.api, "https://"); got.Host != host {
				t.Errorf("Host %s, want %s", got.Host, host)
			}
		})
	}
}

// What an API answers cannot touch our cookies, our CORS headers, or what we say ourselves.
func TestAnswersAreCleaned(t *testing.T) {
	r := landscape(t)
	cookie, _ := r.cookie(t, "demo", "alice", false)
	r.does(func(w http.ResponseWriter, _ *http.Request) {
		for _, c := range []string{cookie.Name + "=stolen; Path=/; Secure", " " + strings.ToLower(cookie.Name) + " = stolen", "__Host-hf-s=stolen", "=" + cookie.Name + "=stolen",
			"justvalue", "__Host-Http-hf-other-s=stolen", "theirs=good; Path=/"} {
			w.Header().Add("Set-Cookie", c)
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Credentials", "false")
		w.Header().Set("Vary", "Accept")
		w.Header().Set("X-Request-Id", "theirs")
		w.Header().Set("Strict-Transport-Security", "max-age=0")
		w.Header().Set("Dpop-Nonce", "theirs")
		w.Header().Add("Www-Authenticate", `Basic realm="give me your password"`)
		w.Header().Add("Www-Authenticate", `Bearer error="insufficient_scope"`)
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusForbidden)
	})
	a := send(t, r.client(t, nil), fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie))
	for name, want := range map[string][]string{
		"Set-Cookie": {"theirs=good; Path=/"}, "Access-Control-Allow-Origin": {spa}, "Access-Control-Allow-Credentials": {"true"},
		"Vary": {"Origin", "Accept"}, "Strict-Transport-Security": {"max-age=63072000"}, "Dpop-Nonce": nil, "Cache-Control": {"no-store"},
		"Www-Authenticate": {`Bearer error="insufficient_scope"`}, "X-Content-Type-Options": {"nosniff"},
	} {
		if got := a.Header.Values(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := a.Header.Values("X-Request-Id"); a.StatusCode != 403 || len(id) != 1 || id[0] == "theirs" {
		t.Errorf("%d, request id %q", a.StatusCode, id)
	}
}

// raw sends bytes as they are and gives the first answer.
func (r *rig) raw(t *testing.T, bytes string) *http.Response {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+r.port(), &tls.Config{InsecureSkipVerify: true, ServerName: "mtls.api.holdfast.localhost", Certificates: []tls.Certificate{r.partner.KeyPair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(bytes)); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Body.Close() })
	return a
}

func (r *rig) port() string { return r.origin[strings.LastIndexByte(r.origin, ':')+1:] }

// One path, one meaning: what the API gets is what was matched, or nothing.
func TestRFC3986_6_2_2_Paths(t *testing.T) {
	r := landscape(t)
	token, _ := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}})
	for sent, want := range map[string]string{
		"/orders": "/orders", "/orders/": "/orders/", "/orders/7?a=b": "/orders/7?a=b", "/%6frders/%7Ea": "/orders/~a",
		"/orders/a%20b": "/orders/a%20b", "/orders/%c3%a4": "/orders/%C3%A4", "/orders/a%3Fb": "/orders/a%3Fb", "/orders/a+b,c=d:e@f": "/orders/a+b,c=d:e@f",
		"/orders/...": "/orders/...", "/orders/%2a": "/orders/%2A", "/orders/%41": "/orders/A",

		"/orders/../admin": "400", "/orders/./7": "400", "/orders/..": "400", "/orders/%2e%2e/admin": "400", "/orders/.%2E/x": "400", "/orders/%2e": "400",
		"/orders/..%2fadmin": "400", "/orders%2fadmin": "400", "/orders%2Fadmin": "400", "/orders%5cadmin": "400", `/orders\admin`: "400", "/orders/%5C..%5Cx": "400",
		"/orders/%252e%252e/x": "400", "/orders/%25": "400", "//orders": "400", "/orders//7": "400", "/orders/7//": "400", "/orders/..;/admin": "400",
		"/orders/a;b=c": "400", "/orders/a%3Bb": "400", "/orders/%00": "400", "/orders/%0d%0aX:y": "400", "/orders/%7f": "400", "/orders/%c0%ae%c0%ae/": "400",
		"/orders/%ff": "400", "/orders/%zz": "400", "/orders/%4": "400", "orders": "400", "*": "400", "/x/../orders": "400", "/orders/" + strings.Repeat("a/", 200): "400",
		"/orders/" + strings.Repeat("a", 5000): "400", "https://mtls.api.holdfast.localhost/orders": "421",
	} {
		t.Run(sent[:min(len(sent), 60)], func(t *testing.T) {
			before := r.count()
			a := r.raw(t, "GET "+sent+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(r.mtls, "https://")+"\r\nAuthorization: Bearer "+token+"\r\n\r\n")
			if len(want) == 3 {
				if fmt.Sprint(a.StatusCode) != want || r.count() != before {
					t.Errorf("%d, and the API has seen %d requests", a.StatusCode, r.count()-before)
				}
				return
			}
			if a.StatusCode != 200 || r.last(t).RequestURI != want {
				t.Errorf("%d, the API got %s, want %s", a.StatusCode, r.last(t).RequestURI, want)
			}
		})
	}
}

// A message that two servers could cut in two ways is refused, or reaches the API as exactly one.
func TestRFC9112_11_2_Smuggling(t *testing.T) {
	r := landscape(t)
	token, _ := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}})
	head := "Host: " + strings.TrimPrefix(r.mtls, "https://") + "\r\nAuthorization: Bearer " + token + "\r\n"
	second := "GET /orders/smuggled HTTP/1.1\r\n" + head + "\r\n"
	for name, c := range map[string]struct {
		message string
		status  int // 0: either way
	}{
		"both lengths":            {"POST /orders HTTP/1.1\r\n" + head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
		"two lengths":             {"POST /orders HTTP/1.1\r\n" + head + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + "hello", 400},
		"a length with a sign":    {"POST /orders HTTP/1.1\r\n" + head + "Content-Length: +5\r\n\r\nhello", 400},
		"chunked twice":           {"POST /orders HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
		"chunked by another name": {"POST /orders HTTP/1.1\r\n" + head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		"space before the colon":  {"POST /orders HTTP/1.1\r\n" + head + "Content-Length : 5\r\n\r\nhello", 400},
		"a folded line":           {"POST /orders HTTP/1.1\r\n" + head + "X-A: b\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 0},
		"two hosts":               {"GET /orders HTTP/1.1\r\n" + head + "Host: orders.example\r\n\r\n", 400},
		"no host":                 {"GET /orders HTTP/1.1\r\n\r\n", 400},
		"a body on GET":           {"GET /orders HTTP/1.1\r\n" + head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(second)) + second, 200},
		"upgrade to h2c":          {"GET /orders HTTP/1.1\r\n" + head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 200},
		"trailers":                {"POST /orders HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\nTrailer: Client-Cert\r\n\r\n0\r\nClient-Cert: :spoofed:\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.count()
			a := r.raw(t, c.message)
			if c.status != 0 && a.StatusCode != c.status {
				t.Errorf("status %d, want %d", a.StatusCode, c.status)
			}
			if r.count()-before > 1 {
				t.Errorf("the API has seen %d requests", r.count()-before)
			}
			if r.count() > before {
				got := r.last(t)
				if strings.Contains(got.RequestURI, "smuggled") || got.Header.Get("Upgrade") != "" || got.Trailer.Get("Client-Cert") != "" {
					t.Errorf("the API got %s %v %v", got.RequestURI, got.Header, got.Trailer)
				}
			}
		})
	}
}

func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{"/", "/a/b%20c/", "/%2e%2E/", "/a%2fb", "/%c3%a4", "/a;b", "//", "/%", "/%25%32%65"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		normal, plain, err := gateway.Normalise(escaped)
		if err != nil {
			return
		}
		again, same, err := gateway.Normalise(normal)
		if err != nil || again != normal || same != plain {
			t.Fatalf("%q is %q, and that is %q, %v", escaped, normal, again, err)
		}
		decoded, err := url.PathUnescape(normal)
		if err != nil || decoded != plain {
			t.Fatalf("%q decodes to %q, not %q", normal, decoded, plain)
		}
		twice, err := url.PathUnescape(plain)
		if err != nil || twice != plain {
			t.Fatalf("%q means something else to who decodes it again", plain)
		}
		if clean := path.Clean(plain); clean != plain && clean+"/" != plain {
			t.Fatalf("%q is %q to others", plain, clean)
		}
		if strings.ContainsAny(plain, "\\;\x00\r\n") {
			t.Fatalf("%q", plain)
		}
		u := url.URL{Path: plain, RawPath: normal}
		if u.EscapedPath() != normal {
			t.Fatalf("would be sent as %q, not %q", u.EscapedPath(), normal)
		}
	})
}
