package tokens

import "encoding/json"

// Trial is a question of an administrator: what would a client get?
type Trial struct {
	ClientID string          `json:"client_id"`
	User     string          `json:"user,omitempty"`     // name or id; "": the client acts for itself
	Scope    string          `json:"scope,omitempty"`    // "": all that the client is registered for
	Resource string          `json:"resource,omitempty"` // RFC 8707
	ACR      string          `json:"acr,omitempty"`      // how the person has signed in; "": by password
	Claims   json.RawMessage `json:"claims,omitempty"`   // OpenID Connect Core §5.5
}

// Preview is the answer: what tokens and userinfo would say. Nothing in it can be used.
type Preview struct {
	Format      string                     `json:"access_token_format"`
	AccessToken json.RawMessage            `json:"access_token"`
	IDToken     map[string]any             `json:"id_token,omitempty"`
	Userinfo    map[string]json.RawMessage `json:"userinfo,omitempty"`
}
