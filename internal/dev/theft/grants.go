package theft

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// ---- authorization code

var code = Credential{
	ID: "code", Name: "Authorization code",
	Text: "It comes back through the browser's address, where histories, logs and other apps may see it.",
	Replays: []Replay{
		{"code-client", "Redeemed by another application", "A code belongs to the client that has asked for it.", func(s *stage) error {
			stolen, verifier, err := s.newCode(nil)
			if err != nil {
				return err
			}
			c, err := s.redeem(s.Native, s.Web.RedirectURI, stolen, verifier)
			if err != nil {
				return err
			}
			return s.thief("redeems it as the command-line app, with a key of their own", c)
		}},
		{"code-verifier", "Redeemed with the client's stolen secret", "The verifier of PKCE never left the right client (RFC 7636).", func(s *stage) error {
			stolen, _, err := s.newCode(nil)
			if err != nil {
				return err
			}
			c, err := s.redeem(s.Web, s.Web.RedirectURI, stolen, keys.NewSecret().Reveal())
			if err != nil {
				return err
			}
			return s.thief("authenticates as the client, and guesses the verifier", c)
		}},
		{"code-key", "Redeemed with another key", "The request has named the key that the code will be redeemed with (RFC 9449 §10).", func(s *stage) error {
			right, err := newKey()
			if err != nil {
				return err
			}
			stolen, verifier, err := s.newCode(right)
			if err != nil {
				return err
			}
			c, err := s.redeem(s.Web, s.Web.RedirectURI, stolen, verifier)
			if err != nil {
				return err
			}
			return s.thief("has the client's secret and even the verifier, but not its key", c)
		}},
		{"code-again", "Redeemed a second time", "A code is good once; the second use gives the theft away and ends what the first has brought (RFC 9700 §4.2.4).", redeemTwice},
	},
}

// newCode is a code on its way back to the web client. The holder has redeemed one like it before.
func (s *stage) newCode(bound *jose.Signer) (stolen, verifier string, err error) {
	for i := range 2 {
		verifier = keys.NewSecret().Reveal()
		if stolen, err = s.authorize(s.Web, verifier, "openid", bound); err != nil || i == 1 {
			break
		}
		c, err := s.redeem(s.Web, s.Web.RedirectURI, stolen, verifier)
		if err != nil {
			return "", "", err
		}
		if bound != nil {
			c.sign = s.prove(bound, http.MethodPost, c.url, "")
		}
		if _, err := s.holder("redeems a code like it", c); err != nil {
			return "", "", err
		}
	}
	return stolen, verifier, err
}

// redeem is the request of a client for tokens, with a fresh DPoP key.
func (s *stage) redeem(client Client, redirect, stolen, verifier string) (call, error) {
	key, err := newKey()
	if err != nil {
		return call{}, err
	}
	c := s.asks(client, url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {stolen}, "redirect_uri": {redirect}, "code_verifier": {verifier}})
	c.sign = s.prove(key, http.MethodPost, c.url, "")
	return c, nil
}

// asks is a request of a client at the token endpoint, without a proof.
func (s *stage) asks(client Client, form url.Values) call {
	h := http.Header{}
	if client.Secret != "" {
		basic := url.QueryEscape(client.ID) + ":" + url.QueryEscape(client.Secret)
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(basic)))
	} else {
		form.Set("client_id", client.ID)
	}
	return call{by: s.browser(), url: s.Issuer + "/token", form: form, header: h}
}

func redeemTwice(s *stage) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	verifier := keys.NewSecret().Reveal()
	stolen, err := s.authorize(s.Web, verifier, "openid", nil)
	if err != nil {
		return err
	}
	c, err := s.redeem(s.Web, s.Web.RedirectURI, stolen, verifier)
	if err != nil {
		return err
	}
	c.sign = s.prove(key, http.MethodPost, c.url, "")
	got, err := s.holder("redeems it", c)
	if err != nil {
		return err
	}
	if err := s.thief("has everything: code, secret, verifier, key", c); err != nil {
		return err
	}
	info := s.Issuer + "/userinfo"
	token := got.member("access_token")
	return s.thiefSoon("has stolen the first token too, with its key", call{
		by: s.browser(), url: info, header: http.Header{"Authorization": {"DPoP " + token}}, sign: s.prove(key, http.MethodGet, info, token),
	})
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ---- refresh token

var refresh = Credential{
	ID: "refresh", Name: "Refresh token",
	Text: "It lives for weeks in a file of an app, and brings new access tokens.",
	Replays: []Replay{
		{"refresh-none", "Used without a proof", "It is bound to the key of the app that has got it.", func(s *stage) error {
			token, _, err := s.refreshable()
			if err != nil {
				return err
			}
			return s.thief("asks for a new access token", s.asks(s.Native, renewal(token)))
		}},
		{"refresh-other", "Used with another key", "It is bound to the key of the app that has got it.", func(s *stage) error {
			token, _, err := s.refreshable()
			if err != nil {
				return err
			}
			key, err := newKey()
			if err != nil {
				return err
			}
			return s.thief("asks with a proof by a key of their own", s.renews(s.Native, token, key))
		}},
		{"refresh-client", "Used by another application", "It belongs to the client that has got it.", func(s *stage) error {
			token, key, err := s.refreshable()
			if err != nil {
				return err
			}
			return s.thief("asks as the web shop, with its secret and the right key", s.renews(s.Web, token, key))
		}},
		{"refresh-revoked", "Used after it was revoked, with the stolen key", "The grant behind it has ended, and all its tokens with it.", func(s *stage) error {
			token, key, err := s.refreshable()
			if err != nil {
				return err
			}
			revoke := s.asks(s.Native, url.Values{"token": {token}})
			revoke.url = s.Issuer + "/revoke"
			if _, err := s.holder("notices and revokes it", revoke); err != nil {
				return err
			}
			return s.thief("has the key as well", s.renews(s.Native, token, key))
		}},
	},
}

func renewal(token string) url.Values {
	return url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {token}}
}

func (s *stage) renews(client Client, token string, key *jose.Signer) call {
	c := s.asks(client, renewal(token))
	c.sign = s.prove(key, http.MethodPost, c.url, "")
	return c
}

// refreshable is a refresh token with which its holder has been served, and the key it is bound to.
func (s *stage) refreshable() (string, *jose.Signer, error) {
	key, err := newKey()
	if err != nil {
		return "", nil, err
	}
	verifier := keys.NewSecret().Reveal()
	fresh, err := s.authorize(s.Native, verifier, "openid offline_access", nil)
	if err != nil {
		return "", nil, err
	}
	c, err := s.redeem(s.Native, s.Native.RedirectURI, fresh, verifier)
	if err != nil {
		return "", nil, err
	}
	c.sign = s.prove(key, http.MethodPost, c.url, "")
	got, err := s.need(c)
	if err != nil {
		return "", nil, err
	}
	token := got.member("refresh_token")
	_, err = s.holder("gets a new access token with a proof by its key", s.renews(s.Native, token, key))
	return token, key, err
}
