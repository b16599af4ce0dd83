package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Token is an access token whose signature, issuer, audience and times were good. Whoever shows it still has to be the one
// it is bound to: see CheckBinding. It is not changed after it was made and may be cached until ExpiresAt.
type Token struct {
	Issuer    string
	Subject   string // the user; the client itself where there is none
	ClientID  string
	ID        string // jti
	Audience  []string
	Scopes    []string
	IssuedAt  time.Time
	NotBefore time.Time // zero where the token does not say
	ExpiresAt time.Time
	AuthTime  time.Time // when the user last signed in; zero where the token does not say
	ACR       string
	AMR       []string
	SessionID string // sid
	GrantID   string // grant_id, a claim of Holdfast: what was revoked ends all tokens of the grant
	Actor     *Actor // who acts for the subject (RFC 8693 §4.1); nil where the subject acts alone

	Confirmation oauth.Confirmation // what the token is bound to

	payload json.RawMessage
}

// Actor is one link of the claim act. Only the outermost acts; those inside tell how the token came about and decide
// nothing (RFC 8693 §4.1).
type Actor struct {
	Subject  string `json:"sub"`
	Issuer   string `json:"iss"`
	ClientID string `json:"client_id"`
	Actor    *Actor `json:"act"`
}

// HasScope says whether the token has every one of these scopes.
func (t *Token) HasScope(scopes ...string) bool {
	return !slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(t.Scopes, s) })
}

func (t *Token) claims() json.RawMessage { return t.payload }

// ErrClaim says that a claim is missing or not of the type asked for.
var ErrClaim = errors.New("resource: no such claim of this type")

// Claims is what Claim reads from: a *Token or a *Principal.
type Claims interface{ claims() json.RawMessage }

// Claim reads any claim of the token as a T, strictly. Every error is an ErrClaim.
func Claim[T any](from Claims, name string) (T, error) {
	var all map[string]json.RawMessage
	var value *T
	if err := jose.Unmarshal(from.claims(), &all); err != nil {
		return *new(T), fmt.Errorf("%w: %w", ErrClaim, err)
	}
	raw, ok := all[name]
	if !ok {
		return *new(T), ErrClaim
	}
	if err := jose.Unmarshal(raw, &value); err != nil || value == nil {
		return *new(T), ErrClaim
	}
	return *value, nil
}

// wire has the claims of RFC 9068 §2.2 and those that tokens are bound and delegated with.
type wire struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	ClientID  string           `json:"client_id"`
	ID        string           `json:"jti"`
	Audience  jose.Audience    `json:"aud"`
	Scope     string           `json:"scope"`
	IssuedAt  jose.NumericDate `json:"iat"`
	NotBefore jose.NumericDate `json:"nbf"`
	ExpiresAt jose.NumericDate `json:"exp"`
	AuthTime  jose.NumericDate `json:"auth_time"`
	ACR       string           `json:"acr"`
	AMR       []string         `json:"amr"`
	SessionID string           `json:"sid"`
	GrantID   string           `json:"grant_id"`
	Actor     *Actor           `json:"act"`
	Confirm   confirmation     `json:"cnf"`
}

// VerifyToken checks everything that does not depend on the request (RFC 9068 §4). What it returns may be kept and shown
// to CheckBinding again, which looks at the times anew. Every error is a *Challenge or an ErrUnavailable.
func (v *Verifier) VerifyToken(ctx context.Context, token string) (*Token, error) {
	if len(token) > maxToken {
		return nil, v.refuse(oauth.InvalidToken, "the access token is too long", nil)
	}
	t, err := v.verifyToken(ctx, token)
	if err != nil && !errors.Is(err, ErrUnavailable) {
		return nil, v.refuse(oauth.InvalidToken, "the access token is not valid", err)
	}
	return t, err
}

// verifyToken reads the token once and leaves the signature to the end: what can be refused without costs neither a
// verification nor, where the key is unknown, a question to the issuer.
func (v *Verifier) verifyToken(ctx context.Context, token string) (*Token, error) {
	seen, err := jose.Peek(token)
	if err != nil {
		return nil, err
	}
	if seen.Type != "at+jwt" { // RFC 9068 §2.1
		return nil, errors.New("typ is not at+jwt")
	}
	if !slices.Contains(v.config.Algorithms, seen.Alg) {
		return nil, jose.ErrAlgorithm
	}
	t, err := parseToken(seen)
	if err != nil {
		return nil, err
	}
	if err := v.checkToken(t); err != nil {
		return nil, err
	}
	keys, err := v.keys[t.Issuer].find(ctx, seen.KeyID, seen.Alg)
	if err != nil {
		return nil, err
	}
	if _, err := jose.Verify(token, v.config.Algorithms, keys...); err != nil {
		return nil, err
	}
	return t, nil
}

// parseToken reads the claims of a token; those that RFC 9068 §2.2 requires must be there.
func parseToken(seen *jose.Token) (*Token, error) {
	var w wire
	if err := seen.Claims(&w); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"iss", w.Issuer == ""}, {"exp", w.ExpiresAt.IsZero()}, {"aud", len(w.Audience) == 0}, {"sub", w.Subject == ""},
		{"client_id", w.ClientID == ""}, {"iat", w.IssuedAt.IsZero()}, {"jti", w.ID == ""},
	} {
		if required.missing {
			return nil, fmt.Errorf("claim %s is missing", required.name)
		}
	}
	return &Token{
		Issuer: w.Issuer, Subject: w.Subject, ClientID: w.ClientID, ID: w.ID, Audience: w.Audience,
		Scopes: strings.Fields(w.Scope), IssuedAt: w.IssuedAt.Time, NotBefore: w.NotBefore.Time,
		ExpiresAt: w.ExpiresAt.Time, AuthTime: w.AuthTime.Time, ACR: w.ACR, AMR: w.AMR,
		SessionID: w.SessionID, GrantID: w.GrantID, Actor: w.Actor, Confirmation: oauth.Confirmation(w.Confirm),
		payload: seen.Payload,
	}, nil
}

func (v *Verifier) checkToken(t *Token) error {
	if _, ok := v.keys[t.Issuer]; !ok {
		return errors.New("iss is not an issuer of this API")
	}
	if !slices.Contains(t.Audience, v.config.Audience) {
		return errors.New("aud does not name this API")
	}
	return v.checkTimes(t)
}

func (v *Verifier) checkTimes(t *Token) error {
	now, leeway := v.config.Now(), v.config.Leeway
	switch {
	case !now.Before(t.ExpiresAt.Add(leeway)):
		return errors.New("exp has passed")
	case now.Add(leeway).Before(t.NotBefore):
		return errors.New("nbf has not come")
	case now.Add(leeway).Before(t.IssuedAt):
		return errors.New("iat is in the future")
	}
	return nil
}

// confirmation is the claim cnf, of which every member has to be one that CheckBinding can satisfy.
type confirmation oauth.Confirmation

// UnmarshalJSON refuses members it does not know, for each is a condition of the issuer (RFC 7800 §3.1).
func (c *confirmation) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := jose.Unmarshal(data, &members); err != nil {
		return err
	}
	if len(members) == 0 {
		return errors.New("cnf binds to nothing")
	}
	for name, raw := range members {
		var digest string
		if err := jose.Unmarshal(raw, &digest); err != nil || len(digest) != 43 { // base64url of a SHA-256
			return errors.New("a member of cnf is not a SHA-256 digest")
		}
		switch name {
		case "x5t#S256":
			c.X5T = digest
		case "jkt":
			c.JKT = digest
		default:
			return errors.New("cnf names a method that is not known here")
		}
	}
	return nil
}
