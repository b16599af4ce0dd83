package objects

import (
	"context"
	"encoding/json"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Scope is a scope with what people read about it and the claims it releases.
type Scope struct {
	Name        string   `json:"name"`
	Title       string   `json:"title,omitempty"` // on the consent page
	Description string   `json:"description,omitempty"`
	Claims      []string `json:"claims,omitempty"` // released by userinfo
}

// builtin are the scopes of OpenID Connect Core §5.4 and §11. An object of the same name replaces title,
// description and claims.
var builtin = map[string]*Scope{
	oauth.ScopeOpenID:  {Name: oauth.ScopeOpenID, Title: "Sign you in", Description: "Learns an identifier that stands for you."},
	oauth.ScopeProfile: {Name: oauth.ScopeProfile, Title: "Your profile", Description: "Reads your name and other details of your profile.", Claims: []string{"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"}},
	oauth.ScopeEmail:   {Name: oauth.ScopeEmail, Title: "Your e-mail address", Description: "Reads your e-mail address.", Claims: []string{"email", "email_verified"}},
	oauth.ScopeAddress: {Name: oauth.ScopeAddress, Title: "Your postal address", Description: "Reads your postal address.", Claims: []string{"address"}},
	oauth.ScopePhone:   {Name: oauth.ScopePhone, Title: "Your telephone number", Description: "Reads your telephone number.", Claims: []string{"phone_number", "phone_number_verified"}},
	oauth.ScopeOfflineAccess: {Name: oauth.ScopeOfflineAccess, Title: "Access while you are away",
		Description: "Keeps the access you grant until you or the application end it."},
}

// StandardScopes are the names of the built-in scopes, in the order of the specification.
func StandardScopes() []string {
	return []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeAddress, oauth.ScopePhone, oauth.ScopeOfflineAccess}
}

// ScopeWords are what people read about a scope; one that nobody has described is called by its name.
func (r *Registry) ScopeWords(ctx context.Context, name string) (title, description string) {
	s, err := r.Scope(ctx, name)
	if err != nil || s.Title == "" {
		return name, ""
	}
	return s.Title, s.Description
}

func prepareScope(p *preparation, _ json.RawMessage) {
	s := new(Scope)
	p.decode(p.doc.Body, s)
	s.Name = p.named("name", s.Name)
	p.name = s.Name
	if s.Name != "" {
		p.checkScopes("name", []string{s.Name})
	}
	for i, c := range s.Claims {
		if c == "" || len(c) > maxName {
			p.report(at("claims", i), "is not the name of a claim", "use names like email")
		}
	}
	p.store(s)
}
