package grant

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// badCode is the one answer to everything that is wrong with a code, so that trying tells nothing.
func badCode(reason string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidGrant, "the code is not valid for this request").With(errors.New(reason))
}

// codeChecks are the rules for a code that was found, in order. All of them come before anything is written: a
// refused attempt leaves the code as it was, so that a thief without the verifier, the key or the client's
// credential cannot even use it up (RFC 9700 §4.5.3.1 asks no more; 256 bits of verifier are not guessed in 60 s).
var codeChecks = []func(*attempt, *store.Code) error{
	checkCodeTime,
	checkRedirect,
	checkVerifier,
	checkCodeKey,
}

// redeemCode exchanges an authorization code (RFC 6749 §4.1.3): it spends the code and starts the grant.
func (e *Endpoints) redeemCode(tx *store.Tx, a *attempt) (*issue, error) {
	code, err := e.loadCode(tx, a.code)
	if err != nil {
		return nil, err
	}
	if code.Auth.ClientID != a.client.ID {
		return nil, a.refused(tx, "code.refused", code.GrantID, badCode("code of another client"))
	}
	if !code.SpentAt.IsZero() {
		return nil, e.replayed(tx, a, code)
	}
	for _, check := range codeChecks {
		if err := check(a, code); err != nil {
			return nil, err
		}
	}
	return e.startGrant(tx, a, code)
}

func (e *Endpoints) loadCode(tx *store.Tx, handle string) (*store.Code, error) {
	id, secret, ok := keys.SplitHandle(handle)
	if !ok {
		return nil, badCode("malformed code")
	}
	code, err := tx.Code(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, badCode("unknown code")
	}
	if err != nil {
		return nil, fmt.Errorf("load code: %w", err)
	}
	if !e.Tokens.Ring.Matches(code.SecretHash, secret) {
		return nil, badCode("wrong secret")
	}
	return &code, nil
}

// replayed revokes what the first use of the code has produced (RFC 6749 §4.1.2, RFC 9700 §4.5).
func (e *Endpoints) replayed(tx *store.Tx, a *attempt, code *store.Code) error {
	g, err := tx.Grant(code.GrantID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load grant: %w", err)
	}
	if err == nil {
		if err := tokens.RevokeGrant(tx, &g); err != nil {
			return err
		}
	}
	return a.refused(tx, "grant.revoked", code.GrantID, badCode("code used twice"))
}

func checkCodeTime(a *attempt, code *store.Code) error {
	if !a.now.Before(code.ExpiresAt) {
		return badCode("code expired")
	}
	return nil
}

// checkRedirect compares the redirect URI with that of the authorization request. It may be left out only where a
// verifier proves the same and more (OAuth 2.1 §10.2).
func checkRedirect(a *attempt, code *store.Code) error {
	if a.redirectURI == code.Auth.RedirectURI || a.redirectURI == "" && code.Auth.CodeChallenge != "" {
		return nil
	}
	return badCode("redirect_uri differs")
}

// checkVerifier is RFC 7636 §4.6 with the method S256. A verifier for a code that has no challenge is refused as
// well: somebody has taken the challenge out of the request (RFC 9700 §2.1.1, §4.8.2).
func checkVerifier(a *attempt, code *store.Code) error {
	if code.Auth.CodeChallenge == "" && a.verifier == "" {
		return nil
	}
	if !wellFormedVerifier(a.verifier) {
		return badCode("verifier missing or malformed")
	}
	sum := sha256.Sum256([]byte(a.verifier))
	got := base64.RawURLEncoding.EncodeToString(sum[:])
	if subtle.ConstantTimeCompare([]byte(got), []byte(code.Auth.CodeChallenge)) != 1 {
		return badCode("verifier does not fit the challenge")
	}
	return nil
}

// wellFormedVerifier is the grammar of RFC 7636 §4.1: 43 to 128 unreserved characters.
func wellFormedVerifier(v string) bool {
	if len(v) < 43 || len(v) > 128 {
		return false
	}
	for i := range len(v) {
		c := v[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}

// checkCodeKey is RFC 9449 §10: a code asked for with dpop_jkt is redeemed with that key only.
func checkCodeKey(a *attempt, code *store.Code) error {
	if want := code.Auth.DPoPJKT; want != "" && a.binding.JKT != want {
		return badCode("DPoP key is not that of the authorization request")
	}
	return nil
}

// checkConsent asks whether the person has taken back, since the code was issued, what they had allowed the client.
func checkConsent(tx *store.Tx, code *store.Code) error {
	c, err := tx.Consent(code.Auth.AccountID, code.Auth.ClientID)
	switch {
	case errors.Is(err, store.ErrNotFound): // a client that needs none
		return nil
	case err != nil:
		return fmt.Errorf("load consent: %w", err)
	case !c.RevokedAt.IsZero() && !c.RevokedAt.Before(code.IssuedAt):
		return badCode("consent taken back")
	}
	return nil
}

// startGrant is the write of a code that may be redeemed. The spend is conditional and comes first: of several
// contenders one goes on, the others are replays.
func (e *Endpoints) startGrant(tx *store.Tx, a *attempt, code *store.Code) (*issue, error) {
	t, err := a.aim(&code.Auth, code.Auth.Scope)
	if err != nil {
		return nil, err
	}
	g := store.Grant{
		ID: code.GrantID, Auth: code.Auth, JKT: a.binding.JKT, X5T: a.binding.X5T, Bearer: a.bearer(), CreatedAt: tx.Now,
	}
	p, err := e.loadPerson(tx, a, &g)
	if err != nil {
		return nil, err
	}
	if err := checkConsent(tx, code); err != nil {
		return nil, err
	}
	err = tx.SpendCode(code.GrantID)
	if errors.Is(err, store.ErrTaken) {
		return nil, e.replayed(tx, a, code)
	}
	if err != nil {
		return nil, fmt.Errorf("spend code: %w", err)
	}
	// A refresh token goes to every client that is registered for it, offline_access or not: what ends it differs.
	refreshable := a.client.AllowsGrant(oauth.GrantRefreshToken)
	g.ExpiresAt = tx.Now.Add(e.Tokens.GrantLifetime(t.api, refreshable))
	if err := tx.AddGrant(g); err != nil {
		return nil, fmt.Errorf("add grant: %w", err)
	}
	i := e.issueFor(a, &g, t, p)
	if i.id != nil {
		i.id.Nonce = code.Auth.Nonce
	}
	if refreshable {
		if i.refresh, err = e.Tokens.AddRefresh(tx, &g); err != nil {
			return nil, err
		}
	}
	return i, e.keep(tx, a, i, "grant.started")
}
