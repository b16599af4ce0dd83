package objects

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
)

// KindApplication marks browser applications that the token handler signs people in for.
const KindApplication = "application"

// Application is a browser application with its defaults filled in: which pages it has, which client it is at its
// issuer, and how long its sessions last. It is shared and must not be changed.
type Application struct {
	Name     string `json:"name"`      // in the address of its endpoints and the names of its cookies
	ClientID string `json:"client_id"` // at the issuer, where it authenticates with private_key_jwt
	Issuer   string `json:"issuer,omitempty"`

	// PublicKey is what the client registers; SealedKey is the private JWK, "<ring key>:<sealed in base64url>".
	PublicKey json.RawMessage `json:"public_key,omitempty"`
	SealedKey string          `json:"sealed_key,omitempty"`

	Origins               []string `json:"origins"`      // of its pages, exact
	RedirectURI           string   `json:"redirect_uri"` // one of its pages
	PostLogoutRedirectURI string   `json:"post_logout_redirect_uri,omitempty"`
	Scope                 string   `json:"scope,omitempty"`
	Resources             []string `json:"resources,omitempty"`        // RFC 8707; access tokens are for the first
	ExtraParameters       []string `json:"extra_parameters,omitempty"` // that its pages may add, besides scope

	SessionStorage    string `json:"session_storage,omitempty"` // StorageServer or StorageStateless
	CookiePrefix      string `json:"cookie_prefix,omitempty"`   // of browsers, or NoCookiePrefix
	CookieDomain      string `json:"-"`                         // of the tenant; "": cookies are for one host
	CustomHeader      string `json:"custom_header,omitempty"`   // that every request must carry; x-csrf always does
	Idle              int64  `json:"idle,omitempty"`            // seconds without use after which a session is over
	Absolute          int64  `json:"absolute,omitempty"`        // seconds after which it is over in any case
	DetailedErrors    bool   `json:"detailed_errors,omitempty"`
	AllowBearerTokens bool   `json:"allow_bearer_tokens,omitempty"` // of an issuer that does not bind tokens by DPoP
}

// Where the sessions of an application are.
const (
	StorageServer    = "server"    // in the store; the browser has what opens them
	StorageStateless = "stateless" // in cookies of the browser, sealed, and nowhere else
)

// NoCookiePrefix is the CookiePrefix of an application whose cookies browsers take from other hosts of the site, too.
const NoCookiePrefix = "none"

// Defaults and bounds of Application.
const (
	defaultCookiePrefix = "__Host-Http-"
	defaultCustomHeader = "token-handler-version"
	defaultIdle         = 8 * 60 * 60
	defaultAbsolute     = 24 * 60 * 60
	minSession          = 60
	maxSession          = 90 * 24 * 60 * 60
	maxOrigins          = 10
)

// withDefaults fills in what the document left out.
func (a *Application) withDefaults() {
	if a.Scope == "" {
		a.Scope = "openid"
	}
	if a.SessionStorage == "" {
		a.SessionStorage = StorageServer
	}
	if a.CookiePrefix == "" {
		a.CookiePrefix = defaultCookiePrefix
	}
	if a.CustomHeader == "" {
		a.CustomHeader = defaultCustomHeader
	}
	if a.Absolute == 0 {
		a.Absolute = max(defaultAbsolute, a.Idle)
	}
	if a.Idle == 0 {
		a.Idle = min(defaultIdle, a.Absolute)
	}
}

// AllowsOrigin says whether an origin is one of the application's, compared as a whole.
func (a *Application) AllowsOrigin(origin string) bool { return slices.Contains(a.Origins, origin) }

// AllowsParameter says whether its pages may add a parameter to an authorization request.
func (a *Application) AllowsParameter(name string) bool {
	return (name == "scope" || slices.Contains(a.ExtraParameters, name)) && !reserved(name)
}

// Stateless says whether the browser carries the sessions.
func (a *Application) Stateless() bool { return a.SessionStorage == StorageStateless }

// Lifetimes are how long its sessions last without use, and in any case.
func (a *Application) Lifetimes() (idle, absolute time.Duration) {
	return time.Duration(a.Idle) * time.Second, time.Duration(a.Absolute) * time.Second
}

// SigningKey opens the private key with which the application authenticates.
func (a *Application) SigningKey(ring *keys.Ring) (jose.Key, error) {
	jwk, err := openText(ring, applicationKeyAt(a.Name), a.SealedKey)
	if err != nil {
		return jose.Key{}, fmt.Errorf("open key of application: %w", err)
	}
	return jose.ParseKey(jwk)
}

