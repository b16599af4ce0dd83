package dev

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

func fields(s string) []string { return strings.Fields(s) }

// writeContract writes dev.json, by which tests and tools find everything. Keys may be added, never renamed.
func (l *landscape) writeContract() error {
	client := func(id string, more m) m {
		more["client_id"] = id
		return more
	}
	doc := m{
		"issuer": l.issuer(), "mtls_issuer": l.mtlsIssuer(), "admin_url": l.admin(), "mail_url": l.mail(),
		"app_url": l.app(), "token_handler_url": l.tokenHandler() + "/demo", "gateway_url": l.api(), "api_url": l.mtlsAPI() + "/orders",
		"theft_url": l.theft(), "backoffice_url": l.backoffice(), "upstream_url": l.orders(),
		"ca_file": l.roots.servers.RootFile(),
		"users":   []m{{"username": "alice@example.com", "password": l.Secrets.Alice}, {"username": "bob@example.com", "password": l.Secrets.Bob}},
		"admin":   m{"token_file": l.path("admin.token")},
		"clients": m{
			"partner_mtls": client("partner-mtls", m{
				"cert_file": l.path("partners", "partner.pem"), "key_file": l.path("partners", "partner.key"), "scope": scopeRead, "resource": l.api(),
				"redirect_uris": []string{"https://" + partnerName + "/callback"},
			}),
			"partner_opaque":   client("partner-opaque", m{"key_file": l.path("clients", "partner_opaque.jwk"), "scope": scopeRead, "resource": l.api()}),
			"partner_jwt":      client("partner-jwt", m{"key_file": l.path("clients", "partner_jwt.jwk"), "scope": scopeRead, "resource": l.api()}),
			"web_confidential": client("web-confidential", m{"client_secret": l.Secrets.Web, "redirect_uris": []string{l.app() + "/shop/callback"}, "scope": "openid profile email " + scopeRead, "resource": l.api()}),
			"native_public":    client("native-public", m{"redirect_uris": []string{"http://127.0.0.1/callback"}, "scope": "openid profile email offline_access", "resource": l.api()}),
			"spa":              client("spa", m{"app_url": l.app(), "key_file": l.path("clients", "spa.jwk"), "redirect_uris": []string{l.app() + "/callback"}, "scope": appScope}),
			"spa_backoffice":   client("spa-backoffice", m{"app_url": l.backoffice(), "key_file": l.path("clients", "spa_backoffice.jwk"), "redirect_uris": []string{l.backoffice() + "/callback"}, "scope": appScope}),
			"gateway":          client(gatewayName, m{"cert_file": l.path("partners", gatewayName+".pem"), "key_file": l.path("partners", gatewayName+".key"), "resource": l.orders()}),
			"resource_server":  client("demo-api", m{"client_secret": l.Secrets.ResourceAS}),
			"admin_cli":        client("admin-cli", m{"key_file": l.path("clients", "admin_cli.jwk"), "scope": adminScopes, "resource": l.admin()}),
		},
		"pids": m{"holdfast": os.Getpid()},
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("marshal dev.json: %w", err)
	}
	return keys.WriteFile(l.path("dev.json"), append(data, '\n'))
}

// guide says what there is to see and what to try. Every line can be pasted.
func (l *landscape) guide(c *app.Console) {
	self, err := os.Executable()
	if err != nil {
		self = "holdfast"
	}
	curl := "curl -s --cacert " + l.roots.servers.RootFile()
	partner := " --cert " + l.path("partners", "partner.pem") + " --key " + l.path("partners", "partner.key")
	ask := " -d grant_type=client_credentials -d scope=" + scopeRead + " -d resource=" + l.api()
	fmt.Fprintf(c.Out, `
Holdfast is ready.

  App       %[13]s
  Theft     %[14]s
  Account   %[1]s/account
  Mail      %[2]s
  Sign in   alice@example.com   %[3]s
            bob@example.com     %[4]s
  Data      %[5]s (dev.json names everything; remove the folder to begin anew)

  Browsers refuse passkeys until they trust this landscape:   %[6]s dev trust --data %[5]s

A token by certificate, the API with it, and the same token without the certificate:

  TOKEN=$(%[7]s%[8]s %[9]s/token -d client_id=partner-mtls%[10]s | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  %[7]s%[8]s %[15]s -H "Authorization: Bearer $TOKEN"
  %[7]s -i %[15]s -H "Authorization: Bearer $TOKEN"

A token by signed assertion, bound to a key by DPoP. The first answer gives a nonce, the second the token:

  key() { %[6]s dev "$@" --data %[5]s; }
  ask() { %[7]s -D /tmp/holdfast-headers -H "DPoP: $(key proof partner_jwt POST %[11]s/token --nonce "$N")" %[11]s/token%[10]s \
    -d client_assertion_type=%[12]s -d client_assertion="$(key assertion partner_jwt)"; }
  N= ; ask; N=$(sed -n 's/^dpop-nonce: //Ip' /tmp/holdfast-headers | tr -d '\r'); ask

Stop with Ctrl-C.
`, l.issuer(), l.mail(), l.Secrets.Alice, l.Secrets.Bob, l.folder, self, curl, partner, l.mtlsIssuer(), ask, l.issuer(), oauth.AssertionType,
		l.app(), l.theft(), l.mtlsAPI()+"/orders")
	if !resolves("login." + l.Host) {
		fmt.Fprintf(c.Out, "\nThis system does not resolve names under localhost. Browsers and curl do; for other programs add to /etc/hosts:\n\n  127.0.0.1 %s\n", strings.Join(l.hosts(), " "))
	}
}

// Assertion prints a client assertion of one of the landscape's clients (RFC 7523).
func Assertion(c *app.Console, data, client string) error {
	l, signer, id, err := signerOf(data, client)
	if err != nil {
		return err
	}
	now := time.Now()
	token, err := signer.Sign("JWT", m{
		"iss": id, "sub": id, "aud": l.issuer(), "jti": keys.NewSecret().Reveal(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Out, token)
	return err
}

// Proof prints a DPoP proof by the key of one of the landscape's clients (RFC 9449).
func Proof(c *app.Console, data, client, method, url, nonce, accessToken string) error {
	_, signer, _, err := signerOf(data, client)
	if err != nil {
		return err
	}
	proof, err := dpop.Make(signer, method, url, nonce, accessToken, time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Out, proof)
	return err
}

func signerOf(data, client string) (*landscape, *jose.Signer, string, error) {
	l, err := existing(data)
	if err != nil {
		return nil, nil, "", err
	}
	text, err := os.ReadFile(l.path("clients", client+".jwk"))
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s has no client %s with a JWK of its own: use partner_jwt, partner_opaque, spa, spa_backoffice or admin_cli", l.folder, client)
	}
	key, err := jose.ParseKey(text)
	if err != nil {
		return nil, nil, "", err
	}
	signer, err := jose.NewSigner(key)
	return l, signer, strings.ReplaceAll(client, "_", "-"), err
}

// existing opens a landscape that must be there.
func existing(data string) (*landscape, error) {
	if _, err := os.Stat(data + "/landscape.json"); err != nil {
		return nil, fmt.Errorf("there is no landscape in %s: run holdfast dev first, or name its folder with --data", data)
	}
	return open(Options{Data: data})
}
