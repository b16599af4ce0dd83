package web_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

var hops = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

// listener is a wrapped handler whose event and log can be looked at.
type listener struct {
	http.Handler
	event *web.Event
	log   bytes.Buffer
}

func listen(h web.Handler, o web.Options) *listener {
	l := new(listener)
	o.Log = slog.New(slog.NewJSONHandler(&l.log, nil))
	if o.Hosts == nil {
		o.Hosts = []string{"login.example"}
	}
	mux := web.NewMux(web.OAuthDoor)
	mux.Handle("/thing/{id}", web.Through(web.OAuthDoor, func(w http.ResponseWriter, r *http.Request) error {
		l.event = web.EventOf(r.Context())
		return h(w, r)
	}))
	l.Handler = web.Wrap(http.StripPrefix("/tenant", mux), o)
	return l
}

func fine(w http.ResponseWriter, _ *http.Request) error { return web.WriteJSON(w, 200, "fine") }

// request is one over TLS from address.
func request(address string) *http.Request {
	r := httptest.NewRequest("GET", "https://login.example/tenant/thing/7?code=SECRET", nil)
	r.RemoteAddr = address
	r.TLS = &tls.ConnectionState{ServerName: "login.example"}
	return r
}

func TestOneRecordWithoutSecrets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := listen(func(_ http.ResponseWriter, r *http.Request) error {
		e := web.EventOf(r.Context())
		e.SetTenant("main")
		e.SetClient("shop")
		e.SetSubject("alice")
		e.Cause(errors.New("first"))
		return oauth.Refuse(oauth.InvalidGrant, "spent").With(errors.New("second"))
	}, web.Options{Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	r := request("192.0.2.7:1234")
	r.Header.Set("Authorization", "Basic SECRET")
	r.Header.Set("Cookie", "__Host-hf-s=SECRET")
	res := answer(t, l, r)
	var got map[string]any
	if err := json.Unmarshal(l.log.Bytes(), &got); err != nil { // fails for two records
		t.Fatalf("%v: %s", err, l.log.String())
	}
	want := map[string]any{
		"method": "GET", "route": "/thing/{id}", "status": 400.0, "duration_us": 1000.0, "tenant": "main", "client": "shop",
		"subject": "alice", "code": "invalid_grant", "address": "192.0.2.0/24", "host": "login.example",
		"request_id": res.Header.Get("X-Request-Id"),
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: got %v, want %v", name, got[name], value)
		}
	}
	if cause, _ := got["cause"].(string); !strings.Contains(cause, "first") || !strings.Contains(cause, "second") {
		t.Errorf("cause %q", cause)
	}
	if strings.Contains(l.log.String(), "SECRET") {
		t.Errorf("a secret is in the log: %s", l.log.String())
	}
	if len(res.Header.Get("X-Request-Id")) < 26 {
		t.Errorf("request id %q", res.Header.Get("X-Request-Id"))
	}
	if res.Header.Get("Strict-Transport-Security") == "" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", res.Header)
	}
}

func TestRefusedHears(t *testing.T) {
	var heard []oauth.Code
	o := web.Options{Refused: func(_ *http.Request, e *web.Event, _ int) { heard = append(heard, e.Code()) }}
	answer(t, listen(fine, o), request("192.0.2.7:1"))
	answer(t, listen(refusing(oauth.Refuse(oauth.AccessDenied, "no")), o), request("192.0.2.7:1"))
	if len(heard) != 1 || heard[0] != oauth.AccessDenied {
		t.Errorf("heard %v", heard)
	}
}

func TestPanicShowsTheRequestAlone(t *testing.T) {
	l := listen(nil, web.Options{}) // calling nil panics
	res := answer(t, l, request("192.0.2.7:1"))
	if got := body(t, res); res.StatusCode != 500 || !strings.Contains(got, "server_error") || strings.Contains(got, "nil") {
		t.Errorf("got %d %s", res.StatusCode, got)
	}
	if !strings.Contains(l.log.String(), "nil pointer") || !strings.Contains(l.log.String(), "wrap_test.go") {
		t.Errorf("the log does not say where: %s", l.log.String())
	}
}

func TestPanicOnAPageIsAPage(t *testing.T) {
	var view *web.ErrorView
	mux := web.NewMux(web.OAuthDoor)
	mux.Handle("GET /x", web.Through(web.PageDoor(pages(t)), func(http.ResponseWriter, *http.Request) error {
		return errors.New(view.Code)
	}))
	r := request("192.0.2.7:1")
	r.URL.Path = "/x"
	res := answer(t, web.Wrap(mux, web.Options{Hosts: []string{"login.example"}}), r)
	if got := body(t, res); res.StatusCode != 500 || !strings.Contains(got, `id="error-code">server_error<`) {
		t.Errorf("got %d %s", res.StatusCode, got)
	}
}

