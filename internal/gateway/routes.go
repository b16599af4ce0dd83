package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// table is all routes, ready to be matched: by origin, then by prefix.
type table struct {
	list     *objects.RouteList
	routes   map[string]map[string][]*route
	metadata map[string]http.Handler // by URL (RFC 9728)
}

// route is a route at one origin.
type route struct {
	*objects.Route
	origin   string
	upstream *url.URL
	verifier *resource.Verifier // for its audience at its origin
	policy   resource.Policy
}

// routes is the table of the routes there are now.
func (g *gateway) routes(ctx context.Context) (*table, error) {
	list, err := g.Registry.Routes(ctx)
	if err != nil {
		return nil, err
	}
	if t := g.table.Load(); t != nil && t.list == list {
		return t, nil
	}
	t := &table{list: list, routes: map[string]map[string][]*route{}, metadata: map[string]http.Handler{}}
	for _, o := range list.Routes {
		for _, origin := range o.Hosts {
			if !slices.Contains(g.Origins, origin) {
				continue // of another gateway
			}
			if err := g.add(t, o, origin); err != nil {
				return nil, fmt.Errorf("route %s: %w", o.Name, err)
			}
		}
	}
	g.table.Store(t)
	return t, nil
}

func (g *gateway) add(t *table, o *objects.Route, origin string) (err error) {
	r := &route{Route: o, origin: origin, policy: resource.Authenticated()}
	r.policy.Scopes, r.policy.ACR, r.policy.MaxAge = o.Scopes, o.ACRValues, time.Duration(o.MaxAge)*time.Second
	if r.upstream, err = url.Parse(o.Upstream); err != nil {
		return err
	}
	if r.verifier, err = g.verifier.ForAudience(o.Audience, origin); err != nil {
		return err
	}
	if t.routes[origin] == nil {
		t.routes[origin] = map[string][]*route{}
	}
	t.routes[origin][o.Path] = append(t.routes[origin][o.Path], r)
	if at := r.verifier.MetadataPath(); at != "" && originOf(o.Audience) == origin {
		t.metadata[origin+at] = r.verifier.MetadataHandler()
	}
	return nil
}

func originOf(resource string) string {
	u, err := url.Parse(resource)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

var (
	errNoOrigin = oauth.Refuse(oauth.InvalidRequest, "this host is not served here").WithStatus(http.StatusMisdirectedRequest)
	errBadPath  = oauth.Refuse(oauth.InvalidRequest, "the path is not in its plain form")
	errNoRoute  = oauth.Refuse(oauth.InvalidRequest, "there is nothing at this address").WithStatus(http.StatusNotFound)
	errMethod   = oauth.Refuse(oauth.InvalidRequest, "this method is not allowed here").WithStatus(http.StatusMethodNotAllowed)
)

// origin is the configured origin that a request came to. The host of the request only chooses.
func (g *gateway) origin(r *http.Request) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(r.Host, ":443"))
	for _, origin := range g.Origins {
		if strings.TrimPrefix(origin, "https://") == host {
			return origin, nil
		}
	}
	return "", errNoOrigin
}

// match finds the routes with the longest prefix of whole segments. Of several with the same one the method decides; if
// that does not, nothing does, and the request is refused rather than let through on the weaker one.
func (t *table) match(origin, path, method string) (*route, []string, error) {
	at := t.routes[origin]
	var found []*route
	for prefix := path; ; {
		if found = at[prefix]; found != nil || prefix == "/" {
			break
		}
		prefix = prefix[:strings.LastIndexByte(prefix, '/')]
		if prefix == "" {
			prefix = "/"
		}
	}
	if found == nil {
		return nil, nil, errNoRoute
	}
	var chosen *route
	var methods []string
	for _, r := range found {
		methods = append(methods, r.Methods...)
		if !slices.Contains(r.Methods, method) {
			continue
		}
		if chosen != nil {
			return nil, nil, fmt.Errorf("routes %s and %s are for the same requests", chosen.Name, r.Name)
		}
		chosen = r
	}
	if chosen == nil {
		return found[0], methods, errMethod.WithHeader("Allow", strings.Join(methods, ", "))
	}
	return chosen, methods, nil
}

// find makes the call of a request; what it returns shows a refusal rightly even if there is an error.
func (g *gateway) find(r *http.Request) (*call, error) {
	c := &call{gateway: g, event: web.EventOf(r.Context())}
	origin, err := g.origin(r)
	if err != nil {
		return c, err
	}
	if c.path, c.plain, err = normalise(r.URL.EscapedPath()); err != nil {
		return c, errBadPath.With(err)
	}
	t, err := g.routes(r.Context())
	if err != nil {
		return c, fmt.Errorf("find routes: %w", err)
	}
	if c.metadata = t.metadata[origin+c.path]; c.metadata != nil {
		return c, nil
	}
	method := r.Method
	if asked := r.Header.Get("Access-Control-Request-Method"); method == http.MethodOptions && asked != "" {
		method = asked // a preflight asks about that one
	}
	c.route, c.methods, err = t.match(origin, c.path, method)
	if c.route == nil {
		return c, err
	}
	r.Pattern = c.route.Name
	if c.route.Application != "" {
		app, lost := g.Registry.Application(r.Context(), c.route.Application)
		if lost != nil {
			return c, errors.Join(err, fmt.Errorf("application of route: %w", lost))
		}
		c.app, c.browser = app, isBrowser(r, c.route)
	}
	return c, err
}

// isBrowser says whether a request on a route that takes cookies is to be answered as pages expect it.
func isBrowser(r *http.Request, on *route) bool {
	if len(r.Header.Values("Authorization")) == 0 {
		return len(on.Credentials) == 1 || r.Header.Get("Cookie") != "" || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
	}
	return on.Prefer == "cookie"
}
