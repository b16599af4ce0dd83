package holdfasttest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/jose"
)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636 appendix B

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// person is a browser without JavaScript.
type person struct {
	*holdfasttest.Server
	t      *testing.T
	client *http.Client
}

func newPerson(t *testing.T, s *holdfasttest.Server) *person {
	return &person{Server: s, t: t, client: s.HTTP()}
}

// page is an answer, read whole.
type page struct {
	*http.Response
	text string
	at   *url.URL
}

func (p *person) do(req *http.Request) *page {
	p.t.Helper()
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return &page{resp, string(body), req.URL}
}

func (p *person) get(address string) *page {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(req)
}

// follow goes where redirects lead, as long as that is the issuer.
func (p *person) follow(g *page) *page {
	p.t.Helper()
	for range 10 {
		to := g.Header.Get("Location")
		if to == "" {
			return g
		}
		next, err := g.at.Parse(to)
		if err != nil {
			p.t.Fatal(err)
		}
		if !strings.HasPrefix(next.String(), p.Issuer) {
			return g
		}
		g = p.get(next.String())
	}
	p.t.Fatal("redirects in a circle")
	return nil
}

// submit fills in and posts the form whose button has the given id, as a browser would.
func (p *person) submit(g *page, button string, fill url.Values) *page {
	p.t.Helper()
	action, values := form(p.t, g.text, button)
	for name := range fill {
		values.Set(name, fill.Get(name))
	}
	to, err := g.at.Parse(action)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", to.Scheme+"://"+to.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.follow(p.do(req))
}

// form finds the form with a button in a page: where it goes and what it carries.
func form(t *testing.T, text, button string) (action string, values url.Values) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		found, all := false, url.Values{}
		for c := range n.Descendants() {
			switch {
			case c.Type != html.ElementNode:
			case c.Data == "input" && attr(c, "name") != "":
				all.Set(attr(c, "name"), attr(c, "value"))
			case c.Data == "button" && attr(c, "id") == button:
				found = true
				if attr(c, "name") != "" {
					all.Set(attr(c, "name"), attr(c, "value"))
				}
			}
		}
		if found {
			return attr(n, "action"), all
		}
	}
	t.Fatalf("no form with a button %s in:\n%s", button, text)
	return "", nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// signIn fills in the login form.
func (p *person) signIn(g *page, u holdfasttest.User) *page {
	p.t.Helper()
	return p.submit(g, "login-submit", url.Values{"username": {u.Username}, "password": {u.Password}})
}

// answer is the address to which a leaving page or a redirect sends the browser.
func (p *person) answer(g *page) url.Values {
	p.t.Helper()
	to := g.Header.Get("Location")
	if refresh := g.Header.Get("Refresh"); refresh != "" {
		to = strings.TrimPrefix(refresh, "0;url=")
	}
	u, err := url.Parse(to)
	if err != nil || to == "" {
		p.t.Fatalf("no answer for the client: %v %s\n%s", err, g.Status, g.text)
	}
	return u.Query()
}

