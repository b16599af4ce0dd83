package grant

import (
	"errors"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/oauth"
)

// checkProof checks the DPoP proof of the request, where there is one (RFC 9449 §4.3, §5, §8). A proof without a
// fresh nonce is answered with one; the client then repeats the request.
func (e *Endpoints) checkProof(a *attempt) error {
	switch len(a.proofs) {
	case 0:
		return nil
	case 1:
	default:
		return oauth.Refuse(oauth.InvalidDPoPProof, "more than one DPoP header")
	}
	proof, err := dpop.Check(a.proofs[0], dpop.Expect{Method: "POST", URL: e.url(a.event.Peer.Host), Now: a.now, Nonces: e.Nonces})
	switch {
	case errors.Is(err, dpop.ErrNonce):
		return oauth.Refuse(oauth.UseDPoPNonce, "use the nonce of the DPoP-Nonce header").With(err)
	case err != nil:
		return oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof is not valid for this request").With(err)
	}
	a.proof = proof
	return nil
}

// bind decides, for every grant alike, what the tokens of this answer are bound to. A proof always binds. A
// certificate binds where the client says so, and where the client authenticated with it and shows no proof. What is
// bound to nothing is refused, unless both the client and the API are explicitly allowed bearer tokens.
func (a *attempt) bind() error {
	c := a.client
	if a.proof != nil {
		a.binding.JKT = a.proof.Thumbprint
	} else if c.DPoPBoundTokens {
		return oauth.Refuse(oauth.InvalidRequest, "this client must send a DPoP proof")
	}
	if c.CertificateBoundTokens || usesTLS(a.authn.Method) && a.proof == nil {
		if a.event.Peer.Certificate == nil {
			return oauth.Refuse(oauth.InvalidRequest, "this client must use its certificate")
		}
		a.binding.X5T = ca.Thumbprint(a.event.Peer.Certificate)
	}
	if a.bearer() && !c.AllowBearerTokens {
		return oauth.Refuse(oauth.InvalidRequest, "the tokens of this client must be bound: send a DPoP proof or use a certificate")
	}
	return nil
}

func (a *attempt) bearer() bool { return a.binding.IsZero() }

func usesTLS(method string) bool {
	return method == oauth.AuthTLSClient || method == oauth.AuthSelfSignedTLS
}
