package tokens

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// settingPairwise is the sealed key of pairwise subjects. It is stored, not derived from the ring, because a subject
// must stay the same when the ring is renewed.
const settingPairwise = "pairwise_key"

// Subject is the sub of an account for a client (OpenID Connect Core §8): the account's id, or for a client
// registered as pairwise a value that no other sector sees (§8.1). ID tokens, access tokens and userinfo all carry it.
func (m *Minter) Subject(c *objects.Client, accountID string) string {
	if c.SubjectType != "pairwise" {
		return accountID
	}
	mac := hmac.New(sha256.New, m.pairwise)
	mac.Write([]byte(sector(c)))
	mac.Write([]byte{0})
	mac.Write([]byte(accountID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// sector is the host of the sector identifier, else of the redirect URI; a client with neither is a sector of its own.
func sector(c *objects.Client) string {
	from := c.SectorIdentifierURI
	if from == "" && len(c.RedirectURIs) > 0 {
		from = c.RedirectURIs[0]
	}
	if u, err := url.Parse(from); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return c.ID
}

// loadPairwise reads the key of pairwise subjects and makes it on the first start.
func (m *Minter) loadPairwise(ctx context.Context) error {
	sealed, err := m.readPairwise(ctx)
	if errors.Is(err, store.ErrNotFound) {
		if err := m.makePairwise(ctx); err != nil {
			return fmt.Errorf("make key of pairwise subjects: %w", err)
		}
		sealed, err = m.readPairwise(ctx)
	}
	if err != nil {
		return fmt.Errorf("load key of pairwise subjects: %w", err)
	}
	m.pairwise, err = m.Ring.Open(keys.PurposeSeal, keys.SettingPlace(m.DB.Tenant(), settingPairwise), sealed)
	if err != nil {
		return fmt.Errorf("open key of pairwise subjects: %w", err)
	}
	return nil
}

func (m *Minter) readPairwise(ctx context.Context) (sealed []byte, err error) {
	err = m.DB.Read(ctx, func(tx *store.Tx) (err error) {
		sealed, err = tx.Setting(settingPairwise)
		return err
	})
	return sealed, err
}

// makePairwise stores a new key unless another node is quicker: the spend lets exactly one of them through.
func (m *Minter) makePairwise(ctx context.Context) error {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	sealed := m.Ring.Seal(keys.PurposeSeal, keys.SettingPlace(m.DB.Tenant(), settingPairwise), key)
	return m.DB.Write(ctx, func(tx *store.Tx) error {
		err := tx.Spend(store.Spend{Kind: "setting", Key: settingPairwise, Until: tx.Now.Add(time.Hour)})
		if errors.Is(err, store.ErrTaken) {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.PutSetting(settingPairwise, sealed)
	})
}
