package tokeninfo

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// checkBinding asks for everything the token is bound to: the certificate of this connection (RFC 8705 §3), a proof
// of the key in the scheme DPoP (RFC 9449 §7.1). A bearer token in the scheme DPoP is refused as well.
func (e *Endpoints) checkBinding(ctx context.Context, p *presented, c *tokens.Claims) error {
	var bound oauth.Confirmation
	if c.Confirmation != nil {
		bound = *c.Confirmation
	}
	if bound.X5T != "" && (p.peer.Certificate == nil || !same(ca.Thumbprint(p.peer.Certificate), bound.X5T)) {
		return oauth.Refuse(oauth.InvalidToken, "the token is bound to another certificate")
	}
	switch {
	case bound.JKT == "" && !p.dpop:
		return nil
	case bound.JKT == "":
		return oauth.Refuse(oauth.InvalidToken, "the token is not bound to a DPoP key")
	case !p.dpop:
		return oauth.Refuse(oauth.InvalidToken, "the token is bound to a DPoP key: use the scheme DPoP")
	}
	proof, err := e.checkProof(p)
	if err != nil {
		return err
	}
	if !same(proof.Thumbprint, bound.JKT) {
		return oauth.Refuse(oauth.InvalidToken, "the token is bound to another DPoP key")
	}
	key, until := proof.Replay()
	err = e.DB.Spend(ctx, store.Spend{Kind: "dpop", Key: key, Until: until})
	if errors.Is(err, store.ErrTaken) {
		return badProof("the DPoP proof was used before")
	}
	if err != nil {
		return fmt.Errorf("spend proof: %w", err)
	}
	return nil
}

// checkProof checks the one proof of the request (RFC 9449 §4.3, §9).
func (e *Endpoints) checkProof(p *presented) (*dpop.Proof, error) {
	if len(p.proofs) != 1 {
		return nil, badProof("one DPoP header is needed")
	}
	proof, err := dpop.Check(p.proofs[0], dpop.Expect{
		Method: p.method, URL: p.url, Now: e.Now(), AccessToken: p.token, Nonces: e.Nonces,
	})
	switch {
	case errors.Is(err, dpop.ErrNonce):
		return nil, oauth.Refuse(oauth.UseDPoPNonce, "use the nonce of the DPoP-Nonce header").
			WithStatus(http.StatusUnauthorized).With(err)
	case err != nil:
		return nil, badProof("the DPoP proof is not valid for this request").With(err)
	}
	return proof, nil
}

func badProof(detail string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidDPoPProof, detail).WithStatus(http.StatusUnauthorized)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
