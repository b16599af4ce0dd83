package holdfasttest_test

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/jose"
)

// Credentials of the matrix.
const (
	jwtKey             = "access token, JWT, bound to a key (DPoP)"
	opaqueKey          = "access token, opaque, bound to a key (DPoP)"
	jwtCertificate     = "access token, JWT, bound to a certificate"
	opaqueCertificate  = "access token, opaque, bound to a certificate"
	sessionOfApp       = "session cookie of a browser application"
	codeKey            = "authorization code, for a key (DPoP)"
	codeCertificate    = "authorization code of a client with a certificate"
	refreshKey         = "refresh token, bound to a key (DPoP)"
	refreshCertificate = "refresh token, bound to a certificate"
)

// stage is a landscape with Alice, who is signed in and has allowed everything.
type stage struct {
	*holdfasttest.Server
	t     *testing.T
	alice *person
}

// opaquePartner has the certificate of the partner, and tokens that cannot be read.
const opaquePartner = `
---
kind: client
client_id: pocket-mtls
token_endpoint_auth_method: tls_client_auth
tls_client_auth_subject_dn: CN=partner.example,O=Holdfast
grant_types: [authorization_code, refresh_token]
redirect_uris: ["https://partner.example/callback"]
scope: openid offline_access orders.read
resources: [RESOURCE]
access_token_format: opaque
tls_client_certificate_bound_access_tokens: true
`

func newStage(t *testing.T, s *holdfasttest.Server) *stage {
	t.Helper()
	s.Apply("main", strings.ReplaceAll(pocket+opaquePartner, "RESOURCE", s.GatewayURL))
	s.Clients["pocket"] = holdfasttest.Client{ID: "pocket", RedirectURIs: []string{"http://127.0.0.1/callback"}}
	s.Clients["pocket_mtls"] = holdfasttest.Client{ID: "pocket-mtls", RedirectURIs: []string{"https://partner.example/callback"}}
	return &stage{s, t, newPerson(t, s)}
}

// in is the same for a test within a test.
func (m *stage) in(t *testing.T) *stage {
	return &stage{m.Server, t, &person{m.Server, t, m.alice.client}}
}

// held is a credential in the hands of everybody.
type held struct {
	value  func() string // of what works once, a new one each time
	revoke func(value string)
	at     map[string]func(by int, value string) answered
}

var credentials = map[string]func(*stage) *held{
	jwtKey:    func(m *stage) *held { return m.accessToken("native_public", m.keys(m.public("native_public"))) },
	opaqueKey: func(m *stage) *held { return m.accessToken("pocket", m.keys(m.public("pocket"))) },
	jwtCertificate: func(m *stage) *held {
		return m.accessToken("partner_mtls", m.certificates("partner_mtls"))
	},
	opaqueCertificate: func(m *stage) *held {
		return m.accessToken("pocket_mtls", m.certificates("pocket_mtls"))
	},
	sessionOfApp: (*stage).cookie,
	codeKey: func(m *stage) *held {
		web := asWeb(m.t, m.Server)
		ways := m.keys(web)
		native := asNative(m.t, m.Server)
		native.key = web.key // even so
		ways[byOtherApp] = way{party: native}
		return m.code("web_confidential", url.Values{"dpop_jkt": {web.key.Key().Thumbprint()}}, ways)
	},
	codeCertificate: func(m *stage) *held {
		ways := m.certificates("partner_mtls")
		ways[byOtherApp] = way{party: asWeb(m.t, m.Server)}
		return m.code("partner_mtls", nil, ways)
	},
	refreshKey: func(m *stage) *held {
		native := m.public("native_public")
		ways := m.keys(native)
		web := asWeb(m.t, m.Server)
		web.key = native.key
		ways[byOtherApp] = way{party: web}
		return m.refreshToken("native_public", ways)
	},
	refreshCertificate: func(m *stage) *held {
		ways := m.certificates("partner_mtls")
		ways[byOtherApp] = way{party: asWeb(m.t, m.Server)}
		return m.refreshToken("partner_mtls", ways)
	},
}

// way is how somebody uses a credential: with which key and over which connection.
type way struct {
	*party
	told []byte // a certificate that is only named, in headers
}

// as is the client that sends it.
func (w way) as() *party {
	own := *w.party
	if w.told != nil {
		for _, h := range handings {
			own.client = h.lying(own.client, w.told)
		}
	}
	return &own
}

type ways [everybody]way

func (m *stage) public(client string) *party {
	c := asNative(m.t, m.Server)
	id := m.Clients[client].ID
	c.auth = func(v url.Values, _ *http.Request) { v.Set("client_id", id) }
	return c
}

// keys are the ways with a client whose tokens are bound to its key.
func (m *stage) keys(c *party) ways {
	with := func(key *jose.Signer) *party {
		own := *c
		own.key = key
		return &own
	}
	holder, nobody := way{party: c}, with(nil)
	return ways{holder, {party: with(m.Signer(""))}, {party: nobody}, {nobody, m.partner()}, {party: with(m.Signer("spa"))}, holder}
}

