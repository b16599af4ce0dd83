package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/account"
	"github.com/holdfast-iam/holdfast/internal/admin"
	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/authorize"
	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/consent"
	"github.com/holdfast-iam/holdfast/internal/discovery"
	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/grant"
	"github.com/holdfast-iam/holdfast/internal/jobs"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/login"
	"github.com/holdfast-iam/holdfast/internal/logout"
	"github.com/holdfast-iam/holdfast/internal/mail"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokeninfo"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/passkey"
)

// tenant is one issuer, assembled. It does not change: a reload puts another in its place.
type tenant struct {
	*TenantConfig
	app       *App
	config    *Config // of the edition it was made for
	print     string  // of all that it was made of
	db        *store.DB
	base      string // path of the issuer
	fetch     *fetch.Keys
	signing   *keys.Signing
	registry  *objects.Registry
	failures  *limit.Failures
	minter    *tokens.Minter
	sessions  *session.Sessions
	keeper    *flow.Keeper
	pages     *web.Pages
	clients   *clients.Authenticator
	mail      *mail.Queue
	nonces    *dpop.Nonces
	admin     *admin.Endpoints // nil without admin_url and socket
	discovery *discovery.Endpoints
	both      http.Handler // see handler
	protocol  http.Handler
	apis      hosts // of token handler and gateway

	loops   []func(context.Context) // what it does by itself, from start to stop
	running sync.WaitGroup
	cancel  context.CancelFunc
	serving atomic.Int64 // requests and streams
	end     context.CancelFunc
}

func (a *App) openTenant(ctx context.Context, cfg *Config, c *TenantConfig, f *fetch.Keys) (_ *tenant, err error) {
	t := &tenant{TenantConfig: c, app: a, config: cfg, db: a.DB.For(c.Name), base: pathOf(c.Issuer), fetch: f}
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // requests may outlive a reload
	t.end = end
	defer func() {
		if err != nil {
			a.forget(t)
		}
	}()
	t.registry = objects.New(t.db)
	t.registry.Stale = a.feed.Stale
	t.registry.Algs = t.algs()
	t.registry.CookieDomain = c.TokenHandler.CookieDomain
	t.failures = &limit.Failures{DB: t.db, Now: a.Clock.Now}
	t.mail = &mail.Queue{DB: t.db, Ring: a.Ring, From: cfg.Mail.From, Transport: cfg.Mail.transport(), Log: a.log}
	t.nonces = dpop.NewNonces(a.Ring.Derive(keys.PurposeNonce))
	t.sessions = &session.Sessions{DB: t.db, Ring: a.Ring, Now: a.Clock.Now, Idle: c.Lifetimes.SessionIdle, Absolute: c.Lifetimes.SessionAbsolute, Base: t.base}
	t.keeper = &flow.Keeper{DB: t.db, Sealer: a.Ring, Now: a.Clock.Now, Base: t.base}
	if t.pages, err = web.NewPages(web.Theme{Name: c.DisplayName, Base: t.base}); err != nil {
		return nil, err
	}
	remote, external, err := c.Keys.Signer.open(ctx)
	if err != nil {
		return nil, err
	}
	t.signing = keys.NewSigning(keys.SigningConfig{
		DB: t.db, Ring: a.Ring, Algs: t.algs(), Encryption: t.encryptionAlgs(), Rotate: c.Keys.Rotate, Announce: c.Keys.Announce, Retire: c.Keys.Retire,
		External: remote, ExternalKeys: external,
	})
	a.listenTo(t) // before anything is read, or a change after that would pass unheard
	if err := t.openKeys(ctx); err != nil {
		return nil, err
	}
	if err := t.openClients(); err != nil {
		return nil, err
	}
	t.discovery = &discovery.Endpoints{Offer: t.offer(), Signing: t.signing, DetailTypes: t.registry.DetailTypes}
	t.openAdmin()
	t.addLoops()
	if t.both, t.protocol, err = t.handler(); err != nil {
		return nil, err
	}
	return t, t.openAPIs(life)
}

