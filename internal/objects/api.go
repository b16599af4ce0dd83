package objects

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/oauth"
)

// API is a protected resource (RFC 8707): what a token can be for. Its name as an object is its resource.
type API struct {
	Resource            string   `json:"resource"` // absolute URI without fragment, the audience of its tokens
	Name                string   `json:"name,omitempty"`
	Scopes              []string `json:"scopes,omitempty"`
	TokenFormat         string   `json:"access_token_format,omitempty"`   // jwt (default) or opaque
	AccessTokenLifetime int64    `json:"access_token_lifetime,omitempty"` // seconds; 0: the issuer's default
	AllowBearerTokens   bool     `json:"allow_bearer_tokens,omitempty"`   // takes tokens bound to nothing
	RequiredBinding     string   `json:"required_binding,omitempty"`      // dpop or certificate; "": either
	Introspectors       []string `json:"introspectors,omitempty"`         // clients that may introspect its tokens
	Exchangers          []string `json:"exchangers,omitempty"`            // clients that may exchange its tokens (RFC 8693)
	// How a person has to have signed in, and how many seconds ago at most, for tokens of theirs to be taken (RFC 9470).
	RequiredACR string `json:"required_acr,omitempty"` // this or a stronger one; "": any
	MaxAge      int64  `json:"max_authentication_age,omitempty"`
	// DetailTypes are what clients may ask for beyond scopes (RFC 9396).
	DetailTypes []details.Type `json:"authorization_details_types,omitempty"`
}

// Title is what people call the API.
func (a *API) Title() string {
	if a.Name != "" {
		return a.Name
	}
	return a.Resource
}

// AllowsScope says whether a scope means something at this API.
func (a *API) AllowsScope(scope string) bool { return slices.Contains(a.Scopes, scope) }

// Bindings that API.RequiredBinding may demand.
const (
	BindingDPoP        = "dpop"        // to a key (RFC 9449)
	BindingCertificate = "certificate" // to the certificate of the client (RFC 8705 §3)
)

// TakesBinding says whether tokens for the API may be bound so.
func (a *API) TakesBinding(bound oauth.Confirmation) bool {
	switch a.RequiredBinding {
	case BindingDPoP:
		return bound.JKT != ""
	case BindingCertificate:
		return bound.X5T != ""
	}
	return a.AllowBearerTokens || !bound.IsZero()
}

// Limits of API.AccessTokenLifetime, seconds. No token may outlive what the feed remembers of a revocation.
const (
	minLifetime = 30
	maxLifetime = 24 * 60 * 60
)

func prepareAPI(p *preparation, _ json.RawMessage) {
	a := new(API)
	p.decode(p.doc.Body, a)
	a.Resource = p.named("resource", a.Resource)
	p.name = a.Resource
	if a.Resource != "" {
		p.checkResource("resource", a.Resource)
	}
	p.checkScopes("scopes", a.Scopes)
	p.checkFormat(a.TokenFormat)
	if n := a.AccessTokenLifetime; n != 0 && (n < minLifetime || n > maxLifetime) {
		p.report("access_token_lifetime", fmt.Sprintf("is not between %d and %d seconds", minLifetime, maxLifetime), "300 is a good value")
	}
	p.checkSignIn(a)
	p.checkRequiredBinding(a)
	p.checkDetailTypes(a)
	p.checkClientIDs("introspectors", a.Introspectors, "name the client that may introspect")
	p.checkClientIDs("exchangers", a.Exchangers, "name the client that may exchange, such as the gateway")
	p.store(a)
}

// minAge is the least that can be asked: what somebody has just done for a client takes a moment to arrive at the API.
const minAge = 30

func (p *preparation) checkSignIn(a *API) {
	if a.RequiredACR != "" && !slices.Contains(ACRValues, a.RequiredACR) {
		p.report("required_acr", "is unknown", "use "+strings.Join(ACRValues, ", "))
	}
	if a.MaxAge != 0 && a.MaxAge < minAge {
		p.report("max_authentication_age", fmt.Sprintf("is less than %d seconds", minAge), "300 is a good value")
	}
}

func (p *preparation) checkRequiredBinding(a *API) {
	const member = "required_binding"
	switch {
	case a.RequiredBinding == "":
	case a.RequiredBinding != BindingDPoP && a.RequiredBinding != BindingCertificate:
		p.report(member, "is unknown", "use "+BindingDPoP+" or "+BindingCertificate+", or leave it out for either")
	case a.AllowBearerTokens:
		p.report(member, "is demanded by an API that takes tokens bound to nothing", "remove it, or allow_bearer_tokens")
	}
}

func (p *preparation) checkClientIDs(path string, ids []string, remedy string) {
	for i, id := range ids {
		if !isClientID(id) {
			p.report(at(path, i), "is not a client id", remedy)
		}
	}
}

// checkResource asks for an absolute URI without fragment (RFC 8707 §2).
func (p *preparation) checkResource(path, resource string) {
	u, err := url.Parse(resource)
	switch {
	case err != nil || !u.IsAbs() || !isURIText(resource) || u.Host == "" && u.Opaque == "":
		p.report(path, "is not an absolute URI", "write for example https://api.example.com (RFC 8707 §2)")
	case hasFragment(resource):
		p.report(path, "has a fragment", "leave out what begins with # (RFC 8707 §2)")
	case u.User != nil:
		p.report(path, "carries a user name", "leave it out")
	case len(resource) > maxURI:
		p.report(path, "is longer than 2,000 characters", "shorten it")
	}
}

func (p *preparation) checkFormat(format string) {
	if format != "" && format != FormatJWT && format != FormatOpaque {
		p.report("access_token_format", "is unknown", "use jwt or opaque")
	}
}
