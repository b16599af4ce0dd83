// Package passkey is a WebAuthn relying party (Web Authentication Level 3): the registration and login ceremonies, as
// values in and values out.
//
// A ceremony begins with options for the browser and a state for the caller, who keeps the state where the browser
// cannot change it and gives it back, once, with the answer. Passkeys are discoverable and always verify the user. The
// package keeps nothing, has no clock and exposes no type of the library it stands on. Who owns which passkey, and
// that a state serves once, is the caller's to see to.
package passkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Life is how long a ceremony may take.
const Life = 5 * time.Minute

// maxResponse is the largest answer of a browser that is read.
const maxResponse = 64 << 10

// Errors of the Finish functions; the text says what was wrong, for the log.
var (
	ErrResponse = errors.New("passkey: the response does not verify")
	ErrState    = errors.New("passkey: the ceremony has expired or is another one")
	ErrUnknown  = errors.New("passkey: no such passkey")
	// ErrCloned says that the signature counter went back: two devices hold one key that was never to leave its device.
	ErrCloned = errors.New("passkey: the signature counter went back")
)

// Party is who passkeys are made for. ID is the host of the origins or a registrable parent of it.
type Party struct {
	ID, Name string
	Origins  []string // exactly those whose pages may use the passkeys
}

// User is whose passkeys these are. Handle is 1 to 64 random bytes, never a name.
type User struct {
	Handle            []byte
	Name, DisplayName string
	Passkeys          []Credential
}

// Credential is a passkey as it has to be stored, whole.
type Credential struct {
	ID, PublicKey, AAGUID []byte
	SignCount             uint32
	Flags                 byte // of the authenticator data: UP, UV, BE, BS
	Transports            []string
	AttestationFormat     string
	RPID                  string
}

// BackupEligible says whether the passkey may be synced to other devices.
func (c Credential) BackupEligible() bool { return c.Flags&flagBE != 0 }

