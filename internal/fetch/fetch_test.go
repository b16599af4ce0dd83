package fetch_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/fetch"
)

// site is a real TLS server on loopback with the name example.com, and a client that may reach it for "test".
type site struct {
	*httptest.Server
	hits atomic.Int32
	port int
	o    fetch.Options
}

func newSite(t *testing.T, h http.HandlerFunc, change ...func(*tls.Config)) *site {
	t.Helper()
	s := new(site)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		h(w, r)
	}))
	s.TLS = new(tls.Config)
	for _, c := range change {
		c(s.TLS)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if s.port, err = strconv.Atoi(u.Port()); err != nil {
		t.Fatal(err)
	}
	s.o = fetch.Options{
		Allow:   map[string][]fetch.Rule{"test": s.rules(s.port), fetch.PurposeJWKS: s.rules(s.port)},
		RootCAs: x509.NewCertPool(), Resolve: resolve("127.0.0.1"), Timeout: 5 * time.Second, MaxBytes: 1000,
	}
	s.o.RootCAs.AddCert(s.Certificate())
	return s
}

func (s *site) rules(ports ...int) []fetch.Rule {
	return []fetch.Rule{{CIDR: netip.MustParsePrefix("127.0.0.0/8"), Ports: ports}}
}

func (s *site) url(host string) string { return "https://" + host + ":" + strconv.Itoa(s.port) + "/x" }

func (s *site) client(t *testing.T) *fetch.Client {
	c := fetch.New(s.o)
	t.Cleanup(c.Close)
	return c
}

func resolve(addrs ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) (list []netip.Addr, err error) {
		for _, a := range addrs {
			list = append(list, netip.MustParseAddr(a))
		}
		return list, nil
	}
}

func TestGetAndPost(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) > 0 {
			t.Error("a cookie is sent")
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		w.Header().Set("X-Seen", strings.TrimSpace(r.Method+" "+r.Header.Get("Content-Type")))
		io.Copy(w, r.Body)
	})
	c := s.client(t)
	for range 2 {
		body, header, err := c.Post(t.Context(), "test", s.url("example.com"), "text/plain", []byte("hello"))
		if err != nil || string(body) != "hello" || header.Get("X-Seen") != "POST text/plain" {
			t.Fatalf("%q %v %v", body, header, err)
		}
	}
	if _, header, err := c.Get(t.Context(), "test", s.url("example.com")); err != nil || header.Get("X-Seen") != "GET" {
		t.Fatalf("%v %v", header, err)
	}
}

func TestURLs(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	c := s.client(t)
	for _, bad := range []string{
		"", "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https:///x", "https:example.com", "//example.com",
		"https://user@example.com/", "https://u:p@example.com/", "https://example.com/#f", "https://exa mple.com/", "https://[::1/",
	} {
		if _, _, err := c.Get(t.Context(), "test", bad); !errors.Is(err, fetch.ErrForbidden) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if s.hits.Load() != 0 {
		t.Error("something was asked")
	}
}

func TestAddressesThatAreNotPublic(t *testing.T) {
	c := func(addrs ...string) error {
		f := fetch.New(fetch.Options{Resolve: resolve(addrs...), Timeout: time.Second})
		defer f.Close()
		_, _, err := f.Get(t.Context(), "test", "https://example.com/")
		return err
	}
	bad := []string{
		"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1",
		"100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"168.63.129.16", "192.88.99.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1",
		"2002:a00:1::1", "2001::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "100::1", "3fff::1", "5f00::1",
	}
	for _, a := range bad {
		if err := c(a); !errors.Is(err, fetch.ErrForbidden) {
			t.Errorf("%s: %v", a, err)
		}
		if err := c("1.1.1.1", a); !errors.Is(err, fetch.ErrForbidden) {
			t.Errorf("a public address and %s: %v", a, err)
		}
	}
	f := fetch.New(fetch.Options{Resolve: resolve()})
	for _, host := range []string{"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "a.localhost", "A.LocalHost.", "10.0.0.1:8443"} {
		if _, _, err := f.Get(t.Context(), "test", "https://"+host+"/"); !errors.Is(err, fetch.ErrForbidden) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := c(); err == nil || errors.Is(err, fetch.ErrForbidden) {
		t.Errorf("no address: %v", err)
	}
}

func TestPublicAddressIsDialled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := fetch.New(fetch.Options{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		cancel() // nothing leaves the machine
		return []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2606:4700::1111")}, nil
	}})
	if _, _, err := f.Get(ctx, "test", "https://example.com/"); !errors.Is(err, context.Canceled) || errors.Is(err, fetch.ErrForbidden) {
		t.Errorf("public addresses: %v", err)
	}
}

