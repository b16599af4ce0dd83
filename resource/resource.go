// Package resource is what an API server imports to know who is calling: it checks access tokens and what they are bound
// to, says no in the words clients understand, and hands the caller to the handler.
//
// It is for JWT access tokens (RFC 9068) from one or several issuers, bound to a client certificate (RFC 8705 §3), a DPoP
// key (RFC 9449 §7) or both; for the challenges of RFC 6750 §3, RFC 9449 §7.1 and RFC 9470 §3; and for the metadata of
// RFC 9728. It is not for ID tokens, opaque tokens or encrypted ones, and it knows no user: what a caller may do with one
// certain order stays the business of the API.
//
// Everything is closed until opened: tokens that nothing binds need AllowBearerTokens, and a route whose Policy is the
// zero value answers 403 to everybody.
package resource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// Bounds that hold for every verifier.
const (
	MaxLeeway     = time.Minute     // the most Config.Leeway may be
	maxToken      = 16 << 10        // bytes of an access token
	defaultLeeway = 5 * time.Second // between the clocks of issuer and API
	defaultStale  = time.Hour       // how long keys are used while the issuer cannot be reached
)

// ErrUnavailable says that a token could not be judged, because the keys of its issuer or the memory of proofs were out of
// reach. It is nobody's refusal; on the wire it is 503.
var ErrUnavailable = errors.New("resource: cannot check tokens now")

// Config says whose tokens are accepted, and for what. Issuers and Audience are required.
type Config struct {
	Issuers  []string          // issuer identifiers, exactly as tokens carry them in iss
	Audience string            // the resource identifier of this API: tokens carry it in aud
	JWKS     map[string]string // by issuer, where its keys are; else its metadata say (RFC 8414, OpenID Connect Discovery)

	// Origins are the base URLs under which clients reach this API, for the htu of DPoP proofs. A path in one is what a
	// proxy takes off before the API sees it. Empty: the origin of Audience, which is a URL then. The Host header is
	// never believed.
	Origins []string

	AllowBearerTokens bool          // accept tokens that nothing binds: who steals one, has it
	Algorithms        []jose.Alg    // empty: all that package jose has
	Leeway            time.Duration // between clocks; 0 is 5 seconds
	MaxStale          time.Duration // how long past their age keys are used while the issuer is down; 0 is an hour

	// TrustClientCert says that the peer of this connection is a proxy which authenticated itself and which removes the
	// header Client-Cert (RFC 9440) from what clients send. Then that header, and only it, names the certificate of the
	// client. nil: the header is ignored.
	TrustClientCert func(Request) bool

	// Replay remembers DPoP proofs, so that each works once. nil: the memory of this process, which other processes of
	// the same API do not share.
	Replay Replay
	Nonces *dpop.Nonces // if not nil, proofs need a nonce of these (RFC 9449 §9)

	Revoked func(*Principal) bool      // if not nil, asked last; true refuses the token
	Refused func(*http.Request, error) // if not nil, told each refusal of Handler and its cause, for the log

	Metadata  Metadata          // what RFC 9728 metadata tell clients
	Transport http.RoundTripper // the way to the issuers; nil is http.DefaultTransport
	Now       func() time.Time  // nil is time.Now
}

// Request is what Verify reads of a request. Nothing else of it is believed.
type Request struct {
	Method string
	URL    *url.URL // path and query count, host and scheme do not
	Header http.Header
	TLS    *tls.ConnectionState // of this very connection; nil without TLS
}

// RequestOf takes it from a request that a server received. The path is the one the client sent, even where a router has
// cut r.URL.
func RequestOf(r *http.Request) Request {
	req := Request{Method: r.Method, URL: r.URL, Header: r.Header, TLS: r.TLS}
	if sent, err := url.ParseRequestURI(r.RequestURI); err == nil {
		req.URL = sent
	}
	return req
}