// Flags of the authenticator data (WebAuthn §6.1).
const (
	flagBE = 1 << 3
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

// RP runs ceremonies for one party.
type RP struct {
	party Party
	lib   *webauthn.WebAuthn
}

// New checks the party and prepares its ceremonies.
func New(p Party) (*RP, error) {
	required := true
	lib, err := webauthn.New(&webauthn.Config{
		RPID: p.ID, RPDisplayName: p.Name, RPOrigins: p.Origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &required, ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkey: relying party: %w", err)
	}
	return &RP{party: p, lib: lib}, nil
}

// Kinds of ceremony.
const (
	kindRegistration = "registration"
	kindLogin        = "login"
)

// state is what has to come back unchanged. All of the library's session data is in it: a field left out breaks
// verification.
type state struct {
	Kind    string               `json:"kind"`
	Until   time.Time            `json:"until"`
	Session webauthn.SessionData `json:"session"`
}

func sealState(kind string, s *webauthn.SessionData, now time.Time) ([]byte, error) {
	s.Expires = time.Time{} // the library would ask the wall clock
	data, err := json.Marshal(state{Kind: kind, Until: now.Add(Life), Session: *s})
	if err != nil {
		return nil, fmt.Errorf("passkey: marshal state: %w", err)
	}
	return data, nil
}

func openState(kind string, data []byte, now time.Time) (webauthn.SessionData, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil || s.Kind != kind || !now.Before(s.Until) {
		return webauthn.SessionData{}, ErrState
	}
	return s.Session, nil
}

// parameters are the algorithms offered: ES256, RS256 for older platforms, EdDSA.
var parameters = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
}

// BeginRegistration returns PublicKeyCredentialCreationOptionsJSON for the browser, and the state. Authenticators that
// hold a passkey of the user already are excluded.
func (rp *RP) BeginRegistration(u User, now time.Time) (options json.RawMessage, ceremony []byte, err error) {
	owned := libraryUser{u}
	var exclude []protocol.CredentialDescriptor
	for _, c := range owned.WebAuthnCredentials() {
		exclude = append(exclude, c.Descriptor())
	}
	creation, session, err := rp.lib.BeginRegistration(owned,
		webauthn.WithExclusions(exclude), webauthn.WithCredentialParameters(parameters))
	if err != nil {
		return nil, nil, fmt.Errorf("passkey: begin registration: %w", err)
	}
	if options, err = json.Marshal(creation.Response); err != nil {
		return nil, nil, fmt.Errorf("passkey: marshal options: %w", err)
	}
	ceremony, err = sealState(kindRegistration, session, now)
	return options, ceremony, err
}

// FinishRegistration verifies RegistrationResponseJSON (WebAuthn §7.1) and returns the new passkey.
func (rp *RP) FinishRegistration(u User, ceremony, response []byte, now time.Time) (Credential, error) {
	session, err := openState(kindRegistration, ceremony, now)
	if err != nil {
		return Credential{}, err
	}
	if len(response) > maxResponse {
		return Credential{}, fmt.Errorf("%w: too long", ErrResponse)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Credential{}, fmt.Errorf("%w: %s", ErrResponse, detail(err))
	}
	made, err := rp.lib.CreateCredential(libraryUser{u}, session, parsed)
	if err != nil {
		return Credential{}, fmt.Errorf("%w: %s", ErrResponse, detail(err))
	}
	c := Credential{
		ID: made.ID, PublicKey: made.PublicKey, AAGUID: made.Authenticator.AAGUID, SignCount: made.Authenticator.SignCount,
		Flags: byte(made.Flags.ProtocolValue()), AttestationFormat: made.AttestationFormat, RPID: rp.party.ID,
	}
	for _, t := range made.Transport {
		c.Transports = append(c.Transports, string(t))
	}
	return c, nil
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
	ceremony, err = sealState(kindLogin, session, now)
	return options, ceremony, err
}

// FinishLogin verifies AuthenticationResponseJSON (WebAuthn §7.2). find gives the owner of a passkey with all of their
// passkeys, or ErrUnknown.
func (rp *RP) FinishLogin(ceremony, response []byte, now time.Time, find func(rawID, userHandle []byte) (User, error)) (Assertion, error) {
	session, err := openState(kindLogin, ceremony, now)
	if err != nil {
		return Assertion{}, err
	}
	if len(response) > maxResponse {
		return Assertion{}, fmt.Errorf("%w: too long", ErrResponse)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Assertion{}, fmt.Errorf("%w: %s", ErrResponse, detail(err))
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
		for i, c := range u.Passkeys {
			if !bytes.Equal(c.ID, rawID) {
				continue
			}
			stored = c
			// The library refuses any change of BE. From 0 to 1 it happens in the field, and the signature covers it.
			if changed = !c.BackupEligible() && data.Flags.HasBackupEligible(); changed {
				u.Passkeys[i].Flags |= flagBE
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
	if stored.SignCount > 0 && data.Counter <= stored.SignCount && !data.Flags.HasBackupEligible() {
		return Assertion{}, ErrCloned
	}
	return Assertion{
		UserHandle: parsed.Response.UserHandle, CredentialID: used.ID, SignCount: data.Counter,
		Flags: byte(data.Flags) & 0x1f, DeviceBound: !data.Flags.HasBackupEligible(), BackupEligibleChanged: changed,
	}, nil
}

// detail is the part of the library's errors that says something.
func detail(err error) string {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e.Details + " " + e.DevInfo
	}
	return err.Error()
}

// libraryUser shows a User as the library wants it.
type libraryUser struct{ u User }

func (l libraryUser) WebAuthnID() []byte          { return l.u.Handle }
func (l libraryUser) WebAuthnName() string        { return l.u.Name }
func (l libraryUser) WebAuthnDisplayName() string { return l.u.DisplayName }

func (l libraryUser) WebAuthnCredentials() []webauthn.Credential {
	var all []webauthn.Credential
	for _, c := range l.u.Passkeys {
		one := webauthn.Credential{
			ID: c.ID, PublicKey: c.PublicKey, AttestationFormat: c.AttestationFormat,
			Flags:         webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(c.Flags)),
			Authenticator: webauthn.Authenticator{AAGUID: c.AAGUID, SignCount: c.SignCount},
		}
		for _, t := range c.Transports {
			one.Transport = append(one.Transport, protocol.AuthenticatorTransport(t))
		}
		all = append(all, one)
	}
	return all
}
