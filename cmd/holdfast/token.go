package main

import (
	"context"
	"encoding/json"

	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

type tokenCommand struct {
	Preview tokenPreview `cmd:"" help:"Show what a client would get, without issuing it: claims of access token, ID token and userinfo."`
}

type tokenPreview struct {
	configFlag
	tenantFlag
	Client   string `required:"" placeholder:"ID" help:"Client that would ask."`
	User     string `placeholder:"NAME" help:"Person it would ask for; left out, the client acts for itself."`
	Scope    string `placeholder:"SCOPES" help:"Scopes, separated by blanks (default all of the client)."`
	Resource string `placeholder:"URI" help:"API that the token would be for."`
	ACR      string `name:"acr" placeholder:"VALUE" help:"How the person would have signed in (default by password)."`
	Claims   string `placeholder:"JSON" help:"Claims that the client would ask for by name (OpenID Connect Core §5.5)."`
}

func (s *tokenPreview) Run(ctx context.Context, c *app.Console) error {
	q := tokens.Trial{ClientID: s.Client, User: s.User, Scope: s.Scope, Resource: s.Resource, ACR: s.ACR}
	if s.Claims != "" {
		q.Claims = json.RawMessage(s.Claims)
	}
	return app.PreviewToken(ctx, c, s.Config, s.Tenant, q)
}
