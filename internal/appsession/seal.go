package appsession

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// content is what is sealed in a session.
type content struct {
	AccessToken  string          `json:"at,omitempty"`
	TokenType    string          `json:"tt,omitempty"`
	Scope        string          `json:"sc,omitempty"`
	ExpiresAt    time.Time       `json:"ex,omitzero"`
	RefreshToken string          `json:"rt,omitempty"`
	IDToken      string          `json:"it,omitempty"`
	IDClaims     json.RawMessage `json:"ic,omitempty"`
	Key          json.RawMessage `json:"k,omitempty"`
	Asked        string          `json:"as,omitempty"`
}

func contentOf(t *Tokens) (c content, err error) {
	c = content{
		AccessToken: t.AccessToken, TokenType: t.TokenType, Scope: t.Scope, ExpiresAt: t.AccessExpiresAt,
		RefreshToken: t.RefreshToken.Reveal(), IDToken: t.IDToken.Reveal(), IDClaims: t.IDClaims, Asked: t.Asked,
	}
	if t.Key.IsPrivate() {
		if c.Key, err = t.Key.MarshalJSON(); err != nil {
			return c, fmt.Errorf("write key of session: %w", err)
		}
	}
	return c, nil
}

func (c *content) tokens() (t Tokens, err error) {
	t = Tokens{
		AccessToken: c.AccessToken, TokenType: c.TokenType, Scope: c.Scope, AccessExpiresAt: c.ExpiresAt,
		RefreshToken: keys.Secret(c.RefreshToken), IDToken: keys.Secret(c.IDToken), IDClaims: c.IDClaims, Asked: c.Asked,
	}
	if c.Key != nil {
		if t.Key, err = jose.ParseKey(c.Key); err != nil {
			return t, fmt.Errorf("read key of session: %w", err)
		}
	}
	return t, nil
}

// seal puts the tokens into the record: AES-256-GCM under a key of the cookie's secret, which the server does not keep,
// and around it the seal of the master ring, which the browser does not have.
func (s *Sessions) seal(v *Session) error {
	c, err := contentOf(&v.Tokens)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write session: %w", err)
	}
	box, err := lock(v.secret, v.Record.ID)
	if err != nil {
		return err
	}
	place := s.place(&v.Record)
	nonce := make([]byte, box.NonceSize(), box.NonceSize()+len(plain)+box.Overhead())
	rand.Read(nonce) // never fails
	v.Record.Sealed = s.Ring.Seal(keys.PurposeSeal, place, box.Seal(nonce, nonce, plain, place))
	return nil
}

// unseal opens what seal made. ErrNone: the secret is not that of the session, or the record is not what was stored.
func (s *Sessions) unseal(v *store.AppSession, secret keys.Secret) (t Tokens, err error) {
	place := s.place(v)
	inner, err := s.Ring.Open(keys.PurposeSeal, place, v.Sealed)
	if err != nil {
		return t, ErrNone
	}
	box, err := lock(secret, v.ID)
	if err != nil {
		return t, err
	}
	if len(inner) < box.NonceSize() {
		return t, ErrNone
	}
	plain, err := box.Open(nil, inner[:box.NonceSize()], inner[box.NonceSize():], place)
	if err != nil {
		return t, ErrNone
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return t, fmt.Errorf("read session: %w", err)
	}
	return c.tokens()
}

// place is where a sealed content belongs, and everything about it that must not be changed under it.
func (s *Sessions) place(v *store.AppSession) []byte {
	var b []byte
	for _, part := range []string{"app session", s.DB.Tenant(), v.Application, v.ID, v.Issuer, v.ClientID} {
		b = append(append(b, part...), 0)
	}
	return b
}

// lock is the cipher of a session's own secret.
func lock(secret keys.Secret, id string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret.Reveal()), []byte(id), "holdfast app session", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key of session: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher of session: %w", err)
	}
	return cipher.NewGCM(block)
}
