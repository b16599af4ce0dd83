package theft

import (
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-iam/holdfast/oauth"
)

// ---- client assertion

var assertion = Credential{
	ID: "assertion", Name: "Client assertion",
	Text: "Instead of a secret, a client sends a statement signed with its key. Somebody may read it on the way or in a log (RFC 7523).",
	Replays: []Replay{
		{"assertion-again", "Used a second time", "An assertion is good once.", func(s *stage) error {
			got, err := s.asserted()
			if err != nil {
				return err
			}
			key, err := newKey()
			if err != nil {
				return err
			}
			c := s.grantOf()
			c.form.Set("client_assertion_type", oauth.AssertionType)
			c.form.Set("client_assertion", got.form.Get("client_assertion"))
			c.sign = s.prove(key, http.MethodPost, c.url, "")
			return s.thief("sends the same assertion, with a DPoP key of their own", c)
		}},
		{"assertion-other", "Signed with another key", "The authorization server knows the client's keys.", func(s *stage) error {
			if _, err := s.asserted(); err != nil {
				return err
			}
			key, err := newKey()
			if err != nil {
				return err
			}
			c := s.grantOf()
			c.sign = all(s.asserts(s.KeyPartner, key, s.Issuer), s.prove(key, http.MethodPost, c.url, ""))
			return s.thief("makes an assertion in the client's name", c)
		}},
		{"assertion-elsewhere", "Caught by another server", "An assertion names the server it is for.", func(s *stage) error {
			if _, err := s.asserted(); err != nil {
				return err
			}
			key, err := newKey()
			if err != nil {
				return err
			}
			c := s.grantOf()
			c.sign = all(s.asserts(s.KeyPartner, s.KeyPartner.Key, "https://other.example"), s.prove(key, http.MethodPost, c.url, ""))
			return s.thief("runs a server that the client trusts, and passes on what it gets there", c)
		}},
	},
}

// grantOf asks for a token as the partner that authenticates by assertion.
func (s *stage) grantOf() call {
	return call{by: s.browser(), url: s.Issuer + "/token", form: url.Values{
		"grant_type": {oauth.GrantClientCredentials}, "client_id": {s.KeyPartner.ID}, "scope": {scope}, "resource": {s.Resource},
	}}
}

// asserted is the holder's request, which has been served.
func (s *stage) asserted() (*answer, error) {
	c := s.grantOf()
	c.sign = all(s.asserts(s.KeyPartner, s.KeyPartner.Key, s.Issuer), s.prove(s.KeyPartner.Key, http.MethodPost, c.url, ""))
	return s.holder("gets a token with its assertion and its proof", c)
}

// ---- DPoP proof

var proof = Credential{
	ID: "proof", Name: "DPoP proof",
	Text: "It shows possession of a key for one request. Suppose the thief can authenticate as the client and lacks only its DPoP key.",
	Replays: []Replay{
		{"proof-again", "Used a second time", "The server remembers every proof for as long as it would be good.", func(s *stage) error {
			got, err := s.asserted()
			if err != nil {
				return err
			}
			return s.thief("sends the proof of that request again", s.withProof(got.sent.Get("DPoP")))
		}},
		{"proof-elsewhere", "Used at another address", "A proof names its address.", func(s *stage) error {
			if _, err := s.asserted(); err != nil {
				return err
			}
			c := s.grantOf()
			c.sign = all(s.asserts(s.KeyPartner, s.KeyPartner.Key, s.Issuer), s.prove(s.KeyPartner.Key, http.MethodPost, s.API, ""))
			return s.thief("has caught a proof that was meant for the API", c)
		}},
		{"proof-old", "Kept for later", "A proof is good for a minute.", func(s *stage) error {
			if _, err := s.asserted(); err != nil {
				return err
			}
			before := func() time.Time { return s.Now().Add(-5 * time.Minute) }
			c := s.grantOf()
			c.sign = all(s.asserts(s.KeyPartner, s.KeyPartner.Key, s.Issuer), s.proveAt(s.KeyPartner.Key, http.MethodPost, c.url, "", before))
			return s.thief("has kept an unused one for five minutes", c)
		}},
	},
}

func (s *stage) withProof(heard string) call {
	c := s.grantOf()
	c.sign = all(s.asserts(s.KeyPartner, s.KeyPartner.Key, s.Issuer), func(_ url.Values, h http.Header, _ string) error {
		h.Set("DPoP", heard)
		return nil
	})
	return c
}
