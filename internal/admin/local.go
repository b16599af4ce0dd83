package admin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// uidPrefix begins the remote address of a caller at the local socket.
const uidPrefix = "uid:"

// Listen opens a unix socket for the operator of this machine. The kernel says whose process connects; only
// those of the users listed are served, of this process's user and of root where none is. The file has mode
// 0600. A socket that nobody listens at any more is replaced.
func Listen(path string, uids ...uint32) (net.Listener, error) {
	if len(uids) == 0 {
		uids = []uint32{uint32(os.Geteuid()), 0}
	}
	if err := removeDead(path); err != nil {
		return nil, fmt.Errorf("open admin socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open admin socket: %w", err), l.Close())
	}
	return &localListener{l, uids}, nil
}

// removeDead removes a socket file left behind by a process that has ended.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is not a socket: move it away", path)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		return errors.Join(fmt.Errorf("%s is in use by another process", path), conn.Close())
	}
	return os.Remove(path)
}

type localListener struct {
	*net.UnixListener
	uids []uint32
}

// Accept waits for a caller who may call; others are disconnected.
func (l *localListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := keys.PeerUID(conn)
		if err == nil && slices.Contains(l.uids, uid) {
			return localConn{conn, uidAddr(uid)}, nil
		}
		_ = conn.Close() // nothing was promised
	}
}

// localConn tells its user as the remote address, which is where HTTP shows it.
type localConn struct {
	net.Conn
	uid uidAddr
}

// RemoteAddr is "uid:<number>".
func (c localConn) RemoteAddr() net.Addr { return c.uid }

type uidAddr uint32

// Network is that of the socket.
func (uidAddr) Network() string { return "unix" }

// String is "uid:<number>".
func (a uidAddr) String() string { return uidPrefix + strconv.FormatUint(uint64(a), 10) }

// localActor is the user at the other end of the local socket, who may do everything. A request that did not
// come through one is refused, wherever the API is mounted by mistake.
func localActor(r *http.Request) (audit.Actor, error) {
	if !strings.HasPrefix(r.RemoteAddr, uidPrefix) {
		return audit.Actor{}, oauth.Refuse(oauth.AccessDenied, "this is for the local socket").WithStatus(http.StatusForbidden)
	}
	return audit.Actor{Kind: audit.ActorLocal, ID: r.RemoteAddr, All: true, RequestID: web.EventOf(r.Context()).RequestID}, nil
}
