package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// push is the pushed authorization request endpoint (RFC 9126 §2): the client authenticates, and the request is
// checked as the authorization endpoint would.
func (e *Endpoints) push(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	credentials, err := clients.Parse(r, form)
	if err != nil {
		return err
	}
	client, authn, err := e.Clients.Authenticate(r.Context(), credentials)
	if err != nil {
		return err
	}
	proof, err := e.proof(w, r)
	if err != nil {
		return e.spendAndRefuse(r.Context(), authn.Spends, err)
	}
	spends := used{assertion: authn.Spends}
	if proof != nil {
		key, until := proof.Replay()
		spends.proof = []store.Spend{{Kind: "dpop", Key: key, Until: until}}
	}
	a, err := e.checkPushed(r.Context(), client, form, proof)
	if err != nil {
		return e.spendAndRefuse(r.Context(), slices.Concat(spends.assertion, spends.proof), err)
	}
	handle, err := e.keep(r.Context(), a, spends)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusCreated, oauth.PushedResponse{
		RequestURI: oauth.RequestURIPrefix + handle, ExpiresIn: int64(e.PushedLifetime / time.Second),
	})
}

// checkPushed applies the rules of the authorization endpoint, and those of pushing.
func (e *Endpoints) checkPushed(ctx context.Context, client *objects.Client, form url.Values, proof *dpop.Proof) (*request.Authorization, error) {
	if form.Has("request_uri") {
		return nil, oauth.Refuse(oauth.InvalidRequest, "request_uri cannot be pushed (RFC 9126 §2.1)")
	}
	a, _, err := e.Checker.Check(ctx, client, form)
	if err != nil {
		return nil, err
	}
	return a, bindToProof(a, proof)
}

// used is what a request uses up.
type used struct{ assertion, proof []store.Spend }

// spend spends all of it. A refusal stands for something that was used before; an error is internal.
func (u used) spend(tx *store.Tx) (refusal *oauth.Error, err error) {
	errAssertion := tx.Spend(u.assertion...)
	if errAssertion != nil && !errors.Is(errAssertion, store.ErrTaken) {
		return nil, errAssertion
	}
	errProof := tx.Spend(u.proof...)
	switch {
	case errProof != nil && !errors.Is(errProof, store.ErrTaken):
		return nil, errProof
	case errAssertion != nil:
		return oauth.Refuse(oauth.InvalidClient, "client authentication failed").With(errAssertion), nil
	case errProof != nil:
		return oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof was used before").With(errProof), nil
	}
	return nil, nil
}

// keep is the one write of a pushed request.
func (e *Endpoints) keep(ctx context.Context, a *request.Authorization, spends used) (handle string, err error) {
	params, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("marshal request: %w", err)
	}
	secret := keys.NewSecret()
	id := store.NewID()
	var replayed *oauth.Error
	err = e.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if replayed, err = spends.spend(tx); replayed != nil || err != nil {
			return err // with a refusal what was spent stays spent
		}
		return tx.AddPushedRequest(store.PushedRequest{
			ID: id, SecretHash: e.Ring.Hash(secret.Reveal()), ClientID: a.ClientID, Params: params,
			OpenUntil: tx.Now.Add(e.PushedLifetime), PurgeAt: tx.Now.Add(e.PushedLifetime + flow.Lifetime),
		})
	})
	if err != nil {
		return "", fmt.Errorf("add pushed request: %w", err)
	}
	if replayed != nil {
		return "", replayed
	}
	return keys.Handle(id, secret), nil
}

// spendAndRefuse makes sure that what came with a bad request is used up all the same.
func (e *Endpoints) spendAndRefuse(ctx context.Context, spends []store.Spend, refusal error) error {
	if err := e.DB.Spend(ctx, spends...); err != nil && !errors.Is(err, store.ErrTaken) {
		return fmt.Errorf("spend: %w", err)
	}
	return refusal
}

// proof checks a DPoP proof if there is one; every answer to one carries a fresh nonce (RFC 9449 §8.2, §10.1).
func (e *Endpoints) proof(w http.ResponseWriter, r *http.Request) (*dpop.Proof, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) == 0 {
		return nil, nil
	}
	now := e.Now()
	w.Header().Set("DPoP-Nonce", e.Nonces.Current(now))
	if len(headers) > 1 {
		return nil, oauth.Refuse(oauth.InvalidDPoPProof, "more than one DPoP header")
	}
	p, err := dpop.Check(headers[0], dpop.Expect{Method: http.MethodPost, URL: e.url(r.Host), Now: now, Nonces: e.Nonces})
	switch {
	case errors.Is(err, dpop.ErrNonce):
		return nil, oauth.Refuse(oauth.UseDPoPNonce, "use the nonce of the DPoP-Nonce header").With(err)
	case err != nil:
		return nil, oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof is not valid for this request").With(err)
	}
	return p, nil
}

// bindToProof makes the key of a proof that of the request (RFC 9449 §10.1).
func bindToProof(a *request.Authorization, p *dpop.Proof) error {
	if p == nil {
		return nil
	}
	if a.DPoPJKT != "" && a.DPoPJKT != p.Thumbprint {
		return oauth.Refuse(oauth.InvalidDPoPProof, "dpop_jkt is not the key of the DPoP proof")
	}
	a.DPoPJKT = p.Thumbprint
	return nil
}

// url is the endpoint as the client addressed it: on the mutual-TLS host or the plain one. Both come from the
// configuration, never from the request.
func (e *Endpoints) url(host string) string {
	if e.MTLSIssuer != "" {
		if u, err := url.Parse(e.MTLSIssuer); err == nil && u.Host == host {
			return e.MTLSIssuer + "/par"
		}
	}
	return e.Issuer + "/par"
}
