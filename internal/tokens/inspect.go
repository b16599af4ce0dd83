package tokens

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// maxToken bounds what is looked at, in bytes; our own tokens stay far below.
const maxToken = 8 << 10

// Inspect reads an access token that somebody presented: ErrInactive where it is not one of this issuer's, has
// expired or has been revoked. Whether its audience and its binding fit is for the caller to check.
//
// A JWT costs no read and an opaque token at most one. While the feed is too old to be trusted the database is
// asked about revocation instead.
func (m *Minter) Inspect(ctx context.Context, token string) (*Claims, error) {
	c, err := m.claims(ctx, token)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Now().Unix() >= c.ExpiresAt:
		return nil, ErrInactive
	case m.Feed.Stale():
		err = m.checkStored(ctx, c)
	case m.Feed.Revoked(m.DB.Tenant(), c.subject()):
		return nil, ErrInactive
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// claims reads a token, or remembers having read it.
func (m *Minter) claims(ctx context.Context, token string) (*Claims, error) {
	key := keyOf(token)
	if k, ok := m.read.get(key); ok && !m.Feed.Stale() && m.published(k.keyID) {
		return k.claims, nil
	}
	k, err := m.parse(ctx, token)
	if err != nil {
		return nil, err
	}
	m.read.set(key, k)
	return k.claims, nil
}

// published says whether what a key has signed may still be taken: a key that others got to know is withdrawn.
func (m *Minter) published(keyID string) bool {
	return keyID == "" || slices.ContainsFunc(m.Signing.PublicKeys(), func(k jose.Key) bool { return k.ID() == keyID })
}

// parse turns the text into claims: by the signature where it has the three parts of a JWT, by its row otherwise.
func (m *Minter) parse(ctx context.Context, token string) (known, error) {
	if len(token) > maxToken {
		return known{}, ErrInactive
	}
	if strings.Count(token, ".") == 2 {
		return m.verify(token)
	}
	var row *store.AccessToken
	err := m.DB.Read(ctx, func(tx *store.Tx) (err error) {
		row, err = m.opaqueRow(tx, token)
		return err
	})
	if err != nil {
		return known{}, err
	}
	c, err := fromRow(row)
	return known{claims: c}, err
}

// verify checks signature, type and issuer of a JWT (RFC 9068 §4). Nothing but our own keys is tried.
func (m *Minter) verify(token string) (known, error) {
	t, err := jose.Verify(token, accessAlgs, m.Signing.PublicKeys()...)
	if err != nil || t.Type != typAccess {
		return known{}, ErrInactive
	}
	w := new(written)
	err = t.Claims(w)
	c := w.claims()
	if err != nil || c.Issuer != m.Issuer || c.ID == "" || t.KeyID == "" {
		return known{}, ErrInactive
	}
	return known{claims: c, keyID: t.KeyID}, nil
}

var accessAlgs = []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

// opaqueRow finds the row of a handle; ErrInactive where there is none, also for a JWT.
func (m *Minter) opaqueRow(tx *store.Tx, token string) (*store.AccessToken, error) {
	id, secret, ok := keys.SplitHandle(token)
	if !ok {
		return nil, ErrInactive
	}
	rows, err := tx.AccessTokens(id)
	if err != nil {
		return nil, fmt.Errorf("load access tokens: %w", err)
	}
	for i := range rows {
		if m.Ring.Matches(rows[i].SecretHash, secret) {
			return &rows[i], nil
		}
	}
	return nil, ErrInactive
}

func fromRow(row *store.AccessToken) (*Claims, error) {
	if !row.RevokedAt.IsZero() {
		return nil, ErrInactive
	}
	w := new(written)
	if err := jose.Unmarshal(row.Claims, w); err != nil {
		return nil, fmt.Errorf("read stored claims: %w", err)
	}
	return w.claims(), nil
}

// subject names everything whose revocation ends the token.
func (c *Claims) subject() feed.Subject {
	s := feed.Subject{JTI: c.ID, Grant: c.GrantID, Session: c.SessionID, Client: c.ClientID, IssuedAt: unix(c.IssuedAt)}
	if c.Confirmation != nil {
		s.JKT, s.X5T = c.Confirmation.JKT, c.Confirmation.X5T
	}
	return s
}

// checkStored asks the database what the feed would have told: whatever was revoked since shortly before the token was
// issued, the clocks of the nodes being what they are.
func (m *Minter) checkStored(ctx context.Context, c *Claims) error {
	events, err := m.DB.Events(ctx, unix(c.IssuedAt).Add(-skew))
	if err != nil {
		return fmt.Errorf("ask for revocations: %w", err)
	}
	s := c.subject()
	ends := map[string]string{
		store.EventJTI: s.JTI, store.EventGrant: s.Grant, store.EventSession: s.Session, store.EventClient: s.Client,
		store.EventKey: s.JKT, store.EventCertificate: s.X5T,
	}
	for _, e := range events {
		if e.Tenant == m.DB.Tenant() && e.Key != "" && ends[e.Kind] == e.Key && !s.IssuedAt.After(e.NotBefore) {
			return ErrInactive
		}
	}
	return nil
}

// skew is how far the clocks of two nodes may be apart.
const skew = 30 * time.Second
