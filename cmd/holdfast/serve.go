package main

import (
	"context"

	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/dev"
)

// configFlag is how every command but dev finds its configuration.
type configFlag struct {
	Config string `short:"c" default:"holdfast.yaml" placeholder:"FILE" help:"Configuration (default holdfast.yaml)."`
}

// tenantFlag chooses one of several tenants.
type tenantFlag struct {
	Tenant string `placeholder:"NAME" help:"Tenant to work on; may be left out where there is only one."`
}

type serveCommand struct {
	configFlag
	Apply string `placeholder:"DIR" help:"Apply the objects in DIR before serving."`
}

func (s *serveCommand) Run(ctx context.Context, c *app.Console) error {
	return app.Serve(ctx, c, s.Config, s.Apply)
}

type checkCommand struct{ configFlag }

func (s *checkCommand) Run(ctx context.Context, c *app.Console) error {
	return app.Check(ctx, c, s.Config)
}

type migrateCommand struct {
	Status migrateStatus `cmd:"" help:"Show the version of the schema."`
	Up     migrateUp     `cmd:"" help:"Bring the schema up to date."`
}

type migrateStatus struct{ configFlag }

func (s *migrateStatus) Run(ctx context.Context, c *app.Console) error {
	return app.MigrationStatus(ctx, c, s.Config)
}

type migrateUp struct{ configFlag }

func (s *migrateUp) Run(ctx context.Context, c *app.Console) error {
	return app.MigrateUp(ctx, c, s.Config)
}

type applyCommand struct {
	configFlag
	tenantFlag
	Folder string `short:"f" required:"" placeholder:"DIR" help:"Folder with .yaml and .json files of objects."`
}

func (s *applyCommand) Run(ctx context.Context, c *app.Console) error {
	return app.Apply(ctx, c, s.Config, s.Tenant, s.Folder)
}

type clientCommand struct {
	Import clientImport `cmd:"" help:"Import clients in the JSON form of RFC 7591: one object, or an array."`
}

type clientImport struct {
	configFlag
	tenantFlag
	File string `arg:"" help:"JSON file, or - for standard input."`
}

func (s *clientImport) Run(ctx context.Context, c *app.Console) error {
	return app.ImportClients(ctx, c, s.Config, s.Tenant, s.File)
}

type userCommand struct {
	Import userImport `cmd:"" help:"Import people: username, password or PHC hash, and the standard claims."`
}

type userImport struct {
	configFlag
	tenantFlag
	File string `arg:"" help:"JSON file, or - for standard input."`
}

func (s *userImport) Run(ctx context.Context, c *app.Console) error {
	return app.ImportUsers(ctx, c, s.Config, s.Tenant, s.File)
}

type backupCommand struct {
	configFlag
	File string `arg:"" help:"File to write; it must not exist."`
}

func (s *backupCommand) Run(ctx context.Context, c *app.Console) error {
	return app.Backup(ctx, c, s.Config, s.File)
}

type devCommand struct {
	Run       devRun       `cmd:"" default:"withargs" help:"Run the landscape (the default)."`
	Trust     devTrust     `cmd:"" help:"Let this machine and its browsers trust the development CA."`
	Untrust   devUntrust   `cmd:"" help:"Take that trust back."`
	Assertion devAssertion `cmd:"" help:"Print a client assertion of one of its clients."`
	Proof     devProof     `cmd:"" help:"Print a DPoP proof by the key of one of its clients."`
}

type devRun struct {
	Data     string `default:"holdfast-dev" placeholder:"DIR" help:"Folder for keys and data (default holdfast-dev)."`
	BasePort int    `placeholder:"N" help:"First of the ports (default 8443, kept with the data)."`
	Host     string `placeholder:"NAME" help:"Registrable name (default holdfast.localhost, kept with the data)."`
	Database string `placeholder:"URL" help:"PostgreSQL database instead of SQLite in the data folder."`
}

func (s *devRun) Run(ctx context.Context, c *app.Console) error {
	return dev.Run(ctx, c, dev.Options{Data: s.Data, BasePort: s.BasePort, Host: s.Host, Database: s.Database})
}

type devTrust struct {
	Data         string `default:"holdfast-dev" placeholder:"DIR" help:"Folder of the landscape (default holdfast-dev)."`
	BrowsersOnly bool   `help:"Leave the store of the system alone."`
}

func (s *devTrust) Run(ctx context.Context, c *app.Console) error {
	return dev.Trust(ctx, c, s.Data, s.BrowsersOnly)
}

type devUntrust struct {
	Data string `default:"holdfast-dev" placeholder:"DIR" help:"Folder of the landscape (default holdfast-dev)."`
}

func (s *devUntrust) Run(ctx context.Context, c *app.Console) error {
	return dev.Untrust(ctx, c, s.Data)
}

type devAssertion struct {
	Data   string `default:"holdfast-dev" placeholder:"DIR" help:"Folder of the landscape (default holdfast-dev)."`
	Client string `arg:"" help:"Client, as dev.json names it: partner_jwt, spa or admin_cli."`
}

func (s *devAssertion) Run(c *app.Console) error { return dev.Assertion(c, s.Data, s.Client) }

type devProof struct {
	Data   string `default:"holdfast-dev" placeholder:"DIR" help:"Folder of the landscape (default holdfast-dev)."`
	Client string `arg:"" help:"Client, as dev.json names it: partner_jwt, spa or admin_cli."`
	Method string `arg:"" help:"Method of the request."`
	URL    string `arg:"" help:"Address of the request."`
	Nonce  string `help:"Nonce that the server gave."`
	Token  string `help:"Access token that the request carries."`
}

func (s *devProof) Run(c *app.Console) error {
	return dev.Proof(c, s.Data, s.Client, s.Method, s.URL, s.Nonce, s.Token)
}
