// Package dev runs the whole landscape on loopback from nothing: an issuer with people and clients of every kind, a
// catcher for its mail, and a certificate authority of its own. It is the ordinary server with a generated
// configuration, and no part of it belongs into production.
package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/keys"
)

// Defaults of the landscape.
const (
	defaultHost = "holdfast.localhost"
	defaultPort = 8443
)

// Options are what a person may choose. Host and BasePort are kept with the data.
type Options struct {
	Data     string
	BasePort int
	Host     string
	Database string // instead of SQLite in the data folder: the URL of a PostgreSQL database, which is migrated
	// Configure, if not nil, changes the text of holdfast.yaml before it is read. It is for tests of other
	// configurations of the same landscape.
	Configure func(folder, text string) string
}

// landscape is one folder with everything in it.
type landscape struct {
	folder  string
	dbURL   string
	change  func(folder, text string) string
	Host    string        `json:"host"`
	Port    int           `json:"base_port"`
	Secrets secretsOfFile `json:"secrets"`
	roots   authorities
}

// secretsOfFile are what the landscape has made up; the file is as private as the keys beside it.
type secretsOfFile struct {
	Alice      string `json:"alice"`
	Bob        string `json:"bob"`
	Web        string `json:"web"`
	ResourceAS string `json:"resource_server"`
}

// Run brings the landscape up and keeps it up until ctx ends.
func Run(ctx context.Context, c *app.Console, o Options) error {
	l, err := open(o)
	if err != nil {
		return err
	}
	if err := l.prepare(time.Now()); err != nil {
		return err
	}
	cfg, err := app.LoadConfig(l.path("holdfast.yaml"))
	if err != nil {
		return err
	}
	if o.Database != "" {
		if err := app.MigrateUp(ctx, &app.Console{Out: io.Discard, Err: io.Discard}, l.path("holdfast.yaml")); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(l.path("holdfast.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	logger := app.NewLog(cfg.Log, log)
	a, err := app.Open(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.ApplyFolder(ctx, &app.Console{Out: log, Err: log}, tenant, l.path("objects")); err != nil {
		return err
	}
	if err := l.serveSites(a); err != nil {
		return err
	}
	catcher, err := l.startMail(logger)
	if err != nil {
		return err
	}
	defer catcher.stop()
	orders, err := l.startOrders(ctx, a.Clock.Now, logger)
	if err != nil {
		return err
	}
	defer orders.Close()
	var failed error
	err = a.Run(ctx, func() {
		if failed = l.writeContract(); failed == nil {
			l.guide(c)
		}
	})
	return errors.Join(err, failed)
}

// open finds the landscape of a folder, or begins one.
func open(o Options) (*landscape, error) {
	folder, err := filepath.Abs(o.Data)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w; choose another with --data", err)
	}
	l := &landscape{folder: folder, dbURL: o.Database, change: o.Configure}
	if l.dbURL == "" {
		l.dbURL = "sqlite:holdfast.db"
	}
	data, err := os.ReadFile(l.path("landscape.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, l.begin(o)
	case err != nil:
		return nil, fmt.Errorf("read landscape: %w", err)
	}
	if err := json.Unmarshal(data, l); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w; remove the folder to begin anew", l.path("landscape.json"), err)
	}
	if o.Host != "" && o.Host != l.Host {
		return nil, fmt.Errorf("the data in %s was made for the host %s: passkeys and clients know it by that name; choose another --data for %s", folder, l.Host, o.Host)
	}
	if o.BasePort != 0 && o.BasePort != l.Port {
		return nil, fmt.Errorf("the data in %s was made for base port %d: clients know its addresses; choose another --data for %d", folder, l.Port, o.BasePort)
	}
	return l, nil
}

func (l *landscape) begin(o Options) error {
	l.Host, l.Port = o.Host, o.BasePort
	if l.Host == "" {
		l.Host = defaultHost
	}
	if l.Port == 0 {
		l.Port = defaultPort
	}
	if l.Host != "localhost" && !strings.HasSuffix(l.Host, ".localhost") && !strings.HasSuffix(l.Host, ".test") {
		return fmt.Errorf("the host %s is outside .localhost and .test, which development keeps to", l.Host)
	}
	if l.Port < 1 || l.Port > 65535-ports {
		return fmt.Errorf("the base port must leave room for %d ports after it", ports-1)
	}
	short := func() string { return keys.NewSecret().Reveal()[:20] }
	l.Secrets = secretsOfFile{Alice: short(), Bob: short(), Web: keys.NewSecret().Reveal(), ResourceAS: keys.NewSecret().Reveal()}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("marshal landscape: %w", err)
	}
	return keys.WriteFile(l.path("landscape.json"), data)
}

func (l *landscape) path(name ...string) string {
	return filepath.Join(append([]string{l.folder}, name...)...)
}

// Ports beyond the base: one listener each, because a certificate is asked for by some and never by others.
const (
	portPages = iota
	portMTLS
	portAdmin
	portMail
	portSMTP
	portOrders
	ports
)

// Addresses of the landscape. No two services share a host, so that none sees the cookies of another; but the token
// handler and the gateway do, because the one sets the cookie that the other opens.
func (l *landscape) issuer() string       { return l.url("login", portPages) }
func (l *landscape) mtlsIssuer() string   { return l.url("mtls.login", portMTLS) }
func (l *landscape) admin() string        { return l.url("admin", portAdmin) }
func (l *landscape) mail() string         { return l.url("mail", portMail) }
func (l *landscape) app() string          { return l.url("app", portPages) }
func (l *landscape) backoffice() string   { return l.url("backoffice", portPages) }
func (l *landscape) theft() string        { return l.url("theft", portPages) }
func (l *landscape) api() string          { return l.url("api", portPages) } // what tokens from outside are for
func (l *landscape) mtlsAPI() string      { return l.url("mtls.api", portMTLS) }
func (l *landscape) tokenHandler() string { return l.api() + "/apps" }
func (l *landscape) orders() string       { return l.url("orders", portOrders) } // the API itself, behind the gateway

func (l *landscape) url(name string, port int) string {
	return fmt.Sprintf("https://%s.%s:%d", name, l.Host, l.Port+port)
}

func (l *landscape) address(port int) string { return fmt.Sprintf("127.0.0.1:%d", l.Port+port) }

// hosts are all names that the server certificate covers.
func (l *landscape) hosts() []string {
	var all []string
	for _, name := range []string{"login", "mtls.login", "admin", "mail", "app", "backoffice", "theft", "api", "mtls.api", "orders"} {
		all = append(all, name+"."+l.Host)
	}
	return all
}
