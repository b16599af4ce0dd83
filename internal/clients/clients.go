// Package clients finds out which client sends a request, and by what proof: one file per method (RFC 6749 §2.3,
// RFC 7523, RFC 8705 §2, OpenID Connect Core §9).
//
// Authenticate reads and verifies but writes nothing; what a method uses up once is returned for the caller's one
// write. What the client may then do is not decided here.
package clients

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Credentials are what a request offers as proof of its client, unverified.
type Credentials struct {
	ClientID  string // parameter client_id, or the user of the Authorization header
	Secret    keys.Secret
	basic     bool // the secret came in the Authorization header
	post      bool // the secret came as client_secret
	Assertion string
	asserted  *jose.Token // what the assertion says, unverified; nil if it cannot be read
	Peer      web.Peer
}

// Parse reads the credentials of a request. More than one method at once is refused (RFC 6749 §2.3).
func Parse(r *http.Request, form url.Values) (Credentials, error) {
	c := Credentials{ClientID: form.Get("client_id"), Assertion: form.Get("client_assertion"), Peer: web.EventOf(r.Context()).Peer}
	if form.Has("client_secret") {
		c.post, c.Secret = true, keys.Secret(form.Get("client_secret"))
	}
	if err := c.parseBasic(r); err != nil {
		return c, err
	}
	methods := 0
	for _, used := range []bool{c.basic, c.post, c.Assertion != ""} {
		if used {
			methods++
		}
	}
	if methods > 1 {
		return c, oauth.Refuse(oauth.InvalidRequest, "more than one client authentication method")
	}
	if (c.Assertion != "") != form.Has("client_assertion_type") || c.Assertion != "" && form.Get("client_assertion_type") != oauth.AssertionType {
		return c, oauth.Refuse(oauth.InvalidRequest, "client_assertion_type does not fit")
	}
	if c.Assertion != "" {
		c.asserted, _ = jose.Peek(c.Assertion) // the refusal of one that cannot be read is that of its method
	}
	return c, nil
}

// parseBasic reads the Authorization header; id and secret are form-encoded in it (RFC 6749 §2.3.1).
func (c *Credentials) parseBasic(r *http.Request) error {
	if r.Header.Get("Authorization") == "" {
		return nil
	}
	user, password, ok := r.BasicAuth()
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if !ok || errID != nil || errSecret != nil || len(r.Header.Values("Authorization")) > 1 {
		return oauth.Refuse(oauth.InvalidClient, "the Authorization header is not HTTP Basic with an encoded id and secret")
	}
	if c.ClientID != "" && c.ClientID != id {
		return oauth.Refuse(oauth.InvalidRequest, "client_id differs from the Authorization header")
	}
	c.basic, c.ClientID, c.Secret = true, id, keys.Secret(secret)
	return nil
}

// Authn says how a client has proved itself.
type Authn struct {
	Method string
	Spends []store.Spend // to be spent by the caller before anything else
}

// Authenticator authenticates the clients of one issuer.
type Authenticator struct {
	Issuer   string
	Aliases  []string // token endpoint URLs that the old form of an assertion may name
	Registry *objects.Registry
	Ring     *keys.Ring
	Failures *limit.Failures
	Now      func() time.Time
	Roots    *x509.CertPool // of tls_client_auth; nil: none are trusted
	// KeysAt reads a client's jwks_uri, fetching again for an unknown kid at most as often as it sees fit.
	KeysAt func(ctx context.Context, url, kid string) (jose.Set, error)
	// KeysAgain reads it again where no key of KeysAt fits, and says whether it did: at most as often as it sees fit.
	KeysAgain func(ctx context.Context, url string) (set jose.Set, read bool, err error)
	// Revoked says whether a certificate, by its thumbprint, is not to be believed any more. nil: none is.
	Revoked func(x5t string) bool

	verdicts verdicts
}

// method verifies credentials of one kind. A refusal says why for the log only.
type method struct {
	name  string
	given func(*Credentials) bool
	check func(*Authenticator, context.Context, *objects.Client, *Credentials) ([]store.Spend, error)
}

