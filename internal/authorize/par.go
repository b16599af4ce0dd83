package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
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
	if form.Has("request_uri") {
		return oauth.Refuse(oauth.InvalidRequest, "request_uri cannot be pushed (RFC 9126 §2.1)")
	}
	proof, err := e.proof(w, r)
	if err != nil {
		return e.spendAndRefuse(r.Context(), authn, err)
	}
	if err := bindToProof(form, proof); err != nil {
		return e.spendAndRefuse(r.Context(), authn, err)
	}
	a, _, err := e.Checker.Check(client, form)
	if err != nil {
		return e.spendAndRefuse(r.Context(), authn, err)
	}
	spends := authn.Spends
	if proof != nil {
		key, until := proof.Replay()
		spends = append(spends, store.Spend{Kind: "dpop", Key: key, Until: until})
	}
	handle, err := e.keep(r.Context(), a, spends)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusCreated, oauth.PushedResponse{
		RequestURI: oauth.RequestURIPrefix + handle, ExpiresIn: int64(e.PushedLifetime / time.Second),
	})
}

// keep is the one write of a pushed request.
func (e *Endpoints) keep(ctx context.Context, a *request.Authorization, spends []store.Spend) (handle string, err error) {
	params, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("marshal request: %w", err)
	}
	secret := keys.NewSecret()
	id := store.NewID()
	var replayed bool
	err = e.DB.Write(ctx, func(tx *store.Tx) error {
		err := tx.Spend(spends...)
		if replayed = errors.Is(err, store.ErrTaken); replayed {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.AddPushedRequest(store.PushedRequest{
			ID: id, SecretHash: e.Ring.Hash(secret.Reveal()), ClientID: a.ClientID, Params: params,
			OpenUntil: tx.Now.Add(e.PushedLifetime), PurgeAt: tx.Now.Add(e.PushedLifetime + flow.Lifetime),
		})
	})
	if err != nil {
		return "", fmt.Errorf("add pushed request: %w", err)
	}
	if replayed {
		return "", errReplayed
	}
	return keys.Handle(id, secret), nil
}

// errReplayed is the refusal of an assertion or a proof that was used before.
var errReplayed = oauth.Refuse(oauth.InvalidClient, "the assertion or the DPoP proof was used before")

// spendAndRefuse makes sure that an assertion that came with a bad request is used up all the same.
func (e *Endpoints) spendAndRefuse(ctx context.Context, authn clients.Authn, refusal error) error {
	if err := e.DB.Spend(ctx, authn.Spends...); err != nil && !errors.Is(err, store.ErrTaken) {
		return fmt.Errorf("spend assertion: %w", err)
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
func bindToProof(form url.Values, p *dpop.Proof) error {
	if p == nil {
		return nil
	}
	if jkt := form.Get("dpop_jkt"); jkt != "" && jkt != p.Thumbprint {
		return oauth.Refuse(oauth.InvalidDPoPProof, "dpop_jkt is not the key of the DPoP proof")
	}
	form.Set("dpop_jkt", p.Thumbprint)
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
