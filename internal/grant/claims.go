package grant

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

// claims are what decides about claims beyond those of the protocol.
type claims struct {
	mappings  *objects.ClaimMappings
	encrypter *jose.Encrypter // of ID tokens; nil: the client takes them signed
}

// loadClaims finds them before the transaction. A client whose ID tokens cannot be encrypted is refused now, while its
// code is not spent yet.
func (e *Endpoints) loadClaims(ctx context.Context, a *attempt) (err error) {
	if a.claims.mappings, err = e.Registry.ClaimMappings(ctx); err != nil || a.grant.redeem == nil {
		return err
	}
	a.claims.encrypter, err = e.Tokens.IDTokenEncrypter(ctx, a.client)
	return err
}