// table lists the methods that are on. A certificate alone is a method; beside another one it only binds tokens.
var table = []method{
	{oauth.AuthPrivateKeyJWT, func(c *Credentials) bool { return c.Assertion != "" && !c.hashed() }, (*Authenticator).checkAssertion},
	{oauth.AuthTLSClient, (*Credentials).onlyCertificate, (*Authenticator).checkTLS},
	{oauth.AuthSelfSignedTLS, (*Credentials).onlyCertificate, (*Authenticator).checkSelfSigned},
	{oauth.AuthSecretJWT, (*Credentials).hashed, (*Authenticator).checkSecretJWT},
	{oauth.AuthSecretBasic, func(c *Credentials) bool { return c.basic }, (*Authenticator).checkSecret},
	{oauth.AuthSecretPost, func(c *Credentials) bool { return c.post }, (*Authenticator).checkSecret},
	{oauth.AuthNone, (*Credentials).nothing, (*Authenticator).checkNone},
}

// nothing says that the request only names its client, or proves possession of a certificate besides.
func (c *Credentials) nothing() bool { return !c.basic && !c.post && c.Assertion == "" }

func (c *Credentials) onlyCertificate() bool { return c.nothing() && c.Peer.Certificate != nil }

// Methods are the names of the table, for the metadata.
func Methods() []string {
	names := make([]string, len(table))
	for i, m := range table {
		names[i] = m.name
	}
	return names
}

// refused is what every failure looks like from outside, whether the client exists or not.
var refused = oauth.Refuse(oauth.InvalidClient, "client authentication failed")

// Authenticate verifies the credentials by the method that the client is registered for, and no other. Every failure
// is the same invalid_client, with the cause for the log alone.
func (a *Authenticator) Authenticate(ctx context.Context, c Credentials) (*objects.Client, Authn, error) {
	if c.ClientID == "" {
		c.ClientID = assertedClient(c.asserted)
	}
	if !isID(c.ClientID) {
		return nil, Authn{}, refused.With(errors.New("no client is named"))
	}
	web.EventOf(ctx).SetClient(c.ClientID)
	client, err := a.Registry.Client(ctx, c.ClientID)
	if err != nil && !errors.Is(err, objects.ErrNotFound) {
		return nil, Authn{}, fmt.Errorf("load client: %w", err)
	}
	counted := guesses(client, &c)
	if err := a.slowDown(counted); err != nil {
		return nil, Authn{}, err
	}
	authn, err := a.verify(ctx, client, &c)
	if why, ok := errors.AsType[reason](err); ok {
		if len(counted) > 0 {
			if err := a.Failures.FailNow(ctx, counted...); err != nil {
				return nil, Authn{}, fmt.Errorf("count failure: %w", err)
			}
		}
		return nil, Authn{}, refused.With(why)
	}
	if err != nil {
		return nil, Authn{}, err
	}
	return client, authn, nil
}

// isID says whether anything can be registered under this id: printable ASCII without spaces.
func isID(id string) bool {
	return id != "" && len(id) <= maxID && strings.IndexFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// verify applies the registered method, or during a migration the one of two that the credentials are for. client is nil
// where there is none of that name.
func (a *Authenticator) verify(ctx context.Context, client *objects.Client, c *Credentials) (Authn, error) {
	if client == nil {
		return Authn{}, reason("there is no such client")
	}
	if c.Peer.Certificate != nil && a.Revoked != nil && a.Revoked(ca.Thumbprint(c.Peer.Certificate)) {
		return Authn{}, reason("the certificate is revoked")
	}
	now := a.Now()
	err := error(reason("the request has no credentials for " + client.TokenAuthMethod + ", or others besides"))
	for _, m := range table {
		if !client.AuthenticatesBy(m.name, now) || !m.given(c) {
			continue
		}
		spends, failed := m.check(a, ctx, client, c)
		if failed == nil {
			return Authn{Method: m.name, Spends: spends}, nil
		}
		if err = failed; !isReason(err) {
			break
		}
	}
	return Authn{}, err
}

// reason is a refusal for the log; everything else from a check is an internal fault or a visible error of its own.
type reason string

func (r reason) Error() string { return string(r) }

func isReason(err error) bool {
	_, ok := errors.AsType[reason](err)
	return ok
}