func TestPanicAmidAnAnswerBreaksItOff(t *testing.T) {
	l := listen(func(w http.ResponseWriter, r *http.Request) error {
		_, _ = w.Write([]byte("half"))
		var e *web.ErrorView
		return errors.New(e.Code)
	}, web.Options{AllowPlainHTTP: true})
	srv := httptest.NewUnstartedServer(l)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.Start()
	defer srv.Close()
	r, err := http.NewRequest("GET", srv.URL+"/tenant/thing/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "login.example"
	if res, err := srv.Client().Do(r); err == nil {
		var b bytes.Buffer
		if _, err = b.ReadFrom(res.Body); err == nil {
			t.Errorf("half an answer looks whole: %s", b.String())
		}
	}
	srv.Close() // waits for the handler
	if !strings.Contains(l.log.String(), "panicked") {
		t.Errorf("log: %s", l.log.String())
	}
}

func TestRFC9110_15_5_20_MisdirectedRequest(t *testing.T) {
	tests := []struct {
		host, sni string
		status    int
	}{
		{"login.example", "login.example", 200}, {"LOGIN.example:8443", "login.EXAMPLE", 200}, {"login.example", "", 200},
		{"other.example", "other.example", 421}, {"login.example", "api.example", 421}, {"api.example", "login.example", 421},
		{"", "login.example", 421}, {"login.example.", "login.example", 421}, {"login.example@evil.example", "login.example", 421},
	}
	for _, tt := range tests {
		r := request("192.0.2.7:1")
		r.Host, r.TLS.ServerName = tt.host, tt.sni
		if res := answer(t, listen(fine, web.Options{Hosts: []string{"login.example", "mail.example"}}), r); res.StatusCode != tt.status {
			t.Errorf("%+v: %d", tt, res.StatusCode)
		}
	}
}

func TestPlainHTTPOnlyFromTrustedHops(t *testing.T) {
	tests := map[string]struct {
		address string
		o       web.Options
		status  int
	}{
		"not allowed":      {"10.0.0.1:1", web.Options{TrustedHops: hops}, 400},
		"from a hop":       {"10.0.0.1:1", web.Options{TrustedHops: hops, AllowPlainHTTP: true}, 200},
		"past the hop":     {"192.0.2.7:1", web.Options{TrustedHops: hops, AllowPlainHTTP: true}, 400},
		"unix socket":      {"@", web.Options{AllowPlainHTTP: true}, 200},
		"hop in IPv6 garb": {"[::ffff:10.0.0.1]:1", web.Options{TrustedHops: hops, AllowPlainHTTP: true}, 200},
	}
	for name, tt := range tests {
		r := request(tt.address)
		r.TLS = nil
		if res := answer(t, listen(fine, tt.o), r); res.StatusCode != tt.status {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

func TestPeerBehindHops(t *testing.T) {
	tests := map[string]struct {
		remote    string
		forwarded []string
		prefix    string
	}{
		"direct":            {"192.0.2.7:1", nil, "192.0.2.0/24"},
		"direct, and lying": {"192.0.2.7:1", []string{"203.0.113.9"}, "192.0.2.0/24"},
		"one hop":           {"10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.0/24"},
		"lying to the hop":  {"10.0.0.1:1", []string{"198.51.100.1, 203.0.113.9"}, "203.0.113.0/24"},
		"two hops":          {"10.0.0.1:1", []string{"198.51.100.1, 203.0.113.9", "fd00::2"}, "203.0.113.0/24"},
		"only hops":         {"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.0/24"},
		"with a port":       {"10.0.0.1:1", []string{"203.0.113.9:5555"}, "203.0.113.0/24"},
		"IPv6":              {"[fd00::1]:1", []string{"2001:db8:1:2::3"}, "2001:db8:1::/48"},
		"IPv6 with a port":  {"[fd00::1]:1", []string{"[2001:db8:1:2::3]:99"}, "2001:db8:1::/48"},
		"nonsense":          {"10.0.0.1:1", []string{"unknown"}, "10.0.0.0/24"},
		"empty":             {"10.0.0.1:1", []string{""}, "10.0.0.0/24"},
		"unix socket":       {"@", []string{"203.0.113.9"}, ""},
	}
	for name, tt := range tests {
		r := request(tt.remote)
		r.Header["X-Forwarded-For"] = tt.forwarded
		l := listen(fine, web.Options{TrustedHops: hops})
		answer(t, l, r)
		if l.event.Peer.Prefix != tt.prefix {
			t.Errorf("%s: %q, want %q", name, l.event.Peer.Prefix, tt.prefix)
		}
	}
}

func TestRequestIDFromHopsOnly(t *testing.T) {
	tests := []struct {
		remote, id string
		taken      bool
	}{
		{"10.0.0.1:1", "abcdefgh-1_2.3", true}, {"192.0.2.7:1", "abcdefgh-1_2.3", false}, {"10.0.0.1:1", "short", false},
		{"10.0.0.1:1", strings.Repeat("x", 65), false}, {"10.0.0.1:1", "with\"quote", false}, {"10.0.0.1:1", "line\nbreak", false},
	}
	for _, tt := range tests {
		r := request(tt.remote)
		r.Header.Set("X-Request-Id", tt.id)
		res := answer(t, listen(fine, web.Options{TrustedHops: hops}), r)
		if got := res.Header.Get("X-Request-Id"); (got == tt.id) != tt.taken || len(got) < 8 {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

func TestForwardedCertificate(t *testing.T) {
	leaf, above := &x509.Certificate{Raw: []byte("leaf")}, &x509.Certificate{Raw: []byte("above")}
	o := web.Options{TrustedHops: hops, CertificateHeader: "Client-Cert", ParseCertificate: func(v string) ([]*x509.Certificate, error) {
		if v != "good" {
			return nil, errors.New("not a certificate")
		}
		return []*x509.Certificate{leaf, above}, nil
	}}
	tests := map[string]struct {
		remote string
		values []string
		status int
		taken  bool
	}{
		"from a hop":    {"10.0.0.1:1", []string{"good"}, 200, true},
		"from a caller": {"192.0.2.7:1", []string{"good"}, 200, false},
		"none":          {"10.0.0.1:1", nil, 200, false},
		"empty":         {"10.0.0.1:1", []string{""}, 200, false},
		"two":           {"10.0.0.1:1", []string{"good", "good"}, 400, false},
		"nonsense":      {"10.0.0.1:1", []string{"bad"}, 400, false},
	}
	for name, tt := range tests {
		r := request(tt.remote)
		r.Header["Client-Cert"] = tt.values
		seen := "none"
		l := listen(func(w http.ResponseWriter, r *http.Request) error {
			seen = r.Header.Get("Client-Cert")
			return fine(w, r)
		}, o)
		res := answer(t, l, r)
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d", name, res.StatusCode)
			continue
		}
		if tt.status != 200 {
			continue
		}
		if p := l.event.Peer; (p.Certificate == leaf) != tt.taken || tt.taken && p.Chain[0] != above {
			t.Errorf("%s: %v", name, p.Certificate)
		}
		if seen != "" {
			t.Errorf("%s: the header reached the handler", name)
		}
	}
}

func TestCertificateOfTLS(t *testing.T) {
	leaf := &x509.Certificate{}
	r := request("192.0.2.7:1")
	r.TLS.PeerCertificates = []*x509.Certificate{leaf, {}}
	l := listen(fine, web.Options{})
	answer(t, l, r)
	if l.event.Peer.Certificate != leaf || len(l.event.Peer.Chain) != 1 {
		t.Errorf("peer %+v", l.event.Peer)
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("203.0.113.9, 10.0.0.2", "[2001:db8::1]:80", "req-12345678")
	f.Add("10.0.0.1,,,", "fe80::1%eth0", "\x00")
	f.Fuzz(func(t *testing.T, first, second, id string) {
		r := request("10.0.0.1:1")
		r.Header["X-Forwarded-For"] = []string{first, second}
		r.Header["X-Request-Id"] = []string{id}
		l := listen(fine, web.Options{TrustedHops: hops})
		if res := answer(t, l, r); res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
		p := l.event.Peer
		if _, err := netip.ParsePrefix(p.Prefix); err != nil || !p.Address.IsValid() || p.Address.Zone() != "" || p.Address.Is4In6() {
			t.Errorf("address %v, prefix %q", p.Address, p.Prefix)
		}
		if n := len(l.event.RequestID); n < 8 || n > 64 || strings.ContainsAny(l.event.RequestID, " \"\r\n\x00") {
			t.Errorf("request id %q", l.event.RequestID)
		}
	})
}
