package grant

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// write makes the one write of the request: first it spends the assertion and the proof, then it redeems. A refusal
// commits, so that what was spent stays spent and a revocation stays revoked.
func (e *Endpoints) write(ctx context.Context, a *attempt) (*issue, error) {
	if a.grant.plan != nil {
		return e.writePlanned(ctx, a)
	}
	var i *issue
	var refusal *oauth.Error
	err := e.DB.Write(ctx, func(tx *store.Tx) (err error) {
		i, refusal = nil, nil // the transaction may be tried again
		if err = a.spend(tx); err == nil {
			i, err = a.grant.redeem(e, tx, a)
		}
		if r, ok := errors.AsType[*oauth.Error](err); ok {
			refusal, err = r, nil
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("write grant: %w", err)
	case refusal != nil:
		return nil, refusal
	}
	return i, nil
}

// writePlanned writes nothing for a JWT without spends, one batched insert with them.
func (e *Endpoints) writePlanned(ctx context.Context, a *attempt) (*issue, error) {
	i, err := a.grant.plan(e, a)
	if err != nil {
		return nil, e.refuse(ctx, a, err)
	}
	if !i.access.Stored() {
		return i, e.spend(ctx, a)
	}
	var refusal *oauth.Error
	err = e.DB.Write(ctx, func(tx *store.Tx) error {
		refusal = nil
		err := a.spend(tx)
		if r, ok := errors.AsType[*oauth.Error](err); ok {
			refusal = r
			return nil
		}
		if err != nil {
			return err
		}
		return e.Tokens.Add(tx, i.access)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("write token: %w", err)
	case refusal != nil:
		return nil, refusal
	}
	return i, nil
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

// spend spends the assertion and the proof inside the write.
func (a *attempt) spend(tx *store.Tx) error {
	if err := spent(tx.Spend(a.authn.Spends...), errAssertionReplayed); err != nil || a.proof == nil {
		return err
	}
	return spent(tx.Spend(a.proofSpend()), errProofReplayed)
}

// spend is the write of a request that has nothing else to write: one insert, shared with whoever spends just now.
// Only a request with both an assertion and a proof takes a transaction, to tell which of them was used before.
func (e *Endpoints) spend(ctx context.Context, a *attempt) error {
	switch {
	case a.proof == nil && len(a.authn.Spends) == 0:
		return nil
	case a.proof == nil:
		return spent(e.DB.Spend(ctx, a.authn.Spends...), errAssertionReplayed)
	case len(a.authn.Spends) == 0:
		return spent(e.DB.Spend(ctx, a.proofSpend()), errProofReplayed)
	}
	var refusal *oauth.Error
	err := e.DB.Write(ctx, func(tx *store.Tx) error {
		refusal = nil
		err := a.spend(tx)
		if r, ok := errors.AsType[*oauth.Error](err); ok {
			refusal = r
			return nil
		}
		return err
	})
	if err == nil && refusal != nil {
		return refusal
	}
	return err
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
