package resource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// Bounds on what an issuer answers.
const (
	maxBody      = 256 << 10 // bytes of metadata and key sets
	maxRedirects = 3
	metadataLife = time.Hour
)

// load fetches the key set, finding its URL in the metadata where the configuration does not have it.
func (s *source) load(ctx context.Context) (jose.Set, time.Duration, error) {
	at := s.jwks
	if at == "" {
		var err error
		if at, err = s.discover(ctx); err != nil {
			return jose.Set{}, 0, fmt.Errorf("metadata of the issuer: %w", err)
		}
	}
	body, header, err := s.get(ctx, at)
	if err != nil {
		s.found = "" // the keys may have moved
		return jose.Set{}, 0, fmt.Errorf("keys of the issuer: %w", err)
	}
	set, err := jose.ParseSet(body)
	switch {
	case err != nil:
		return jose.Set{}, 0, fmt.Errorf("keys of the issuer: %w", err)
	case len(set.Keys) == 0:
		return jose.Set{}, 0, errors.New("keys of the issuer: none that can be used")
	}
	return set, lifetime(header), nil
}

// discover finds jwks_uri by RFC 8414 §3 or, where that has nothing, OpenID Connect Discovery §4.
func (s *source) discover(ctx context.Context) (string, error) {
	if s.found != "" && s.now().Sub(s.foundAt).Abs() < metadataLife {
		return s.found, nil
	}
	u, err := url.Parse(s.issuer)
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	host := u.Scheme + "://" + u.Host
	body, _, err := s.get(ctx, host+"/.well-known/oauth-authorization-server"+path)
	if _, ok := errors.AsType[statusError](err); ok {
		body, _, err = s.get(ctx, host+path+"/.well-known/openid-configuration")
	}
	if err != nil {
		return "", err
	}
	at, err := parseMetadata(body, s.issuer)
	if err != nil {
		return "", err
	}
	s.found, s.foundAt = at, s.now()
	return at, nil
}

// parseMetadata reads jwks_uri from the metadata of this very issuer (RFC 8414 §3.3). An issuer on the network cannot
// point to plain HTTP on this machine.
func parseMetadata(body []byte, issuer string) (string, error) {
	var m struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := jose.Unmarshal(body, &m); err != nil {
		return "", err
	}
	if m.Issuer != issuer {
		return "", errors.New("they are of another issuer")
	}
	if _, err := secureURL(m.JWKS, strings.HasPrefix(issuer, "http://")); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	return m.JWKS, nil
}

type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

func (s *source) get(ctx context.Context, at string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, statusError(resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxBody {
		return nil, nil, fmt.Errorf("longer than %d bytes", maxBody)
	}
	return body, resp.Header, nil
}

// sameHost lets redirects happen on the host that was asked, and nowhere else.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects || next.URL.Scheme != first.Scheme || !strings.EqualFold(next.URL.Host, first.Host) {
		return errors.New("a redirect to another host, or one too many")
	}
	return nil
}

// lifetime is how long keys are fresh: max-age less the Age in caches on the way (RFC 9111 §4.2), within bounds.
func lifetime(h http.Header) time.Duration {
	life := defaultLife
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); {
		case name == "no-store" || name == "no-cache":
			return minLife
		case name == "max-age" && err == nil:
			life = time.Duration(seconds) * time.Second
		}
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		life -= time.Duration(age) * time.Second
	}
	return min(max(life, minLife), maxLife)
}

// secureURL reads an https URL; plain http is for this machine only, and only where that is allowed.
func secureURL(raw string, allowLoopback bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Host == "" || u.User != nil || strings.Contains(raw, "#"):
		return nil, errors.New("not an absolute URL without fragment")
	case u.Scheme == "https", u.Scheme == "http" && allowLoopback && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("not an https URL")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
