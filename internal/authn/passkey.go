package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey"
)

// Passkeys runs ceremonies whose state travels sealed in the form of the page that began them.
type Passkeys struct {
	DB      *store.DB
	RP      *passkey.RP
	Sealer  web.Sealer
	Now     func() time.Time
	Notices *Notices // nil: nobody is told that a provider has begun to sync a key
}

// Ceremony is what a form carries: options for the browser and the sealed state.
type Ceremony struct{ Options, State string }

// Kinds of ceremony. A state opens for its own kind only.
const (
	kindLogin        = "passkey login "
	kindRegistration = "passkey registration "
)

// challenge is the state of a ceremony that has come back.
type challenge struct {
	state []byte
	until time.Time // it has expired after this
}

func (p *Passkeys) open(kind, place, sealed string) (*challenge, error) {
	state, err := p.Sealer.OpenText(kind+place, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: the challenge is not of this page", ErrFailed)
	}
	return &challenge{state, p.Now().Add(passkey.Life)}, nil
}

// spend is keyed by what was sealed, which is random: the sealed text can be written in several ways.
func (c *challenge) spend() store.Spend {
	return store.Spend{Kind: "challenge", Key: string(c.state), Until: c.until}
}

// use spends the challenge. ErrFailed: it was used before.
func (c *challenge) use(tx *store.Tx) error {
	err := tx.Spend(c.spend())
	if errors.Is(err, store.ErrTaken) {
		return fmt.Errorf("%w: the challenge was used before", ErrFailed)
	}
	if err != nil {
		return fmt.Errorf("spend challenge: %w", err)
	}
	return nil
}

// BeginLogin makes a challenge bound to a place: the id of the interaction or session that shows the form.
func (p *Passkeys) BeginLogin(place string) (Ceremony, error) {
	options, state, err := p.RP.BeginLogin(p.Now())
	if err != nil {
		return Ceremony{}, err
	}
	return Ceremony{string(options), p.Sealer.SealText(kindLogin+place, state)}, nil
}

// check verifies the answer to a challenge. ErrFailed: it proves nothing.
func (p *Passkeys) check(ctx context.Context, c *challenge, response string) (*Proof, error) {
	var account store.Account
	var stored store.Passkey
	find := func(rawID, _ []byte) (_ passkey.User, err error) {
		var u passkey.User
		account, stored, u, err = p.find(ctx, b64.EncodeToString(rawID))
		return u, err
	}
	a, err := p.RP.FinishLogin(c.state, []byte(response), p.Now(), find)
	if isRefusal(err) {
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err != nil {
		return nil, err
	}
	ev := web.EventOf(ctx)
	return &Proof{Account: account, use: func(tx *store.Tx) (store.Factor, error) {
		if err := c.use(tx); err != nil {
			return store.Factor{}, err
		}
		return p.use(tx, ev, stored, a)
	}}, nil
}

func isRefusal(err error) bool {
	return errors.Is(err, passkey.ErrResponse) || errors.Is(err, passkey.ErrState) ||
		errors.Is(err, passkey.ErrUnknown) || errors.Is(err, passkey.ErrCloned)
}

// find loads a passkey and its owner.
func (p *Passkeys) find(ctx context.Context, id string) (a store.Account, k store.Passkey, u passkey.User, err error) {
	var all []store.Passkey
	err = p.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if a, k, err = owned(tx, id); err != nil {
			return err
		}
		all, err = tx.Passkeys(a.ID)
		return err
	})
	if err != nil {
		return a, k, u, err
	}
	web.EventOf(ctx).SetSubject(a.ID)
	return a, k, userOf(&a, all), nil
}

