package tokeninfo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

var errOver = oauth.Refuse(oauth.InvalidToken, "the access token is not valid")

// claims gathers what the token entitles its holder to: sub and the claims of its scopes (OpenID Connect Core §5.4).
func (e *Endpoints) claims(ctx context.Context, c *tokens.Claims) (map[string]json.RawMessage, error) {
	account, err := e.load(ctx, c.GrantID)
	if err != nil {
		return nil, err
	}
	web.EventOf(ctx).SetSubject(account.ID)
	var names []string
	for name := range strings.SplitSeq(c.Scope, " ") {
		scope, err := e.Registry.Scope(ctx, name)
		if errors.Is(err, objects.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("load scope: %w", err)
		}
		names = append(names, scope.Claims...)
	}
	claims, err := personal(account.Claims, names)
	if err != nil {
		return nil, err
	}
	if _, said := claims["updated_at"]; !said && slices.Contains(names, "updated_at") && !account.UpdatedAt.IsZero() { // which the account itself knows (OpenID Connect Core §5.1)
		claims["updated_at"] = strconv.AppendInt(nil, account.UpdatedAt.Unix(), 10)
	}
	if claims["sub"], err = json.Marshal(c.Subject); err != nil {
		return nil, fmt.Errorf("encode subject: %w", err)
	}
	return claims, nil
}

// load finds the person behind a grant, which may have ended since the token was issued.
func (e *Endpoints) load(ctx context.Context, grantID string) (a store.Account, err error) {
	var g store.Grant
	err = e.DB.Read(ctx, func(tx *store.Tx) error {
		if g, err = tx.Grant(grantID); err != nil {
			return err
		}
		a, err = tx.Account(g.Auth.AccountID)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (a.Disabled || !g.RevokedAt.IsZero()):
		return a, errOver
	case err != nil:
		return a, fmt.Errorf("load person: %w", err)
	}
	return a, nil
}

// protocol are the claims that say who issued what to whom and when. They never come from an account.
var protocol = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "nbf": true, "iat": true, "jti": true, "nonce": true, "azp": true,
	"auth_time": true, "acr": true, "amr": true, "sid": true, "at_hash": true, "cnf": true, "client_id": true, "scope": true,
}

// personal picks the named claims of an account, each with the JSON type it is stored with. What the account does not
// say, or says as null, is left out (OpenID Connect Core §5.3.2).
func personal(account json.RawMessage, names []string) (map[string]json.RawMessage, error) {
	picked := make(map[string]json.RawMessage, len(names)+1)
	if len(account) == 0 || len(names) == 0 {
		return picked, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(account, &all); err != nil {
		return nil, fmt.Errorf("read claims of account: %w", err)
	}
	for _, name := range names {
		if v, ok := all[name]; ok && !protocol[name] && string(v) != "null" {
			picked[name] = v
		}
	}
	return picked, nil
}
