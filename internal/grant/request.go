package grant

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// request is what came to the token endpoint.
type request struct {
	credentials clients.Credentials
	event       *web.Event
	proofs      []string // DPoP header fields, as they came
	grantType   string
	code        string
	redirectURI string
	verifier    string
	refresh     string
	scope       []string
	resources   []string
	details     string
	exchange    exchangeRequest
}

// Mount adds the endpoint; the path of the issuer, if any, is taken off before.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	mux.Handle("POST /token", web.Through(web.OAuthDoor, e.serve))
}

// url is the address the client has used: of the mutual-TLS alias where the request came to that host.
func (e *Endpoints) url(host string) string {
	if e.MTLSIssuer != "" {
		if u, err := url.Parse(e.MTLSIssuer); err == nil && strings.EqualFold(u.Host, host) {
			return e.MTLSIssuer + "/token"
		}
	}
	return e.Issuer + "/token"
}

// serve parses, decides and writes. Whoever used DPoP gets the current nonce with every answer, so that the next
// request needs no detour (RFC 9449 §8.2).
func (e *Endpoints) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("DPoP") != "" {
		w.Header().Set("DPoP-Nonce", e.Nonces.Current(e.Now()))
	}
	q, err := parse(r)
	if err != nil {
		return err
	}
	answer, err := e.token(r.Context(), q)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, answer)
}

func parse(r *http.Request) (*request, error) {
	form, err := web.Form(r)
	if err != nil {
		return nil, err
	}
	credentials, err := clients.Parse(r, form)
	if err != nil {
		return nil, err
	}
	q := &request{
		credentials: credentials,
		event:       web.EventOf(r.Context()),
		proofs:      r.Header.Values("DPoP"),
		grantType:   form.Get("grant_type"),
		code:        form.Get("code"),
		redirectURI: form.Get("redirect_uri"),
		verifier:    form.Get("code_verifier"),
		refresh:     form.Get("refresh_token"),
		scope:       strings.Fields(form.Get("scope")),
		resources:   form["resource"],
		details:     form.Get("authorization_details"),
		exchange:    parseExchange(form),
	}
	if q.grantType == "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "grant_type is missing")
	}
	return q, nil
}
