// Package holdfasttest runs a real Holdfast inside a test process: the whole development landscape on free loopback
// ports in a temporary folder, over real TLS, with people, clients and a catcher for mail.
//
//	s := holdfasttest.Start(t)
//	resp, err := s.HTTP().Get(s.Issuer + "/.well-known/openid-configuration")
//
// It is for tests only. What it serves is what "holdfast dev" serves.
package holdfasttest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/dev"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/jose"
)

// Contract is what dev.json says: addresses, people and clients of the landscape.
type Contract struct {
	Issuer     string `json:"issuer"`
	MTLSIssuer string `json:"mtls_issuer"`
	AdminURL   string `json:"admin_url"`
	MailURL    string `json:"mail_url"`
	AppURL     string `json:"app_url"`           // the browser application
	BackOffice string `json:"backoffice_url"`    // another one
	Handler    string `json:"token_handler_url"` // of the application
	GatewayURL string `json:"gateway_url"`
	APIURL     string `json:"api_url"`      // for partners, at the gateway
	Upstream   string `json:"upstream_url"` // the API itself, behind the gateway
	CAFile     string `json:"ca_file"`
	Users      []User `json:"users"`
	Admin      struct {
		TokenFile string `json:"token_file"`
	} `json:"admin"`
	Clients map[string]Client `json:"clients"`
	PIDs    map[string]int    `json:"pids"`
}

// User is somebody who can sign in.
type User struct{ Username, Password string }

// Client is a client of the landscape. Which fields are set depends on how it proves itself.
type Client struct {
	ID           string   `json:"client_id"`
	Secret       string   `json:"client_secret"`
	CertFile     string   `json:"cert_file"`
	KeyFile      string   `json:"key_file"` // PEM beside CertFile, a private JWK otherwise
	RedirectURIs []string `json:"redirect_uris"`
	Scope        string   `json:"scope"`
	Resource     string   `json:"resource"`
}

// Server is a running landscape.
type Server struct {
	Contract
	Data string // its folder
	t    testing.TB
}

// Option changes how a landscape is started.
type Option func(*dev.Options)

// WithDatabase keeps the data in an empty PostgreSQL database instead of SQLite.
func WithDatabase(url string) Option { return func(o *dev.Options) { o.Database = url } }

// WithData uses a folder instead of a temporary one, so that a landscape can be started again on it.
func WithData(folder string) Option {
	return func(o *dev.Options) { o.Data, o.BasePort = folder, 0 }
}

// WithConfiguration changes the text of holdfast.yaml before it is read: to add a tenant, or to end TLS elsewhere. The
// folder is that of the landscape, where its authorities and its key ring are.
func WithConfiguration(edit func(folder, text string) string) Option {
	return func(o *dev.Options) { o.Configure = edit }
}

// Start runs a landscape until the test ends. It fails the test if the landscape does not come up.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	o := dev.Options{Data: filepath.Join(t.TempDir(), "landscape"), BasePort: FreePorts(t)}
	for _, option := range options {
		option(&o)
	}
	if _, err := os.Stat(filepath.Join(o.Data, "landscape.json")); err != nil && o.BasePort == 0 {
		o.BasePort = FreePorts(t)
	}
	contract := filepath.Join(o.Data, "dev.json")
	_ = os.Remove(contract) // of an earlier start
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx, &app.Console{Out: io.Discard, Err: io.Discard}, o) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("holdfast ended: %v", err)
		}
	})
	deadline := time.After(30 * time.Second)
	for {
		if s, err := Open(t, o.Data); err == nil {
			return s
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("holdfast did not start: %v", err)
		case <-deadline:
			t.Fatal("holdfast is not ready after 30 seconds")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Open reads the contract of a landscape that runs in another process.
func Open(t testing.TB, data string) (*Server, error) {
	text, err := os.ReadFile(filepath.Join(data, "dev.json"))
	if err != nil {
		return nil, err
	}
	s := &Server{Data: data, t: t}
	return s, json.Unmarshal(text, &s.Contract)
}

// landscapePorts is how many ports a landscape takes, its base port included.
const landscapePorts = 7

// Apply brings the objects of a YAML text into a tenant, as "holdfast apply" does beside a running server. What the
// server has read before is replaced within a second.
func (s *Server) Apply(tenant, documents string) {
	s.t.Helper()
	folder := s.t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "objects.yaml"), []byte(documents), 0o600); err != nil {
		s.t.Fatal(err)
	}
	said := new(bytes.Buffer)
	if err := app.Apply(s.t.Context(), &app.Console{Out: said, Err: said}, filepath.Join(s.Data, "holdfast.yaml"), tenant, folder); err != nil {
		s.t.Fatalf("apply: %v\n%s", err, said)
	}
}

// FreePorts finds a base port with room for a landscape after it. It looks below the ports that systems give to
// outgoing connections, any of which could take one away between two starts.
func FreePorts(t testing.TB) int {
	t.Helper()
	for range 100 {
		base := 16000 + rand.IntN(16000)
		if free(base) {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

func free(base int) bool {
	for port := base; port < base+landscapePorts; port++ {
		ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return false
		}
		_ = ln.Close() // only looked at
	}
	return true
}

// Roots trusts the landscape and nobody else.
func (s *Server) Roots() *x509.CertPool {
	s.t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		s.t.Fatalf("%s holds no certificate", s.CAFile)
	}
	return pool
}

// HTTP is a client with cookies that trusts the landscape, finds its hosts, shows the given certificates, and does
// not follow redirects.
func (s *Server) HTTP(certificates ...tls.Certificate) *http.Client {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: s.Roots(), Certificates: certificates},
		DialContext:       fetch.LocalhostDialer(nil),
		ForceAttemptHTTP2: true,
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Certificate is the certificate of a client of the landscape.
func (s *Server) Certificate(client string) tls.Certificate {
	s.t.Helper()
	c := s.Clients[client]
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return pair
}

// Signer signs with the key of a client of the landscape, or with a fresh key if client is "".
func (s *Server) Signer(client string) *jose.Signer {
	s.t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if client != "" {
		var text []byte
		if text, err = os.ReadFile(s.Clients[client].KeyFile); err == nil {
			key, err = jose.ParseKey(text)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	signer, err := jose.NewSigner(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return signer
}

// Assertion is a client assertion for the issuer (RFC 7523).
func (s *Server) Assertion(client, id string) string {
	s.t.Helper()
	now := time.Now()
	token, err := s.Signer(client).Sign("JWT", map[string]any{
		"iss": s.Clients[client].ID, "sub": s.Clients[client].ID, "aud": s.Issuer, "jti": id, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// Proof is a DPoP proof (RFC 9449).
func (s *Server) Proof(signer *jose.Signer, method, url, nonce, token string) string {
	s.t.Helper()
	proof, err := dpop.Make(signer, method, url, nonce, token, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return proof
}

// Message is one caught mail.
type Message struct{ From, To, Subject, Text string }

// Mail waits for the newest mail to somebody whose subject contains a text.
func (s *Server) Mail(to, subject string) Message {
	s.t.Helper()
	client := s.HTTP()
	for range 200 {
		resp, err := client.Get(s.MailURL + "/messages.json")
		if err != nil {
			s.t.Fatal(err)
		}
		var all []Message
		err = json.NewDecoder(resp.Body).Decode(&all)
		_ = resp.Body.Close() // read whole
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range all {
			if strings.Contains(m.To, to) && strings.Contains(m.Subject, subject) {
				return m
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("no mail to %s about %q", to, subject)
	return Message{}
}
