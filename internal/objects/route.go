package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// Credentials a route may take.
const (
	CredentialCookie      = "cookie"      // the session of a browser application
	CredentialDPoP        = "dpop"        // an access token with a proof of its key (RFC 9449)
	CredentialCertificate = "certificate" // an access token with the certificate it is bound to (RFC 8705)
	CredentialBearer      = "bearer"      // an access token bound to nothing: weaker
)

// What becomes of the token on its way through a route.
const (
	ExchangeToken = "token-exchange" // it is exchanged for one that is bound to the gateway (RFC 8693)
	ExchangeNone  = "none"           // it goes on as it came, with its proof or certificate
)

// Route is a way through the gateway: which requests take it, what they must show, and where they go.
type Route struct {
	Name        string   `json:"name"`
	Hosts       []string `json:"hosts"`                  // origins of the gateway, like https://api.example.com
	Path        string   `json:"path"`                   // prefix of whole segments
	Methods     []string `json:"methods,omitempty"`      // GET and HEAD when empty
	Upstream    string   `json:"upstream"`               // https URL the path is appended to
	StripPrefix bool     `json:"strip_prefix,omitempty"` // leave Path out of what is appended
	Credentials []string `json:"credentials"`            // which of cookie, dpop, certificate and bearer are good
	Prefer      string   `json:"prefer,omitempty"`       // cookie or token: which counts if both come; "": neither
	Application string   `json:"application,omitempty"`  // whose sessions are good, with cookie
	Audience    string   `json:"audience,omitempty"`     // resource that tokens from outside must be for
	Scopes      []string `json:"scopes,omitempty"`       // all of them are needed
	ACRValues   []string `json:"acr_values,omitempty"`   // one of them is needed (RFC 9470)
	MaxAge      int64    `json:"max_age,omitempty"`      // seconds since the person signed in, at most (RFC 9470)
	Exchange    string   `json:"exchange,omitempty"`     // token-exchange (default) or none
	// UpstreamAudience is the resource that the exchanged token is for.
	UpstreamAudience string `json:"upstream_audience,omitempty"`
	WebSocket        bool   `json:"websocket,omitempty"`
	MaxBody          int64  `json:"max_body,omitempty"` // bytes of a request; 10 MiB when 0
	Timeout          int64  `json:"timeout,omitempty"`  // seconds until the answer begins; 30 when 0

	AllowBearerTokens      bool `json:"allow_bearer_tokens,omitempty"`       // takes tokens bound to nothing
	AllowBearerUpstream    bool `json:"allow_bearer_upstream,omitempty"`     // forwards such tokens
	AllowPlainHTTPUpstream bool `json:"allow_plain_http_upstream,omitempty"` // upstream may be http
}

// RouteList is every route of a tenant, in order of name.
type RouteList struct{ Routes []*Route }

// Takes says whether a credential is good on the route.
func (r *Route) Takes(credential string) bool { return slices.Contains(r.Credentials, credential) }

const (
	defaultMaxBody = 10 << 20
	defaultTimeout = 30 // seconds
	maxTimeout     = 600
	maxRoutes      = 2000
)

func (r *Route) withDefaults() {
	if len(r.Methods) == 0 {
		r.Methods = []string{"GET", "HEAD"}
	}
	if r.Exchange == "" {
		r.Exchange = ExchangeToken
	}
	if r.MaxBody == 0 {
		r.MaxBody = defaultMaxBody
	}
	if r.Timeout == 0 {
		r.Timeout = defaultTimeout
	}
}

// Routes is all there are, the same value until one of them changes.
func (r *Registry) Routes(ctx context.Context) (*RouteList, error) {
	return cached(r, cacheKey{kind: KindRoute}, func() (*RouteList, error) { return loadRoutes(ctx, r.db) })
}

func loadRoutes(ctx context.Context, db *store.DB) (*RouteList, error) {
	all, err := loadAll(ctx, db, KindRoute, upTo(maxRoutes, KindRoute), decode[Route])
	for _, r := range all {
		r.withDefaults()
	}
	return &RouteList{all}, err
}

// routeChecks are all rules of a route, defaults filled in.
var routeChecks = []func(*preparation, *Route){
	checkRouteHosts, checkRoutePath, checkRouteMethods, checkUpstream, checkRouteCredentials, checkCookieRoute,
	checkBearerRoute, checkExchange, checkRouteBounds,
}

func prepareRoute(p *preparation, _ json.RawMessage) {
	r := new(Route)
	p.decode(p.doc.Body, r)
	r.Name = p.named("name", r.Name)
	p.name = r.Name
	if r.Name != "" && !isClientID(r.Name) {
		p.report("name", "is not a name", "use up to 200 printable ASCII characters without spaces")
	}
	p.store(r) // without defaults, so that a later default reaches it
	full := *r
	full.withDefaults()
	for _, check := range routeChecks {
		check(p, &full)
	}
}

func checkRouteHosts(p *preparation, r *Route) {
	if len(r.Hosts) == 0 {
		p.report("hosts", "is empty", "name the origins of the gateway that the route is served at")
	}
	for i, host := range r.Hosts {
		p.checkOrigin(at("hosts", i), host)
	}
}

// checkOrigin asks for an https origin (RFC 6454 §6.1), written as browsers write it.
func (p *preparation) checkOrigin(path, origin string) {
	u, err := url.Parse(origin)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || origin != "https://"+u.Host:
		p.report(path, "is not an https origin", "write for example https://api.example.com, without a slash at the end")
	case origin != strings.ToLower(origin) || u.Port() == "443":
		p.report(path, "is not written as browsers write it", "use lower case, and leave out port 443")
	}
}

