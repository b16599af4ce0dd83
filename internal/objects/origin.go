package objects

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/store"
)

const maxAllowedOrigins = 10 // of one client

// origins are all that clients have registered; the list is as shared as anything in the registry.
type origins map[string]bool

// AllowsOrigin says whether pages of an origin may read what the endpoints for clients answer: some client has
// registered it.
func (r *Registry) AllowsOrigin(ctx context.Context, origin string) (bool, error) {
	all, err := cached(r, cacheKey{kind: KindClient}, func() (*origins, error) { return loadOrigins(ctx, r.db) })
	if err != nil {
		return false, err
	}
	return (*all)[origin], nil
}

func loadOrigins(ctx context.Context, db *store.DB) (*origins, error) {
	all, err := loadAll(ctx, db, KindClient, func(tx *store.Tx) ([]store.Object, error) {
		return tx.ObjectsWithMember(KindClient, "allowed_origins")
	}, decodeClient)
	known := origins{}
	for _, c := range all {
		for _, origin := range c.AllowedOrigins {
			known[origin] = true
		}
	}
	return &known, err
}

func checkWebOrigins(p *preparation, c *Client) {
	if len(c.AllowedOrigins) > maxAllowedOrigins {
		p.report("allowed_origins", "has more than ten", "list where the pages of the application are")
	}
	p.checkOriginList("allowed_origins", c.AllowedOrigins)
}

// checkOriginList asks for origins as browsers send them (RFC 6454 §6.2).
func (p *preparation) checkOriginList(member string, list []string) {
	for i, origin := range list {
		u, err := url.Parse(origin)
		switch {
		case err != nil || !isURIText(origin) || originOf(u) != origin:
			p.report(at(member, i), "is not an origin", "write scheme, host and port as browsers do, for example https://app.example.com")
		case u.Scheme != "https" && !isLoopback(u.Hostname()):
			p.report(at(member, i), "is not https", "use https")
		case slices.Index(list, origin) < i:
			p.report(at(member, i), "is listed twice", "keep one")
		}
	}
}

// originOf is the origin of a URL, serialised; "" for what has none.
func originOf(u *url.URL) string {
	port := u.Port()
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" ||
		u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}
