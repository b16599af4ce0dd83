package objects

import (
	"context"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// KindClaimMapping marks mappings of claims.
const KindClaimMapping = "claim_mapping"

// What a mapped claim goes into.
const (
	IntoAccessToken = "access_token"
	IntoIDToken     = "id_token"
	IntoUserinfo    = "userinfo"
)

// ClaimMapping puts one claim into tokens and answers: from a source, through transforms, under a name. It holds no
// expression, so that whoever reads it knows all it can do. It is shared and must not be changed.
type ClaimMapping struct {
	Name       string      `json:"name"`
	Source     ClaimSource `json:"source"`
	Transforms []Transform `json:"transforms,omitempty"` // in order
	Claim      string      `json:"claim"`                // the name it gets
	Into       []string    `json:"into"`                 // access_token, id_token, userinfo
	Clients    []string    `json:"clients,omitempty"`    // for these alone; empty: for all
	APIs       []string    `json:"apis,omitempty"`       // in access tokens for these alone; empty: for all
}

// ClaimSource is where a value comes from; exactly one member is set.
type ClaimSource struct {
	Claim     string          `json:"claim,omitempty"`     // standard claim of the person
	Attribute string          `json:"attribute,omitempty"` // attribute of the person, or username
	Session   string          `json:"session,omitempty"`   // acr, amr or auth_time
	Client    string          `json:"client,omitempty"`    // member of the client's registration
	Constant  json.RawMessage `json:"constant,omitempty"`  // text, number, true, false, or a list of texts
}

// AttributeUsername is the attribute that every person with a name to sign in by has.
const AttributeUsername = "username"

// ClaimMappings is every mapping of a tenant, in order of name.
type ClaimMappings struct{ Mappings []*ClaimMapping }

// ClaimMappings is all there are, the same value until one of them changes.
func (r *Registry) ClaimMappings(ctx context.Context) (*ClaimMappings, error) {
	return cached(r, cacheKey{kind: KindClaimMapping}, func() (*ClaimMappings, error) { return loadClaimMappings(ctx, r.db) })
}

const maxMappings = 2000

func loadClaimMappings(ctx context.Context, db *store.DB) (*ClaimMappings, error) {
	all, err := loadAll(ctx, db, KindClaimMapping, upTo(maxMappings, KindClaimMapping), decode[ClaimMapping])
	return &ClaimMappings{all}, err
}

// Applies says whether the mapping is for what a client gets; api is the resource of an access token, "" for none.
func (m *ClaimMapping) Applies(into, client, api string) bool {
	return slices.Contains(m.Into, into) &&
		(len(m.Clients) == 0 || slices.Contains(m.Clients, client)) &&
		(len(m.APIs) == 0 || into == IntoAccessToken && slices.Contains(m.APIs, api))
}

// reservedClaims say who issued what to whom, when and how it may be used, or have a meaning of their own where a token is
// told about (RFC 7519 §4.1, RFC 7662 §2.2, RFC 7800 §3.1, RFC 8693 §4, RFC 9068 §2.2, RFC 9396 §9, OIDC Core §2 and §5.6).
var reservedClaims = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "nbf": true, "iat": true, "jti": true, "nonce": true, "azp": true,
	"auth_time": true, "acr": true, "amr": true, "sid": true, "at_hash": true, "c_hash": true, "s_hash": true, "cnf": true,
	"client_id": true, "scope": true, "act": true, "may_act": true, "grant_id": true, "authorization_details": true,
	"active": true, "token_type": true, "token_introspection": true, "events": true, "sub_id": true, "sub_jwk": true,
	"_claim_names": true, "_claim_sources": true, "attributes": true,
}

// ReservedClaim says whether a claim is never made from what is known of a person or a client.
func ReservedClaim(name string) bool { return reservedClaims[name] }

// mappingChecks are all rules of a mapping.
var mappingChecks = []func(*preparation, *ClaimMapping){
	checkMappingSource, checkTransforms, checkMappedClaim, checkInto, checkMappedFor,
}

func prepareClaimMapping(p *preparation, _ json.RawMessage) {
	m := new(ClaimMapping)
	p.decode(p.doc.Body, m)
	for i := range p.problems {
		p.problems[i].Warning = false // without a member that was left out the mapping may be for more than was meant
	}
	m.Name = p.named("name", m.Name)
	p.name = m.Name
	if m.Name != "" && !isClientID(m.Name) {
		p.report("name", "is not a name", "use up to 200 printable ASCII characters without spaces")
	}
	p.checkMembers("source", m.Source)
	p.checkMembers("transforms", Transform{})
	p.store(m)
	for _, check := range mappingChecks {
		check(p, m)
	}
}

