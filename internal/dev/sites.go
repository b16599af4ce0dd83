package dev

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"time"

	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/dev/spa"
	"github.com/holdfast-iam/holdfast/internal/dev/theft"
	"github.com/holdfast-iam/holdfast/internal/store"
)

const tenant = "main"

// serveSites adds the browser applications and the theft page to the hosts that the process serves.
func (l *landscape) serveSites(a *app.App) error {
	links := []spa.Link{{URL: l.theft() + "/", Text: "Be the thief"}, {URL: l.mail() + "/", Text: "Caught mail"}, {URL: l.issuer() + "/account", Text: "Your account"}}
	for host, s := range map[string]spa.App{
		"app":        {Name: "Demo app", TokenHandler: l.tokenHandler() + "/demo", API: l.api() + "/orders", Links: links},
		"backoffice": {Name: "Back office", TokenHandler: l.tokenHandler() + "/backoffice", API: l.api() + "/backoffice/orders", Links: links},
	} {
		h, err := spa.New(s)
		if err != nil {
			return err
		}
		a.Serve(host+"."+l.Host, h)
	}
	t, err := l.drill(a)
	if err != nil {
		return err
	}
	h, err := t.Handler()
	if err != nil {
		return err
	}
	a.Serve("theft."+l.Host, h)
	return nil
}

// drill is what the theft page needs: the keys of right holders, and a way to the audit.
func (l *landscape) drill(a *app.App) (*theft.Theft, error) {
	roots, err := poolOf(l.roots.servers.RootFile())
	if err != nil {
		return nil, err
	}
	_, key, _, err := signerOf(l.folder, "partner_jwt")
	if err != nil {
		return nil, err
	}
	_, opaqueKey, _, err := signerOf(l.folder, "partner_opaque")
	if err != nil {
		return nil, err
	}
	return &theft.Theft{
		Issuer: l.issuer(), MTLSIssuer: l.mtlsIssuer(), API: l.mtlsAPI() + "/orders", WebAPI: l.api() + "/orders", Resource: l.api(), Admin: l.admin(),
		HTTP:        func(certificates ...tls.Certificate) *http.Client { return l.client(roots, certificates...) },
		Certificate: func() (tls.Certificate, error) { return l.pair("partners", "partner") },
		Partner:     theft.Client{ID: "partner-mtls"}, KeyPartner: theft.Client{ID: "partner-jwt", Key: key}, Opaque: theft.Client{ID: "partner-opaque", Key: opaqueKey},
		Web:      theft.Client{ID: "web-confidential", Secret: l.Secrets.Web, RedirectURI: l.app() + "/shop/callback"},
		Native:   theft.Client{ID: "native-public", RedirectURI: "http://127.0.0.1/callback"},
		App:      theft.App{Name: "demo", Origin: l.app(), TokenHandler: l.tokenHandler() + "/demo"},
		Other:    theft.App{Name: "backoffice", Origin: l.backoffice(), TokenHandler: l.tokenHandler() + "/backoffice"},
		Username: "alice@example.com", Password: l.Secrets.Alice, Now: a.Clock.Now,
		Audit: func(ctx context.Context, requestID string) (found []store.AuditRecord, err error) {
			err = a.DB.For(tenant).Read(ctx, func(tx *store.Tx) error {
				found, err = tx.Audits(store.AuditFilter{RequestID: requestID})
				return err
			})
			return found, err
		},
	}, nil
}

func (l *landscape) pair(folder, name string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(l.path(folder, name+".pem"), l.path(folder, name+".key"))
	if err != nil {
		return pair, fmt.Errorf("load certificate: %w", err)
	}
	return pair, nil
}

// client is a fresh one: it keeps its own cookies and follows no redirects.
func (l *landscape) client(roots *x509.CertPool, certificates ...tls.Certificate) *http.Client {
	jar, _ := cookiejar.New(nil) // never fails
	return &http.Client{
		Transport: l.transport(roots, certificates...), Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
