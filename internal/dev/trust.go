package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/app"
	"github.com/holdfast-iam/holdfast/internal/ca"
)

// nickname is what the root is called in the stores of browsers; the fingerprint tells landscapes apart.
func nickname(a *ca.Authority) string { return "holdfast-dev-" + a.Fingerprint()[:16] }

const systemFolder = "/usr/local/share/ca-certificates"

// Trust lets browsers of this user, and the system where this user may change it, trust the landscape's root. It is
// good for names under the landscape's host and loopback addresses only. browsersOnly leaves the system alone.
func Trust(ctx context.Context, c *app.Console, data string, browsersOnly bool) error {
	a, err := authorityOf(data)
	if err != nil {
		return err
	}
	if err := needCertutil(); err != nil {
		return err
	}
	for _, db := range nssFolders() {
		if err := ensureNSS(ctx, db); err != nil {
			return err
		}
		if err := certutil(ctx, "-A", "-d", "sql:"+db, "-t", "C,,", "-n", nickname(a), "-i", a.RootFile()); err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "browsers that use %s trust %s\n", db, nickname(a))
	}
	if browsersOnly {
		return nil
	}
	if !mayWrite(systemFolder) {
		fmt.Fprintf(c.Out, "the system's own store was left alone, which this user may not change\n")
		return nil
	}
	root, err := os.ReadFile(a.RootFile())
	if err != nil {
		return fmt.Errorf("read root: %w", err)
	}
	if err := os.WriteFile(filepath.Join(systemFolder, nickname(a)+".crt"), root, 0o644); err != nil {
		return fmt.Errorf("write to the system's store: %w", err)
	}
	if err := run(ctx, "update-ca-certificates"); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "the system trusts %s\n", nickname(a))
	return nil
}

// Untrust takes the trust back, by fingerprint.
func Untrust(ctx context.Context, c *app.Console, data string) error {
	a, err := authorityOf(data)
	if err != nil {
		return err
	}
	if err := needCertutil(); err != nil {
		return err
	}
	for _, db := range nssFolders() {
		if certutil(ctx, "-L", "-d", "sql:"+db, "-n", nickname(a)) != nil {
			continue // not there
		}
		if err := certutil(ctx, "-D", "-d", "sql:"+db, "-n", nickname(a)); err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "browsers that use %s do not trust it any more\n", db)
	}
	file := filepath.Join(systemFolder, nickname(a)+".crt")
	if _, err := os.Stat(file); err == nil {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove from the system's store: %w", err)
		}
		if err := run(ctx, "update-ca-certificates", "--fresh"); err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "the system does not trust it any more\n")
	}
	return nil
}

func authorityOf(data string) (*ca.Authority, error) {
	l, err := existing(data)
	if err != nil {
		return nil, err
	}
	return ca.Development(l.path("ca"), l.Host, time.Now())
}

func needCertutil() error {
	if _, err := exec.LookPath("certutil"); err != nil {
		return errors.New("certutil is needed to change the stores of browsers: install libnss3-tools (Debian), nss-tools (Fedora) or nss (Homebrew)")
	}
	return nil
}

// nssFolders are the certificate stores of Chromium, and of each Firefox profile, of this user.
func nssFolders() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	folders := []string{filepath.Join(home, ".pki", "nssdb")}
	profiles, err := filepath.Glob(filepath.Join(home, ".mozilla", "firefox", "*", "cert9.db"))
	if err != nil {
		return folders
	}
	for _, p := range profiles {
		folders = append(folders, filepath.Dir(p))
	}
	return folders
}

func ensureNSS(ctx context.Context, folder string) error {
	if _, err := os.Stat(filepath.Join(folder, "cert9.db")); err == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make certificate store: %w", err)
	}
	return certutil(ctx, "-N", "-d", "sql:"+folder, "--empty-password")
}

func certutil(ctx context.Context, args ...string) error { return run(ctx, "certutil", args...) }

func run(ctx context.Context, name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(said.String()))
	}
	return nil
}

func mayWrite(folder string) bool {
	f, err := os.CreateTemp(folder, ".holdfast-*")
	if err != nil {
		return false
	}
	_ = f.Close() // it was only to see whether it can be made
	return os.Remove(f.Name()) == nil
}

// resolves says whether programs of this system find a name under localhost.
func resolves(host string) bool {
	addresses, err := net.LookupHost(host)
	return err == nil && len(addresses) > 0
}
