package tokens

import (
	"encoding/json"
	"strconv"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Bounds of mapped claims, in bytes of JSON. What goes beyond is left out: a token that no header takes helps nobody.
const (
	maxMappedValue = 2 << 10
	maxMapped      = 4 << 10 // names and values of one token
)

// facts are what mapped claims are made of.
type facts struct {
	client  *objects.Client
	auth    *store.Authorization // nil: nobody has signed in
	account *store.Account       // nil: nobody
	said    map[string]json.RawMessage
}

func factsOf(c *objects.Client, g *store.Grant, a *store.Account) *facts {
	f := &facts{client: c, account: a}
	if g != nil {
		f.auth = &g.Auth
	}
	if a != nil {
		f.said = said(a)
	}
	return f
}

// said is what is kept about a person, by name. What cannot be read is nothing.
func said(a *store.Account) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	if len(a.Claims) == 0 || json.Unmarshal(a.Claims, &all) != nil || all == nil {
		all = map[string]json.RawMessage{}
	}
	if _, known := all["updated_at"]; !known && !a.UpdatedAt.IsZero() { // which the account itself knows (OIDC Core §5.1)
		all["updated_at"] = strconv.AppendInt(nil, a.UpdatedAt.Unix(), 10)
	}
	return all
}

func has(list *objects.ClaimMappings) bool { return list != nil && len(list.Mappings) > 0 }

// mapped makes the claims that mappings put into what a client gets: the one place where they are applied. Of two for the
// same claim, the first in order of name that has a value counts.
func mapped(list *objects.ClaimMappings, into string, api *objects.API, f *facts) map[string]json.RawMessage {
	resource := ""
	if api != nil {
		resource = api.Resource
	}
	var made map[string]json.RawMessage
	size := 0
	for _, m := range list.Mappings {
		if made[m.Claim] != nil || !m.Applies(into, f.client.ID, resource) || objects.ReservedClaim(m.Claim) {
			continue
		}
		value := m.Transform(f.of(m.Source))
		if value == nil {
			continue
		}
		text, err := json.Marshal(value)
		if n := len(text) + len(m.Claim); err == nil && len(text) <= maxMappedValue && size+n <= maxMapped {
			if made == nil {
				made = map[string]json.RawMessage{}
			}
			made[m.Claim], size = text, size+n
		}
	}
	return made
}

// of finds the value of a source as JSON; nil: there is none.
func (f *facts) of(s objects.ClaimSource) json.RawMessage {
	switch {
	case s.Constant != nil:
		return s.Constant
	case s.Client != "":
		return text(f.client.Member(s.Client))
	case s.Session != "" && f.auth != nil:
		return f.session(s.Session)
	case s.Claim != "":
		return f.said[s.Claim]
	case s.Attribute == objects.AttributeUsername && f.account != nil:
		return text(f.account.Username)
	case s.Attribute != "":
		var attributes map[string]json.RawMessage
		if json.Unmarshal(f.said["attributes"], &attributes) == nil {
			return attributes[s.Attribute]
		}
	}
	return nil
}

func (f *facts) session(name string) json.RawMessage {
	switch {
	case name == "acr":
		return text(f.auth.ACR)
	case name == "amr":
		list, err := json.Marshal(f.auth.AMR)
		if err != nil {
			return nil
		}
		return list
	case name == "auth_time" && !f.auth.AuthTime.IsZero():
		return strconv.AppendInt(nil, f.auth.AuthTime.Unix(), 10)
	}
	return nil
}

func text(s string) json.RawMessage {
	quoted, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return quoted
}