// checkRoutePath lets a prefix have unreserved characters only, so that there is one way to write it
// (RFC 3986 §2.3).
func checkRoutePath(p *preparation, r *Route) {
	switch {
	case !strings.HasPrefix(r.Path, "/"):
		p.report("path", "does not begin with a slash", "write for example /orders")
	case len(r.Path) > maxURI || path.Clean(r.Path) != r.Path || strings.ContainsFunc(r.Path, notPrefix):
		p.report("path", "is not a plain path", "use segments of letters, digits and -._~ parted by single slashes, without one at the end")
	}
}

func notPrefix(c rune) bool {
	return c != '/' && (c > '~' || !strings.ContainsRune("-._~", c) &&
		!('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'))
}

var routeMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func checkRouteMethods(p *preparation, r *Route) {
	for i, m := range r.Methods {
		switch {
		case !slices.Contains(routeMethods, m):
			p.report(at("methods", i), "is not a method that routes can have", "use "+strings.Join(routeMethods, ", "))
		case m == "OPTIONS" && r.Takes(CredentialCookie):
			p.report(at("methods", i), "is OPTIONS, which the gateway itself answers for browsers", "remove it")
		}
	}
	if r.WebSocket && !slices.Contains(r.Methods, "GET") {
		p.report("methods", "lacks GET, which opens a WebSocket", "add it (RFC 6455 §4.1)")
	}
}

func checkUpstream(p *preparation, r *Route) {
	u, err := url.Parse(r.Upstream)
	switch {
	case err != nil || !isURIText(r.Upstream) || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || hasFragment(r.Upstream):
		p.report("upstream", "is not a plain URL", "write for example https://orders.internal.example:8443")
	case u.Scheme == "http" && !r.AllowPlainHTTPUpstream:
		p.report("upstream", "is http", "use https, or set allow_plain_http_upstream")
	case u.Scheme != "https" && u.Scheme != "http":
		p.report("upstream", "is not https", "use https")
	case u.Path != "" && (path.Clean(u.Path) != u.Path || strings.ContainsFunc(u.Path, notPrefix)):
		p.report("upstream", "has a path that is not plain", "use segments of letters, digits and -._~, without a slash at the end")
	}
}

var routeCredentials = []string{CredentialCookie, CredentialDPoP, CredentialCertificate, CredentialBearer}

func checkRouteCredentials(p *preparation, r *Route) {
	if len(r.Credentials) == 0 {
		p.report("credentials", "is empty", "name what requests must show: cookie, dpop or certificate")
	}
	for i, c := range r.Credentials {
		if !slices.Contains(routeCredentials, c) {
			p.report(at("credentials", i), "is unknown", "use cookie, dpop, certificate or bearer")
		}
	}
	if r.Prefer != "" && r.Prefer != "cookie" && r.Prefer != "token" {
		p.report("prefer", "is unknown", "use cookie or token, or leave it out to refuse requests with both")
	}
	if r.Audience == "" {
		p.report("audience", "is missing", "name the resource that tokens from outside must be for (RFC 9068 §4)")
	} else {
		p.checkResource("audience", r.Audience)
	}
	p.checkScopes("scopes", r.Scopes)
}

func checkCookieRoute(p *preparation, r *Route) {
	switch cookie := r.Takes(CredentialCookie); {
	case cookie && r.Application == "":
		p.report("application", "is missing", "name the application whose sessions are good")
	case !cookie && r.Application != "":
		p.report("application", "has no meaning without the credential cookie", "add cookie to credentials, or remove it")
	}
}

func checkBearerRoute(p *preparation, r *Route) {
	if r.Takes(CredentialBearer) && !r.AllowBearerTokens {
		p.report("credentials", "has bearer: whoever finds such a token can use it", "use dpop or certificate, or set allow_bearer_tokens")
	}
	if r.AllowBearerTokens && r.Exchange == ExchangeNone && !r.AllowBearerUpstream {
		p.report("allow_bearer_upstream", "is missing: tokens bound to nothing would have to be forwarded as they are", "exchange them, or set it")
	}
}

func checkExchange(p *preparation, r *Route) {
	switch r.Exchange {
	case ExchangeToken:
		if r.UpstreamAudience == "" {
			p.report("upstream_audience", "is missing", "name the resource that the API behind the route is")
			return
		}
		p.checkResource("upstream_audience", r.UpstreamAudience)
		if u, err := url.Parse(r.Upstream); err == nil && u.Scheme == "http" {
			p.report("upstream", "is http, over which no certificate can be shown", "use https, or exchange none (the exchanged token is bound to the gateway's certificate)")
		}
	case ExchangeNone:
		if r.UpstreamAudience != "" {
			p.report("upstream_audience", "has no meaning without an exchange", "remove it")
		}
	default:
		p.report("exchange", "is unknown", "use token-exchange or none")
	}
}

func checkRouteBounds(p *preparation, r *Route) {
	if r.MaxBody < 0 {
		p.report("max_body", "is negative", "write bytes")
	}
	if r.Timeout < 0 || r.Timeout > maxTimeout {
		p.report("timeout", fmt.Sprintf("is not between 1 and %d seconds", maxTimeout), "30 is a good value")
	}
	if r.MaxAge < 0 {
		p.report("max_age", "is negative", "write seconds")
	}
}
