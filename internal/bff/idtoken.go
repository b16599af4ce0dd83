package bff

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
)

// expectation is what an ID token has to match.
type expectation struct {
	clientID string
	nonce    string // of the login
	maxAge   *int64 // seconds, where it was asked for
	required bool   // an answer without an ID token is refused
	before   *idClaims
}

// idClaims are the claims of OpenID Connect Core §2 that are checked or used.
type idClaims struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  jose.Audience    `json:"aud"`
	Party     string           `json:"azp"`
	ExpiresAt jose.NumericDate `json:"exp"`
	IssuedAt  jose.NumericDate `json:"iat"`
	AuthTime  jose.NumericDate `json:"auth_time"`
	Nonce     *string          `json:"nonce"`
	Hash      *string          `json:"at_hash"`
	SessionID string           `json:"sid"`
}

const (
	clockSkew  = 10 * time.Second
	maxSubject = 255 // bytes, Core §2
	maxSID     = 255
)

// check applies Core §3.1.3.7 to a token whose signature is that of the issuer, and Core §12.2 where there was one before.
func (e *expectation) check(t *jose.Token, issuer, access string, now time.Time) (*idClaims, error) {
	c := new(idClaims)
	if err := t.Claims(c); err != nil {
		return nil, err
	}
	if t.Type != "" && t.Type != "jwt" {
		return nil, errors.New("typ is that of another kind of token")
	}
	for _, check := range []func(*idClaims) error{
		func(c *idClaims) error { return c.checkParties(issuer, e.clientID) },
		func(c *idClaims) error { return c.checkTimes(now, e.maxAge) },
		e.checkNonce,
		func(c *idClaims) error { return c.checkHash(t.Alg, access) },
		e.checkSame,
	} {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Core §3.1.3.7 (2) to (5), Core §2.
func (c *idClaims) checkParties(issuer, clientID string) error {
	switch {
	case c.Issuer != issuer:
		return errors.New("iss is not the issuer")
	case !slices.Contains(c.Audience, clientID):
		return errors.New("aud is not the application")
	case len(c.Audience) > 1 && c.Party == "", c.Party != "" && c.Party != clientID:
		return errors.New("azp is not the application")
	case c.Subject == "" || len(c.Subject) > maxSubject:
		return errors.New("sub is missing or too long")
	case len(c.SessionID) > maxSID:
		return errors.New("sid is too long")
	}
	return nil
}

// Core §3.1.3.7 (9), (10), (13).
func (c *idClaims) checkTimes(now time.Time, maxAge *int64) error {
	switch {
	case !now.Before(c.ExpiresAt.Add(clockSkew)):
		return errors.New("exp is missing or past")
	case c.IssuedAt.IsZero() || c.IssuedAt.After(now.Add(clockSkew)):
		return errors.New("iat is missing or in the future")
	case maxAge != nil && (c.AuthTime.IsZero() || c.AuthTime.Before(now.Add(-time.Duration(*maxAge)*time.Second-clockSkew))):
		return errors.New("auth_time is missing, or longer ago than max_age")
	}
	return nil
}

// Core §3.1.3.7 (11). A refreshed one may leave it out (§12.2).
func (e *expectation) checkNonce(c *idClaims) error {
	if c.Nonce == nil && e.before != nil {
		return nil
	}
	if c.Nonce == nil || !keys.Equal(*c.Nonce, e.nonce) {
		return errors.New("nonce is not that of the login")
	}
	return nil
}

// Core §3.1.3.8: the left half of the hash of the access token, by the hash of the algorithm.
func (c *idClaims) checkHash(alg jose.Alg, access string) error {
	if c.Hash == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(access))
	half := sum[:16]
	if alg == jose.EdDSA {
		long := sha512.Sum512([]byte(access))
		half = long[:32]
	}
	if !keys.Equal(*c.Hash, base64.RawURLEncoding.EncodeToString(half)) {
		return errors.New("at_hash is not that of the access token")
	}
	return nil
}

// Core §12.2: a refresh makes nobody somebody else.
func (e *expectation) checkSame(c *idClaims) error {
	if e.before == nil {
		return nil
	}
	if c.Subject != e.before.Subject {
		return errors.New("sub is not that of the session")
	}
	if !c.AuthTime.IsZero() && !e.before.AuthTime.IsZero() && !c.AuthTime.Equal(e.before.AuthTime.Time) {
		return errors.New("auth_time is not that of the session")
	}
	return nil
}
