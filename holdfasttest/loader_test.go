package holdfasttest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// loader is one of those who load the server, with a connection to each host that it keeps alive. It is the hop that
// ends TLS and the client behind it at once. What it computes is not measured.
type loader struct {
	*load
	conns   map[string]*conn
	key     *jose.Signer // for DPoP
	nonce   string
	refresh string // the refresh token it has got for a case
	token   string // the access token it has got for a case
}

type conn struct {
	net.Conn
	in *bufio.Reader
}

func (c *loader) close() {
	for _, one := range c.conns {
		_ = one.Close() // everything was read
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *reply) member(name string) string {
	var all map[string]any
	if json.Unmarshal(r.body, &all) != nil {
		return ""
	}
	s, _ := all[name].(string)
	return s
}

// want is the error of an answer that is not the one expected.
func (r *reply) want(status int) error {
	if r.status != status {
		return fmt.Errorf("status %d: %s", r.status, r.body)
	}
	return nil
}

func (c *loader) send(r *http.Request, base string) (*reply, error) {
	k := c.conns[base]
	if k == nil {
		open, err := net.Dial("tcp", c.addresses[base])
		if err != nil {
			return nil, err
		}
		k = &conn{open, bufio.NewReader(open)}
		c.conns[base] = k
	}
	if r.Header.Get("X-Forwarded-For") == "" {
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
	}
	if err := r.Write(k); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(k.in, r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() // it is read whole
	body, err := io.ReadAll(answer.Body)
	if n := answer.Header.Get("DPoP-Nonce"); n != "" {
		c.nonce = n
	}
	return &reply{answer.StatusCode, answer.Header, body}, err
}

func (c *loader) get(base, path string, change ...func(*http.Request)) (*reply, error) {
	r, err := http.NewRequest(http.MethodGet, base+path, nil)
	if err != nil {
		return nil, err
	}
	for _, f := range change {
		f(r)
	}
	return c.send(r, base)
}

func (c *loader) post(base, path string, form url.Values, change ...func(*http.Request)) (*reply, error) {
	r, err := http.NewRequest(http.MethodPost, base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range change {
		f(r)
	}
	return c.send(r, base)
}

// tokens posts to the token endpoint, with another try where a nonce is asked for.
func (c *loader) tokens(base string, form url.Values, change ...func(*http.Request)) (*reply, error) {
	a, err := c.post(base, "/token", form, change...)
	if err == nil && a.member("error") == "use_dpop_nonce" {
		a, err = c.post(base, "/token", form, change...)
	}
	if err != nil {
		return nil, err
	}
	return a, a.want(http.StatusOK)
}

// withSecret is client_secret_basic.
func (c *loader) withSecret(id string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(id, loadSecret) }
}

// withCertificate is what the hop says of the client certificate (RFC 9440).
func (c *loader) withCertificate(r *http.Request) { r.Header.Set("Client-Cert", c.certificate) }

func (c *loader) withSession(r *http.Request) {
	r.AddCookie(&http.Cookie{Name: "__Host-hf-s", Value: c.session})
}

func (c *loader) withProof(r *http.Request) {
	proof, err := dpop.Make(c.key, r.Method, loadIssuer+r.URL.Path, c.nonce, "", time.Now())
	if err == nil {
		r.Header.Set("DPoP", proof)
	}
}

// assertion adds a client assertion that works once.
func (c *loader) assertion(form url.Values, id string) (url.Values, error) {
	now := time.Now()
	text, err := c.clientKey.Sign("JWT", map[string]any{
		"iss": id, "sub": id, "aud": loadIssuer, "jti": fmt.Sprint("a", c.unique.Add(1)), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	form.Set("client_assertion", text)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	return form, err
}

func authorization(client string) url.Values {
	return url.Values{
		"client_id": {client}, "response_type": {"code"}, "redirect_uri": {loadRedirect}, "scope": {"openid profile orders.read"},
		"state": {"s"}, "nonce": {"n"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
}

// code asks for a code with a session that everything was agreed to before.
func (c *loader) code(client string) (string, error) {
	a, err := c.get(loadIssuer, "/authorize?"+authorization(client).Encode(), c.withSession)
	if err != nil {
		return "", err
	}
	to, err := url.Parse(a.header.Get("Location"))
	if err == nil && to.Query().Get("code") == "" {
		err = fmt.Errorf("status %d, no code but %s", a.status, to)
	}
	if err != nil {
		return "", err
	}
	return to.Query().Get("code"), nil
}

// signIn begins a request without a session and answers with the password.
func (c *loader) signIn() error {
	a, err := c.get(loadIssuer, "/authorize?"+authorization("web").Encode())
	if err != nil {
		return err
	}
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		return err
	}
	form := url.Values{"i": {to.Query().Get("i")}, "username": {"alice"}, "password": {loadSecret}}
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	a, err = c.post(loadIssuer, "/login/password", form, func(r *http.Request) {
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Origin", loadIssuer)
	})
	if err == nil && a.status != http.StatusServiceUnavailable { // so many hashes are not made at once
		err = a.want(http.StatusSeeOther)
	}
	return err
}

func codeForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {loadRedirect}, "code_verifier": {verifier},
	}
}
