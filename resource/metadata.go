package resource

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

// Metadata is what an API tells about itself beside what its Config says already (RFC 9728 §2).
type Metadata struct {
	Name               string   // for people
	Documentation      string   // URL
	Scopes             []string // that clients may ask for
	ClientCertificates bool     // tokens bound to client certificates can be used here: the listener asks for them
	DPoPRequired       bool     // tokens are always bound to DPoP keys; a statement, see Policy.Allow to enforce it
}

// wellKnown is the segment that goes between host and path (RFC 9728 §3.1).
const wellKnown = "/.well-known/oauth-protected-resource"

// MetadataPath is where MetadataHandler belongs; "" where the audience is not an https URL and so has no metadata.
func (v *Verifier) MetadataPath() string {
	u, err := url.Parse(v.metadata)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// MetadataHandler serves the metadata of this API at MetadataPath (RFC 9728 §3), to everybody. Challenges point to it.
func (v *Verifier) MetadataHandler() http.Handler {
	m := v.config.Metadata
	body, err := json.Marshal(struct {
		Resource             string     `json:"resource"`
		AuthorizationServers []string   `json:"authorization_servers"`
		Scopes               []string   `json:"scopes_supported,omitempty"`
		BearerMethods        []string   `json:"bearer_methods_supported"`
		Name                 string     `json:"resource_name,omitempty"`
		Documentation        string     `json:"resource_documentation,omitempty"`
		ClientCertificates   bool       `json:"tls_client_certificate_bound_access_tokens,omitempty"`
		DPoPAlgorithms       []jose.Alg `json:"dpop_signing_alg_values_supported"`
		DPoPRequired         bool       `json:"dpop_bound_access_tokens_required,omitempty"`
	}{v.config.Audience, v.config.Issuers, m.Scopes, []string{"header"}, m.Name, m.Documentation, m.ClientCertificates, dpop.Algorithms, m.DPoPRequired})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case err != nil || v.metadata == "" || RequestOf(r).URL.EscapedPath() != v.MetadataPath():
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "public, max-age=3600")
			w.Header().Set("Access-Control-Allow-Origin", "*")
			_, _ = w.Write(body)
		}
	})
}

// metadataURL puts the well-known segment between host and path of a resource identifier (RFC 9728 §3.1).
func metadataURL(resource string) string {
	u, err := url.Parse(resource)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(resource, "#") {
		return ""
	}
	at := u.Scheme + "://" + u.Host + wellKnown + strings.TrimSuffix(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		at += "?" + u.RawQuery
	}
	return at
}
