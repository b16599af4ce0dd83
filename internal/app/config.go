package app

import (
	"net/netip"
	"time"
)

// Config is holdfast.yaml: what one process needs to start. Everything else (clients, APIs, scopes, people) is an
// object in the database. Zero values are the documented defaults; nothing weaker than the default has a short name.
type Config struct {
	file   string   // where it was read from
	values []string // the files of its ${file:…}

	// Environment is "production" (default) or "test". Test switches the hooks under /test/ on, and is refused
	// for issuers outside .localhost and .test and for listeners beyond loopback.
	Environment string         `yaml:"environment"`
	Database    DatabaseConfig `yaml:"database"`
	// SessionsDatabase is where token handlers and gateways keep the sessions of browser applications, in place of
	// database. Tokens are in it, sealed; everything else stays where it is.
	SessionsDatabase DatabaseConfig `yaml:"sessions_database"`

	KeyRing   string           `yaml:"key_ring"`  // file of the master ring (holdfast key ring init)
	Listeners []ListenerConfig `yaml:"listeners"` // at least one
	Tenants   []TenantConfig   `yaml:"tenants"`   // at least one
	Admin     AdminConfig      `yaml:"admin"`
	Mail      MailConfig       `yaml:"mail"`
	Outbound  OutboundConfig   `yaml:"outbound"`
	Log       LogConfig        `yaml:"log"`
}

// DatabaseConfig names the store.
type DatabaseConfig struct {
	// URL is sqlite:PATH or postgres://…; PostgreSQL beyond loopback needs sslmode=verify-full.
	URL string `yaml:"url"`
	// Synchronous is SQLite's setting: FULL (default) or NORMAL, which forgets the newest writes on power loss.
	Synchronous string `yaml:"synchronous"`
}

// ListenerConfig is one address with the hosts it answers for.
type ListenerConfig struct {
	Name    string    `yaml:"name"`
	Address string    `yaml:"address"` // host:port
	Hosts   []string  `yaml:"hosts"`   // host names; a request for another one is 421
	TLS     TLSConfig `yaml:"tls"`
	// ClientCertificate is "never" (default, browsers would prompt) or "request" (mutual TLS).
	ClientCertificate string `yaml:"client_certificate"`
}

// TLSConfig says who ends TLS.
type TLSConfig struct {
	Mode        string `yaml:"mode"` // "own" (default) or "terminated"
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// TrustedHops are the networks of the proxies whose forwarded headers are believed; needed with "terminated".
	TrustedHops []netip.Prefix `yaml:"trusted_hops"`
	// ClientCertificateHeader is where those proxies put the client certificate they asked for: Client-Cert
	// (RFC 9440) or X-SSL-Client-Cert (URL-escaped PEM, as nginx writes it).
	ClientCertificateHeader string `yaml:"client_certificate_header"`
}

// TenantConfig is one issuer with its own keys, people and objects.
type TenantConfig struct {
	Name        string `yaml:"name"`
	Issuer      string `yaml:"issuer"`      // https URL without query; its path, if any, prefixes every endpoint
	MTLSIssuer  string `yaml:"mtls_issuer"` // same, on a listener that requests certificates
	AdminURL    string `yaml:"admin_url"`   // audience of its admin tokens; on a listener of this process
	DisplayName string `yaml:"display_name"`
	// RelyingPartyID is the WebAuthn relying party id: the issuer's host or a parent of it. Choose once.
	RelyingPartyID string `yaml:"relying_party_id"`
	// ClientCAFiles are PEM files of the roots that tls_client_auth certificates must chain to.
	ClientCAFiles []string `yaml:"client_ca_files"`
	// SigningAlgs are ES256, EdDSA, PS256, RS256; default all. The first is used where neither client nor standard ask
	// for another: RS256 is the default of clients with profile oidc.
	SigningAlgs []string `yaml:"signing_algorithms"`
	// AccessTokenAlg signs access tokens; default the first of signing_algorithms.
	AccessTokenAlg string `yaml:"access_token_signing_algorithm"`
	// EncryptionAlgs are those by which clients may encrypt request objects: RSA-OAEP-256, ECDH-ES; default both.
	EncryptionAlgs []string        `yaml:"encryption_algorithms"`
	Keys           KeysConfig      `yaml:"keys"`
	Lifetimes      LifetimesConfig `yaml:"lifetimes"`
	// RefreshRetryWindow lets a rotated (unbound) refresh token be used once more within this time: weaker.
	RefreshRetryWindow time.Duration      `yaml:"refresh_retry_window"`
	TokenHandler       TokenHandlerConfig `yaml:"token_handler"`
	Gateway            GatewayConfig      `yaml:"gateway"`
}

// TokenHandlerConfig turns the token handler for browser apps on. Which apps there are is said by application objects.
type TokenHandlerConfig struct {
	// URL is the base of all applications: each is served below it under its own name. Its host must be one of the
	// gateway's, because the cookies it sets reach no other, unless there is a cookie_domain.
	URL string `yaml:"url"`
	// CookieDomain lets the gateway be on another host: cookies of applications go to this domain and every host below
	// it, and any of these can set them. Weaker: leave it out where both can share a host.
	CookieDomain string `yaml:"cookie_domain"`
}

