package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Held is a token of this issuer whose kind was found out: exactly one of Access and Refresh is set.
type Held struct {
	Access  *Claims
	Refresh *Refresh
	token   string
}

// ClientID is the client the token was issued to.
func (h *Held) ClientID() string {
	if h.Access != nil {
		return h.Access.ClientID
	}
	return h.Refresh.Grant.Auth.ClientID
}

// Recognise finds out what a token is: ErrInactive where it is neither a live access token nor a live refresh token.
func (m *Minter) Recognise(ctx context.Context, token string) (*Held, error) {
	c, err := m.Inspect(ctx, token)
	if err == nil {
		return &Held{Access: c, token: token}, nil
	}
	if !errors.Is(err, ErrInactive) {
		return nil, err
	}
	var r *Refresh
	err = m.DB.Read(ctx, func(tx *store.Tx) (err error) {
		r, err = m.FindRefresh(tx, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !r.row.SpentAt.IsZero() {
		return nil, ErrInactive
	}
	return &Held{Refresh: r, token: token}, nil
}

// Revoke ends a token for good, on every node (RFC 7009 §2.1): a refresh token with its whole grant, an access
// token alone.
func (m *Minter) Revoke(tx *store.Tx, h *Held) error {
	if h.Refresh != nil {
		return RevokeGrant(tx, &h.Refresh.Grant)
	}
	ends := unix(h.Access.ExpiresAt) // as NotBefore too: whatever the clock of the node that issued it says
	err := tx.AddEvent(store.Event{Kind: store.EventJTI, Key: h.Access.ID, NotBefore: ends, ExpiresAt: ends})
	if err != nil {
		return fmt.Errorf("revoke access token: %w", err)
	}
	return m.revokeRow(tx, h.token)
}

// revokeRow marks the row of an opaque token; a JWT has none.
func (m *Minter) revokeRow(tx *store.Tx, token string) error {
	row, err := m.opaqueRow(tx, token)
	if errors.Is(err, ErrInactive) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := tx.RevokeAccessToken(row.ID, row.SecretHash); err != nil {
		return fmt.Errorf("revoke access token: %w", err)
	}
	return nil
}

// RevokeGrant ends a grant with all its tokens. Doing so twice is no error.
func RevokeGrant(tx *store.Tx, g *store.Grant) error {
	if err := tx.RevokeGrant(g.ID, earlier(g.ExpiresAt, tx.Now.Add(maxAccess))); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return nil
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// EndSession ends a session and what it alone holds up: grants without offline_access, whose refresh tokens would
// otherwise outlive the memory of the session.
func EndSession(tx *store.Tx, s *store.Session) error {
	if err := tx.EndSession(s.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("end session: %w", err)
	}
	all, err := tx.Grants(s.AccountID)
	if err != nil {
		return fmt.Errorf("load grants: %w", err)
	}
	for _, g := range all {
		if g.Auth.SessionID != s.ID || slices.Contains(g.Auth.Scope, oauth.ScopeOfflineAccess) {
			continue
		}
		if err := RevokeGrant(tx, &g); err != nil {
			return err
		}
	}
	return nil
}

// EndConsent takes back what an account has allowed a client, and ends every grant with all its tokens that the client
// has of it. store.ErrNotFound: nothing was allowed.
func EndConsent(tx *store.Tx, accountID, clientID string) error {
	if err := tx.RevokeConsent(accountID, clientID); err != nil {
		return fmt.Errorf("revoke consent: %w", err)
	}
	all, err := tx.Grants(accountID)
	if err != nil {
		return fmt.Errorf("load grants: %w", err)
	}
	for _, g := range all {
		if g.Auth.ClientID != clientID {
			continue
		}
		if err := RevokeGrant(tx, &g); err != nil {
			return err
		}
	}
	return nil
}
