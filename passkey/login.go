package passkey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Assertion is a successful login.
type Assertion struct {
	UserHandle, CredentialID []byte
	SignCount                uint32 // to be stored
	Flags                    byte   // to be stored
	DeviceBound              bool   // the key cannot leave its device
	// BackupEligibleChanged says that a passkey stored as bound to its device now says that it may be synced, which
	// some providers do once. It was accepted; the owner should be told.
	BackupEligibleChanged bool
}

// BeginLogin returns PublicKeyCredentialRequestOptionsJSON for the browser, and the state. It names no passkeys: the
// browser offers those it has.
func (rp *RP) BeginLogin(now time.Time) (options json.RawMessage, ceremony []byte, err error) {
	assertion, session, err := rp.lib.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, nil, fmt.Errorf("passkey: begin login: %w", err)
	}
	if options, err = json.Marshal(assertion.Response); err != nil {
		return nil, nil, fmt.Errorf("passkey: marshal options: %w", err)
	}
	ceremony, err = packState(kindLogin, session, now)
	return options, ceremony, err
}

// FinishLogin verifies AuthenticationResponseJSON (WebAuthn §7.2). find gives the owner of a passkey with all of their
// passkeys, or ErrUnknown. Errors: ErrState, ErrResponse, ErrUnknown, ErrCloned, and those of find.
func (rp *RP) FinishLogin(ceremony, response []byte, now time.Time, find func(rawID, userHandle []byte) (User, error)) (Assertion, error) {
	session, err := openState(kindLogin, ceremony, response, now)
	if err != nil {
		return Assertion{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Assertion{}, fmt.Errorf("%w: %s", ErrResponse, detail(err))
	}
	if err := rp.checkOrigin(parsed.Response.CollectedClientData); err != nil {
		return Assertion{}, err
	}
	data := parsed.Response.AuthenticatorData
	var stored Credential
	var findErr error
	changed := false
	owner := func(rawID, handle []byte) (webauthn.User, error) {
		var u User
		if u, findErr = find(rawID, handle); findErr != nil {
			return nil, findErr
		}
		u.Passkeys = slices.Clone(u.Passkeys)
		if i := slices.IndexFunc(u.Passkeys, func(c Credential) bool { return bytes.Equal(c.ID, rawID) }); i >= 0 {
			stored = u.Passkeys[i]
			// The library refuses any change of BE. From 0 to 1 it happens in the field, and the signature covers it.
			if changed = !stored.BackupEligible() && data.Flags.HasBackupEligible(); changed {
				u.Passkeys[i].Flags |= FlagBackupEligible
			}
		}
		return libraryUser{u}, nil
	}
	_, used, err := rp.lib.ValidatePasskeyLogin(owner, session, parsed)
	if findErr != nil {
		return Assertion{}, findErr
	}
	if err != nil {
		return Assertion{}, fmt.Errorf("%w: %s", ErrResponse, detail(err))
	}
	// Counters of synced passkeys do not count: their devices do not know of each other.
	if stored.SignCount > 0 && data.Counter <= stored.SignCount && !data.Flags.HasBackupEligible() {
		return Assertion{}, ErrCloned
	}
	return Assertion{
		UserHandle: parsed.Response.UserHandle, CredentialID: used.ID, SignCount: data.Counter,
		Flags: byte(data.Flags) & keptFlags, DeviceBound: !data.Flags.HasBackupEligible(), BackupEligibleChanged: changed,
	}, nil
}
