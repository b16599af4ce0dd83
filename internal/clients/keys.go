package clients

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

// KeysOf are the registered keys of a client, read again where they lack the kid; it may be "".
func (a *Authenticator) KeysOf(ctx context.Context, client *objects.Client, kid string) (jose.Set, error) {
	if len(client.JWKS) > 0 {
		return client.Keys(), nil
	}
	if client.JWKSURI == "" || a.KeysAt == nil {
		return jose.Set{}, reason("the client has no keys")
	}
	set, err := a.KeysAt(ctx, client.JWKSURI, kid)
	if err != nil {
		return set, reason("its jwks_uri cannot be read: " + err.Error())
	}
	return set, nil
}

// Verify checks a token with the registered keys of a client. kid is that of its header.
func (a *Authenticator) Verify(ctx context.Context, client *objects.Client, compact, kid string, algs []jose.Alg) (token *jose.Token, err error) {
	err = a.withKeys(ctx, client, kid, func(set jose.Set) (err error) {
		token, err = jose.Verify(compact, algs, set.Keys...)
		return err
	})
	return token, err
}

// withKeys hands the registered keys of a client to use, and once more if they do not fit and its jwks_uri has others by
// now: keys change without their names, and some have none.
func (a *Authenticator) withKeys(ctx context.Context, client *objects.Client, kid string, use func(jose.Set) error) error {
	set, err := a.KeysOf(ctx, client, kid)
	if err != nil {
		return err
	}
	if err = use(set); err == nil || len(client.JWKS) > 0 || a.KeysAgain == nil {
		return err
	}
	again, read, unread := a.KeysAgain(ctx, client.JWKSURI)
	if unread != nil || !read {
		return err
	}
	return use(again)
}
