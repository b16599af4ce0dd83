package app

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// gateway checks the token handler and the gateway of a tenant, which share a host where they share cookies.
func (v *validator) gateway(path string, t *TenantConfig, urls map[string]bool) {
	g, h := &t.Gateway, t.TokenHandler.URL
	hosts := map[string]bool{}
	for i, raw := range g.URLs {
		at := fmt.Sprintf("%s.gateway.urls[%d]", path, i)
		v.endpoint(at, raw, "", urls, true)
		if pathOf(raw) != "" {
			v.report(at, "has a path", "write scheme, host and port only: routes say which paths there are")
		}
		hosts[hostOf(raw)] = true
	}
	if len(g.URLs) > 0 {
		if g.ClientID == "" {
			v.report(path+".gateway.client_id", "is missing", "name the client that the gateway is at the issuer")
		}
		v.file(path+".gateway.certificate", g.Certificate, "name a PEM file with the certificate the gateway shows to APIs")
		v.file(path+".gateway.key", g.Key, "name the PEM file of its private key")
		for i, f := range g.UpstreamCAFiles {
			v.file(fmt.Sprintf("%s.gateway.upstream_ca_files[%d]", path, i), f, "name a PEM file of trusted roots")
		}
	} else if g.ClientID != "" || g.Certificate != "" || g.Key != "" || len(g.UpstreamCAFiles) > 0 {
		v.report(path+".gateway.urls", "is empty", "list the https origins the gateway answers for, or remove gateway")
	}
	if h == "" {
		return
	}
	v.endpoint(path+".token_handler.url", h, "never", urls, true)
	if u, err := url.Parse(h); err == nil && (u.Path == "" || u.Path == "/") {
		v.report(path+".token_handler.url", "has no path", "add one, for example /apps: the rest of the host is the gateway's")
	}
	if d := t.TokenHandler.CookieDomain; d != "" {
		v.cookieDomain(path+".token_handler.cookie_domain", d, hostOf(h), hosts)
	} else if len(g.URLs) > 0 && !hosts[hostOf(h)] {
		v.report(path+".token_handler.url", "is on another host than the gateway", "use a host of gateway.urls: a __Host- cookie reaches its own host only")
	}
}

// cookieDomain checks a Domain (RFC 6265 §5.1.3). Which of them are no site of their own, such as co.uk, browsers know.
func (v *validator) cookieDomain(path, domain, handler string, gateway map[string]bool) {
	within := func(host string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	switch {
	case !isDomain(domain):
		v.report(path, "is not a domain in lower case", "write for example shop.test, without a dot before it")
	case !within(handler):
		v.report(path, "does not contain the host of the token handler, which browsers ask for", "name a domain that both hosts are in")
	case len(gateway) > 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(gateway)), within):
		v.report(path, "contains no host of the gateway", "name a domain that both hosts are in")
	}
}

// isDomain accepts names of two labels and more that are no address.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if !isName(l) || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") {
			return false
		}
	}
	_, err := netip.ParseAddr(s)
	return len(labels) > 1 && len(s) <= 253 && err != nil
}
