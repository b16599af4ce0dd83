package app

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	urlpath "path"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// Validate reports every problem of a configuration, with the path of its key.
func (c *Config) Validate() []Problem {
	v := &validator{c: c}
	v.oneOf("environment", c.Environment, "production", "test")
	v.databases()
	v.file("key_ring", c.KeyRing, "create one with: holdfast key ring init FILE")
	v.listeners()
	v.tenants()
	v.admin()
	v.mail()
	v.oneOf("log.format", c.Log.Format, "json", "text")
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	return v.problems
}

type validator struct {
	c        *Config
	problems []Problem
}

func (v *validator) report(path, what, remedy string) {
	v.problems = append(v.problems, Problem{Path: path, What: what, Remedy: remedy})
}

func (v *validator) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.report(path, "has an unknown value", "use "+strings.Join(allowed, " or "))
	}
}

func (v *validator) file(path, name, remedy string) {
	if name == "" {
		v.report(path, "is missing", remedy)
		return
	}
	if f, err := os.Open(name); err != nil {
		v.report(path, "cannot read "+name+": "+reason(err), remedy)
	} else {
		_ = f.Close() // only opened to see whether it can be
	}
}

func (v *validator) databases() {
	all := v.c.databases()
	for _, d := range all {
		v.database(d)
	}
	if len(all) == 2 && all[1].URL == all[0].URL {
		v.report("sessions_database.url", "is that of database", "leave it out, or name another one")
	}
	if v.c.SessionsDatabase.URL == "" && v.c.SessionsDatabase.Synchronous != "" {
		v.report("sessions_database.url", "is missing", "name the database, or remove sessions_database")
	}
}

func (v *validator) database(d database) {
	path := d.key + ".url"
	name, sqlite := strings.CutPrefix(d.URL, "sqlite:")
	switch {
	case d.URL == "":
		v.report(path, "is missing", "write sqlite:holdfast.db or postgres://…")
	case sqlite && name == "":
		v.report(path, "names no file", "write sqlite:holdfast.db")
	case !sqlite && !strings.HasPrefix(d.URL, "postgres://") && !strings.HasPrefix(d.URL, "postgresql://"):
		v.report(path, "is neither sqlite: nor postgres://", "write sqlite:holdfast.db or postgres://…")
	case !sqlite:
		v.postgres(path, d.URL)
	}
	if d.Synchronous != "" {
		v.oneOf(d.key+".synchronous", d.Synchronous, "FULL", "NORMAL")
	}
}

// postgres demands an authenticated connection for every server that is not on this machine.
func (v *validator) postgres(path, raw string) {
	u, err := url.Parse(raw)
	if err != nil {
		v.report(path, "is not a URL", "write postgres://user@host/database?sslmode=verify-full")
		return
	}
	host := u.Hostname()
	if host == "" {
		host = u.Query().Get("host")
	}
	local := host == "" || host == "localhost" || strings.HasPrefix(host, "/") || isLoopback(host)
	if !local && u.Query().Get("sslmode") != "verify-full" {
		v.report(path, "connects beyond this machine without sslmode=verify-full", "add ?sslmode=verify-full&sslrootcert=FILE")
	}
}

func (v *validator) listeners() {
	if len(v.c.Listeners) == 0 {
		v.report("listeners", "is empty", "add one with address, hosts and tls")
	}
	seen := map[string]bool{}
	for i, l := range v.c.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		host, _, err := net.SplitHostPort(l.Address)
		if err != nil {
			v.report(path+".address", "is not host:port", "write for example 127.0.0.1:8443")
		} else if v.c.Environment == "test" && host != "localhost" && !isLoopback(host) {
			v.report(path+".address", "is not on loopback, which environment test requires", "use 127.0.0.1, or environment: production")
		}
		if len(l.Hosts) == 0 {
			v.report(path+".hosts", "is empty", "list the host names this listener answers for")
		}
		for _, h := range l.Hosts {
			if seen[h+l.Address] {
				v.report(path+".hosts", h+" is listed twice for one address", "keep one")
			}
			seen[h+l.Address] = true
		}
		v.oneOf(path+".client_certificate", l.ClientCertificate, "never", "request")
		v.tls(path+".tls", l)
	}
}

