package theft

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// stage is where one replay happens.
type stage struct {
	*Theft
	ctx     context.Context
	acts    []Act
	nonces  map[string]string // by origin, the last DPoP nonce given
	clients []*http.Client
}

func (s *stage) close() {
	for _, c := range s.clients {
		c.CloseIdleConnections()
	}
}

// browser is a fresh client.
func (s *stage) browser(certificates ...tls.Certificate) *http.Client {
	c := s.HTTP(certificates...)
	s.clients = append(s.clients, c)
	return c
}

// signing adds to an attempt what is good only once: an assertion, a proof with the nonce given last.
type signing func(form url.Values, h http.Header, nonce string) error

// call is a request that may be tried again with a nonce.
type call struct {
	by     *http.Client
	method string // "" is POST with a form, else GET
	url    string
	form   url.Values
	header http.Header
	sign   signing
}

// answer is what came back, read whole.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	text   string
	sent   http.Header
	form   url.Values
}

func (a *answer) member(name string) string {
	text, _ := a.body[name].(string)
	return text
}

// code is the error, in whichever form the answer gives it.
func (a *answer) code() string {
	for _, name := range []string{"error", "error_code", "code"} {
		if c := a.member(name); c != "" {
			return c
		}
	}
	challenge := strings.Join(a.header.Values("WWW-Authenticate"), " ")
	if _, after, ok := strings.Cut(challenge, `error="`); ok {
		c, _, _ := strings.Cut(after, `"`)
		return c
	}
	return ""
}

func (a *answer) detail() string {
	for _, name := range []string{"error_description", "detailed_error", "message", "detail"} {
		if d := a.member(name); d != "" {
			return d
		}
	}
	return ""
}

const maxAnswer = 1 << 20

// try sends a call once.
func (s *stage) try(c call) (*answer, error) {
	form, header := url.Values{}, c.header.Clone()
	for name, values := range c.form {
		form[name] = values
	}
	if header == nil {
		header = http.Header{}
	}
	origin := originOf(c.url)
	if c.sign != nil {
		if err := c.sign(form, header, s.nonces[origin]); err != nil {
			return nil, err
		}
	}
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if c.form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.method != "" {
		method = c.method
	}
	req, err := http.NewRequestWithContext(s.ctx, method, c.url, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := c.by.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, body: map[string]any{}, text: string(text), sent: header, form: form}
	_ = json.Unmarshal(text, &a.body) // pages and empty answers are none
	if n := resp.Header.Get("DPoP-Nonce"); n != "" {
		s.nonces[origin] = n
	}
	return a, nil
}

// send sends a call, and again with the nonce if that is what was missing.
func (s *stage) send(c call) (*answer, error) {
	a, err := s.try(c)
	if err == nil && a.code() == string(oauth.UseDPoPNonce) && c.sign != nil {
		return s.try(c)
	}
	return a, err
}

// need is for what has to work before there is anything to steal.
func (s *stage) need(c call) (*answer, error) {
	a, err := s.send(c)
	if err == nil && a.status >= 400 {
		err = fmt.Errorf("%s answers %d %s: %s", c.url, a.status, a.code(), a.detail())
	}
	return a, err
}

// holder is the right holder, who must be served.
func (s *stage) holder(does string, c call) (*answer, error) {
	a, err := s.send(c)
	if err != nil {
		return nil, err
	}
	s.note(false, does, c, a)
	if a.status >= 400 {
		return nil, errors.New("the right holder was refused")
	}
	return a, nil
}

// thief has stolen something, and must be refused.
func (s *stage) thief(does string, c call) error {
	a, err := s.send(c)
	if err != nil {
		return err
	}
	s.note(true, does, c, a)
	return nil
}

const revocationTakes = time.Second // at most, everywhere

