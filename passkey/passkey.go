// Package passkey is a WebAuthn relying party (Web Authentication Level 3): the registration and login ceremonies, as
// values in and values out.
//
// A ceremony begins with options for the browser and a state for the caller, who keeps the state where the browser
// cannot change it and gives it back, once, with the answer. Passkeys are discoverable and always verify the user. The
// package keeps nothing, has no clock and exposes no type of the library it stands on. Who owns which passkey, and
// that a state serves once, is the caller's to see to.
package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Life is how long a ceremony may take.
const Life = 5 * time.Minute

// maxResponse is the largest answer of a browser that is read, in bytes.
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
func (c Credential) BackupEligible() bool { return c.Flags&FlagBackupEligible != 0 }

// FlagBackupEligible is the bit BE of the authenticator data (WebAuthn §6.1).
const FlagBackupEligible = 1 << 3

// keptFlags are those a credential is stored with: UP, UV, BE, BS.
const keptFlags = 1<<0 | 1<<2 | FlagBackupEligible | 1<<4

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
		// Some password managers answer extensions that nobody has asked for. Nothing here reads them.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
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

func packState(kind string, s *webauthn.SessionData, now time.Time) ([]byte, error) {
	s.Expires = time.Time{} // the library would ask the wall clock
	data, err := json.Marshal(state{Kind: kind, Until: now.Add(Life), Session: *s})
	if err != nil {
		return nil, fmt.Errorf("passkey: marshal state: %w", err)
	}
	return data, nil
}

// openState reads the state of a ceremony that has not expired, and bounds the answer to it.
func openState(kind string, data, response []byte, now time.Time) (webauthn.SessionData, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil || s.Kind != kind || !now.Before(s.Until) {
		return webauthn.SessionData{}, ErrState
	}
	if len(response) > maxResponse {
		return webauthn.SessionData{}, fmt.Errorf("%w: too long", ErrResponse)
	}
	return s.Session, nil
}

// checkOrigin compares the origin as it is (§7.1 step 9, §7.2 step 13). The library forgives other spellings and a path
// behind it, which no browser sends.
func (rp *RP) checkOrigin(c protocol.CollectedClientData) error {
	if !slices.Contains(rp.party.Origins, c.Origin) {
		return fmt.Errorf("%w: the origin is another one", ErrResponse)
	}
	return nil
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
