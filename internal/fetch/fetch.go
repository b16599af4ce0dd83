// Package fetch is the one client for requests that leave the server: to addresses that others have named, such as a
// client's jwks_uri, so that naming one gives no way into the network (RFC 7591 §5, OWASP's server-side request
// forgery).
//
// It speaks https only, follows no redirects, takes no proxy from the environment, keeps no cookies, and connects to
// public addresses only, except where the operator has allowed a network for a purpose. It is not for connections
// that the operator configures, such as the database or the mail relay.
package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

var (
	// ErrForbidden says that the request was not made: the URL is not one to be asked, or leads to an address that
	// is neither public nor allowed for the purpose.
	ErrForbidden = errors.New("fetch: not allowed")
	// ErrTooLarge says that the answer is larger than MaxBytes.
	ErrTooLarge = errors.New("fetch: the answer is too large")
)

// PurposeJWKS is the purpose of reading key sets.
const PurposeJWKS = "jwks"

// Rule allows a network that is not public.
type Rule struct {
	CIDR  netip.Prefix
	Ports []int // none: 443
}

// Options say what the client may do. Zero values get the defaults named.
type Options struct {
	Allow    map[string][]Rule // by purpose
	Timeout  time.Duration     // for all of a request; 10 s
	MaxBytes int64             // of an answer's body; 256 KiB
	RootCAs  *x509.CertPool    // the system's
	// Resolve returns all addresses of a host; net.DefaultResolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

const (
	maxHeader      = 32 << 10
	connectTimeout = 3 * time.Second
	maxAddresses   = 8
)

// Client makes the requests. It is safe for concurrent use.
type Client struct {
	o         Options
	byPurpose map[string]*http.Client // connections are not shared: what one purpose may reach another may not
	others    *http.Client
}

// New makes a client.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 10
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	c := &Client{o: o, byPurpose: map[string]*http.Client{}, others: o.client(nil)}
	for purpose, rules := range o.Allow {
		c.byPurpose[purpose] = o.client(rules)
	}
	return c
}

func (o Options) client(rules []Rule) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer{o.Resolve, rules}.dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			TLSHandshakeTimeout:    connectTimeout,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    2,
			MaxIdleConns:           20,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close closes the connections that are kept for later.
func (c *Client) Close() {
	c.others.CloseIdleConnections()
	for _, h := range c.byPurpose {
		h.CloseIdleConnections()
	}
}

// Get returns body and header of an answer with status 200. Any other status is an error.
func (c *Client) Get(ctx context.Context, purpose, url string) (body []byte, header http.Header, err error) {
	return c.do(ctx, purpose, http.MethodGet, url, "", nil)
}

// Post sends a body and returns that of an answer with a status from 200 to 299.
func (c *Client) Post(ctx context.Context, purpose, url, contentType string, body []byte) ([]byte, http.Header, error) {
	return c.do(ctx, purpose, http.MethodPost, url, contentType, body)
}

func (c *Client) do(ctx context.Context, purpose, method, target, contentType string, body []byte) ([]byte, http.Header, error) {
	if err := checkURL(target); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: not a URL", ErrForbidden)
	}
	q.Header.Set("User-Agent", "holdfast")
	q.Header.Set("Accept", "application/json, */*;q=0.5")
	if contentType != "" {
		q.Header.Set("Content-Type", contentType)
	}
	h := c.byPurpose[purpose]
	if h == nil {
		h = c.others
	}
	a, err := h.Do(q)
	if err != nil {
		// The text of url.Error repeats the URL, which may hold what is not for a log.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return nil, nil, fmt.Errorf("fetch: %w", err)
	}
	defer a.Body.Close()
	if a.StatusCode < 200 || a.StatusCode > 299 || method == http.MethodGet && a.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("fetch: the answer has status %d", a.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(a.Body, c.o.MaxBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("fetch: read answer: %w", err)
	}
	if int64(len(answer)) > c.o.MaxBytes {
		return nil, nil, ErrTooLarge
	}
	return answer, a.Header, nil
}

// checkURL accepts https with a host, and nothing that is not part of a request's target.
func checkURL(target string) error {
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%w: not an https URL", ErrForbidden)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%w: the URL has a user or a fragment", ErrForbidden)
	}
	return nil
}