// Verifier checks requests to one API. It is safe for concurrent use.
type Verifier struct {
	config   Config
	keys     map[string]*source // by issuer
	metadata string             // URL of the metadata; "" where the audience is not a URL
}

// New makes a verifier. It asks nobody yet: keys are fetched when the first token of an issuer comes, or by Warm, so an
// API starts without its issuer. ctx ends the fetching of keys, so it lives as long as the verifier.
func New(ctx context.Context, c Config) (*Verifier, error) {
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	v := &Verifier{config: c, keys: map[string]*source{}}
	for _, issuer := range c.Issuers {
		v.keys[issuer] = newSource(ctx, issuer, c)
	}
	v.metadata = metadataURL(c.Audience)
	return v, nil
}

// ForAudience gives a verifier for another API that shares keys, memory of proofs and everything else with this one. No
// origins: those of this one.
func (v *Verifier) ForAudience(audience string, origins ...string) (*Verifier, error) {
	c := v.config
	c.Audience = audience
	if len(origins) > 0 {
		c.Origins = origins
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	return &Verifier{config: c, keys: v.keys, metadata: metadataURL(audience)}, nil
}

// Warm fetches the keys of every issuer that has none yet, for a readiness check. Every error is an ErrUnavailable.
func (v *Verifier) Warm(ctx context.Context) error {
	for _, issuer := range v.config.Issuers {
		if _, err := v.keys[issuer].current(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Verify tells who sent a request: Credentials, VerifyToken and CheckBinding in one. Every error is a *Challenge or an
// ErrUnavailable.
func (v *Verifier) Verify(ctx context.Context, r Request) (*Principal, error) {
	c, err := v.Credentials(r)
	if err != nil {
		return nil, err
	}
	token, err := v.VerifyToken(ctx, c.Token)
	if err != nil {
		return nil, c.scheme(err)
	}
	return v.CheckBinding(ctx, token, c, r)
}

func (c *Config) setDefaults() {
	c.Issuers, c.Origins = slices.Clone(c.Issuers), slices.Clone(c.Origins)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.Leeway == 0 {
		c.Leeway = defaultLeeway
	}
	if c.MaxStale == 0 {
		c.MaxStale = defaultStale
	}
	if c.Replay == nil {
		c.Replay = NewMemory(0, c.Now)
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256} // RFC 9068 §2.1 asks for RS256
	}
	if u, err := url.Parse(c.Audience); err == nil && len(c.Origins) == 0 && u.Host != "" {
		c.Origins = []string{u.Scheme + "://" + u.Host}
	}
}

func (c *Config) check() error {
	switch {
	case c.Audience == "":
		return errors.New("no Audience: it is what tokens for this API carry in aud")
	case len(c.Issuers) == 0:
		return errors.New("no Issuers: name whose tokens are accepted")
	case len(c.Origins) == 0:
		return errors.New("no Origins, and Audience is no URL: name the one under which clients reach this API")
	case c.Leeway < 0 || c.Leeway > MaxLeeway:
		return fmt.Errorf("a Leeway that is not between 0 and %v", MaxLeeway)
	case c.MaxStale < 0:
		return errors.New("a negative MaxStale")
	}
	for _, issuer := range c.Issuers {
		if u, err := secureURL(issuer, true); err != nil || u.RawQuery != "" || u.ForceQuery {
			return fmt.Errorf("issuer %q is not an https URL without query and fragment", issuer)
		}
	}
	for issuer, at := range c.JWKS {
		if _, err := secureURL(at, true); err != nil || !slices.Contains(c.Issuers, issuer) {
			return fmt.Errorf("JWKS %q: the key is not one of Issuers, or the value is not an https URL", issuer)
		}
	}
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.ContainsAny(origin, "?#") {
			return fmt.Errorf("origin %q is not an http or https URL without query and fragment", origin)
		}
	}
	for _, a := range c.Algorithms {
		if !a.Supported() {
			return fmt.Errorf("algorithm %q is not one of package jose", a)
		}
	}
	return nil
}
