// Package passkeytest is a software authenticator for tests: it answers the options of a relying party as a browser
// with a platform authenticator would, right by default and wrong in one point on demand. It guards nothing and is no
// authenticator to sign in with.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Authenticator holds resident keys for the pages of one origin.
type Authenticator struct {
	Origin string
	RPID   string // "" takes that of the options
	Synced bool   // keys are backup-eligible and backed up
	// Counter is the signature counter of all keys, one more with each answer; 0 for authenticators without.
	Counter uint32
	// Wrong points, for negatives.
	SkipVerification bool   // UV = 0
	SkipPresence     bool   // UP = 0
	BackedUpOnly     bool   // BS = 1 although BE = 0, which is invalid
	NotResident      bool   // the new key is not discoverable, says the browser (credProps)
	CrossOrigin      bool   // the page was in a frame of another origin
	Challenge        string // instead of that of the options
	Type             string // of the ceremony, instead of webauthn.create or webauthn.get
	Handle           []byte // user handle of the answer, instead of the key's

	keys []key
}

type key struct {
	id, handle []byte
	private    *ecdsa.PrivateKey
}

var b64 = base64.RawURLEncoding

// Flags of the authenticator data.
const (
	userPresent  = 1 << 0
	userVerified = 1 << 2
	backupAble   = 1 << 3
	backedUp     = 1 << 4
	attested     = 1 << 6
)

// Create answers PublicKeyCredentialCreationOptionsJSON with a new resident key.
func (a *Authenticator) Create(options []byte) ([]byte, error) {
	var o struct {
		Challenge string `json:"challenge"`
		RP        struct {
			ID string `json:"id"`
		} `json:"rp"`
		User struct {
			ID string `json:"id"`
		} `json:"user"`
		Exclude []struct {
			ID string `json:"id"`
		} `json:"excludeCredentials"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, fmt.Errorf("read options: %w", err)
	}
	for _, e := range o.Exclude {
		for _, k := range a.keys {
			if b64.EncodeToString(k.id) == e.ID {
				return nil, fmt.Errorf("InvalidStateError: this authenticator has a passkey of the user")
			}
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	handle, err := b64.DecodeString(o.User.ID)
	if err != nil {
		return nil, fmt.Errorf("read user handle: %w", err)
	}
	k := key{id: make([]byte, 16), handle: handle, private: private}
	rand.Read(k.id)
	public, err := coseKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	data := a.data(o.RP.ID, attested)
	data = append(data, make([]byte, 16)...) // AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id)))
	data = append(append(data, k.id...), public...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		return nil, err
	}
	a.keys = append(a.keys, k)
	return answer(k.id, map[string]any{
		"clientDataJSON": b64.EncodeToString(a.clientData("webauthn.create", o.Challenge)), "attestationObject": b64.EncodeToString(object),
		"transports": []string{"internal"},
	}, map[string]any{"credProps": map[string]any{"rk": !a.NotResident}})
}

// Get answers PublicKeyCredentialRequestOptionsJSON with the newest key.
func (a *Authenticator) Get(options []byte) ([]byte, error) {
	var o struct {
		Challenge string `json:"challenge"`
		RPID      string `json:"rpId"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, fmt.Errorf("read options: %w", err)
	}
	if len(a.keys) == 0 {
		return nil, fmt.Errorf("NotAllowedError: there is no passkey")
	}
	k := a.keys[len(a.keys)-1]
	if a.Counter > 0 {
		a.Counter++
	}
	data, client := a.data(o.RPID, 0), a.clientData("webauthn.get", o.Challenge)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, signed[:])
	if err != nil {
		return nil, err
	}
	if a.Handle != nil {
		k.handle = a.Handle
	}
	return answer(k.id, map[string]any{
		"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data),
		"signature": b64.EncodeToString(signature), "userHandle": b64.EncodeToString(k.handle),
	}, map[string]any{})
}

// ForgeKey replaces the private keys, so that signatures are of a key nobody registered.
func (a *Authenticator) ForgeKey() error {
	for i := range a.keys {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		a.keys[i].private = private
	}
	return nil
}

func (a *Authenticator) data(rpID string, flags byte) []byte {
	if a.RPID != "" {
		rpID = a.RPID
	}
	if !a.SkipPresence {
		flags |= userPresent
	}
	if !a.SkipVerification {
		flags |= userVerified
	}
	if a.Synced {
		flags |= backupAble
	}
	if a.Synced || a.BackedUpOnly {
		flags |= backedUp
	}
	hash := sha256.Sum256([]byte(rpID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.Counter)
}

func (a *Authenticator) clientData(kind, challenge string) []byte {
	if a.Challenge != "" {
		challenge = a.Challenge
	}
	if a.Type != "" {
		kind = a.Type
	}
	data, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": a.CrossOrigin})
	return data // a map of strings always marshals
}

func answer(id []byte, response, extensions map[string]any) ([]byte, error) {
	return json.Marshal(map[string]any{
		"id": b64.EncodeToString(id), "rawId": b64.EncodeToString(id), "type": "public-key", "response": response,
		"clientExtensionResults": extensions, "authenticatorAttachment": "platform",
	})
}

// coseKey is the public key in the form of RFC 9053 §7.1.1.
func coseKey(pub *ecdsa.PublicKey) ([]byte, error) {
	point, err := pub.Bytes() // 4 | x | y
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:65]})
}
