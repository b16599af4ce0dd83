package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
)

// ErrFailed says that what was shown proves nothing; the text says why, for the log.
var ErrFailed = errors.New("authn: not verified")

// Passkeys runs ceremonies whose state travels sealed in the form of the page that began them.
type Passkeys struct {
	DB     *store.DB
	RP     *passkey.RP
	Sealer web.Sealer
	Now    func() time.Time
}

// Ceremony is what a form carries: options for the browser and the sealed state.
type Ceremony struct{ Options, State string }

// BeginLogin makes a challenge bound to a place: the id of the interaction or session that shows the form.
func (p *Passkeys) BeginLogin(place string) (Ceremony, error) {
	options, state, err := p.RP.BeginLogin(p.Now())
	if err != nil {
		return Ceremony{}, err
	}
	return Ceremony{string(options), p.Sealer.SealText("passkey login "+place, state)}, nil
}

// Shown is a passkey whose signature has been verified, but whose challenge has not been spent yet.
type Shown struct {
	Account store.Account
	Changed bool // the provider now says that it may sync the key
	passkey store.Passkey
	spend   store.Spend
}

// CheckLogin verifies the answer to a challenge of the same place. ErrFailed: it proves nothing.
func (p *Passkeys) CheckLogin(ctx context.Context, place, state, response string) (*Shown, error) {
	opened, err := p.Sealer.OpenText("passkey login "+place, state)
	if err != nil {
		return nil, fmt.Errorf("%w: the challenge is not of this page", ErrFailed)
	}
	shown := new(Shown)
	find := func(rawID, _ []byte) (passkey.User, error) {
		return p.find(ctx, b64.EncodeToString(rawID), shown)
	}
	a, err := p.RP.FinishLogin(opened, []byte(response), p.Now(), find)
	if errors.Is(err, passkey.ErrResponse) || errors.Is(err, passkey.ErrState) || errors.Is(err, passkey.ErrUnknown) || errors.Is(err, passkey.ErrCloned) {
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err != nil {
		return nil, err
	}
	shown.passkey.SignCount, shown.passkey.Flags = a.SignCount, a.Flags
	shown.Changed = a.BackupEligibleChanged
	shown.spend = p.spend(state)
	return shown, nil
}

// find loads the owner of a passkey.
func (p *Passkeys) find(ctx context.Context, id string, shown *Shown) (passkey.User, error) {
	var all []store.Passkey
	err := p.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if shown.passkey, err = tx.Passkey(id); err != nil {
			return err
		}
		if shown.Account, err = tx.Account(shown.passkey.AccountID); err != nil {
			return err
		}
		all, err = tx.Passkeys(shown.Account.ID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && shown.Account.Disabled {
		return passkey.User{}, passkey.ErrUnknown
	}
	if err != nil {
		return passkey.User{}, fmt.Errorf("load passkey: %w", err)
	}
	return userOf(&shown.Account, all), nil
}

// Use spends the challenge and notes the use, in the caller's write. ErrFailed: the challenge was used before; the
// caller commits and refuses.
func (s *Shown) Use(tx *store.Tx) (store.Factor, error) {
	err := tx.Spend(s.spend)
	if errors.Is(err, store.ErrTaken) {
		return store.Factor{}, fmt.Errorf("%w: the challenge was used before", ErrFailed)
	}
	if err != nil {
		return store.Factor{}, fmt.Errorf("spend challenge: %w", err)
	}
	s.passkey.LastUsedAt = tx.Now
	if err := tx.UsePasskey(s.passkey); err != nil {
		return store.Factor{}, fmt.Errorf("note use of passkey: %w", err)
	}
	bound := s.passkey.Flags&backupEligible == 0
	key := "swk"
	if bound {
		key = "hwk"
	}
	return store.Factor{
		Kind: session.Passkey, At: tx.Now, AMR: []string{key, "user"}, PasskeyID: s.passkey.ID, DeviceBound: bound,
	}, nil
}

const backupEligible = 1 << 3 // WebAuthn §6.1

// BeginRegistration makes a challenge for a new passkey of an account.
func (p *Passkeys) BeginRegistration(ctx context.Context, account *store.Account, place string) (Ceremony, error) {
	all, err := p.list(ctx, account.ID)
	if err != nil {
		return Ceremony{}, err
	}
	options, state, err := p.RP.BeginRegistration(userOf(account, all), p.Now())
	if err != nil {
		return Ceremony{}, err
	}
	return Ceremony{string(options), p.Sealer.SealText("passkey registration "+place, state)}, nil
}

// Made is a new passkey that has been verified, but not added yet.
type Made struct {
	Passkey store.Passkey
	spend   store.Spend
}

// CheckRegistration verifies the answer to a challenge for a new passkey.
func (p *Passkeys) CheckRegistration(ctx context.Context, account *store.Account, place, state, response string) (*Made, error) {
	opened, err := p.Sealer.OpenText("passkey registration "+place, state)
	if err != nil {
		return nil, fmt.Errorf("%w: the challenge is not of this page", ErrFailed)
	}
	all, err := p.list(ctx, account.ID)
	if err != nil {
		return nil, err
	}
	c, err := p.RP.FinishRegistration(userOf(account, all), opened, []byte(response), p.Now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return &Made{spend: p.spend(state), Passkey: store.Passkey{
		ID: b64.EncodeToString(c.ID), AccountID: account.ID, RPID: c.RPID, PublicKey: c.PublicKey, AAGUID: c.AAGUID,
		SignCount: c.SignCount, Flags: c.Flags, Transports: c.Transports, AttestationFormat: c.AttestationFormat,
	}}, nil
}

// Add spends the challenge and adds the passkey under a name, in the caller's write.
func (m *Made) Add(tx *store.Tx, name string) error {
	err := tx.Spend(m.spend)
	if errors.Is(err, store.ErrTaken) {
		return fmt.Errorf("%w: the challenge was used before", ErrFailed)
	}
	if err != nil {
		return fmt.Errorf("spend challenge: %w", err)
	}
	m.Passkey.Name, m.Passkey.CreatedAt = name, tx.Now
	if err := tx.AddPasskey(m.Passkey); err != nil {
		return fmt.Errorf("add passkey: %w", err)
	}
	return nil
}

func (p *Passkeys) list(ctx context.Context, accountID string) (all []store.Passkey, err error) {
	err = p.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Passkeys(accountID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load passkeys: %w", err)
	}
	return all, nil
}

// spend is keyed by the whole sealed state, which is made once for each page.
func (p *Passkeys) spend(state string) store.Spend {
	return store.Spend{Kind: "challenge", Key: state, Until: p.Now().Add(passkey.Life)}
}

var b64 = base64.RawURLEncoding

func userOf(a *store.Account, all []store.Passkey) passkey.User {
	u := passkey.User{Handle: a.UserHandle, Name: a.Username, DisplayName: displayName(a)}
	for _, p := range all {
		id, err := b64.DecodeString(p.ID)
		if err != nil {
			continue
		}
		u.Passkeys = append(u.Passkeys, passkey.Credential{
			ID: id, PublicKey: p.PublicKey, AAGUID: p.AAGUID, SignCount: p.SignCount, Flags: p.Flags,
			Transports: p.Transports, AttestationFormat: p.AttestationFormat, RPID: p.RPID,
		})
	}
	return u
}

func displayName(a *store.Account) string {
	var claims struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(a.Claims, &claims) == nil && claims.Name != "" {
		return claims.Name
	}
	return a.Username
}