// checkMembers refuses what the objects of a member have and nobody knows: without it the mapping would do something else.
func (p *preparation) checkMembers(member string, known any) {
	var all map[string]json.RawMessage
	if json.Unmarshal(p.doc.Body, &all) != nil || all[member] == nil {
		return
	}
	list, path := []json.RawMessage{all[member]}, func(int) string { return member }
	if json.Unmarshal(all[member], &list) == nil {
		path = func(i int) string { return at(member, i) }
	}
	for i, one := range list {
		if names, err := oauth.UnknownMembers(one, known); err == nil && len(names) > 0 {
			p.report(path(i), "has members that are not known", "use "+strings.Join(memberNames(known), ", "))
		}
	}
}

func memberNames(of any) (names []string) {
	for f := range reflect.TypeOf(of).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func checkMappingSource(p *preparation, m *ClaimMapping) {
	s, n := m.Source, 0
	for _, set := range []bool{s.Claim != "", s.Attribute != "", s.Session != "", s.Client != "", s.Constant != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		p.report("source", "does not name one source", "write one of claim, attribute, session, client and constant")
		return
	}
	claims, session, client := StandardClaims(), []string{"acr", "amr", "auth_time"}, clientSources()
	switch {
	case s.Claim != "" && !slices.Contains(claims, s.Claim):
		p.report("source.claim", "is not a standard claim", "use one of "+strings.Join(claims, ", ")+", or an attribute")
	case s.Attribute != "" && !attributeName.MatchString(s.Attribute):
		p.report("source.attribute", "is not the name of an attribute", "use "+AttributeUsername+", or a name of the person's attributes")
	case s.Session != "" && !slices.Contains(session, s.Session):
		p.report("source.session", "is unknown", "use "+strings.Join(session, ", "))
	case s.Client != "" && !slices.Contains(client, s.Client):
		p.report("source.client", "is unknown", "use one of "+strings.Join(client, ", "))
	case s.Constant != nil && (!isPlain(s.Constant) || len(s.Constant) > maxConstant):
		p.report("source.constant", "is not a plain value", "write a text, a number, true, false or a list of texts, up to 1,024 bytes")
	}
}

const maxConstant = 1024

// StandardClaims are the claims that a person can have, less sub (OIDC Core §5.1).
func StandardClaims() (names []string) {
	for _, name := range memberNames(Claims{}) {
		if !ReservedClaim(name) {
			names = append(names, name)
		}
	}
	return append(names, "updated_at")
}

var clientMembers = []struct {
	name string
	of   func(*Client) string
}{
	{"client_id", func(c *Client) string { return c.ID }},
	{"client_name", func(c *Client) string { return c.ClientName }},
	{"client_uri", func(c *Client) string { return c.ClientURI }},
	{"software_id", func(c *Client) string { return c.SoftwareID }},
	{"software_version", func(c *Client) string { return c.SoftwareVersion }},
}

func clientSources() []string {
	names := make([]string, len(clientMembers))
	for i, m := range clientMembers {
		names[i] = m.name
	}
	return names
}

// Member is what a registration says, of what mappings may take; "" for nothing.
func (c *Client) Member(name string) string {
	for _, m := range clientMembers {
		if m.name == name {
			return m.of(c)
		}
	}
	return ""
}

var claimName = regexp.MustCompile(`^[!-~]{1,200}$`)

func checkMappedClaim(p *preparation, m *ClaimMapping) {
	switch {
	case m.Claim == "":
		p.report("claim", "is missing", "name the claim")
	case ReservedClaim(m.Claim):
		p.report("claim", "is a claim of the protocol", "choose another name: what a token means is not for mappings")
	case !claimName.MatchString(m.Claim):
		p.report("claim", "is not the name of a claim", "use up to 200 printable ASCII characters without spaces, like department or https://example.com/department")
	}
}

func checkInto(p *preparation, m *ClaimMapping) {
	all := []string{IntoAccessToken, IntoIDToken, IntoUserinfo}
	if len(m.Into) == 0 {
		p.report("into", "is empty", "name where the claim goes: "+strings.Join(all, ", "))
	}
	for i, into := range m.Into {
		switch {
		case !slices.Contains(all, into):
			p.report(at("into", i), "is unknown", "use "+strings.Join(all, ", "))
		case slices.Index(m.Into, into) < i:
			p.report(at("into", i), "is listed twice", "keep one")
		case len(m.APIs) > 0 && into != IntoAccessToken:
			p.report(at("into", i), "is for no API", "leave apis out, or write a second mapping: only access tokens are for APIs")
		}
	}
}

func checkMappedFor(p *preparation, m *ClaimMapping) {
	p.checkClientIDs("clients", m.Clients, "name the client whose tokens get the claim")
	for i, api := range m.APIs {
		p.checkResource(at("apis", i), api)
	}
}