// GatewayConfig turns the gateway on. What it lets through is said by route objects.
type GatewayConfig struct {
	// URLs are the https origins it answers for. One on a listener with client_certificate "request" is for partners.
	URLs []string `yaml:"urls"`
	// ClientID is the client it is at the issuer, which authenticates by the certificate below.
	ClientID string `yaml:"client_id"`
	// Certificate and Key are what it shows to APIs and to the issuer: the tokens it forwards are bound to them.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// UpstreamCAFiles are PEM files of the roots that APIs' certificates must chain to; the system's if empty.
	UpstreamCAFiles []string `yaml:"upstream_ca_files"`
}

// KeysConfig is the pace of key rotation, and which signing keys live elsewhere.
type KeysConfig struct {
	Rotate   time.Duration `yaml:"rotate"`   // age at which a successor is announced; default 30 days
	Announce time.Duration `yaml:"announce"` // published before it signs; default 24 h
	Retire   time.Duration `yaml:"retire"`   // published after it signed last; default 24 h
	Signer   SignerConfig  `yaml:"signer"`
}

// SignerConfig is a process of this machine that keeps signing keys, in hardware perhaps, and signs with them.
type SignerConfig struct {
	Socket string `yaml:"socket"` // its unix socket
	// User is whom it runs as, by name or number; default the user of this process. Nobody else is spoken to.
	User string `yaml:"user"`
	// Keys are those that sign tokens, at most one for an algorithm. Other algorithms keep keys of the database.
	Keys []SignerKeyConfig `yaml:"keys"`
}

// SignerKeyConfig is one key of the signer.
type SignerKeyConfig struct {
	Algorithm string `yaml:"algorithm"`  // ES256, PS256 or RS256
	Name      string `yaml:"name"`       // the signer's own name for it
	PublicKey string `yaml:"public_key"` // PEM file of its public part
}

// LifetimesConfig is how long things live.
type LifetimesConfig struct {
	Code            time.Duration `yaml:"code"`             // default 60 s, at most 60 s
	PushedRequest   time.Duration `yaml:"pushed_request"`   // default 90 s, 60 to 600 s
	AccessToken     time.Duration `yaml:"access_token"`     // default 5 min
	IDToken         time.Duration `yaml:"id_token"`         // default 5 min
	SessionIdle     time.Duration `yaml:"session_idle"`     // default 8 h
	SessionAbsolute time.Duration `yaml:"session_absolute"` // default 24 h
	RefreshIdle     time.Duration `yaml:"refresh_idle"`     // default 14 days
	RefreshAbsolute time.Duration `yaml:"refresh_absolute"` // default 90 days
}

// AdminConfig is the way in for operators besides bound tokens.
type AdminConfig struct {
	// Socket is a unix socket for the command line; only this process's user and root may use it.
	Socket string `yaml:"socket"`
	// TokenFile holds a bearer token. Possible with environment "test" only.
	TokenFile string `yaml:"token_file"`
}

// MailConfig is the SMTP relay.
type MailConfig struct {
	From         string `yaml:"from"`
	Host         string `yaml:"host"`
	Port         int    `yaml:"port"`
	TLS          string `yaml:"tls"` // "starttls" (default), "implicit", "none" (loopback only)
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
}

// OutboundConfig lists the inner addresses that outgoing requests may reach.
type OutboundConfig struct {
	Allow   []OutboundRule `yaml:"allow"`
	CAFiles []string       `yaml:"ca_files"` // roots trusted in addition to the system's
}

// OutboundRule allows one network for one purpose.
type OutboundRule struct {
	Purpose string       `yaml:"purpose"` // e.g. jwks
	CIDR    netip.Prefix `yaml:"cidr"`
	Ports   []int        `yaml:"ports"` // empty: 443
}

// LogConfig is the shape of the log on standard error.
type LogConfig struct {
	Format string `yaml:"format"` // "json" (default) or "text"
	Level  string `yaml:"level"`  // "info" (default), "debug", "warn", "error"
}

// withDefaults fills what was left out.
func (c *Config) withDefaults() {
	setDefault(&c.Environment, "production")
	setDefault(&c.Log.Format, "json")
	setDefault(&c.Log.Level, "info")
	setDefault(&c.Mail.TLS, "starttls")
	for i := range c.Listeners {
		setDefault(&c.Listeners[i].TLS.Mode, "own")
		setDefault(&c.Listeners[i].ClientCertificate, "never")
	}
	for i := range c.Tenants {
		c.Tenants[i].withDefaults()
	}
}

func (t *TenantConfig) withDefaults() {
	setDefault(&t.DisplayName, t.Name)
	setDefault(&t.RelyingPartyID, hostOf(t.Issuer))
	if len(t.SigningAlgs) == 0 {
		t.SigningAlgs = []string{"ES256", "EdDSA", "PS256", "RS256"}
	}
	setDefault(&t.AccessTokenAlg, t.SigningAlgs[0])
	if len(t.EncryptionAlgs) == 0 {
		t.EncryptionAlgs = []string{"RSA-OAEP-256", "ECDH-ES"}
	}
	setDefault(&t.Keys.Rotate, 30*24*time.Hour)
	setDefault(&t.Keys.Announce, 24*time.Hour)
	setDefault(&t.Keys.Retire, 24*time.Hour)
	l := &t.Lifetimes
	setDefault(&l.Code, time.Minute)
	setDefault(&l.PushedRequest, 90*time.Second)
	setDefault(&l.AccessToken, 5*time.Minute)
	setDefault(&l.IDToken, 5*time.Minute)
	setDefault(&l.SessionIdle, 8*time.Hour)
	setDefault(&l.SessionAbsolute, 24*time.Hour)
	setDefault(&l.RefreshIdle, 14*24*time.Hour)
	setDefault(&l.RefreshAbsolute, 90*24*time.Hour)
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