func applicationKeyAt(name string) []byte { return []byte("application key\x00" + name) }

// Application finds a browser application. ErrNotFound: there is none.
func (r *Registry) Application(ctx context.Context, name string) (*Application, error) {
	return lookUp(ctx, r, KindApplication, name, func(body json.RawMessage) (*Application, error) {
		a, err := decode[Application](body)
		if err == nil {
			a.withDefaults()
			a.share(r.CookieDomain)
		}
		return a, err
	})
}

// share gives the cookies a Domain, with which browsers take none whose prefix ties them to their host
// (draft-ietf-httpbis-rfc6265bis §4.1.3).
func (a *Application) share(domain string) {
	if domain != "" {
		a.CookieDomain, a.CookiePrefix = domain, NoCookiePrefix
	}
}

// CookieName is the name of one of its cookies, by what the cookie is for.
func (a *Application) CookieName(what string) string {
	prefix := a.CookiePrefix
	if prefix == NoCookiePrefix {
		prefix = ""
	}
	return prefix + "hf-" + a.Name + "-" + what
}

// publicApplication leaves the sealed key out.
func publicApplication(body json.RawMessage) (json.RawMessage, error) {
	a, err := decode[Application](body)
	if err != nil {
		return nil, err
	}
	a.SealedKey = ""
	return json.Marshal(a)
}

// applicationDocument is an application as somebody writes it.
type applicationDocument struct {
	Application
	Key json.RawMessage `json:"key"` // private JWK; only said, and stored sealed
}

func prepareApplication(p *preparation, old json.RawMessage) {
	d := new(applicationDocument)
	p.decode(p.doc.Body, d)
	a := &d.Application
	a.Name = p.named("name", a.Name)
	p.name = a.Name
	if a.Name != "" && !isApplicationName(a.Name) {
		p.report("name", "is not the name of an application", "use up to 32 lower-case letters and digits, with single hyphens between them; s and l do not stand alone")
	}
	p.settleKey(d, old)
	p.store(a) // without defaults, so that a later default reaches it
	full := *a
	full.withDefaults()
	for _, check := range []func(*preparation, *Application){
		checkApplicationClient, checkOrigins, checkPages, checkParameters, checkCookies, checkStorage, checkSessionLimits,
	} {
		check(p, &full)
	}
}

var applicationName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// isApplicationName accepts names that can stand in paths and cookie names, where s and l between hyphens mean
// something of their own.
func isApplicationName(name string) bool {
	parts := strings.Split(name, "-")
	return len(name) <= 32 && applicationName.MatchString(name) && !slices.Contains(parts, "s") && !slices.Contains(parts, "l")
}

// settleKey decides which key the application has from now on: the one given, or the one it has. What is sealed under
// the active key of the ring stays as it is, so that an import of the same document changes nothing.
func (p *preparation) settleKey(d *applicationDocument, old json.RawMessage) {
	if d.SealedKey != "" || d.PublicKey != nil && d.Key != nil {
		p.warn("public_key", "and sealed_key are made from key", "give key alone")
	}
	d.SealedKey, d.PublicKey = "", nil
	var had Application
	if old != nil && json.Unmarshal(old, &had) != nil {
		p.report("", "replaces an application that cannot be read", "delete it first")
		return
	}
	key, err := jose.Key{}, error(nil)
	switch {
	case d.Key != nil:
		key, err = jose.ParseKey(d.Key)
	case had.SealedKey == "":
		p.report("key", "is missing", "give the private JWK whose public half the client has in jwks")
		return
	case p.ring == nil:
		return
	default:
		key, err = had.SigningKey(p.ring)
	}
	if err != nil || !key.IsPrivate() || key.Alg() == "" {
		p.report("key", "is not a private key", "give a private JWK of P-256 or Ed25519, or of RSA with alg")
		return
	}
	p.sealKey(&d.Application, &had, key)
}

