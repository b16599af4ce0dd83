package passkey

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

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
	creation, session, err := rp.lib.BeginRegistration(owned, webauthn.WithExclusions(exclude),
		webauthn.WithCredentialParameters(parameters), webauthn.WithExtensions(webauthn.WithExtensionCredProps()))
	if err != nil {
		return nil, nil, fmt.Errorf("passkey: begin registration: %w", err)
	}
	if options, err = json.Marshal(creation.Response); err != nil {
		return nil, nil, fmt.Errorf("passkey: marshal options: %w", err)
	}
	ceremony, err = packState(kindRegistration, session, now)
	return options, ceremony, err
}

// FinishRegistration verifies RegistrationResponseJSON (WebAuthn §7.1) and returns the new passkey. That no account has
// its ID yet is the caller's to see to. Errors: ErrState, ErrResponse.
func (rp *RP) FinishRegistration(u User, ceremony, response []byte, now time.Time) (Credential, error) {
	session, err := openState(kindRegistration, ceremony, response, now)
	if err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Credential{}, fmt.Errorf("%w: %s", ErrResponse, detail(err))
	}
	if err := rp.checkOrigin(parsed.Response.CollectedClientData); err != nil {
		return Credential{}, err
	}
	if p := parsed.ClientExtensionResults.CredProps; p != nil && p.RK != nil && !*p.RK {
		return Credential{}, fmt.Errorf("%w: the passkey is not discoverable and could never sign in", ErrResponse)
	}
	made, err := rp.lib.CreateCredential(libraryUser{u}, session, parsed)
	if err != nil {
		return Credential{}, fmt.Errorf("%w: %s", ErrResponse, detail(err))
	}
	c := Credential{
		ID: made.ID, PublicKey: made.PublicKey, AAGUID: made.Authenticator.AAGUID, SignCount: made.Authenticator.SignCount,
		Flags: byte(made.Flags.ProtocolValue()) & keptFlags, AttestationFormat: made.AttestationFormat, RPID: rp.party.ID,
	}
	for _, t := range made.Transport {
		c.Transports = append(c.Transports, string(t))
	}
	return c, nil
}
