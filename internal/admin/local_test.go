package admin_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/admin"
	"github.com/holdfast-iam/holdfast/internal/audit"
)

// serve serves the bench at a local socket and returns a client for it.
func serve(t *testing.T, b *bench, uids ...uint32) *http.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	l, err := admin.Listen(socket, uids...)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	server := &http.Server{Handler: b.mux}
	done := make(chan struct{})
	go func() { _ = server.Serve(l); close(done) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(func() { transport.CloseIdleConnections(); _ = server.Close(); <-done })
	return &http.Client{Transport: transport}
}

func TestLocalSocketKnowsItsCaller(t *testing.T) {
	b := single(t)
	client := serve(t, b)
	r, err := client.Post("http://local/local/admin/v1/keys/rotate", "application/json", newBody(`{"alg": "ES256"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusNoContent {
		t.Fatalf("status %d", r.StatusCode)
	}
	got := b.records("keys.rotate")
	if len(got) != 1 || got[0].ActorKind != audit.ActorLocal || got[0].ActorID != "uid:"+strconv.Itoa(os.Geteuid()) || got[0].ObjectID != "ES256" {
		t.Errorf("records %+v", got)
	}
	// Without a token the network's routes stay shut, at the socket too.
	r, err = client.Get("http://local/admin/v1/keys")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", r.StatusCode)
	}
}

func TestLocalSocketDisconnectsOtherUsers(t *testing.T) {
	client := serve(t, single(t), uint32(os.Geteuid())+4711)
	if r, err := client.Get("http://local/local/admin/v1/keys"); err == nil {
		_ = r.Body.Close()
		t.Errorf("another user was served: %d", r.StatusCode)
	}
}

func TestLocalRoutesAreForTheSocketOnly(t *testing.T) {
	b := single(t)
	b.call(403, "GET", "/local/admin/v1/keys", "") // httptest gives a TCP address
}

func TestListenReplacesDeadSocketsOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Listen(file); err == nil {
		t.Error("a file was replaced")
	}
	socket := filepath.Join(dir, "socket")
	first, err := admin.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Listen(socket); err == nil {
		t.Error("a living socket was replaced")
	}
	_ = first.Close()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	second, err := admin.Listen(socket)
	if err != nil {
		t.Fatalf("a dead socket was not replaced: %v", err)
	}
	_ = second.Close()
}