func (t *tenant) openKeys(ctx context.Context) (err error) {
	if err := t.signing.Load(ctx); err != nil {
		return err
	}
	return t.openMinter(ctx)
}

func (t *tenant) openMinter(ctx context.Context) (err error) {
	l := t.Lifetimes
	t.minter, err = tokens.New(ctx, tokens.Config{
		Issuer: t.Issuer, DB: t.db, Ring: t.app.Ring, Signing: t.signing, Registry: t.registry, Feed: t.app.feed, Now: t.app.Clock.Now,
		AccessAlg: jose.Alg(t.AccessTokenAlg),
		Lifetimes: tokens.Lifetimes{
			Access: l.AccessToken, IDToken: l.IDToken, RefreshIdle: l.RefreshIdle, RefreshAbsolute: l.RefreshAbsolute,
			RefreshRetryWindow: t.RefreshRetryWindow,
		},
	})
	return err
}

func (t *tenant) algs() []jose.Alg {
	var algs []jose.Alg
	for _, name := range t.SigningAlgs {
		algs = append(algs, jose.Alg(name))
	}
	return algs
}

func (t *tenant) encryptionAlgs() []jose.KeyAlg {
	var algs []jose.KeyAlg
	for _, name := range t.EncryptionAlgs {
		algs = append(algs, jose.KeyAlg(name))
	}
	return algs
}

func (t *tenant) openClients() error {
	t.clients = &clients.Authenticator{
		Issuer: t.Issuer, Aliases: []string{t.Issuer + "/token", t.Issuer + "/par"}, Registry: t.registry, Ring: t.app.Ring,
		Failures: t.failures, Now: t.app.Clock.Now, KeysAt: t.fetch.At, KeysAgain: t.fetch.Again,
		Revoked: func(x5t string) bool { return t.app.feed.Revoked(t.Name, feed.Subject{X5T: x5t}) },
	}
	if t.MTLSIssuer != "" {
		t.clients.Aliases = append(t.clients.Aliases, t.MTLSIssuer+"/token", t.MTLSIssuer+"/par")
	}
	roots, err := poolOf("client_ca_files", t.ClientCAFiles)
	if err != nil {
		return err
	}
	t.clients.Roots = roots
	t.minter.Encrypter = t.clients.Encrypter
	return nil
}

// heard follows what other nodes, and this one, have changed.
func (t *tenant) heard(e store.Event) {
	t.registry.Heard(e)
	if e.Kind == store.EventObject && (e.Key == "" || e.Tenant == t.Name && strings.HasPrefix(e.Key, "signing_key/")) {
		if err := t.signing.Reload(context.Background()); err != nil {
			t.app.log.Error("reload signing keys", "tenant", t.Name, "cause", err)
		}
	}
}

// addLoops lists what the tenant does by itself.
func (t *tenant) addLoops() {
	rotation := &jobs.Runner{DB: t.app.DB.For(""), Now: t.app.Clock.Now, Log: t.app.log}
	rotation.Add("rotate "+t.Name, time.Minute, true, t.signing.Step)
	t.loops = append(t.loops, rotation.Run)
	if t.config.Mail.Host != "" {
		t.loops = append(t.loops, t.mail.Run)
	}
}

// start begins what the tenant does by itself.
func (t *tenant) start(ctx context.Context) {
	ctx, t.cancel = context.WithCancel(ctx)
	for _, loop := range t.loops {
		t.running.Go(func() { loop(ctx) })
	}
}

// stop ends it, and waits. What is served goes on being served.
func (t *tenant) stop() {
	t.cancel()
	t.running.Wait()
}

