// Command holdfast is the one binary: the authorization server with everything around it, and the tools to run it.
// It only reads the command line; what the commands do is in internal/app and internal/dev.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/holdfast-iam/holdfast/internal/app"
)

type commands struct {
	Dev     devCommand     `cmd:"" help:"Run the whole landscape on loopback, from nothing."`
	Serve   serveCommand   `cmd:"" help:"Run the roles that holdfast.yaml switches on."`
	Check   checkCommand   `cmd:"" help:"Do everything serve does up to listening, and name each mistake and weakness."`
	Migrate migrateCommand `cmd:"" help:"Show or bring up to date the schema of the database."`
	Apply   applyCommand   `cmd:"" help:"Bring objects (clients, APIs, scopes, users) from files into the running system."`
	Client  clientCommand  `cmd:"" help:"Work with clients."`
	User    userCommand    `cmd:"" help:"Work with people."`
	Token   tokenCommand   `cmd:"" help:"Work with tokens."`
	Key     keyCommand     `cmd:"" help:"Work with keys."`
	Backup  backupCommand  `cmd:"" help:"Copy the SQLite database while it is in use."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program as a value: arguments in, exit code out. 2 is a mistake on the command line, 1 any other failure.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exited, code := false, 0
	var c commands
	parser, err := kong.New(&c,
		kong.Name("holdfast"),
		kong.Description("Identity and API security that makes stolen credentials worthless."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(n int) { exited, code = true, n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&app.Console{Out: stdout, Err: stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "holdfast:", err)
		return 1
	}
	k, err := parser.Parse(args)
	switch {
	case exited: // --help
		return code
	case err != nil:
		fmt.Fprintln(stderr, "holdfast:", err)
		fmt.Fprintln(stderr, "try: holdfast --help")
		return 2
	}
	if err := k.Run(); err != nil {
		return fail(stderr, err)
	}
	return 0
}

// fail prints a configuration's mistakes one a line, and any other error after the program's name.
func fail(stderr io.Writer, err error) int {
	if problems, ok := errors.AsType[app.Problems](err); ok {
		for _, p := range problems {
			fmt.Fprintln(stderr, p)
		}
		return 1
	}
	fmt.Fprintln(stderr, "holdfast:", err)
	return 1
}

type versionCommand struct{}

func (versionCommand) Run(c *app.Console) error {
	version, revision := "development", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(c.Out, "holdfast %s%s\n", version, revision)
	return err
}
