// Package tokeninfo answers what a token is and ends it: introspection (RFC 7662, and RFC 9701 for JWTs), revocation
// (RFC 7009) and userinfo (OpenID Connect Core §5.3).
//
// Whether a token is good is decided by internal/tokens; this room decides who may ask, checks at userinfo the binding
// of the token to the caller (RFC 8705 §3, RFC 9449 §7), and chooses what is told.
package tokeninfo

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Endpoints are the three endpoints of one issuer.
type Endpoints struct {
	Issuer     string // issuer identifier
	MTLSIssuer string // base URL of the mutual-TLS aliases (RFC 8705 §5); "" where there is no such listener
	DB         *store.DB
	Registry   *objects.Registry
	Clients    *clients.Authenticator
	Tokens     *tokens.Minter
	Nonces     *dpop.Nonces
	Now        func() time.Time
}

// Mount adds the endpoints; the path of the issuer, if any, is taken off before.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	mux.Handle("POST /introspect", web.Through(web.OAuthDoor, e.serveIntrospect))
	mux.Handle("POST /revoke", web.Through(web.OAuthDoor, e.serveRevoke))
	userinfo := web.Through(web.BearerDoor(proofAlgs()), e.serveUserinfo)
	mux.Handle("GET /userinfo", userinfo)
	mux.Handle("POST /userinfo", userinfo)
}

// question is what introspection and revocation are asked: about which token, and by whom. The hint at its type
// (RFC 7009 §2.1, RFC 7662 §2.1) is not needed.
type question struct {
	credentials clients.Credentials
	token       string
}

func parseQuestion(r *http.Request) (question, error) {
	form, err := web.Form(r)
	if err != nil {
		return question{}, err
	}
	credentials, err := clients.Parse(r, form)
	if err != nil {
		return question{}, err
	}
	q := question{credentials: credentials, token: form.Get("token")}
	if q.token == "" {
		return question{}, oauth.Refuse(oauth.InvalidRequest, "token is missing")
	}
	return q, nil
}

// authenticate finds out which client asks.
func (e *Endpoints) authenticate(ctx context.Context, q question) (*objects.Client, clients.Authn, error) {
	client, authn, err := e.Clients.Authenticate(ctx, q.credentials)
	if err != nil {
		return nil, clients.Authn{}, err
	}
	web.EventOf(ctx).SetClient(client.ID)
	return client, authn, nil
}

// spent makes the refusal of an assertion that was used before.
func spent(err error) error {
	if errors.Is(err, store.ErrTaken) {
		return oauth.Refuse(oauth.InvalidClient, "the client assertion was used before")
	}
	return err
}

// url is the address the caller has used: of the mutual-TLS alias where the request came to that host.
func (e *Endpoints) url(host, path string) string {
	if e.MTLSIssuer != "" {
		if u, err := url.Parse(e.MTLSIssuer); err == nil && strings.EqualFold(u.Host, host) {
			return e.MTLSIssuer + path
		}
	}
	return e.Issuer + path
}

func proofAlgs() string {
	names := make([]string, len(dpop.Algorithms))
	for i, a := range dpop.Algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, " ")
}