func (v *validator) tls(path string, l ListenerConfig) {
	v.oneOf(path+".mode", l.TLS.Mode, "own", "terminated")
	switch l.TLS.Mode {
	case "own":
		v.file(path+".certificate", l.TLS.Certificate, "name a PEM file with the certificate chain")
		v.file(path+".key", l.TLS.Key, "name the PEM file of its private key")
		if l.TLS.ClientCertificateHeader != "" {
			v.report(path+".client_certificate_header", "has no meaning with mode own", "remove it: this process sees the certificate itself")
		}
	case "terminated":
		if len(l.TLS.TrustedHops) == 0 {
			v.report(path+".trusted_hops", "is empty", "list the networks of the proxies that end TLS")
		}
		if l.ClientCertificate == "request" {
			v.oneOf(path+".client_certificate_header", l.TLS.ClientCertificateHeader, "Client-Cert", "X-SSL-Client-Cert")
		}
	}
}

func (v *validator) tenants() {
	if len(v.c.Tenants) == 0 {
		v.report("tenants", "is empty", "add one with name and issuer")
	}
	names, urls := map[string]bool{}, map[string]bool{}
	for i := range v.c.Tenants {
		t := &v.c.Tenants[i]
		path := fmt.Sprintf("tenants[%d]", i)
		if !isName(t.Name) {
			v.report(path+".name", "is not a name of lower-case letters, digits and dashes", "write for example main")
		}
		if names[t.Name] {
			v.report(path+".name", "is used twice", "give each tenant its own name")
		}
		names[t.Name] = true
		v.endpoint(path+".issuer", t.Issuer, "never", urls, true)
		v.endpoint(path+".mtls_issuer", t.MTLSIssuer, "request", urls, false)
		v.endpoint(path+".admin_url", t.AdminURL, "", urls, false)
		v.gateway(path, t, urls)
		v.tenant(path, t)
	}
}

// endpoint checks a URL under which this process is reached: https, canonical, served by a listener.
func (v *validator) endpoint(path, raw, certificate string, seen map[string]bool, required bool) {
	if raw == "" {
		if required {
			v.report(path, "is missing", "write the https URL that clients know")
		}
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		v.report(path, "is not an https URL", "an issuer identifier is an https URL (RFC 8414 §2)")
		return
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		v.report(path, "has a query, fragment or user", "write scheme, host and path only (RFC 8414 §2)")
	case strings.HasSuffix(raw, "/") || u.Host != strings.ToLower(u.Host) || u.Path != "" && urlpath.Clean(u.Path) != u.Path:
		v.report(path, "is not in its canonical form", "write the host in lower case, no slash at the end and no empty or dotted part")
	case seen[u.Hostname()+u.EscapedPath()]:
		v.report(path, "is used twice", "give each its own host or path: requests do not differ by port")
	case v.c.Environment == "test" && !isTestHost(u.Hostname()):
		v.report(path, "is outside .localhost and .test, which environment test requires", "use such a name, or environment: production")
	}
	seen[u.Hostname()+u.EscapedPath()] = true
	l := v.c.listenerFor(u.Hostname())
	if l == nil {
		v.report(path, "has a host that no listener serves", "add "+u.Hostname()+" to the hosts of a listener")
	} else if certificate != "" && l.ClientCertificate != certificate {
		v.report(path, "is on a listener with client_certificate: "+l.ClientCertificate, "it needs one with client_certificate: "+certificate)
	}
}

