package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// credentials are what a request shows of its caller.
type credentials struct {
	scheme, token string
	proofs        []string // DPoP headers
	url           string   // of the request, as the caller knows it
	method        string
	peer          web.Peer
}

// authenticate finds out who calls by the token in the Authorization header (RFC 6750 §2.1, RFC 9449 §7.1).
func (e *Endpoints) authenticate(r *http.Request) (audit.Actor, []store.Spend, error) {
	c, err := e.credentials(r)
	if err != nil {
		return audit.Actor{}, nil, err
	}
	event := web.EventOf(r.Context())
	actor := audit.Actor{Kind: audit.ActorAdmin, RequestID: event.RequestID, Prefix: event.Peer.Prefix}
	if c.scheme == "bearer" && e.DevToken != "" && keys.Equal(c.token, e.DevToken.Reveal()) {
		actor.ID, actor.All = "admin.token_file", true
		return actor, nil, nil
	}
	t, err := e.Inspect(r.Context(), c.token)
	if err != nil {
		return audit.Actor{}, nil, challenged(err)
	}
	event.SetClient(t.ClientID)
	event.SetSubject(t.Subject)
	spends, err := e.checkToken(c, t)
	if err != nil {
		return audit.Actor{}, nil, challenged(err)
	}
	actor.ID, actor.Client, actor.Scopes = t.Subject, t.ClientID, t.Scope
	return actor, spends, nil
}

// credentials reads them; no more than one of each.
func (e *Endpoints) credentials(r *http.Request) (*credentials, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return nil, challenged(oauth.Refuse(oauth.InvalidToken, "one Authorization header with an access token is needed"))
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	scheme = strings.ToLower(scheme)
	if !ok || token == "" || scheme != "dpop" && scheme != "bearer" {
		return nil, challenged(oauth.Refuse(oauth.InvalidToken, "the Authorization header needs the scheme DPoP or Bearer and a token"))
	}
	u, err := url.Parse(e.AdminURL)
	if err != nil {
		return nil, err
	}
	return &credentials{
		scheme: scheme, token: token, proofs: r.Header.Values("DPoP"), method: r.Method,
		url: u.Scheme + "://" + u.Host + r.URL.EscapedPath(), peer: web.EventOf(r.Context()).Peer,
	}, nil
}

// checkToken asks that the token is for this API and bound, and that the caller holds what it is bound to.
func (e *Endpoints) checkToken(c *credentials, t *Token) ([]store.Spend, error) {
	if !slices.Contains(t.Audience, e.AdminURL) {
		return nil, oauth.Refuse(oauth.InvalidToken, "the token is for another audience")
	}
	if t.Bound.IsZero() {
		return nil, oauth.Refuse(oauth.InvalidToken, "the token is bound to nothing; administration takes bound tokens only")
	}
	if err := e.checkCertificate(c, t); err != nil {
		return nil, err
	}
	return e.checkProof(c, t)
}

// checkCertificate is RFC 8705 §3. That the certificate was not revoked since is for Inspect, which knows.
func (e *Endpoints) checkCertificate(c *credentials, t *Token) error {
	switch {
	case t.Bound.X5T == "":
		return nil
	case c.peer.Certificate == nil:
		return oauth.Refuse(oauth.InvalidToken, "the token is bound to a certificate, which was not shown")
	case !keys.Equal(ca.Thumbprint(c.peer.Certificate), t.Bound.X5T):
		return oauth.Refuse(oauth.InvalidToken, "the token is bound to another certificate")
	case e.Now().After(c.peer.Certificate.NotAfter):
		return oauth.Refuse(oauth.InvalidToken, "the certificate has expired")
	}
	return nil
}

// checkProof is RFC 9449 §7.
func (e *Endpoints) checkProof(c *credentials, t *Token) ([]store.Spend, error) {
	switch {
	case t.Bound.JKT == "" && c.scheme == "dpop":
		return nil, oauth.Refuse(oauth.InvalidToken, "the token is not bound to a DPoP key")
	case t.Bound.JKT == "":
		return nil, nil
	case c.scheme != "dpop":
		return nil, oauth.Refuse(oauth.InvalidToken, "the token is bound to a DPoP key; use the scheme DPoP with a proof")
	case len(c.proofs) != 1:
		return nil, oauth.Refuse(oauth.InvalidDPoPProof, "one DPoP header is needed")
	}
	now := e.Now()
	proof, err := dpop.Check(c.proofs[0], dpop.Expect{
		Method: c.method, URL: c.url, Now: now, AccessToken: c.token, Thumbprint: t.Bound.JKT, Nonces: e.Nonces,
	})
	switch {
	case errors.Is(err, dpop.ErrNonce):
		return nil, oauth.Refuse(oauth.UseDPoPNonce, "use the nonce of the DPoP-Nonce header").With(err).WithHeader("DPoP-Nonce", e.Nonces.Current(now))
	case err != nil:
		return nil, oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof is not valid for this request").With(err)
	}
	key, until := proof.Replay()
	return []store.Spend{{Kind: "dpop", Key: key, Until: until}}, nil
}

// challenged makes a refusal of credentials a 401 with its challenge (RFC 9449 §7.1). Faults stay faults.
func challenged(err error) error {
	refusal, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		return err
	}
	algs := make([]string, len(dpop.Algorithms))
	for i, a := range dpop.Algorithms {
		algs[i] = string(a)
	}
	return refusal.WithStatus(http.StatusUnauthorized).
		WithHeader("WWW-Authenticate", `DPoP realm="admin", error="`+string(refusal.Code)+`", algs="`+strings.Join(algs, " ")+`"`)
}