func TestAllowIsByPurposeNetworkAndPort(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	s.o.Allow = map[string][]fetch.Rule{
		"test": s.rules(s.port), "port": s.rules(1, 2), "default": s.rules(),
		"net": {{CIDR: netip.MustParsePrefix("127.1.0.0/16"), Ports: []int{s.port}}},
	}
	c := s.client(t)
	if _, _, err := c.Get(t.Context(), "test", s.url("example.com")); err != nil {
		t.Fatal(err)
	}
	for _, purpose := range []string{"", "other", "port", "default", "net"} { // the connection of "test" is still open
		if _, _, err := c.Get(t.Context(), purpose, s.url("example.com")); !errors.Is(err, fetch.ErrForbidden) {
			t.Errorf("%q: %v", purpose, err)
		}
	}
	if s.hits.Load() != 1 {
		t.Errorf("%d requests arrived", s.hits.Load())
	}
}

// The name resolves to a public address when it is looked at and to an inner one a moment later: it is resolved once,
// and only what has been looked at is dialled.
func TestRebindingGainsNothing(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	s.o.Allow = nil
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	s.o.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		if asked++; asked == 1 {
			cancel() // nothing leaves the machine
			return []netip.Addr{netip.MustParseAddr("1.1.1.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	c := s.client(t)
	if _, _, err := c.Get(ctx, "test", s.url("example.com")); err == nil || errors.Is(err, fetch.ErrForbidden) || asked != 1 {
		t.Errorf("resolved %d times: %v", asked, err)
	}
	for range 3 {
		if _, _, err := c.Get(t.Context(), "test", s.url("example.com")); !errors.Is(err, fetch.ErrForbidden) {
			t.Errorf("the inner address: %v", err)
		}
	}
	if s.hits.Load() != 0 {
		t.Error("a request arrived")
	}
}

func TestLocalhostNeedsNoResolver(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	s.o.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("asked") }
	_, _, err := s.client(t).Get(t.Context(), "test", s.url("login.holdfast.localhost"))
	if name, ok := errors.AsType[x509.HostnameError](err); !ok || name.Host != "login.holdfast.localhost" {
		t.Errorf("want to get as far as the certificate, which has another name: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("case") {
		case "redirect":
			http.Redirect(w, r, "/?case=ok", http.StatusFound)
		case "created":
			w.WriteHeader(http.StatusCreated)
		case "error":
			http.Error(w, "secret", http.StatusInternalServerError)
		case "large":
			io.WriteString(w, strings.Repeat("x", 1001))
		case "limit":
			io.WriteString(w, strings.Repeat("x", 1000))
		case "header":
			w.Header().Set("X", strings.Repeat("x", 64<<10))
		case "zip":
			w.Header().Set("Content-Encoding", r.Header.Get("Accept-Encoding"))
		case "slow":
			<-r.Context().Done()
		}
	})
	s.o.Timeout = 300 * time.Millisecond
	c := s.client(t)
	for name, ok := range map[string]bool{"redirect": false, "created": false, "error": false, "large": false, "limit": true, "header": false, "zip": true, "slow": false, "ok": true} {
		_, header, err := c.Get(t.Context(), "test", s.url("example.com")+"?case="+name)
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "case=")) {
			t.Errorf("%s: the error shows what is not ours: %v", name, err)
		}
		if header.Get("Content-Encoding") != "" {
			t.Error("compression is asked for")
		}
	}
	if _, _, err := c.Get(t.Context(), "test", s.url("example.com")+"?case=large"); !errors.Is(err, fetch.ErrTooLarge) {
		t.Errorf("large: %v", err)
	}
}

func TestTLS(t *testing.T) {
	old := newSite(t, func(http.ResponseWriter, *http.Request) {}, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 })
	if _, _, err := old.client(t).Get(t.Context(), "test", old.url("example.com")); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	if _, _, err := s.client(t).Get(t.Context(), "test", s.url("other.example")); err == nil {
		t.Error("a certificate for another name is accepted")
	}
	s.o.RootCAs = nil
	if _, _, err := s.client(t).Get(t.Context(), "test", s.url("example.com")); err == nil {
		t.Error("a certificate of an unknown root is accepted")
	}
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	if _, _, err := s.client(t).Get(t.Context(), "test", s.url("example.com")); err != nil {
		t.Error(err)
	}
}

func TestLocalhostDialer(t *testing.T) {
	var got string
	dial := fetch.LocalhostDialer(func(_ context.Context, _, address string) (net.Conn, error) {
		got = address
		return nil, errors.New("not dialled")
	})
	for address, want := range map[string]string{
		"login.holdfast.localhost:443": "127.0.0.1:443", "localhost:1": "127.0.0.1:1", "A.LOCALHOST.:2": "127.0.0.1:2",
		"example.com:443": "example.com:443", "notlocalhost:1": "notlocalhost:1", "localhost.example:1": "localhost.example:1", "odd": "odd",
	} {
		dial(t.Context(), "tcp", address)
		if got != want {
			t.Errorf("%s is dialled as %s", address, got)
		}
	}
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		conn, err := fetch.LocalhostDialer(nil)(t.Context(), "tcp", "x.localhost:"+port)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}
