package objects

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// clientDocument is a client as somebody writes it: with what is only said and never stored.
type clientDocument struct {
	Client
	Secret         string `json:"client_secret"`
	SecretExpires  int64  `json:"client_secret_expires_at"` // seconds since 1970, 0: never (RFC 7591 §3.2.1)
	IssuedAt       int64  `json:"client_id_issued_at"`      // of another server; has no meaning here
	GenerateSecret bool   `json:"generate_client_secret"`   // makes one if the client has none yet
}

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
	p.checkSector(&full, old)
}

// derivedID names a client that does not name itself, the same at every import of the same document.
func derivedID(body json.RawMessage) string {
	sum := sha256.Sum256(body)
	return "c-" + base64.RawURLEncoding.EncodeToString(sum[:16])
}