// thiefSoon is thief for what is refused soon, not at once.
func (s *stage) thiefSoon(does string, c call) error {
	end := time.NewTimer(revocationTakes)
	defer end.Stop()
	for {
		a, err := s.send(c)
		if err != nil {
			return err
		}
		if a.status < 400 {
			select {
			case <-s.ctx.Done():
				return s.ctx.Err()
			case <-time.After(50 * time.Millisecond):
				continue
			case <-end.C:
			}
		}
		s.note(true, does, c, a)
		return nil
	}
}

// telling are the headers worth showing.
var telling = []string{"Authorization", "DPoP", "Client-Cert", "X-SSL-Client-Cert", "Cookie", "Origin", "Token-Handler-Version"}

func (s *stage) note(thief bool, does string, c call, a *answer) {
	act := Act{
		Thief: thief, Does: does, Method: http.MethodGet, URL: c.url, Hop: s.hop(c.url),
		Status: a.status, Code: a.code(), Detail: a.detail(), RequestID: a.header.Get("X-Request-Id"),
	}
	if c.form != nil {
		act.Method = http.MethodPost
	}
	if c.method != "" {
		act.Method = c.method
	}
	for _, name := range telling {
		if v := a.sent.Get(name); v != "" {
			act.Headers = append(act.Headers, name+": "+short(v))
		}
	}
	for _, name := range []string{"code", "refresh_token", "client_assertion"} {
		if v := a.form.Get(name); v != "" {
			act.Headers = append(act.Headers, name+"="+short(v))
		}
	}
	s.acts = append(s.acts, act)
}

// hop names the part of the landscape that answers at an address.
func (s *stage) hop(at string) string {
	for _, h := range []struct{ base, name string }{
		{s.App.TokenHandler, "Token handler"}, {s.Other.TokenHandler, "Token handler"}, {s.API, "Gateway"}, {s.WebAPI, "Gateway"},
		{s.Admin, "Administration API"}, {s.Issuer, "Authorization server"}, {s.MTLSIssuer, "Authorization server"},
	} {
		if strings.HasPrefix(at, h.base) {
			return h.name
		}
	}
	return ""
}

// short shows beginning and end of what should not be read over anybody's shoulder.
func short(v string) string {
	words := strings.Fields(v)
	for i, w := range words {
		if len(w) > 40 && !strings.Contains(w, "://") {
			words[i] = w[:22] + "…" + w[len(w)-6:]
		}
	}
	return strings.Join(words, " ")
}

func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// ---- what is signed

func newKey() (*jose.Signer, error) {
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		return nil, err
	}
	return jose.NewSigner(key)
}

// prove adds a DPoP proof by a key.
func (s *stage) prove(key *jose.Signer, method, url, token string) signing {
	return s.proveAt(key, method, url, token, s.Now)
}

func (s *stage) proveAt(key *jose.Signer, method, to, token string, now func() time.Time) signing {
	return func(_ url.Values, h http.Header, nonce string) error {
		proof, err := dpop.Make(key, method, to, nonce, token, now())
		if err != nil {
			return err
		}
		h.Set("DPoP", proof)
		return nil
	}
}

// asserts adds a client assertion (RFC 7523).
func (s *stage) asserts(client Client, key *jose.Signer, audience string) signing {
	return func(form url.Values, _ http.Header, _ string) error {
		now := s.Now()
		token, err := key.Sign("JWT", map[string]any{
			"iss": client.ID, "sub": client.ID, "aud": audience, "jti": keys.NewSecret().Reveal(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		})
		form.Set("client_assertion_type", oauth.AssertionType)
		form.Set("client_assertion", token)
		return err
	}
}

// all does several of them.
func all(signs ...signing) signing {
	return func(form url.Values, h http.Header, nonce string) error {
		for _, sign := range signs {
			if err := sign(form, h, nonce); err != nil {
				return err
			}
		}
		return nil
	}
}

// selfMade is a certificate that the thief has made, with the name of somebody else in it.
func selfMade(name string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
