package tokens

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Claims are the claims of an access token (RFC 9068 §2.2), the same in a JWT and in the row of an opaque one.
// Values from Inspect are shared and must not be changed.
type Claims struct {
	Issuer    string        `json:"iss"`
	Subject   string        `json:"sub"` // the account as the client knows it, or the client itself
	Audience  jose.Audience `json:"aud"`
	ExpiresAt int64         `json:"exp"` // seconds since 1970
	IssuedAt  int64         `json:"iat"`
	ID        string        `json:"jti"`
	ClientID  string        `json:"client_id"`
	Scope     string        `json:"scope,omitempty"` // names parted by one space
	// Confirmation is the key or certificate that must be shown with the token; nil for a bearer token.
	Confirmation *oauth.Confirmation `json:"cnf,omitempty"`
	Actor        *oauth.Actor        `json:"act,omitempty"` // who got the token by exchange and acts with it
	SessionID    string              `json:"sid,omitempty"`
	GrantID      string              `json:"grant_id,omitempty"` // private claim: the grant whose revocation ends the token
	AuthTime     int64               `json:"auth_time,omitempty"`
	ACR          string              `json:"acr,omitempty"`
	AMR          []string            `json:"amr,omitempty"`
	Details      json.RawMessage     `json:"authorization_details,omitempty"` // RFC 9396 §9.1
	// Mapped are the claims that mappings have made, by name. None of the above is among them.
	Mapped map[string]json.RawMessage `json:"-"`
}

// body is what becomes JSON of the claims. Most tokens have none that are mapped, and take no detour.
func (c *Claims) body() (any, error) {
	if len(c.Mapped) == 0 {
		return c, nil
	}
	return c.JSON()
}

// JSON writes all claims, the mapped ones among the others.
func (c *Claims) JSON() (json.RawMessage, error) {
	own, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode claims: %w", err)
	}
	if len(c.Mapped) == 0 {
		return own, nil
	}
	mapped, err := json.Marshal(c.Mapped)
	if err != nil {
		return nil, fmt.Errorf("encode mapped claims: %w", err)
	}
	return slices.Concat(own[:len(own)-1], []byte(","), mapped[1:]), nil
}

// written is how claims are read back: what has no field of its own was mapped.
type written struct {
	Claims
	Mapped map[string]json.RawMessage `json:",unknown"` // an option of the reader of package jose
}

func (w *written) claims() *Claims {
	w.Claims.Mapped = w.Mapped
	return &w.Claims
}

// HasScope reports whether name is among the scopes of the token.
func (c *Claims) HasScope(name string) bool {
	for s := range strings.SplitSeq(c.Scope, " ") {
		if s == name {
			return true
		}
	}
	return false
}

// IsFor reports whether name, a resource or the issuer, is in the audience.
func (c *Claims) IsFor(name string) bool { return slices.Contains(c.Audience, name) }