func (t *tenant) offer() discovery.Offer {
	var claims []string
	for _, name := range objects.StandardScopes() {
		if s, err := t.registry.Scope(context.Background(), name); err == nil {
			claims = append(claims, s.Claims...)
		}
	}
	return discovery.Offer{
		Issuer: t.Issuer, MTLSIssuer: t.MTLSIssuer, Grants: grant.Types(), AuthMethods: clients.Methods(),
		AssertionAlgs: clients.AssertionAlgs(), SigningAlgs: t.algs(), Scopes: objects.StandardScopes(),
		Claims: append([]string{"sub", "acr", "amr", "auth_time"}, claims...), ResponseModes: request.ResponseModes(),
		ObjectKeyAlgs: t.encryptionAlgs(), ObjectEncs: keys.EncryptionEncs,
		ObjectAlgs: objects.SignatureAlgs(), AnswerKeyAlgs: objects.EncryptionAlgs, AnswerEncs: objects.EncryptionEncs,
		Prompts: request.PromptValues, Displays: request.DisplayValues, Languages: t.pages.Languages(), ACRValues: objects.ACRValues,
	}
}

func (t *tenant) openAdmin() {
	url := t.AdminURL
	if url == "" && t.config.Admin.Socket == "" {
		return
	}
	t.admin = &admin.Endpoints{
		AdminURL: url, DB: t.db, Ring: t.app.Ring, Signing: t.signing, Nonces: t.nonces, Trail: t.app.trail,
		Now: t.app.Clock.Now, HashPassword: t.app.passwords.Hash, Inspect: t.inspect,
		DevToken: t.app.devToken(),
		Preview:  t.grants().Preview,
		ReadSectors: func(ctx context.Context, docs []objects.Document) error {
			return objects.ReadSectors(ctx, t.db, t.fetch.Client.Get, docs)
		},
	}
	if t.app.Sessions != t.app.DB {
		t.admin.Sessions = t.app.Sessions.For(t.Name)
	}
}

// inspect reads an access token for the admin API.
func (t *tenant) inspect(ctx context.Context, token string) (*admin.Token, error) {
	c, err := t.minter.Inspect(ctx, token)
	if errors.Is(err, tokens.ErrInactive) {
		return nil, oauth.Refuse(oauth.InvalidToken, "the access token is not valid")
	}
	if err != nil {
		return nil, err
	}
	read := &admin.Token{Subject: c.Subject, ClientID: c.ClientID, Audience: c.Audience, Scope: strings.Fields(c.Scope)}
	if c.Confirmation != nil {
		read.Bound = *c.Confirmation
	}
	return read, nil
}

// handler is the issuer as its plain listener serves it: pages for people, and the protocol for clients, which have
// different defences. The protocol alone is what the mutual-TLS listener serves.
func (t *tenant) handler() (pages, protocol http.Handler, err error) {
	pageMux, apiMux := web.NewMux(web.PageDoor(t.pages)), web.NewMux(web.OAuthDoor)
	decider := t.decider()
	authorizing := t.authorize(decider)
	authorizing.MountPages(pageMux.ServeMux)
	authorizing.MountProtocol(apiMux.ServeMux)
	if err := t.mountPeople(pageMux.ServeMux, decider); err != nil {
		return nil, nil, err
	}
	t.grants().Mount(apiMux.ServeMux)
	(&tokeninfo.Endpoints{
		Issuer: t.Issuer, MTLSIssuer: t.MTLSIssuer, DB: t.db, Registry: t.registry, Clients: t.clients,
		Tokens: t.minter, Nonces: t.nonces, Now: t.app.Clock.Now,
	}).Mount(apiMux.ServeMux)
	t.discovery.Mount(apiMux.ServeMux)
	protocol = t.noted(web.CORS(apiMux, pagePaths, t.registry.AllowsOrigin))
	// Authorization requests and sign-out arrive from other origins by their nature and protect themselves.
	protected := t.noted(web.Protect(pageMux, "POST /authorize", "POST /end-session"))
	both := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(protocolPaths, r.URL.Path) {
			protocol.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
	return both, protocol, nil
}

// protocolPaths are what clients call: refusals there are JSON and never pages.
var protocolPaths = []string{
	"/token", "/par", "/introspect", "/revoke", "/userinfo", "/jwks", "/.well-known/openid-configuration",
}

// pagePaths are those of protocolPaths that pages of a browser application without a back end call themselves. What is
// public is open to every page anyway.
var pagePaths = []string{"/token", "/par", "/revoke", "/userinfo"}

// noted writes the tenant into the request's event, and counts the request.
func (t *tenant) noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.serving.Add(1)
		defer t.serving.Add(-1)
		web.EventOf(r.Context()).SetTenant(t.Name)
		next.ServeHTTP(w, r)
	})
}

