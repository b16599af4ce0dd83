package theft

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

const scope = "orders.read"

// ---- bound to a certificate

var certificate = Credential{
	ID: "certificate", Name: "Access token bound to a certificate",
	Text: "A partner gets it over mutual TLS. It carries the thumbprint of the partner's certificate, and whoever takes it compares (RFC 8705).",
	Replays: []Replay{
		{"certificate-none", "Used without a certificate", "The connection proves nothing, so the token is nobody's.", func(s *stage) error {
			return s.stealCertified("sends the token over a connection without a certificate", s.browser, nil)
		}},
		{"certificate-other", "Used with another certificate", "The thief's certificate has another thumbprint than the token names.", func(s *stage) error {
			pair, err := selfMade("partner.example", s.Now())
			if err != nil {
				return err
			}
			return s.stealCertified("sends it with a certificate of their own that bears the partner's name", func(...tls.Certificate) *http.Client { return s.browser(pair) }, nil)
		}},
		{"certificate-header", "Used with the right certificate in a header", "Certificates are public. Headers that name one are believed from our own proxies alone.", func(s *stage) error {
			pair, err := s.Certificate()
			if err != nil {
				return err
			}
			return s.stealCertified("puts the partner's public certificate into the headers that proxies use", s.browser, forwarded(pair.Certificate[0]))
		}},
		{"certificate-key", "Used with a DPoP key instead", "A key of one's own is no substitute for the one that is asked for.", func(s *stage) error {
			key, err := newKey()
			if err != nil {
				return err
			}
			token, err := s.certified()
			if err != nil {
				return err
			}
			return s.thief("signs a DPoP proof with a key of their own", s.proved(s.browser(), key, token))
		}},
		{"certificate-audience", "Taken to another server", "The token is for one API. Everybody else refuses it, even from its right holder.", func(s *stage) error {
			token, err := s.certified()
			if err != nil {
				return err
			}
			pair, err := s.Certificate()
			if err != nil {
				return err
			}
			c := bearing(s.browser(pair), token, nil)
			c.url = s.Admin + "/admin/v1/clients"
			return s.thief("shows it to the administration API", c)
		}},
		{"certificate-revoked", "Used after it was revoked, with the stolen key", "Every gateway hears of it within a second.", func(s *stage) error {
			token, err := s.certified()
			if err != nil {
				return err
			}
			pair, err := s.Certificate()
			if err != nil {
				return err
			}
			revoke := call{by: s.browser(pair), url: s.MTLSIssuer + "/revoke", form: url.Values{"client_id": {s.Partner.ID}, "token": {token}}}
			if _, err := s.holder("notices and revokes it", revoke); err != nil {
				return err
			}
			return s.thiefSoon("has the certificate's key as well, and uses it", s.bearer(s.browser(pair), token, nil))
		}},
	},
}

// certified is such a token, with which its holder has been served.
func (s *stage) certified() (string, error) {
	pair, err := s.Certificate()
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {oauth.GrantClientCredentials}, "client_id": {s.Partner.ID}, "scope": {scope}, "resource": {s.Resource}}
	got, err := s.need(call{by: s.browser(pair), url: s.MTLSIssuer + "/token", form: form})
	if err != nil {
		return "", err
	}
	token := got.member("access_token")
	_, err = s.holder("calls the API with its certificate", s.bearer(s.browser(pair), token, nil))
	return token, err
}

func (s *stage) stealCertified(does string, by func(...tls.Certificate) *http.Client, more http.Header) error {
	token, err := s.certified()
	if err != nil {
		return err
	}
	return s.thief(does, s.bearer(by(), token, more))
}

// forwarded are the headers in which proxies hand over the certificate of a client.
func forwarded(der []byte) http.Header {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	h := http.Header{}
	h.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(der)+":")
	h.Set("X-SSL-Client-Cert", url.QueryEscape(string(text)))
	if c, err := x509.ParseCertificate(der); err == nil {
		h.Set("X-Forwarded-Client-Cert", `Subject="`+c.Subject.String()+`";Cert="`+url.QueryEscape(string(text))+`"`)
	}
	return h
}

// bearer is a call of the API that carries the token and nothing that belongs to it but the connection.
func (s *stage) bearer(by *http.Client, token string, more http.Header) call {
	c := bearing(by, token, more)
	c.url = s.API
	return c
}

func bearing(by *http.Client, token string, more http.Header) call {
	h := more.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Authorization", "Bearer "+token)
	return call{by: by, header: h}
}

