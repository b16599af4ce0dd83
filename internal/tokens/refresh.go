package tokens

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// ErrInactive says that a token is unknown, expired, spent or revoked; which of them is not told apart on purpose.
var ErrInactive = errors.New("token is not active")

// ErrReused says that an unbound refresh token was used a second time. Its grant has been revoked by the same
// transaction, which must therefore be committed: it is a result, not a reason to roll back.
var ErrReused = errors.New("refresh token was used twice")

// touchEvery is how often at most the last use of a bound refresh token is written.
const touchEvery = time.Hour

// Refresh is a refresh token that was found with its grant.
type Refresh struct {
	Grant store.Grant
	row   store.Refresh
}

// AddRefresh stores a new refresh token of the grant and returns its handle.
func (m *Minter) AddRefresh(tx *store.Tx, g *store.Grant) (string, error) {
	secret := keys.NewSecret()
	err := tx.AddRefresh(store.Refresh{
		GrantID: g.ID, SecretHash: m.Ring.Hash(secret.Reveal()), IssuedAt: tx.Now, LastUsedAt: tx.Now,
		IdleUntil: earlier(tx.Now.Add(m.Lifetimes.RefreshIdle), g.ExpiresAt), ExpiresAt: g.ExpiresAt,
	})
	if err != nil {
		return "", fmt.Errorf("add refresh token: %w", err)
	}
	return keys.Handle(g.ID, secret), nil
}

// FindRefresh reads the refresh token of a handle and its grant: ErrInactive where either is unknown or over. A spent
// token is found.
func (m *Minter) FindRefresh(tx *store.Tx, handle string) (*Refresh, error) {
	return m.findRefresh(tx, handle, tx.Grant)
}

// OpenRefresh is FindRefresh for a token that is about to be used. The grant row is the parent of every mint, so it
// is touched: from here to the end of the transaction nobody else can use or revoke the grant.
func (m *Minter) OpenRefresh(tx *store.Tx, handle string) (*Refresh, error) {
	return m.findRefresh(tx, handle, tx.TouchGrant)
}

func (m *Minter) findRefresh(tx *store.Tx, handle string, grant func(id string) (store.Grant, error)) (*Refresh, error) {
	id, secret, ok := keys.SplitHandle(handle)
	if !ok {
		return nil, ErrInactive
	}
	row, err := m.refreshRow(tx, id, secret)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrInactive
	}
	if err != nil {
		return nil, fmt.Errorf("load refresh token: %w", err)
	}
	g, err := grant(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrInactive
	}
	if err != nil {
		return nil, fmt.Errorf("load grant: %w", err)
	}
	return live(tx.Now, &Refresh{Grant: g, row: row})
}

// refreshRow finds the row by the hash of the secret, which is a key of the table. Only where the ring has several
// keys, and the token is older than the active one, are the rows of the grant compared one by one.
func (m *Minter) refreshRow(tx *store.Tx, id, secret string) (store.Refresh, error) {
	row, err := tx.Refresh(id, m.Ring.Hash(secret))
	if !errors.Is(err, store.ErrNotFound) || len(m.Ring.IDs()) == 1 {
		return row, err
	}
	rows, err := tx.Refreshes(id)
	if err != nil {
		return store.Refresh{}, err
	}
	for _, row := range rows {
		if m.Ring.Matches(row.SecretHash, secret) {
			return row, nil
		}
	}
	return store.Refresh{}, store.ErrNotFound
}

func live(now time.Time, r *Refresh) (*Refresh, error) {
	if !r.Grant.RevokedAt.IsZero() || !now.Before(r.Grant.ExpiresAt) || !now.Before(r.row.ExpiresAt) || !now.Before(r.row.IdleUntil) {
		return nil, ErrInactive
	}
	return r, nil
}

// UseRefresh uses an opened refresh token, by one rule: a bound one stays and its idle time slides (written at most
// once an hour); an unbound one is spent and replaced, and a second use revokes the grant and returns ErrReused, which
// is to be committed. The handle is that of the new token, "" where the old one stays.
func (m *Minter) UseRefresh(tx *store.Tx, r *Refresh) (handle string, err error) {
	g := &r.Grant
	if !g.Bearer {
		return "", m.slide(tx, r)
	}
	err = tx.SpendRefresh(g.ID, r.row.SecretHash)
	switch {
	case errors.Is(err, store.ErrTaken) && !m.mayRetry(tx.Now, r):
		if err := RevokeGrant(tx, g); err != nil {
			return "", err
		}
		return "", ErrReused
	case err != nil && !errors.Is(err, store.ErrTaken):
		return "", fmt.Errorf("spend refresh token: %w", err)
	}
	return m.AddRefresh(tx, g)
}

func (m *Minter) mayRetry(now time.Time, r *Refresh) bool {
	w := m.Lifetimes.RefreshRetryWindow
	// Without a time it was spent just now, while this transaction waited for the grant.
	return w > 0 && (r.row.SpentAt.IsZero() || now.Sub(r.row.SpentAt) <= w)
}

func (m *Minter) slide(tx *store.Tx, r *Refresh) error {
	if tx.Now.Sub(r.row.LastUsedAt) < touchEvery {
		return nil
	}
	until := earlier(tx.Now.Add(m.Lifetimes.RefreshIdle), r.row.ExpiresAt)
	if err := tx.TouchRefresh(r.Grant.ID, r.row.SecretHash, tx.Now, until); err != nil {
		return fmt.Errorf("touch refresh token: %w", err)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// IssuedAt is when the token was given out.
func (r *Refresh) IssuedAt() time.Time { return r.row.IssuedAt }

// ExpiresAt is when the token ends unless it is used before.
func (r *Refresh) ExpiresAt() time.Time { return earlier(r.row.IdleUntil, r.row.ExpiresAt) }
