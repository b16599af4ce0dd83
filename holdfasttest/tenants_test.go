package holdfasttest_test

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/jose"
)

const host = "holdfast.localhost"

// threeTenants adds to the landscape's own tenant one at another host, and one at the same host under a path.
func threeTenants(t *testing.T) func(folder, text string) string {
	return func(folder, text string) string {
		text = strings.NewReplacer(
			"ca/server.", "ca/tenants.", "hosts: [login.", "hosts: [other."+host+", login.", "hosts: [mtls.login.", "hosts: [mtls.other."+host+", mtls.login.",
		).Replace(text)
		certify(t, folder, text)
		at := func(member string) string {
			return regexp.MustCompile(member + `: (https://\S+)`).FindStringSubmatch(text)[1]
		}
		tenant := func(name string, place func(url string) string) string {
			return "  - name: " + name + "\n    issuer: " + place(at("issuer")) + "\n    mtls_issuer: " + place(at("mtls_issuer")) +
				"\n    admin_url: " + at("admin_url") + "/" + name + "\n    relying_party_id: " + host + "\n    client_ca_files: [partners/root.pem]\n"
		}
		return strings.Replace(text, "\nadmin:\n", "\n"+
			tenant("host", func(u string) string { return strings.Replace(u, "login.", "other.", 1) })+
			tenant("path", func(u string) string { return u + "/path" })+"admin:\n", 1)
	}
}

