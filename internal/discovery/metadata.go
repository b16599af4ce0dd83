package discovery

import (
	"slices"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Offer is what is on. Each list comes from the table of whoever does the thing; nothing is named here by heart.
type Offer struct {
	Issuer        string     // issuer identifier
	MTLSIssuer    string     // base URL of the mutual-TLS aliases; "" where no listener asks for certificates
	Grants        []string   // of the grant table
	AuthMethods   []string   // of the client authentication table
	AssertionAlgs []string   // accepted in client assertions
	SigningAlgs   []jose.Alg // of ID tokens, the default first
	Scopes        []string   // standard ones and those meant to be known
	Claims        []string   // that userinfo may answer
	ResponseModes []string   // of the authorization endpoint
	ObjectAlgs    []jose.Alg // that request objects may be signed with
	// By which request objects may be encrypted to us, and answers to clients; none: they may not.
	ObjectKeyAlgs, AnswerKeyAlgs []jose.KeyAlg
	ObjectEncs, AnswerEncs       []jose.ContentAlg
	Prompts                      []string
	Displays                     []string
	Languages                    []string // of the pages
	ACRValues                    []string
	PushedOnly                   bool // every authorization request must be pushed (RFC 9126 §5)
}

// Metadata is the document of RFC 8414 §2 and OpenID Connect Discovery §3.
func (o Offer) Metadata() *oauth.ServerMetadata {
	at := func(path string) string { return o.Issuer + path }
	m := &oauth.ServerMetadata{
		Issuer:                                o.Issuer,
		TokenEndpoint:                         at("/token"),
		JWKSURI:                               at("/jwks"),
		UserinfoEndpoint:                      at("/userinfo"),
		RevocationEndpoint:                    at("/revoke"),
		IntrospectionEndpoint:                 at("/introspect"),
		ScopesSupported:                       o.Scopes,
		ResponseTypesSupported:                []string{},
		GrantTypesSupported:                   o.Grants,
		SubjectTypesSupported:                 []string{"public", "pairwise"},
		ClaimsSupported:                       o.Claims,
		IDTokenSigningAlgs:                    names(o.SigningAlgs),
		DPoPSigningAlgs:                       names(dpop.Algorithms),
		TLSClientCertificateBoundAccessTokens: o.MTLSIssuer != "",
	}
	o.addClientAuthentication(m)
	o.addIntrospection(m)
	if slices.Contains(o.Grants, oauth.GrantAuthorizationCode) {
		o.addAuthorization(m, at)
	}
	if o.MTLSIssuer != "" {
		m.MTLSEndpointAliases = o.aliases(m)
	}
	return m
}

// addClientAuthentication lists the methods; introspection takes no public client.
func (o Offer) addClientAuthentication(m *oauth.ServerMetadata) {
	methods := slices.DeleteFunc(slices.Clone(o.AuthMethods), func(method string) bool {
		return o.MTLSIssuer == "" && (method == oauth.AuthTLSClient || method == oauth.AuthSelfSignedTLS)
	})
	confidential := slices.DeleteFunc(slices.Clone(methods), func(method string) bool { return method == oauth.AuthNone })
	m.TokenEndpointAuthMethods, m.RevocationEndpointAuthMethods, m.IntrospectionEndpointAuthMethods = methods, methods, confidential
	if slices.Contains(methods, oauth.AuthPrivateKeyJWT) {
		algs := o.AssertionAlgs
		m.TokenEndpointAuthSigningAlgs, m.RevocationEndpointAuthSigningAlgs, m.IntrospectionEndpointAuthSigningAlgs = algs, algs, algs
	}
}

// addIntrospection lists what answers about tokens are signed and encrypted with (RFC 9701 §7).
func (o Offer) addIntrospection(m *oauth.ServerMetadata) {
	m.IntrospectionSigningAlgs = names(o.SigningAlgs)
	m.IntrospectionEncryptionAlgs, m.IntrospectionEncryptionEncs = names(o.AnswerKeyAlgs), names(o.AnswerEncs)
}

// addAuthorization lists what the authorization endpoint does.
func (o Offer) addAuthorization(m *oauth.ServerMetadata, at func(string) string) {
	m.AuthorizationEndpoint = at("/authorize")
	m.PushedAuthorizationRequestEndpoint = at("/par")
	m.EndSessionEndpoint = at("/end-session")
	m.ResponseTypesSupported = []string{"code"}
	m.ResponseModesSupported = o.ResponseModes
	m.PromptValuesSupported, m.DisplayValuesSupported, m.UILocalesSupported = o.Prompts, o.Displays, o.Languages
	m.ACRValuesSupported = o.ACRValues
	m.CodeChallengeMethodsSupported = []string{"S256"}
	m.AuthorizationResponseIssParameter = true
	m.RequirePushedAuthorizationRequests = o.PushedOnly
	m.ClaimsParameterSupported = true // OpenID Connect Core §5.5
	o.addRequestObjects(m)
	o.addAnswers(m)
}

// addRequestObjects lists what is taken by request, and by request_uri where that is registered (RFC 9101 §10.5, OpenID
// Connect Discovery §3).
func (o Offer) addRequestObjects(m *oauth.ServerMetadata) {
	m.RequestParameterSupported = true
	m.RequestURIParameterSupported, m.RequireRequestURIRegistration = true, true
	m.RequestObjectSigningAlgs = names(o.ObjectAlgs)
	m.RequestObjectEncryptionAlgs, m.RequestObjectEncryptionEncs = names(o.ObjectKeyAlgs), names(o.ObjectEncs)
}

// addAnswers lists what ID tokens, userinfo and authorization responses are signed and encrypted with (OpenID Connect
// Discovery §3, JARM §4).
func (o Offer) addAnswers(m *oauth.ServerMetadata) {
	m.IDTokenEncryptionAlgs, m.IDTokenEncryptionEncs = names(o.AnswerKeyAlgs), names(o.AnswerEncs)
	m.UserinfoSigningAlgs = names(o.SigningAlgs)
	m.UserinfoEncryptionAlgs, m.UserinfoEncryptionEncs = names(o.AnswerKeyAlgs), names(o.AnswerEncs)
	m.AuthorizationSigningAlgs = names(o.SigningAlgs)
	m.AuthorizationEncryptionAlgs, m.AuthorizationEncryptionEncs = names(o.AnswerKeyAlgs), names(o.AnswerEncs)
}

// aliases are the endpoints at which clients may show a certificate (RFC 8705 §5).
func (o Offer) aliases(m *oauth.ServerMetadata) *oauth.MTLSEndpointAlias {
	at := func(path string) string { return o.MTLSIssuer + path }
	a := &oauth.MTLSEndpointAlias{
		TokenEndpoint: at("/token"), RevocationEndpoint: at("/revoke"), IntrospectionEndpoint: at("/introspect"),
		UserinfoEndpoint: at("/userinfo"),
	}
	if m.PushedAuthorizationRequestEndpoint != "" {
		a.PushedAuthorizationRequestEndpoint = at("/par")
	}
	return a
}

func names[A ~string](algs []A) []string {
	out := make([]string, len(algs))
	for i, a := range algs {
		out[i] = string(a)
	}
	return out
}
