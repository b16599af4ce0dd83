package objects

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

// clientDocument is a client as somebody writes it: with what is only said and never stored.
type clientDocument struct {
	Client
	Secret         string `json:"client_secret"`
	SecretExpires  int64  `json:"client_secret_expires_at"` // seconds since 1970, 0: never (RFC 7591 §3.2.1)
	IssuedAt       int64  `json:"client_id_issued_at"`      // of another server; has no meaning here
	GenerateSecret bool   `json:"generate_client_secret"`   // makes one if the client has none yet
}

// minSecret is the length from which a secret somebody else made is not weak: 32 characters.
const (
	minSecret = 32
	maxSecret = 1024
)

func prepareClient(p *preparation, old json.RawMessage) {
	d := new(clientDocument)
	p.decode(p.doc.Body, d)
	c := &d.Client
	if c.ID == "" && p.doc.Name == "" {
		c.ID = derivedID(p.doc.Body)
	}
	c.ID = p.named("client_id", c.ID)
	p.name = c.ID
	if c.ID != "" && !isClientID(c.ID) {
		p.report("client_id", "is not a client id", "use up to 200 printable ASCII characters without spaces")
	}
	p.settleSecrets(d, old)
	p.store(c) // without defaults, so that a later default reaches it
	full := *c
	full.withDefaults()
	p.checkClient(&full)
}

// derivedID names a client that does not name itself, the same at every import of the same document.
func derivedID(body json.RawMessage) string {
	sum := sha256.Sum256(body)
	return "c-" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// settleSecrets decides which secrets the client has from now on: the one given, or the hashes given, or
// those it has, or a new one where that is asked for.
func (p *preparation) settleSecrets(d *clientDocument, old json.RawMessage) {
	var had Client
	if old != nil {
		if err := json.Unmarshal(old, &had); err != nil {
			p.report("", "replaces a client that cannot be read", "delete it first")
			return
		}
	}
	switch {
	case d.Secret != "":
		p.checkGivenSecret(d)
		d.Secrets = []SecretHash{p.hashSecret(d, had.Secrets)}
	case len(d.Secrets) > 0:
		for i, s := range d.Secrets {
			if s.Hash == "" {
				p.report(at("secrets", i), "has no hash", "write client_secret to give a secret")
			}
		}
	case len(had.Secrets) > 0 && usesSecret(d.orDefaultMethod()):
		d.Secrets = had.Secrets
	case d.GenerateSecret && usesSecret(d.orDefaultMethod()):
		p.secret = keys.NewSecret()
		d.Secrets = []SecretHash{p.hash(p.secret.Reveal())}
	}
}

func (d *clientDocument) orDefaultMethod() string {
	c := d.Client
	c.withDefaults()
	return c.TokenAuthMethod
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

// hashSecret hashes the given secret, or finds the hash it already has: hashing it anew would make the
// import a change after every rotation of the key ring.
func (p *preparation) hashSecret(d *clientDocument, had []SecretHash) SecretHash {
	var expires time.Time
	if d.SecretExpires > 0 {
		expires = time.Unix(d.SecretExpires, 0).UTC()
	}
	if p.ring != nil {
		for _, s := range had {
			if p.ring.Matches(s.Hash, d.Secret) {
				s.ExpiresAt, s.Weak = expires, len(d.Secret) < minSecret
				return s
			}
		}
	}
	h := p.hash(d.Secret)
	h.ExpiresAt = expires
	return h
}

func (p *preparation) hash(secret string) SecretHash {
	h := SecretHash{Weak: len(secret) < minSecret}
	if p.ring != nil { // without one the document is only validated
		h.Hash = p.ring.Hash(secret)
	}
	return h
}
