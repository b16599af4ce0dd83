package tokeninfo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

var errOver = oauth.Refuse(oauth.InvalidToken, "the access token is not valid")

// userinfo finds who the token is of and whose it is, and gathers what the one is told about the other.
func (e *Endpoints) userinfo(ctx context.Context, c *tokens.Claims) (*objects.Client, map[string]json.RawMessage, error) {
	client, err := e.Registry.Client(ctx, c.ClientID)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, nil, errOver
	}
	if err != nil {
		return nil, nil, fmt.Errorf("load client: %w", err)
	}
	p := tokens.UserinfoPlan{Client: client, Subject: c.Subject, Scope: strings.Fields(c.Scope)}
	if p.Grant, p.Account, err = e.load(ctx, c.GrantID); err != nil {
		return nil, nil, err
	}
	web.EventOf(ctx).SetSubject(p.Account.ID)
	claims, err := e.Tokens.Userinfo(ctx, p)
	return client, claims, err
}

// load finds the person behind a grant, which may have ended since the token was issued.
func (e *Endpoints) load(ctx context.Context, grantID string) (*store.Grant, *store.Account, error) {
	var g store.Grant
	var a store.Account
	err := e.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if g, err = tx.Grant(grantID); err != nil {
			return err
		}
		a, err = tx.Account(g.Auth.AccountID)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (a.Disabled || !g.RevokedAt.IsZero()):
		return nil, nil, errOver
	case err != nil:
		return nil, nil, fmt.Errorf("load person: %w", err)
	}
	return &g, &a, nil
}
