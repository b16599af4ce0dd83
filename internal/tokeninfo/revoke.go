package tokeninfo

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// serveRevoke answers 200 with nothing in it, whether there was something to revoke or not (RFC 7009 §2.2).
func (e *Endpoints) serveRevoke(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuestion(r)
	if err != nil {
		return err
	}
	if err := e.revoke(r.Context(), q); err != nil {
		return err
	}
	web.NoStore(w.Header())
	w.WriteHeader(http.StatusOK)
	return nil
}

// revoke ends a token of the client that asks (RFC 7009 §2.1): a refresh token with its grant, an access token alone.
func (e *Endpoints) revoke(ctx context.Context, q question) error {
	client, authn, err := e.authenticate(ctx, q)
	if err != nil {
		return err
	}
	held, err := e.Tokens.Recognise(ctx, q.token)
	switch {
	case errors.Is(err, tokens.ErrInactive):
		return spent(e.DB.Spend(ctx, authn.Spends...))
	case err != nil:
		return fmt.Errorf("recognise token: %w", err)
	}
	foreign := held.ClientID() != client.ID
	record := revocation(web.EventOf(ctx), client, held, foreign)
	replayed := false
	err = e.DB.Write(ctx, func(tx *store.Tx) error {
		replayed = false
		if err := tx.Spend(authn.Spends...); errors.Is(err, store.ErrTaken) {
			replayed = true // committed: what else was spent stays spent
			return nil
		} else if err != nil {
			return err
		}
		if !foreign {
			if err := e.Tokens.Revoke(tx, held); err != nil {
				return err
			}
		}
		return audit.Add(tx, record)
	})
	switch {
	case err != nil:
		return fmt.Errorf("revoke: %w", err)
	case replayed:
		return spent(store.ErrTaken)
	case foreign:
		return oauth.Refuse(oauth.InvalidGrant, "the token was issued to another client")
	}
	return nil
}

func revocation(ev *web.Event, client *objects.Client, h *tokens.Held, foreign bool) audit.Record {
	r := audit.Record{}
	r.RequestID, r.AddressPrefix = ev.RequestID, ev.Peer.Prefix
	r.ActorKind, r.ActorID, r.Client = audit.ActorClient, client.ID, client.ID
	r.Action, r.Outcome = "token.revoked", audit.Success
	if h.Refresh != nil {
		r.Action, r.ObjectKind, r.ObjectID = "grant.revoked", "grant", h.Refresh.Grant.ID
	} else {
		r.ObjectKind, r.ObjectID = "token", h.Access.ID
	}
	if foreign {
		r.Outcome, r.Code, r.Reason = audit.Refused, string(oauth.InvalidGrant), "token of another client"
	}
	return r
}
