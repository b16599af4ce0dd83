package dev

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/holdfast-iam/holdfast/internal/dev/orders"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Names in the landscape.
const (
	partnerName = "partner.example"
	gatewayName = "gateway" // its client id, the common name of its certificate, and the name of its files
	scopeRead   = orders.ScopeRead
	scopeWrite  = orders.ScopeWrite
)

// m is an object as a file holds it.
type m = map[string]any

// writeObjects writes the files that the running system is brought into line with at every start.
func (l *landscape) writeObjects() error {
	if err := os.MkdirAll(l.path("objects"), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	clients, err := l.clients()
	if err != nil {
		return err
	}
	apps, err := l.applications()
	if err != nil {
		return err
	}
	files := map[string][]m{"apis": l.apis(), "clients": clients, "users": l.users(), "applications": apps, "routes": l.routes(), "mappings": l.mappings()}
	for name, docs := range files {
		var text []byte
		for _, d := range docs {
			data, err := json.MarshalIndent(d, "", "  ")
			if err != nil {
				return fmt.Errorf("marshal %s: %w", name, err)
			}
			text = append(append(text, "---\n"...), append(data, '\n')...)
		}
		if err := keys.WriteFile(l.path("objects", name+".yaml"), text); err != nil {
			return err
		}
	}
	return nil
}

// adminScopes are what a token for the admin API may say.
const adminScopes = "admin.clients.read admin.clients.write admin.users.read admin.users.write admin.apis.read admin.apis.write admin.scopes.read admin.scopes.write admin.keys.read admin.keys.write admin.audit.read admin.claim_mappings.read admin.claim_mappings.write admin.tokens.read"

func (l *landscape) apis() []m {
	return []m{
		{"kind": "scope", "name": scopeRead, "title": "Read your orders", "description": "Sees what you have ordered."},
		{"kind": "scope", "name": scopeWrite, "title": "Place orders for you", "description": "Orders in your name."},
		{
			"kind": "api", "resource": l.api(), "name": "Orders", "scopes": []string{scopeRead, scopeWrite},
			"introspectors": []string{"demo-api", gatewayName}, "exchangers": []string{gatewayName}, "authorization_details_types": detailTypes,
		},
		{
			"kind": "api", "resource": l.orders(), "name": "Orders, behind the gateway", "scopes": []string{scopeRead, scopeWrite},
			"authorization_details_types": detailTypes,
		},
		{"kind": "api", "resource": l.admin(), "name": "Administration", "scopes": fields(adminScopes)},
	}
}

// detailTypes are the authorization details that the API of orders knows.
var detailTypes = []m{{
	"type": orders.DetailOrder, "title": "Place orders for you, within a limit", "words": []string{"May {actions} orders", "At most {limit} of an item at once"},
	"schema": m{
		"properties": m{
			"actions": m{"items": m{"enum": []string{orders.ActionPlace}}}, "limit": m{"type": "integer", "minimum": 1, "maximum": 99},
		},
		"required": []string{"actions", "limit"},
	},
}}

// mappings let the applications greet people by their names.
func (l *landscape) mappings() []m {
	return []m{{
		"kind": objects.KindClaimMapping, "name": "name-for-apps", "source": m{"claim": "name"}, "claim": "name",
		"into": []string{objects.IntoIDToken}, "clients": []string{"spa", "spa-backoffice"},
	}}
}

func (l *landscape) clients() ([]m, error) {
	jwt, err := l.clientKey("partner_jwt")
	if err != nil {
		return nil, err
	}
	opaque, err := l.clientKey("partner_opaque")
	if err != nil {
		return nil, err
	}
	cli, err := l.clientKey("admin_cli")
	if err != nil {
		return nil, err
	}
	apps, err := l.appClients()
	if err != nil {
		return nil, err
	}
	resources, types := []string{l.api()}, []string{orders.DetailOrder}
	code := []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	return append(apps, []m{
		{
			"kind": "client", "client_id": "partner-mtls", "client_name": "Partner with a certificate",
			"token_endpoint_auth_method": oauth.AuthTLSClient, "tls_client_auth_subject_dn": "CN=" + partnerName + ",O=Holdfast",
			"grant_types": append([]string{oauth.GrantClientCredentials}, code...), "redirect_uris": []string{"https://" + partnerName + "/callback"},
			"scope": "openid profile email " + scopeRead + " " + scopeWrite, "resources": resources, "tls_client_certificate_bound_access_tokens": true,
			"authorization_details_types": types,
		},
		{
			"kind": "client", "client_id": "partner-jwt", "client_name": "Partner with a key",
			"token_endpoint_auth_method": oauth.AuthPrivateKeyJWT, "jwks": jwt, "grant_types": []string{oauth.GrantClientCredentials},
			"scope": scopeRead + " " + scopeWrite, "resources": resources, "dpop_bound_access_tokens": true, "authorization_details_types": types,
		},
		{
			"kind": "client", "client_id": "web-confidential", "client_name": "Web shop", "client_secret": l.Secrets.Web,
			"token_endpoint_auth_method": oauth.AuthSecretBasic, "grant_types": code, "redirect_uris": []string{l.app() + "/shop/callback"},
			"scope": "openid profile email address phone offline_access " + scopeRead + " " + scopeWrite, "resources": resources,
			"dpop_bound_access_tokens": true, "authorization_details_types": types,
		},
		{
			"kind": "client", "client_id": "native-public", "client_name": "Command-line app", "application_type": "native",
			"token_endpoint_auth_method": oauth.AuthNone, "grant_types": code, "redirect_uris": []string{"http://127.0.0.1/callback"},
			"scope": "openid profile email offline_access " + scopeRead, "resources": resources, "dpop_bound_access_tokens": true,
		},
		{
			"kind": "client", "client_id": "partner-opaque", "client_name": "Partner with opaque tokens",
			"token_endpoint_auth_method": oauth.AuthPrivateKeyJWT, "jwks": opaque, "grant_types": []string{oauth.GrantClientCredentials},
			"scope": scopeRead + " " + scopeWrite, "resources": resources, "dpop_bound_access_tokens": true, "access_token_format": "opaque",
		},
		{
			"kind": "client", "client_id": gatewayName, "client_name": "Gateway",
			"token_endpoint_auth_method": oauth.AuthTLSClient, "tls_client_auth_subject_dn": "CN=" + gatewayName + ",O=Holdfast",
			"grant_types": []string{oauth.GrantTokenExchange}, "resources": []string{l.orders()}, "tls_client_certificate_bound_access_tokens": true,
		},
		{
			"kind": "client", "client_id": "demo-api", "client_name": "Orders API", "client_secret": l.Secrets.ResourceAS,
			"token_endpoint_auth_method": oauth.AuthSecretBasic, "grant_types": []string{oauth.GrantClientCredentials}, "scope": scopeRead,
		},
		{
			"kind": "client", "client_id": "admin-cli", "client_name": "Administration", "token_endpoint_auth_method": oauth.AuthPrivateKeyJWT,
			"jwks": cli, "grant_types": []string{oauth.GrantClientCredentials}, "scope": adminScopes, "resources": []string{l.admin()}, "dpop_bound_access_tokens": true,
		},
	}...), nil
}

// appClients are the clients that browser applications are.
func (l *landscape) appClients() ([]m, error) {
	var all []m
	for _, app := range []struct{ id, key, name, origin string }{
		{"spa", "spa", "Demo app", l.app()},
		{"spa-backoffice", "spa_backoffice", "Back office", l.backoffice()},
	} {
		key, err := l.clientKey(app.key)
		if err != nil {
			return nil, err
		}
		all = append(all, m{
			"kind": "client", "client_id": app.id, "client_name": app.name, "token_endpoint_auth_method": oauth.AuthPrivateKeyJWT, "jwks": key,
			"grant_types":   []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
			"redirect_uris": []string{app.origin + "/callback"}, "post_logout_redirect_uris": []string{app.origin + "/"}, "first_party": true,
			"scope": appScope, "resources": []string{l.api()}, "dpop_bound_access_tokens": true,
		})
	}
	return all, nil
}

func (l *landscape) users() []m {
	return []m{
		{
			"kind": "user", "username": "alice@example.com", "password": l.Secrets.Alice,
			"name": "Alice Adams", "given_name": "Alice", "family_name": "Adams", "middle_name": "Beatrix", "nickname": "Al",
			"preferred_username": "alice", "profile": "https://example.com/alice", "picture": "https://example.com/alice.png",
			"website": "https://alice.example.com", "gender": "female", "birthdate": "1990-04-01", "zoneinfo": "Europe/Berlin",
			"locale": "en-GB", "email": "alice@example.com", "email_verified": true,
			"phone_number": "+49 30 1234567", "phone_number_verified": false,
			"address": m{"formatted": "1 High Street\nBerlin 10115\nGermany", "street_address": "1 High Street", "locality": "Berlin", "region": "Berlin", "postal_code": "10115", "country": "DE"},
		},
		{"kind": "user", "username": "bob@example.com", "password": l.Secrets.Bob, "name": "Bob Brown", "email": "bob@example.com", "email_verified": true},
	}
}
