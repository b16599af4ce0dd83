package app

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/bff"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// Serve adds a host beside those of the tenants, on the listeners that list it. It is called before Run.
func (a *App) Serve(host string, h http.Handler) {
	if a.extra == nil {
		a.extra = hosts{}
	}
	a.extra[host], a.current.Load().hosts[host] = h, h
}

// behindLocal is what Local hands requests to: this tenant's issuer, which believes it about request ids and about the
// address of whoever is behind it.
func (t *tenant) behindLocal() http.Handler {
	own := hosts{}
	t.mountIssuer(own)
	here := netip.MustParseAddrPort(localAddress).Addr()
	return web.Wrap(own, web.Options{
		Log: t.app.log, Now: t.app.Clock.Now, Hosts: slices.Collect(maps.Keys(own)), Refused: t.app.refused,
		TrustedHops: []netip.Prefix{netip.PrefixFrom(here, here.BitLen())},
	})
}

// openAPIs makes the gateway and the token handler, which share a host: what is not below the path of the token handler
// is the gateway's.
func (t *tenant) openAPIs(ctx context.Context) error {
	t.apis = hosts{}
	issuer := t.behindLocal()
	proxy, err := t.openGateway(ctx, issuer)
	if err != nil {
		return err
	}
	for _, raw := range t.Gateway.URLs {
		t.apis[hostOf(raw)] = proxy
	}
	if t.TokenHandler.URL == "" {
		return nil
	}
	mux := web.NewMux(web.AppDoor(false))
	(&bff.Endpoints{
		BaseURL: t.TokenHandler.URL, Issuer: t.Issuer, Sessions: t.appSessions(), Registry: t.registry,
		Transport: &Local{Handler: issuer}, FetchTransport: t.fetch.Client.Transport(fetch.PurposeIssuer),
		Logins: &limit.Rate{Every: time.Second, Burst: 60, Now: t.app.Clock.Now},
	}).Mount(mux.ServeMux)
	host, below := hostOf(t.TokenHandler.URL), pathOf(t.TokenHandler.URL)+"/"
	t.apis[host] = t.noted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxy == nil || strings.HasPrefix(r.URL.Path, below) {
			mux.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	return nil
}

func (t *tenant) appSessions() *appsession.Sessions {
	return &appsession.Sessions{DB: t.app.Sessions.For(t.Name), Ring: t.app.Ring, Now: t.app.Clock.Now, Feed: t.app.feed}
}