func (p *preparation) sealKey(a, had *Application, key jose.Key) {
	if key.ID() == "" {
		key = key.WithID(key.Thumbprint())
	}
	jwk, err := key.MarshalJSON()
	public, perr := key.Public().MarshalJSON()
	if err = errors.Join(err, perr); err != nil {
		p.report("key", "cannot be written as a JWK", "give another one")
		return
	}
	a.PublicKey = public
	if p.ring == nil { // the document is only validated
		return
	}
	if before, err := had.SigningKey(p.ring); err == nil && sealedByActive(p.ring, had.SealedKey) {
		if same, err := before.MarshalJSON(); err == nil && bytes.Equal(same, jwk) {
			a.SealedKey = had.SealedKey
			return
		}
	}
	a.SealedKey = sealText(p.ring, applicationKeyAt(a.Name), jwk)
}

func checkApplicationClient(p *preparation, a *Application) {
	if !isClientID(a.ClientID) {
		p.report("client_id", "is missing, or not a client id", "name the client that the application is at its issuer")
	}
	p.checkHTTPS("issuer", a.Issuer)
	p.checkScopes("scope", scopeList(a.Scope))
	for i, r := range a.Resources {
		p.checkResource(at("resources", i), r)
	}
}

func checkOrigins(p *preparation, a *Application) {
	if len(a.Origins) == 0 || len(a.Origins) > maxOrigins {
		p.report("origins", "is empty, or has more than ten", "list where the pages of the application are")
	}
	p.checkOriginList("origins", a.Origins)
}

func checkPages(p *preparation, a *Application) {
	under := func(uri string) bool {
		u, err := url.Parse(uri)
		return err == nil && len(a.Origins) > 0 && originOf(u) == a.Origins[0]
	}
	p.checkRedirect("redirect_uri", a.RedirectURI, false)
	if !under(a.RedirectURI) {
		p.report("redirect_uri", "is not a page of the first origin", "the application's own page takes the answer of the issuer")
	}
	if a.PostLogoutRedirectURI != "" {
		p.checkRedirect("post_logout_redirect_uri", a.PostLogoutRedirectURI, false)
	}
}

// reserved says whether a parameter belongs to the token handler: what it protects a login with, and what would change
// who asks for what, and where the answer goes.
func reserved(name string) bool {
	switch name {
	case "state", "nonce", "redirect_uri", "response_type", "response_mode", "dpop_jkt", "resource", "code", "grant_type",
		"refresh_token", "code_verifier", "id_token_hint", "registration", "web_message_uri":
		return true
	}
	for _, prefix := range []string{"client_", "code_challenge", "request"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

var parameterName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

func checkParameters(p *preparation, a *Application) {
	for i, name := range a.ExtraParameters {
		switch {
		case !parameterName.MatchString(name):
			p.report(at("extra_parameters", i), "is not the name of a parameter", "write for example login_hint")
		case reserved(name):
			p.report(at("extra_parameters", i), "is a parameter that pages must not set", "remove it")
		}
	}
}

var headerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

func checkCookies(p *preparation, a *Application) {
	switch a.CookiePrefix {
	case defaultCookiePrefix, "__Host-":
	case NoCookiePrefix:
		p.warn("cookie_prefix", "lets other hosts of the site set cookies of the application, and so log people in as somebody else", "leave it out unless the browsers there are take no cookie with a prefix")
	default:
		p.report("cookie_prefix", "is unknown", "leave it out for __Host-Http-, or use __Host-")
	}
	switch a.CustomHeader {
	case "accept", "accept-language", "content-language", "content-type", "range", "origin", "cookie", "authorization":
		p.report("custom_header", "is one that proves nothing", "leave it out for token-handler-version")
	default:
		if !headerName.MatchString(a.CustomHeader) {
			p.report("custom_header", "is not the name of a header in lower case", "leave it out for token-handler-version")
		}
	}
	if a.AllowBearerTokens {
		p.warn("allow_bearer_tokens", "lets whoever steals a token of the application use it", "leave it out unless the issuer cannot bind tokens")
	}
}

func checkStorage(p *preparation, a *Application) {
	switch a.SessionStorage {
	case StorageServer:
	case StorageStateless:
		p.warn("session_storage", "has browsers carry the tokens, sealed: they have to be small, and a copied cookie works until the session is ended", "leave it out unless no database shall hold the sessions")
	default:
		p.report("session_storage", "is unknown", "leave it out for server, or use stateless")
	}
}

func checkSessionLimits(p *preparation, a *Application) {
	if a.Idle < minSession || a.Idle > a.Absolute {
		p.report("idle", "is under a minute, or longer than absolute", "28800 is a good value")
	}
	if a.Absolute < minSession || a.Absolute > maxSession {
		p.report("absolute", "is under a minute, or longer than 90 days", "86400 is a good value")
	}
}