func (t *tenant) checker() *request.Checker {
	return &request.Checker{
		Issuer: t.Issuer, Registry: t.registry, Hint: t.minter.Hint, Now: t.app.Clock.Now, Verify: t.clients.Verify,
		ObjectAt: (&fetch.Objects{Client: t.fetch.Client}).At, Signer: t.signing.Signer, Encrypter: t.clients.Encrypter, Decrypter: t.signing.Decrypter,
	}
}

// decider chooses the steps of everybody's way through the pages.
func (t *tenant) decider() *flow.Decider {
	return &flow.Decider{DB: t.db, Sessions: t.sessions, Checker: t.checker(), Subject: t.minter.Subject}
}

func (t *tenant) authorize(decider *flow.Decider) *authorize.Endpoints {
	return &authorize.Endpoints{
		Issuer: t.Issuer, MTLSIssuer: t.MTLSIssuer, DB: t.db, Ring: t.app.Ring,
		Checker: decider.Checker, Decider: decider,
		Clients: t.clients, Keeper: t.keeper, Pages: t.pages, Nonces: t.nonces, Now: t.app.Clock.Now,
		CodeLifetime: t.Lifetimes.Code, PushedLifetime: t.Lifetimes.PushedRequest,
	}
}

// mountPeople adds the rooms that people visit.
func (t *tenant) mountPeople(mux *http.ServeMux, decider *flow.Decider) error {
	rp, err := passkey.New(passkey.Party{ID: t.RelyingPartyID, Name: t.DisplayName, Origins: []string{originOf(t.Issuer)}})
	if err != nil {
		return fmt.Errorf("relying party: %w", err)
	}
	notices := &authn.Notices{Mail: t.mail, Account: t.Issuer + "/account"}
	passkeys := &authn.Passkeys{DB: t.db, RP: rp, Sealer: t.app.Ring, Now: t.app.Clock.Now, Notices: notices}
	codes := authn.NewMailedCodes(t.app.Ring, t.mail, t.app.Clock.Now)
	(&login.Endpoints{
		DB: t.db, Registry: t.registry, Sessions: t.sessions, Keeper: t.keeper, Decider: decider, Pages: t.pages,
		Passwords: t.app.passwords, Passkeys: passkeys, Failures: t.failures, Trail: t.app.trail, Now: t.app.Clock.Now,
	}).Mount(mux)
	(&account.Endpoints{
		Issuer: t.Issuer, Brand: t.DisplayName, DB: t.db, Registry: t.registry, Sessions: t.sessions, Keeper: t.keeper, Pages: t.pages,
		Passwords: t.app.passwords, Passkeys: passkeys, Codes: codes, Mail: t.mail, Failures: t.failures, Now: t.app.Clock.Now,
	}).Mount(mux)
	(&consent.Endpoints{
		DB: t.db, Registry: t.registry, Sessions: t.sessions, Keeper: t.keeper, Pages: t.pages, Now: t.app.Clock.Now,
	}).Mount(mux)
	(&logout.Endpoints{DB: t.db, Sessions: t.sessions, Sealer: t.app.Ring, Pages: t.pages}).Mount(mux)
	t.pages.Mount(mux)
	return nil
}

// Views are an example of every view of every room, for the test that renders all pages.
func Views() map[string]any {
	all := map[string]any{}
	for _, views := range []map[string]any{consent.Views(), logout.Views(), login.Views(), account.Views()} {
		for page, view := range views {
			all[page] = view
		}
	}
	return all
}

func pathOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
