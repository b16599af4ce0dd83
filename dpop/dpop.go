// Package dpop makes and checks DPoP proofs (RFC 9449): short tokens by which the holder of a key shows, for one
// request, that it holds it.
//
// Check applies every rule of §4.3 but one: whether a proof was seen before is a matter of memory, so the caller
// remembers Proof.Replay. The package has no clock and no state; nonces (§8) are recomputed, not stored.
package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// Bounds of §4.3 and §11.1.
const (
	Ahead     = 10 * time.Second // how far iat may be in the future
	Age       = 60 * time.Second // how old a proof may be
	maxProof  = 8 << 10          // bytes
	maxID     = 256              // bytes of jti
	proofType = "dpop+jwt"
)

// Algorithms are the ones a proof may be signed with.
var Algorithms = []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256}

// ErrInvalid is what every refusal of a proof satisfies; the text names the rule. On the wire it is
// invalid_dpop_proof (§5, §7.1).
var ErrInvalid = errors.New("dpop: invalid proof")

// ErrNonce says that the proof has no nonce, or one that is not accepted any more: use_dpop_nonce (§8).
var ErrNonce = errors.New("dpop: a fresh nonce is required")

// Proof is a proof that Check accepted.
type Proof struct {
	ID              string // jti
	Method          string // htm
	URL             string // htu
	AccessTokenHash string // ath
	Nonce           string
	IssuedAt        time.Time
	Key             jose.Key // public
	Thumbprint      string   // RFC 7638 SHA-256 of Key, the jkt that tokens are bound to
}

// Expect says what a proof has to match.
type Expect struct {
	Method      string // of the request
	URL         string // of the request, as the client knows it; query and fragment do not count
	Now         time.Time
	AccessToken string  // with a protected resource: ath must be its hash. "" at the authorization server
	Thumbprint  string  // if not "", the only key accepted
	Nonces      *Nonces // if not nil, a nonce of these is required
}

// claims are those of §4.2.
type claims struct {
	ID       string           `json:"jti"`
	Method   string           `json:"htm"`
	URL      string           `json:"htu"`
	IssuedAt jose.NumericDate `json:"iat"`
	ATH      string           `json:"ath,omitempty"`
	Nonce    string           `json:"nonce,omitempty"`
}

// Check verifies the value of the one DPoP header of a request (§4.3).
func Check(header string, e Expect) (*Proof, error) {
	if header == "" || len(header) > maxProof {
		return nil, invalid("the header is empty or too long")
	}
	token, err := jose.VerifyEmbedded(header, Algorithms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if token.Type != proofType {
		return nil, invalid("typ is not dpop+jwt")
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return nil, fmt.Errorf("%w: claims: %w", ErrInvalid, err)
	}
	p := &Proof{
		ID: c.ID, Method: c.Method, URL: c.URL, AccessTokenHash: c.ATH, Nonce: c.Nonce,
		IssuedAt: c.IssuedAt.Time, Key: *token.JWK, Thumbprint: token.JWK.Thumbprint(),
	}
	for _, check := range []func(*Proof, Expect) error{
		checkID, checkMethod, checkURL, checkNonce, checkTime, checkAccessToken, checkKey,
	} {
		if err := check(p, e); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Replay gives what to remember so that a proof works once (§11.1): the key of the memory, and until when.
func (p *Proof) Replay() (key string, until time.Time) {
	return p.Thumbprint + " " + p.ID, p.IssuedAt.Add(Age + Ahead)
}

func checkID(p *Proof, _ Expect) error {
	if p.ID == "" || len(p.ID) > maxID {
		return invalid("jti is missing or too long")
	}
	return nil
}

func checkMethod(p *Proof, e Expect) error {
	if p.Method != e.Method { // methods are case-sensitive, RFC 9110 §9.1
		return invalid("htm is not the method of this request")
	}
	return nil
}

func checkURL(p *Proof, e Expect) error {
	got, ok := normalise(p.URL)
	want, known := normalise(e.URL)
	if !ok || !known || got != want {
		return invalid("htu is not the URL of this request")
	}
	return nil
}

// checkNonce comes before the time, so that a client with a wrong clock learns of the nonce first.
func checkNonce(p *Proof, e Expect) error {
	if e.Nonces != nil && !e.Nonces.Valid(p.Nonce, e.Now) {
		return ErrNonce
	}
	return nil
}

func checkTime(p *Proof, e Expect) error {
	switch {
	case p.IssuedAt.IsZero():
		return invalid("iat is missing")
	case p.IssuedAt.After(e.Now.Add(Ahead)):
		return invalid("iat is in the future")
	case p.IssuedAt.Before(e.Now.Add(-Age)):
		return invalid("iat is too long ago")
	}
	return nil
}

func checkAccessToken(p *Proof, e Expect) error {
	if e.AccessToken == "" {
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(p.AccessTokenHash), []byte(hash(e.AccessToken))) != 1 {
		return invalid("ath is not the hash of the access token")
	}
	return nil
}

func checkKey(p *Proof, e Expect) error {
	if e.Thumbprint != "" && subtle.ConstantTimeCompare([]byte(p.Thumbprint), []byte(e.Thumbprint)) != 1 {
		return invalid("the key is not the one the token is bound to")
	}
	return nil
}

func invalid(rule string) error { return fmt.Errorf("%w: %s", ErrInvalid, rule) }

func hash(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
