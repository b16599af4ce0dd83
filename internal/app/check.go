package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// Check does everything Serve does up to listening, and then grades what it found.
func Check(ctx context.Context, c *Console, file string) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	a, err := Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Fprintf(c.Out, "%s: everything that is needed to serve is in order\n", file)
	return a.posture(ctx, c)
}

// posture names each weakness that somebody has chosen, with its remedy, and each client that cannot work as it is.
func (a *App) posture(ctx context.Context, c *Console) error {
	for _, w := range a.Config.weaknesses() {
		fmt.Fprintln(c.Out, w)
	}
	broken := 0
	for _, t := range a.current.Load().tenants {
		for _, k := range t.Keys.Signer.Keys {
			fmt.Fprintf(c.Out, "%s: %s is signed by the external signer at %s with its key %s\n", t.Name, k.Algorithm, t.Keys.Signer.Socket, k.Name)
		}
		n, err := t.posture(ctx, c)
		if err != nil {
			return fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		broken += n
	}
	if broken > 0 {
		return fmt.Errorf("with these settings clients cannot work: %d are named above", broken)
	}
	return nil
}

// posture says it of the clients of a tenant, and how many settings keep one from working.
func (t *tenant) posture(ctx context.Context, c *Console) (broken int, err error) {
	var all []store.Object
	if err := t.db.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Objects(objects.KindClient, "", 10_000)
		return err
	}); err != nil {
		return 0, fmt.Errorf("list clients: %w", err)
	}
	weak := 0
	for _, o := range all {
		client, err := t.registry.Client(ctx, o.Name)
		if err != nil {
			return 0, fmt.Errorf("client %s: %w", o.Name, err)
		}
		chosen, unfit := weaknesses(client, t.app.Clock.Now()), t.unfit(client)
		for _, text := range slices.Concat(chosen, unfit) {
			fmt.Fprintf(c.Out, "%s: client %s: %s\n", t.Name, o.Name, text)
		}
		weak, broken = weak+len(chosen), broken+len(unfit)
	}
	more, err := t.applicationPosture(ctx, c)
	fmt.Fprintf(c.Out, "%s: %d clients, %d chosen weaknesses\n", t.Name, len(all), weak+more)
	return broken, err
}

// applicationPosture names what has been chosen for browser applications.
func (t *tenant) applicationPosture(ctx context.Context, c *Console) (weak int, err error) {
	var all []store.Object
	if err := t.db.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Objects(objects.KindApplication, "", 10_000)
		return err
	}); err != nil {
		return 0, fmt.Errorf("list applications: %w", err)
	}
	for _, o := range all {
		app, err := t.registry.Application(ctx, o.Name)
		if err != nil {
			return 0, fmt.Errorf("application %s: %w", o.Name, err)
		}
		for _, w := range []struct {
			chosen bool
			text   string
		}{
			{app.AllowBearerTokens, "allow_bearer_tokens: whoever steals a token of it uses it; leave it out unless its issuer cannot bind tokens"},
			{app.Stateless(), "session_storage stateless: a copy of its cookies is the session; leave it out unless no database shall hold sessions"},
			{app.CookiePrefix == objects.NoCookiePrefix && app.CookieDomain == "", "cookie_prefix none: other hosts of the site can set its cookies; leave it out"},
		} {
			if w.chosen {
				fmt.Fprintf(c.Out, "%s: application %s: %s\n", t.Name, o.Name, w.text)
				weak++
			}
		}
	}
	return weak, nil
}

// unfit lists what a client needs signed by an algorithm for which the tenant has no key, or that its profile forbids.
func (t *tenant) unfit(c *objects.Client) (found []string) {
	for _, s := range c.Signed() {
		if !slices.Contains(t.algs(), s.Alg) {
			found = append(found, fmt.Sprintf("%s are signed with %s, which signing_algorithms does not have: add it there, or register another %s", s.What, s.Alg, s.Member))
		}
	}
	if alg := jose.Alg(t.AccessTokenAlg); !slices.Contains(c.Algs(), alg) {
		found = append(found, fmt.Sprintf("access tokens are signed with %s, which the profile %s forbids: set access_token_signing_algorithm to one of %v", alg, c.Profile, c.Algs()))
	}
	return found
}

// weaknesses are those of the configuration.
func (c *Config) weaknesses() (found []string) {
	if c.Environment == "test" {
		found = append(found, "environment: test: the clock can be moved and a bearer token administers; use production")
	}
	for _, d := range c.databases() {
		if d.Synchronous == "NORMAL" {
			found = append(found, d.key+".synchronous NORMAL: a power cut forgets the newest writes, spent codes among them; leave it out")
		}
	}
	for _, t := range c.Tenants {
		if t.RefreshRetryWindow > 0 {
			found = append(found, t.Name+": refresh_retry_window: within it a stolen unbound refresh token works beside its owner's; leave it out")
		}
		if d := t.TokenHandler.CookieDomain; d != "" {
			found = append(found, t.Name+": token_handler.cookie_domain: every host below "+d+" gets the sessions of applications and can set them; have gateway and token handler share a host, and leave it out")
		}
		if t.AdminURL == "" && c.Admin.Socket == "" {
			found = append(found, t.Name+": neither admin_url nor admin.socket: nobody can administer it or ask whether it is ready")
		}
	}
	return found
}

func weaknesses(c *objects.Client, now time.Time) (found []string) {
	for _, w := range []struct {
		chosen bool
		text   string
	}{
		{c.AllowBearerTokens, "allow_bearer_tokens: a stolen token works for the thief; bind tokens by DPoP or a certificate"},
		{c.AllowWeakSecret, "allow_weak_secret: its secret may be guessed; give it a generated one, or private_key_jwt"},
		{c.AllowCustomSchemeRedirects, "allow_custom_scheme_redirects: another app may take the answer; use claimed https redirects"},
		{c.AllowTokenEndpointAudience, "allow_token_endpoint_audience: its assertions may be replayed elsewhere; use the issuer as the only audience"},
		{c.AllowUnpushedRequests, "allow_unpushed_requests: browsers can read and change its requests; push them (RFC 9126)"},
		{c.AllowUnsignedRequests, "allow_unsigned_requests: nobody can prove later what it asked for; sign its requests (RFC 9101)"},
		{c.AllowPlainResponses, "allow_plain_responses: nobody can prove later what it was answered; use response_mode jwt"},
		{!c.RequiresPKCE(), "profile oidc: its requests need no PKCE; use oauth21 once it sends a code_challenge"},
	} {
		if w.chosen {
			found = append(found, w.text)
		}
	}
	if weaker := c.WeakerMethod(now); weaker != "" {
		found = append(found, fmt.Sprintf("token_endpoint_auth_migration: until %s %s is enough, the weaker of its two methods; remove it once nobody uses that", c.AuthMigration.Until.Format(time.DateOnly), weaker))
	}
	return found
}
