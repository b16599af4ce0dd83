package dpop

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/url"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// Make signs a proof for one request. nonce is the last one the server gave, if any; accessToken is the token that
// the request carries, "" at the authorization server. Query and fragment of the URL are left out (§4.2).
func Make(s *jose.Signer, method, rawURL, nonce, accessToken string, now time.Time) (string, error) {
	u, err := url.Parse(rawURL)
	if _, ok := normalise(rawURL); err != nil || !ok {
		return "", errors.New("dpop: the URL is not an absolute http or https one")
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", false, "", ""
	signer, err := s.WithEmbeddedKey()
	if err != nil {
		return "", err
	}
	id := make([]byte, 16)
	rand.Read(id) // never fails
	c := claims{
		ID: base64.RawURLEncoding.EncodeToString(id), Method: method, URL: u.String(),
		IssuedAt: jose.At(now), Nonce: nonce,
	}
	if accessToken != "" {
		c.ATH = hash(accessToken)
	}
	return signer.Sign(proofType, c)
}
