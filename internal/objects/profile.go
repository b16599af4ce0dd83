package objects

import (
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Profiles of clients. A profile fixes rules that belong together, so that nobody has to remember them all; what departs
// from it is one setting whose name begins with allow_.
const (
	ProfileOIDC          = "oidc"                  // OpenID Connect Core as older clients speak it
	ProfileOAuth21       = "oauth21"               // OAuth 2.1; the default
	ProfileFAPI2         = "fapi2"                 // FAPI 2.0 Security Profile
	ProfileFAPI2Messages = "fapi2-message-signing" // FAPI 2.0 Message Signing, everything in it
)

// rules are what a profile says.
type rules struct {
	name string
	// algs are taken and used for whatever is signed by the client or for it; the first is the default of ID tokens.
	algs []jose.Alg
	// standardAlg has ID tokens signed with the first of algs where the client has not registered one, whatever the tenant
	// prefers.
	standardAlg bool
	// methods of client authentication; nil: all.
	methods []string
	// optionalPKCE lets clients with credentials leave PKCE out. A code they lose is then protected by their credentials
	// alone.
	optionalPKCE bool
	pushed       bool // requests are pushed (RFC 9126)
	signed       bool // requests are signed (RFC 9101), and answers too (JARM)
	dated        bool // request objects hold for a short time (FAPI 2.0 Message Signing §5.3.1)
}

var profiles = []rules{
	{name: ProfileOAuth21, algs: []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}},
	// OIDC Registration §2: RS256 is the default.
	{name: ProfileOIDC, algs: []jose.Alg{jose.RS256, jose.ES256, jose.EdDSA, jose.PS256}, standardAlg: true, optionalPKCE: true},
	{name: ProfileFAPI2, algs: fapiAlgs, methods: fapiMethods, pushed: true, dated: true},
	{name: ProfileFAPI2Messages, algs: fapiAlgs, methods: fapiMethods, pushed: true, signed: true, dated: true},
}

// FAPI 2.0 Security Profile §5.4.1, §5.3.2.1.
var (
	fapiAlgs    = []jose.Alg{jose.ES256, jose.PS256, jose.EdDSA}
	fapiMethods = []string{oauth.AuthPrivateKeyJWT, oauth.AuthTLSClient, oauth.AuthSelfSignedTLS}
)

// rules finds those of the client's profile; an unknown one, which checkProfile reports, has those of the default.
func (c *Client) rules() *rules {
	for i := range profiles {
		if profiles[i].name == c.Profile {
			return &profiles[i]
		}
	}
	return &profiles[0]
}

// Algs are the algorithms that may sign anything from the client or for it, the default first.
func (c *Client) Algs() []jose.Alg { return c.rules().algs }

// SignatureAlgs are the algorithms that clients of one profile or another may sign with.
func SignatureAlgs() []jose.Alg {
	var algs []jose.Alg
	for _, r := range profiles {
		for _, a := range r.algs {
			if !slices.Contains(algs, a) {
				algs = append(algs, a)
			}
		}
	}
	return algs
}

// IDTokenAlg is what its ID tokens are signed with: the algorithm it has registered, that of the standard for profile
// oidc, or the first of the tenant's that its profile takes.
func (c *Client) IDTokenAlg() jose.Alg {
	if c.IDTokenSignedAlg != "" {
		return jose.Alg(c.IDTokenSignedAlg)
	}
	if !c.rules().standardAlg {
		for _, a := range c.offered {
			if slices.Contains(c.Algs(), a) {
				return a
			}
		}
	}
	return c.Algs()[0]
}

// IntrospectionAlg is what answers of introspection are signed with (RFC 9701 §6).
func (c *Client) IntrospectionAlg() jose.Alg {
	if c.IntrospectionSignedAlg != "" {
		return jose.Alg(c.IntrospectionSignedAlg)
	}
	return c.IDTokenAlg()
}

// Signed is something that is signed for a client, and the member by which it can choose the algorithm.
type Signed struct {
	What, Member string
	Alg          jose.Alg
}

// Signed lists what may be signed for the client besides access tokens. What needs no registration is signed as its ID
// tokens are.
func (c *Client) Signed() (list []Signed) {
	for _, s := range []struct {
		Signed
		registered string
		otherwise  bool // it may be asked for without being registered
	}{
		{Signed{What: "ID tokens", Member: "id_token_signed_response_alg"}, c.IDTokenSignedAlg, c.AllowsGrant(oauth.GrantAuthorizationCode) && c.AllowsScope(oauth.ScopeOpenID)},
		{Signed{What: "userinfo answers", Member: "userinfo_signed_response_alg"}, c.UserinfoSignedAlg, false},
		{Signed{What: "authorization answers", Member: "authorization_signed_response_alg"}, c.AuthorizationSignedAlg, c.RequiresSignedResponse()},
		{Signed{What: "introspection answers", Member: "introspection_signed_response_alg"}, c.IntrospectionSignedAlg, false},
	} {
		if s.Alg = jose.Alg(s.registered); s.registered == "" {
			s.Alg = c.IDTokenAlg()
		}
		if s.registered != "" || s.otherwise {
			list = append(list, s.Signed)
		}
	}
	return list
}

// RequiresPKCE says whether its requests need a code_challenge.
func (c *Client) RequiresPKCE() bool {
	return !c.rules().optionalPKCE || c.TokenAuthMethod == oauth.AuthNone
}

// RequiresDatedObjects says whether its request objects must name both sides, and hold for an hour at most.
func (c *Client) RequiresDatedObjects() bool { return c.rules().dated }

// RequiresSignedResponse says whether it takes authorization responses in signed form only (JARM).
func (c *Client) RequiresSignedResponse() bool { return c.rules().signed && !c.AllowPlainResponses }

// followProfile fills in what the profile of the client demands of it, in the standard members.
func (c *Client) followProfile() {
	r := c.rules()
	if r.pushed && !c.AllowUnpushedRequests {
		c.RequirePushedRequests = true
	}
	if r.signed && !c.AllowUnsignedRequests {
		c.RequireSignedRequest = true
	}
}

// checkProfile holds a client against its profile.
func checkProfile(p *preparation, c *Client) {
	r := c.rules()
	if c.Profile != "" && c.Profile != r.name {
		p.report("profile", "is unknown", "use "+strings.Join(profileNames(), ", "))
		return
	}
	for _, m := range c.methods() {
		if r.methods != nil && !slices.Contains(r.methods, m.name) {
			p.report(m.member, "does not fit the profile", "use "+strings.Join(r.methods, ", ")+" (FAPI 2.0 §5.3.2.1)")
		}
	}
	for _, s := range []struct {
		member    string
		set, need bool
	}{
		{"allow_unpushed_requests", c.AllowUnpushedRequests, r.pushed},
		{"allow_unsigned_requests", c.AllowUnsignedRequests, r.signed},
		{"allow_plain_responses", c.AllowPlainResponses, r.signed},
	} {
		if s.set && !s.need {
			p.report(s.member, "allows what the profile allows anyway", "remove it")
		}
	}
}

func profileNames() []string {
	names := make([]string, len(profiles))
	for i, r := range profiles {
		names[i] = r.name
	}
	return names
}
