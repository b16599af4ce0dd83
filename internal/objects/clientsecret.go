package objects

import (
	"encoding/json"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// StoredSecret is a client secret as it is stored: hashed under the pepper of the key ring, or sealed by it where the
// client signs with it, for a hash verifies nothing that was signed.
type StoredSecret struct {
	Hash      string    `json:"hash,omitempty"`
	Sealed    string    `json:"sealed,omitempty"`    // "<ring key>:<sealed in base64url>"
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never
	Weak      bool      `json:"weak,omitempty"`      // under 32 characters

	length int // of one to sign with, while its document is checked
}

// minSecret is the length from which a secret somebody else made is not weak: 32 characters.
const (
	minSecret = 32
	maxSecret = 1024
)

// LiveSecrets are the secrets that have not expired.
func (c *Client) LiveSecrets(now time.Time) []StoredSecret {
	var live []StoredSecret
	for _, s := range c.Secrets {
		if s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt) {
			live = append(live, s)
		}
	}
	return live
}

// Matches says in constant time whether text is this secret of a client.
func (s StoredSecret) Matches(ring *keys.Ring, clientID, text string) bool {
	if s.Sealed == "" {
		return ring.Matches(s.Hash, text)
	}
	secret, err := s.Open(ring, clientID)
	return err == nil && keys.Equal(secret.Reveal(), text)
}

// Open returns the secret of a client that signs with it. Error: keys.ErrSealed, also where there is a hash only.
func (s StoredSecret) Open(ring *keys.Ring, clientID string) (keys.Secret, error) {
	text, err := openText(ring, clientSecretAt(clientID), s.Sealed)
	return keys.Secret(text), err
}

func clientSecretAt(clientID string) []byte { return []byte("client secret\x00" + clientID) }

func (c *Client) signsWithSecret() bool { return c.mayUse(oauth.AuthSecretJWT) }

// minSigningSecret is how many bytes of secret the client's algorithm needs (RFC 7518 §3.2, OIDC Core §16.19).
func (c *Client) minSigningSecret() int {
	switch jose.MAC(c.TokenAuthSigningAlg) {
	case jose.HS384:
		return 48
	case jose.HS512:
		return 64
	}
	return 32
}

// newSecret makes one that is long enough for all the client may do with it.
func (c *Client) newSecret() keys.Secret {
	if c.signsWithSecret() {
		return keys.NewSecret() + keys.NewSecret()
	}
	return keys.NewSecret()
}

// storeSecret is the form in which a secret of the client is stored. Without a ring the document is only validated.
func (c *Client) storeSecret(ring *keys.Ring, text string) StoredSecret {
	s := StoredSecret{Weak: len(text) < minSecret, length: len(text)}
	switch {
	case ring == nil:
	case c.signsWithSecret():
		s.Sealed = sealText(ring, clientSecretAt(c.ID), []byte(text))
	default:
		s.Hash = ring.Hash(text)
	}
	return s
}

// settleSecrets decides which secrets the client has from now on: the one given, or the stored forms given, or
// those it has, or a new one where that is asked for.
func (p *preparation) settleSecrets(d *clientDocument, old json.RawMessage) {
	var had Client
	if old != nil {
		if err := json.Unmarshal(old, &had); err != nil {
			p.report("", "replaces a client that cannot be read", "delete it first")
			return
		}
	}
	c := d.Client
	c.withDefaults()
	switch {
	case d.Secret != "":
		p.checkGivenSecret(d)
		d.Secrets = []StoredSecret{p.givenSecret(d, &c, had.Secrets)}
	case len(d.Secrets) > 0:
		p.checkHashes(&c)
	case c.usesSecret():
		d.Secrets = p.carry(&c, had.Secrets)
	}
	if len(d.Secrets) == 0 && d.GenerateSecret && c.usesSecret() {
		p.secret = c.newSecret()
		d.Secrets = []StoredSecret{c.storeSecret(p.ring, p.secret.Reveal())}
	}
}

func (p *preparation) checkGivenSecret(d *clientDocument) {
	if len(d.Secret) > maxSecret {
		p.report("client_secret", "is longer than 1,024 characters", "use a shorter one")
	}
	if len(d.Secret) < minSecret && !d.AllowWeakSecret {
		p.report("client_secret", "has fewer than 32 characters", "use generate_client_secret, or set allow_weak_secret")
	}
	if d.SecretExpires < 0 {
		p.report("client_secret_expires_at", "is negative", "write seconds since 1970, or 0 for never")
	}
}

// givenSecret stores the given secret, or finds the form in which it is stored already: hashing or sealing it anew would
// make every import a change.
func (p *preparation) givenSecret(d *clientDocument, c *Client, had []StoredSecret) StoredSecret {
	given := c.storeSecret(p.ring, d.Secret)
	if d.SecretExpires > 0 {
		given.ExpiresAt = time.Unix(d.SecretExpires, 0).UTC()
	}
	if p.ring == nil {
		return given
	}
	for _, s := range had {
		if (s.Sealed != "") == (given.Sealed != "") && s.Matches(p.ring, c.ID, d.Secret) {
			given.Hash, given.Sealed = s.Hash, s.Sealed
		}
	}
	return given
}

// checkHashes is for a document that gives secrets as somebody else has stored them.
func (p *preparation) checkHashes(c *Client) {
	for i, s := range c.Secrets {
		switch {
		case s.Hash == "" || s.Sealed != "":
			p.report(at("secrets", i), "is not a hash", "write client_secret to give a secret")
		case c.signsWithSecret():
			p.report(at("secrets", i), "is a hash, with which nothing that was signed can be verified", "write client_secret to give a secret")
		}
	}
}

// carry is what the client goes on having, in the form it needs from now on. A secret that was hashed is lost to a client
// that begins to sign with it.
func (p *preparation) carry(c *Client, had []StoredSecret) (kept []StoredSecret) {
	for _, s := range had {
		secret, err := s.Open(p.ring, c.ID)
		switch {
		case c.signsWithSecret() && err != nil:
			continue
		case c.signsWithSecret():
			s.length = len(secret)
		case err == nil:
			s.Sealed, s.Hash = "", p.ring.Hash(secret.Reveal())
		}
		kept = append(kept, s)
	}
	return kept
}