// certify has the landscape's authority issue a certificate for all hosts of a configuration.
func certify(t *testing.T, folder, text string) {
	t.Helper()
	var names []string
	for _, listed := range regexp.MustCompile(`hosts: \[([^]]*)\]`).FindAllStringSubmatch(text, -1) {
		names = append(names, strings.Split(listed[1], ", ")...)
	}
	authority, err := ca.Development(filepath.Join(folder, "ca"), host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := authority.Server("tenants", names, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// pocket is a client whose access tokens are opaque. The one of the landscape has tokens that can be read.
const pocket = `
kind: client
client_id: pocket
token_endpoint_auth_method: none
grant_types: [authorization_code, refresh_token]
redirect_uris: ["http://127.0.0.1/callback"]
scope: openid offline_access orders.read
resources: [RESOURCE]
access_token_format: opaque
dpop_bound_access_tokens: true
`

// issuing is one tenant: the landscape as it looks from there, with Alice signed in. Names, clients, keys and people
// are the same in all of them; only the secrets of clients differ.
type issuing struct {
	*holdfasttest.Server
	t     *testing.T
	name  string
	alice *person
	key   *jose.Signer // for DPoP, the same everywhere
}

// in is the same for a part of a test.
func (i *issuing) in(t *testing.T) *issuing {
	own, alice := *i, *i.alice
	own.t, own.alice, alice.t = t, &alice, t
	return &own
}

// stranger is the same tenant for somebody who is not signed in.
func (i *issuing) stranger() *issuing {
	own := *i
	own.alice = newPerson(i.t, i.Server)
	return &own
}

// tenants are the three of a server that was started with them.
func tenants(t *testing.T, s *holdfasttest.Server) []*issuing {
	t.Helper()
	key := s.Signer("")
	all := []*issuing{
		{Server: s, name: "main"},
		{Server: seen(s, "login.", "other.", "", "host"), name: "host"},
		{Server: seen(s, "", "", "/path", "path"), name: "path"},
	}
	for _, i := range all {
		if i.Server != s {
			s.Apply(i.name, documents(t, s, i.Server))
		}
		s.Apply(i.name, strings.Replace(pocket, "RESOURCE", i.Clients["native_public"].Resource, 1))
		i.Clients["pocket"] = holdfasttest.Client{ID: "pocket", RedirectURIs: []string{"http://127.0.0.1/callback"}, Resource: i.Clients["native_public"].Resource}
		i.t, i.key, i.alice = t, key, newPerson(t, i.Server)
	}
	return all
}

// seen is the landscape as a tenant shows it: at another host, or under a path, and with other secrets.
func seen(s *holdfasttest.Server, from, to, path, name string) *holdfasttest.Server {
	other := *s
	other.Issuer = strings.Replace(s.Issuer, from, to, 1) + path
	other.MTLSIssuer = strings.Replace(s.MTLSIssuer, from, to, 1) + path
	other.AdminURL = s.AdminURL + "/" + name
	other.Clients = maps.Clone(s.Clients)
	for id, c := range other.Clients {
		if c.Secret != "" {
			c.Secret = "of-" + name + c.Secret[:32]
		}
		if c.Resource == s.AdminURL {
			c.Resource = other.AdminURL
		}
		other.Clients[id] = c
	}
	return &other
}

// documents are the objects of the landscape with the secrets and the admin API of another tenant.
func documents(t *testing.T, s, other *holdfasttest.Server) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"apis.yaml", "clients.yaml", "users.yaml"} {
		text, err := os.ReadFile(filepath.Join(s.Data, "objects", name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	var change []string
	for id, c := range s.Clients {
		if c.Secret != "" {
			change = append(change, c.Secret, other.Clients[id].Secret)
		}
	}
	return strings.NewReplacer(append(change, `"`+s.AdminURL+`"`, `"`+other.AdminURL+`"`)...).Replace(all.String())
}

// as is a client with the key, public unless its auth is replaced.
func (i *issuing) as(client string) *party {
	id := i.Clients[client].ID
	return &party{Server: i.Server, t: i.t, client: i.HTTP(), base: i.Issuer, key: i.key, auth: func(v url.Values, _ *http.Request) { v.Set("client_id", id) }}
}

// tokens are what Alice lets a client have.
func (i *issuing) tokens(client string, more url.Values) answered {
	i.t.Helper()
	a := i.as(client).redeem(client, i.alice.code(client, i.Users[0], more))
	if a.Status != http.StatusOK {
		i.t.Fatalf("%d %v", a.Status, a.Body)
	}
	return a
}

// forAPI are tokens for the API.
func (i *issuing) forAPI(client string) answered {
	i.t.Helper()
	return i.tokens(client, url.Values{"scope": {"openid offline_access orders.read"}, "resource": {i.Clients[client].Resource}})
}

// assert asks for a token with a client assertion.
func (i *issuing) assert(client, assertion string) answered {
	i.t.Helper()
	c, p := i.Clients[client], i.as(client)
	p.nonce = i.nonce() // an assertion works once, so it must not be spent on learning the nonce
	p.auth = func(v url.Values, _ *http.Request) {
		v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		v.Set("client_assertion", assertion)
	}
	return p.post("/token", url.Values{"grant_type": {"client_credentials"}, "scope": {strings.Fields(c.Scope)[0]}, "resource": {c.Resource}})
}

// nonce is a fresh one, which a client learns by being refused.
func (i *issuing) nonce() string {
	i.t.Helper()
	c := i.as("native_public")
	c.refresh("a.b")
	return c.nonce
}

// begin asks for authorization, and gives the page on which to sign in.
func (i *issuing) begin() *page {
	i.t.Helper()
	return i.alice.follow(i.alice.get(i.alice.authorization("native_public", nil)))
}

// cookie is the cookie of Alice's browser whose name holds a text.
func (i *issuing) cookie(part string) *http.Cookie {
	i.t.Helper()
	for _, c := range i.alice.client.Jar.Cookies(i.parsed()) {
		if strings.Contains(c.Name, part) {
			return c
		}
	}
	i.t.Fatalf("%s: Alice's browser holds no cookie with %s", i.name, part)
	return nil
}

func (i *issuing) parsed() *url.URL {
	i.t.Helper()
	u, err := url.Parse(i.Issuer + "/login")
	if err != nil {
		i.t.Fatal(err)
	}
	return u
}

// visit opens an address with one cookie, in a browser that holds nothing else.
func (i *issuing) visit(address, name, value string) *page {
	i.t.Helper()
	fresh := newPerson(i.t, i.Server)
	fresh.client.Jar.SetCookies(i.parsed(), []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
	return fresh.follow(fresh.get(address))
}

// error is "" for what worked.
func (a answered) error() string {
	if a.Status >= 400 && a.text("error") == "" {
		return http.StatusText(a.Status)
	}
	return a.text("error")
}

var errorCode = regexp.MustCompile(`id="error-code">([^<]*)<`)

// said is the error code on a page, "" if it is no error.
func (g *page) said() string {
	if found := errorCode.FindStringSubmatch(g.text); found != nil {
		return found[1]
	}
	return ""
}
