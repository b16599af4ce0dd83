package grant

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// write makes the one write of the request. A planned issue is written only where there is something to write: an
// opaque token, or spends, which then share their insert with those of other requests.
func (e *Endpoints) write(ctx context.Context, a *attempt) (i *issue, err error) {
	if a.grant.redeem != nil {
		err = e.commit(ctx, a, func(tx *store.Tx) (err error) {
			i, err = a.grant.redeem(e, tx, a)
			return err
		})
		return i, err
	}
	i, err = a.grant.plan(e, ctx, a)
	switch {
	case err != nil:
		return nil, e.refuse(ctx, a, err)
	case i.access.Stored():
		err = e.commit(ctx, a, func(tx *store.Tx) error { return e.Tokens.Add(tx, i.access) })
	default:
		err = e.spend(ctx, a)
	}
	return i, err
}

// commit is a write that first spends the assertion and the proof, and then does what fn does. A refusal is a result:
// it commits, so that what was spent stays spent and a revocation stays revoked.
func (e *Endpoints) commit(ctx context.Context, a *attempt, fn func(*store.Tx) error) error {
	var refusal *oauth.Error
	err := e.DB.Write(ctx, func(tx *store.Tx) error {
		refusal = nil // the transaction may be tried again
		err := a.spend(tx)
		if err == nil {
			err = fn(tx)
		}
		if r, ok := errors.AsType[*oauth.Error](err); ok {
			refusal = r
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("write grant: %w", err)
	case refusal != nil:
		return refusal
	}
	return nil
}

// refuse spends what an authenticated request has shown although it is refused before its write. One that is asked
// to repeat itself with a nonce keeps its assertion: the repetition is part of the same exchange (RFC 9449 §8).
func (e *Endpoints) refuse(ctx context.Context, a *attempt, err error) error {
	r, ok := errors.AsType[*oauth.Error](err)
	if !ok || r.Code == oauth.UseDPoPNonce {
		return err
	}
	if spent := e.spend(ctx, a); spent != nil {
		return spent
	}
	return err
}

// spend spends what there is to spend, in one insert. Only a request with both an assertion and a proof takes a
// transaction of its own, to tell which of them was used before.
func (e *Endpoints) spend(ctx context.Context, a *attempt) error {
	switch {
	case a.proof == nil && len(a.authn.Spends) == 0:
		return nil
	case a.proof == nil:
		return spent(e.DB.Spend(ctx, a.authn.Spends...), errAssertionReplayed)
	case len(a.authn.Spends) == 0:
		return spent(e.DB.Spend(ctx, a.proofSpend()), errProofReplayed)
	}
	return e.commit(ctx, a, func(*store.Tx) error { return nil })
}

// spend spends inside a write.
func (a *attempt) spend(tx *store.Tx) error {
	if err := spent(tx.Spend(a.authn.Spends...), errAssertionReplayed); err != nil || a.proof == nil {
		return err
	}
	return spent(tx.Spend(a.proofSpend()), errProofReplayed)
}

var (
	errAssertionReplayed = oauth.Refuse(oauth.InvalidClient, "the client assertion was used before")
	errProofReplayed     = oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof was used before")
)

// spent makes the refusal of what was taken.
func spent(err error, refusal *oauth.Error) error {
	if errors.Is(err, store.ErrTaken) {
		return refusal
	}
	return err
}

func (a *attempt) proofSpend() store.Spend {
	key, until := a.proof.Replay()
	return store.Spend{Kind: "dpop", Key: key, Until: until}
}