func (v *validator) tenant(path string, t *TenantConfig) {
	host := hostOf(t.Issuer)
	if rp := t.RelyingPartyID; rp != host && !strings.HasSuffix(host, "."+rp) {
		v.report(path+".relying_party_id", "is neither the issuer's host nor a parent of it", "use "+host+" or a registrable parent (WebAuthn §5.1.2)")
	}
	v.algorithms(path, t)
	for i, f := range t.ClientCAFiles {
		v.file(fmt.Sprintf("%s.client_ca_files[%d]", path, i), f, "name a PEM file of trusted roots")
	}
	within := func(key string, d, low, high time.Duration) {
		if d < low || d > high {
			v.report(path+"."+key, fmt.Sprintf("is outside %s to %s", low, high), "choose a time between them")
		}
	}
	v.signer(path, t)
	day := 24 * time.Hour
	within("lifetimes.code", t.Lifetimes.Code, time.Second, time.Minute)
	within("lifetimes.pushed_request", t.Lifetimes.PushedRequest, time.Minute, 10*time.Minute)
	within("lifetimes.access_token", t.Lifetimes.AccessToken, 30*time.Second, day)
	within("lifetimes.id_token", t.Lifetimes.IDToken, 30*time.Second, day)
	within("lifetimes.session_idle", t.Lifetimes.SessionIdle, time.Minute, 30*day)
	within("lifetimes.session_absolute", t.Lifetimes.SessionAbsolute, t.Lifetimes.SessionIdle, 365*day)
	within("lifetimes.refresh_idle", t.Lifetimes.RefreshIdle, time.Minute, 365*day)
	within("lifetimes.refresh_absolute", t.Lifetimes.RefreshAbsolute, t.Lifetimes.RefreshIdle, 2*365*day)
	within("refresh_retry_window", t.RefreshRetryWindow, 0, time.Minute)
	// A key must be known to every cache of the key set before it signs, and as long as anything it signed lives.
	within("keys.announce", t.Keys.Announce, 15*time.Minute, t.Keys.Rotate)
	within("keys.retire", t.Keys.Retire, max(t.Lifetimes.AccessToken, t.Lifetimes.IDToken), 365*day)
}

func (v *validator) algorithms(path string, t *TenantConfig) {
	for i, alg := range t.SigningAlgs {
		if !jose.Alg(alg).Supported() {
			v.report(fmt.Sprintf("%s.signing_algorithms[%d]", path, i), "is unknown", "use ES256, EdDSA, PS256 or RS256")
		}
	}
	if !slices.Contains(t.SigningAlgs, t.AccessTokenAlg) {
		v.report(path+".access_token_signing_algorithm", "is not among signing_algorithms", "use one of "+strings.Join(t.SigningAlgs, ", "))
	}
	for i, alg := range t.EncryptionAlgs {
		if alg != string(jose.RSAOAEP256) && alg != string(jose.ECDHES) {
			v.report(fmt.Sprintf("%s.encryption_algorithms[%d]", path, i), "is unknown", "use RSA-OAEP-256 or ECDH-ES")
		}
	}
}

func (v *validator) admin() {
	if v.c.Admin.TokenFile != "" && v.c.Environment != "test" {
		v.report("admin.token_file", "a bearer token for administration exists with environment test only", "use bound tokens or admin.socket")
	}
}

func (v *validator) mail() {
	m := v.c.Mail
	if m.Host == "" {
		return // nothing is sent; the queue keeps what is due and says so
	}
	v.oneOf("mail.tls", m.TLS, "starttls", "implicit", "none")
	if m.TLS == "none" && m.Host != "localhost" && !isLoopback(m.Host) {
		v.report("mail.tls", "none is possible towards loopback only", "use starttls or implicit")
	}
	if m.Port < 1 || m.Port > 65535 {
		v.report("mail.port", "is not a port", "write for example 587")
	}
	if m.From == "" {
		v.report("mail.from", "is missing", "write the sender's address")
	}
	if m.PasswordFile != "" {
		v.file("mail.password_file", m.PasswordFile, "name the file that holds the password")
	}
}

// listenerFor is the listener that serves the host, or nil.
func (c *Config) listenerFor(host string) *ListenerConfig {
	for i := range c.Listeners {
		if slices.Contains(c.Listeners[i].Hosts, host) {
			return &c.Listeners[i]
		}
	}
	return nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func isTestHost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".test")
}

func isName(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