// certificates are the ways with a client whose tokens are bound to the certificate of the partner.
func (m *stage) certificates(client string) ways {
	id := m.Clients[client].ID
	with := func(c *http.Client) *party {
		return &party{Server: m.Server, t: m.t, client: c, base: m.MTLSIssuer, auth: func(v url.Values, _ *http.Request) { v.Set("client_id", id) }}
	}
	holder, nobody := way{party: with(m.HTTP(m.Certificate("partner_mtls")))}, with(m.HTTP())
	another := with(m.HTTP(secondCertificate(m.t, m.Server)))
	return ways{holder, {party: another}, {party: nobody}, {nobody, m.partner()}, {party: with(m.HTTP(namedCertificate(m.t, m.Server, "other.example")))}, holder}
}

// namedCertificate is a new one from the authority of the partners.
func namedCertificate(t *testing.T, s *holdfasttest.Server, name string) tls.Certificate {
	t.Helper()
	authority, err := ca.Partners(filepath.Join(s.Data, "partners"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Client("another-"+name, pkix.Name{CommonName: name, Organization: []string{"Holdfast"}}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (m *stage) partner() []byte { return m.Certificate("partner_mtls").Certificate[0] }

// bearing are the places where a token goes into the Authorization header.
func (m *stage) bearing(all ways) map[string]func(int, string) answered {
	inside := m.HTTP(m.Certificate("gateway"))
	return map[string]func(int, string) answered{
		atIssuer:  func(by int, token string) answered { return all[by].as().ask(m.MTLSIssuer+"/userinfo", token) },
		atGateway: func(by int, token string) answered { return all[by].as().ask(m.APIURL, token) },
		atAPI:     func(by int, token string) answered { return all[by].as().knock(m.Upstream+"/orders", token) },
		insideAPI: func(by int, token string) answered {
			own := *all[by].party
			own.client = inside
			return way{&own, all[by].told}.as().ask(m.Upstream+"/orders", token)
		},
	}
}

// knock asks where there may be no connection at all: then there is no status.
func (c *party) knock(address, token string) answered {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.client.Do(req)
	if err != nil {
		return answered{}
	}
	_ = resp.Body.Close() // only the status counts
	return answered{Status: resp.StatusCode}
}

var everything = url.Values{"scope": {"openid orders.read"}}

// grant lets a client have tokens for Alice.
func (m *stage) grant(client string, c *party) answered {
	m.t.Helper()
	code := m.alice.code(client, m.Users[0], url.Values{"scope": everything["scope"], "resource": {m.GatewayURL}})
	a := c.redeem(client, code)
	if a.Status != http.StatusOK {
		m.t.Fatalf("tokens of %s: %d %v", client, a.Status, a.Body)
	}
	return a
}

func (m *stage) revoking(c *party) func(string) {
	return func(token string) {
		m.t.Helper()
		if a := c.post("/revoke", url.Values{"token": {token}}); a.Status != http.StatusOK {
			m.t.Fatalf("revoke: %d %v", a.Status, a.Body)
		}
	}
}

func (m *stage) accessToken(client string, all ways) *held {
	token := m.grant(client, all[byHolder].party).text("access_token")
	return &held{func() string { return token }, m.revoking(all[byHolder].party), m.bearing(all)}
}

func (m *stage) refreshToken(client string, all ways) *held {
	token := m.grant(client, all[byHolder].party).text("refresh_token")
	at := m.bearing(all)
	at[atIssuer] = func(by int, token string) answered { return all[by].as().refresh(token) }
	return &held{func() string { return token }, m.revoking(all[byHolder].party), at}
}

// code is one that is redeemed first by the right holder; that is what revokes it.
func (m *stage) code(client string, more url.Values, all ways) *held {
	at := m.bearing(all)
	at[atIssuer] = func(by int, code string) answered { return all[by].as().redeem(client, code) }
	return &held{func() string { return m.alice.code(client, m.Users[0], more) }, nil, at}
}

// cookie is the session of Alice in the demo app. Whoever has a copy is Alice; only pages of the app get the browser to send
// it.
func (m *stage) cookie() *held {
	page, nobody, liar, other := newFrontend(m.t, m.Server), newFrontend(m.t, m.Server), newFrontend(m.t, m.Server), newBackOffice(m.t, m.Server)
	page.signIn(m.Users[0])
	for _, h := range handings {
		liar.client = h.lying(liar.client, m.partner())
	}
	copied := page.thief()
	_, value, _ := strings.Cut(page.session(), "=")
	other.cookies = page.session() + "; " + strings.Replace(page.session(), "-demo-", "-backoffice-", 1)
	pages := [everybody]*frontend{page, copied, nobody, liar, other, copied}
	bare := asNative(m.t, m.Server)
	bare.key = nil
	at := m.bearing(ways{{party: bare}, {party: bare}, {party: bare}, {bare, m.partner()}, {party: bare}, {party: bare}})
	at[atHandler] = func(by int, _ string) answered { return pages[by].call("/refresh") }
	at[atGateway] = func(by int, _ string) answered { return pages[by].orders() }
	return &held{func() string { return value }, func(string) { page.call("/logout") }, at}
}