// owned loads a passkey and its owner. passkey.ErrUnknown: there is none, or they may not sign in.
func owned(tx *store.Tx, id string) (a store.Account, k store.Passkey, err error) {
	if k, err = tx.Passkey(id); err == nil {
		a, err = tx.Account(k.AccountID)
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && a.Disabled {
		return a, k, passkey.ErrUnknown
	}
	if err != nil {
		return a, k, fmt.Errorf("load passkey: %w", err)
	}
	return a, k, nil
}

// use notes the use of a passkey. The checks that rest on what was stored are made again, because another request may
// have been quicker.
func (p *Passkeys) use(tx *store.Tx, ev *web.Event, verified store.Passkey, a passkey.Assertion) (store.Factor, error) {
	account, k, err := owned(tx, verified.ID)
	if errors.Is(err, passkey.ErrUnknown) {
		return store.Factor{}, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err != nil {
		return store.Factor{}, err
	}
	if a.DeviceBound && (k.Flags&passkey.FlagBackupEligible != 0 || k.SignCount > verified.SignCount && a.SignCount <= k.SignCount) {
		return store.Factor{}, fmt.Errorf("%w: %w", ErrFailed, passkey.ErrCloned)
	}
	if a.BackupEligibleChanged && k.Flags&passkey.FlagBackupEligible == 0 {
		if err := p.noteSync(tx, ev, &account, k); err != nil {
			return store.Factor{}, err
		}
	}
	k.SignCount, k.Flags = a.SignCount, a.Flags
	if err := tx.UsePasskey(k); err != nil {
		return store.Factor{}, fmt.Errorf("note use of passkey: %w", err)
	}
	key := "swk" // RFC 8176 §2: a synced key is in software somewhere
	if a.DeviceBound {
		key = "hwk"
	}
	return store.Factor{
		Kind: session.Passkey, At: tx.Now, AMR: []string{key, "user"}, PasskeyID: k.ID, DeviceBound: a.DeviceBound,
	}, nil
}

// noteSync records that a key which was never to leave its device now may, and tells the owner.
func (p *Passkeys) noteSync(tx *store.Tx, ev *web.Event, account *store.Account, k store.Passkey) error {
	err := audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{
		RequestID: ev.RequestID, ActorKind: audit.ActorAccount, ActorID: account.ID, Action: "passkey.sync",
		ObjectKind: "passkey", ObjectID: k.ID, Outcome: audit.Success, Reason: "backup eligible from now on", AddressPrefix: ev.Peer.Prefix,
	}})
	if err != nil {
		return err
	}
	return p.Notices.Tell(tx, account, "A passkey of your account is now synced",
		"The passkey “"+k.Name+"” was kept on one device. Its provider now syncs it to your other devices.")
}

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
	return Ceremony{string(options), p.Sealer.SealText(kindRegistration+place, state)}, nil
}

// Made is a new passkey that has been verified, but not added yet.
type Made struct {
	Passkey   store.Passkey // without name
	challenge *challenge
}

// CheckRegistration verifies the answer to a challenge for a new passkey. A challenge serves one answer, right or
// wrong. Errors: ErrFailed, *DeclinedError.
func (p *Passkeys) CheckRegistration(ctx context.Context, account *store.Account, place, state, response string) (*Made, error) {
	if err := declined(response); err != nil {
		return nil, err
	}
	opened, err := p.open(kindRegistration, place, state)
	if err != nil {
		return nil, err
	}
	all, err := p.list(ctx, account.ID)
	if err != nil {
		return nil, err
	}
	c, err := p.RP.FinishRegistration(userOf(account, all), opened.state, []byte(response), p.Now())
	if err != nil {
		if err := p.DB.Spend(ctx, opened.spend()); err != nil && !errors.Is(err, store.ErrTaken) {
			return nil, fmt.Errorf("spend challenge: %w", err)
		}
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return &Made{challenge: opened, Passkey: store.Passkey{
		ID: b64.EncodeToString(c.ID), AccountID: account.ID, RPID: c.RPID, PublicKey: c.PublicKey, AAGUID: c.AAGUID,
		SignCount: c.SignCount, Flags: c.Flags, Transports: c.Transports, AttestationFormat: c.AttestationFormat,
	}}, nil
}

// Add spends the challenge and adds the passkey under a name, in the caller's write. ErrFailed: the challenge was used
// before, or somebody has this passkey already; the caller commits and refuses.
func (m *Made) Add(tx *store.Tx, name string) error {
	if err := m.challenge.use(tx); err != nil {
		return err
	}
	m.Passkey.Name, m.Passkey.CreatedAt = name, tx.Now
	err := tx.AddPasskey(m.Passkey)
	if errors.Is(err, store.ErrTaken) { // WebAuthn L3 §7.1 step 26
		return fmt.Errorf("%w: the credential id exists", ErrFailed)
	}
	if err != nil {
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

var b64 = base64.RawURLEncoding

func userOf(a *store.Account, all []store.Passkey) passkey.User {
	u := passkey.User{Handle: a.UserHandle, Name: a.Username, DisplayName: DisplayName(a)}
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

// DisplayName is how to call a person: their name, or else their user name.
func DisplayName(a *store.Account) string {
	var claims struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(a.Claims, &claims) == nil && claims.Name != "" {
		return claims.Name
	}
	return a.Username
}