// proved is a call of the API with a DPoP proof.
func (s *stage) proved(by *http.Client, key *jose.Signer, token string) call {
	return call{by: by, url: s.API, header: http.Header{"Authorization": {"DPoP " + token}}, sign: s.prove(key, http.MethodGet, s.API, token)}
}

// ---- bound to a key

var dpopBound = Credential{
	ID: "dpop", Name: "Access token bound to a key",
	Text: "A client without certificates shows with each request that it holds a key, by a proof that is good once (RFC 9449).",
	Replays: []Replay{
		{"dpop-none", "Used without a proof", "The token says that it needs one.", func(s *stage) error {
			token, _, err := s.keyed(s.KeyPartner)
			if err != nil {
				return err
			}
			return s.thief("sends it as an ordinary bearer token", s.bearer(s.browser(), token, nil))
		}},
		{"dpop-other", "Used with another key", "The token carries the thumbprint of the right one.", func(s *stage) error {
			return s.stealKeyed(s.KeyPartner)
		}},
		{"dpop-again", "Used with a proof that was overheard", "A proof is good once.", func(s *stage) error {
			token, heard, err := s.keyed(s.KeyPartner)
			if err != nil {
				return err
			}
			return s.thief("sends the very same request again", call{by: s.browser(), url: s.API, header: http.Header{"Authorization": {"DPoP " + token}, "Dpop": {heard}}})
		}},
		{"dpop-elsewhere", "Used with a proof for something else", "A proof names one method and one address.", func(s *stage) error {
			token, _, err := s.keyed(s.KeyPartner)
			if err != nil {
				return err
			}
			c := s.proved(s.browser(), s.KeyPartner.Key, token)
			c.method, c.header = http.MethodPost, http.Header{"Authorization": {"DPoP " + token}, "Content-Type": {"application/json"}}
			return s.thief("has caught a proof for reading before it arrived, and wants to write", c)
		}},
		{"dpop-revoked", "Used after it was revoked, with the stolen key", "Every gateway hears of it within a second.", func(s *stage) error {
			return s.stealRevoked(s.KeyPartner)
		}},
	},
}

// keyed is such a token, with which its holder has been served, and the proof of that request.
func (s *stage) keyed(client Client) (token, heard string, err error) {
	form := url.Values{"grant_type": {oauth.GrantClientCredentials}, "client_id": {client.ID}, "scope": {scope}, "resource": {s.Resource}}
	to := s.Issuer + "/token"
	got, err := s.need(call{by: s.browser(), url: to, form: form, sign: all(s.asserts(client, client.Key, s.Issuer), s.prove(client.Key, http.MethodPost, to, ""))})
	if err != nil {
		return "", "", err
	}
	token = got.member("access_token")
	served, err := s.holder("calls the API with a proof by its key", s.proved(s.browser(), client.Key, token))
	if err != nil {
		return "", "", err
	}
	return token, served.sent.Get("DPoP"), nil
}

func (s *stage) stealKeyed(client Client) error {
	token, _, err := s.keyed(client)
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	return s.thief("makes proofs with a key of their own", s.proved(s.browser(), key, token))
}

func (s *stage) stealRevoked(client Client) error {
	token, _, err := s.keyed(client)
	if err != nil {
		return err
	}
	form := url.Values{"client_id": {client.ID}, "token": {token}}
	revoke := call{by: s.browser(), url: s.Issuer + "/revoke", form: form, sign: s.asserts(client, client.Key, s.Issuer)}
	if _, err := s.holder("notices and revokes it", revoke); err != nil {
		return err
	}
	return s.thiefSoon("has the key as well, and makes proofs with it", s.proved(s.browser(), client.Key, token))
}

// ---- opaque

var opaque = Credential{
	ID: "opaque", Name: "Opaque access token",
	Text: "A reference that says nothing to whoever finds it. The gateway looks it up, and what it stands for is bound all the same.",
	Replays: []Replay{
		{"opaque-none", "Used without a proof", "What the reference stands for says that it needs one.", func(s *stage) error {
			token, _, err := s.keyed(s.Opaque)
			if err != nil {
				return err
			}
			return s.thief("sends it as an ordinary bearer token", s.bearer(s.browser(), token, nil))
		}},
		{"opaque-other", "Used with another key", "It stands for a token with the thumbprint of the right one.", func(s *stage) error {
			return s.stealKeyed(s.Opaque)
		}},
		{"opaque-revoked", "Used after it was revoked, with the stolen key", "The gateway forgets what it has looked up within a second.", func(s *stage) error {
			return s.stealRevoked(s.Opaque)
		}},
	},
}
