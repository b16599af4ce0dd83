package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/grant"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// grants is the token endpoint of the tenant.
func (t *tenant) grants() *grant.Endpoints {
	return &grant.Endpoints{
		Issuer: t.Issuer, MTLSIssuer: t.MTLSIssuer, DB: t.db, Registry: t.registry, Clients: t.clients,
		Tokens: t.minter, Nonces: t.nonces, Trail: t.app.trail, Now: t.app.Clock.Now,
	}
}

// PreviewToken prints what a client would get, asked of the server that runs, or found in the database where none does.
func PreviewToken(ctx context.Context, c *Console, file, tenant string, q tokens.Trial) error {
	cfg, err := LoadConfig(file)
	if err != nil {
		return err
	}
	t, err := cfg.tenantNamed(tenant)
	if err != nil {
		return err
	}
	server, err := callServer(ctx, cfg.Admin.Socket)
	if err != nil {
		return err
	}
	var shown tokens.Preview
	if server != nil {
		err = server.call(ctx, "/"+t.Name+"/admin/v1/token-preview", q, &shown)
	} else {
		err = withApp(ctx, cfg, func(a *App) error {
			found, err := a.preview(ctx, t, q)
			if err == nil {
				shown = *found
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(shown, "", "  ")
	if err != nil {
		return fmt.Errorf("write preview: %w", err)
	}
	_, err = fmt.Fprintf(c.Out, "%s\n", text)
	return err
}

// preview opens as much of a tenant as deciding needs.
func (a *App) preview(ctx context.Context, c *TenantConfig, q tokens.Trial) (*tokens.Preview, error) {
	a.feed = feed.New(a.DB, a.Clock.Now)
	t := &tenant{TenantConfig: c, app: a, config: a.Config, db: a.DB.For(c.Name)}
	t.registry = objects.New(t.db)
	t.signing = keys.NewSigning(keys.SigningConfig{DB: t.db, Ring: a.Ring, Algs: t.algs()}) // it signs nothing
	if err := t.openMinter(ctx); err != nil {
		return nil, err
	}
	shown, err := t.grants().Preview(ctx, q)
	if refusal, ok := errors.AsType[*oauth.Error](err); ok {
		return nil, fmt.Errorf("%s: %s", refusal.Code, refusal.Detail)
	}
	return shown, err
}