// authorization is the address of an authorization request of a client of the landscape.
func (p *person) authorization(client string, more url.Values) string {
	c := p.Clients[client]
	q := url.Values{
		"client_id": {c.ID}, "response_type": {"code"}, "redirect_uri": {c.RedirectURIs[0]}, "scope": {"openid profile email"},
		"state": {"the state"}, "nonce": {"the nonce"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	for name, values := range more {
		q[name] = values
	}
	return p.Issuer + "/authorize?" + q.Encode()
}

// code signs in where needed, consents where asked, and gives the code that a client would get.
func (p *person) code(client string, u holdfasttest.User, more url.Values) string {
	p.t.Helper()
	g := p.follow(p.get(p.authorization(client, more)))
	if strings.Contains(g.text, `id="login-submit"`) {
		g = p.signIn(g, u)
	}
	if strings.Contains(g.text, `id="consent-allow"`) {
		g = p.submit(g, "consent-allow", nil)
	}
	q := p.answer(g)
	if q.Get("state") != "the state" || q.Get("iss") != p.Issuer || q.Get("code") == "" {
		p.t.Fatalf("the client got %v", q)
	}
	return q.Get("code")
}

// answered is what a client gets back.
type answered struct {
	Status int
	Header http.Header
	Body   map[string]any
}

func (a answered) text(member string) string {
	s, _ := a.Body[member].(string)
	return s
}

// party is a client at the back channel.
type party struct {
	*holdfasttest.Server
	t      *testing.T
	client *http.Client
	base   string       // the issuer, or its mutual-TLS twin
	key    *jose.Signer // for DPoP; nil: none
	nonce  string
	auth   func(url.Values, *http.Request)
}

// asWeb is the confidential web client with a DPoP key.
func asWeb(t *testing.T, s *holdfasttest.Server) *party {
	c := s.Clients["web_confidential"]
	return &party{Server: s, t: t, client: s.HTTP(), base: s.Issuer, key: s.Signer(""), auth: func(_ url.Values, r *http.Request) {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}}
}

// asNative is the public client with a DPoP key.
func asNative(t *testing.T, s *holdfasttest.Server) *party {
	return &party{Server: s, t: t, client: s.HTTP(), base: s.Issuer, key: s.Signer(""), auth: func(v url.Values, _ *http.Request) {
		v.Set("client_id", s.Clients["native_public"].ID)
	}}
}

// asPartner is the partner with its certificate.
func asPartner(t *testing.T, s *holdfasttest.Server) *party {
	return &party{Server: s, t: t, client: s.HTTP(s.Certificate("partner_mtls")), base: s.MTLSIssuer, auth: func(v url.Values, _ *http.Request) {
		v.Set("client_id", s.Clients["partner_mtls"].ID)
	}}
}

// post calls an endpoint, with a second try when a nonce is asked for.
func (c *party) post(path string, v url.Values) answered {
	c.t.Helper()
	a := c.postOnce(path, v)
	if a.text("error") == "use_dpop_nonce" {
		a = c.postOnce(path, v)
	}
	return a
}

func (c *party) postOnce(path string, v url.Values) answered {
	c.t.Helper()
	sent := url.Values{}
	for k := range v {
		sent[k] = v[k]
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.base+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.auth(sent, req)
	req.Body = io.NopCloser(strings.NewReader(sent.Encode()))
	if c.key != nil && path != "/introspect" && path != "/revoke" {
		req.Header.Set("DPoP", c.Proof(c.key, http.MethodPost, c.base+path, c.nonce, ""))
	}
	return c.send(req)
}

func (c *party) send(req *http.Request) answered {
	c.t.Helper()
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answered{Status: resp.StatusCode, Header: resp.Header, Body: map[string]any{}}
	if n := resp.Header.Get("DPoP-Nonce"); n != "" {
		c.nonce = n
	}
	if err := json.NewDecoder(resp.Body).Decode(&a.Body); err != nil && err != io.EOF {
		c.t.Fatalf("%s %s: %v", req.URL.Path, resp.Status, err)
	}
	return a
}

// redeem turns a code into tokens.
func (c *party) redeem(client, code string) answered {
	c.t.Helper()
	return c.post("/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Clients[client].RedirectURIs[0]}, "code_verifier": {verifier},
	})
}

func (c *party) refresh(token string) answered {
	c.t.Helper()
	return c.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// userinfo asks with a token, with a second try when a nonce is asked for.
func (c *party) userinfo(token string) answered {
	c.t.Helper()
	ask := func() answered {
		req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.base+"/userinfo", nil)
		if err != nil {
			c.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if c.key != nil {
			req.Header.Set("Authorization", "DPoP "+token)
			req.Header.Set("DPoP", c.Proof(c.key, http.MethodGet, c.base+"/userinfo", c.nonce, token))
		}
		return c.send(req)
	}
	a := ask()
	if a.text("error") == "use_dpop_nonce" {
		a = ask()
	}
	return a
}

// active asks for the state of a token as the resource server does.
func (c *party) active(token string) bool {
	c.t.Helper()
	a := c.post("/introspect", url.Values{"token": {token}})
	if a.Status != http.StatusOK {
		c.t.Fatalf("introspection: %d %v", a.Status, a.Body)
	}
	return a.Body["active"] == true
}
