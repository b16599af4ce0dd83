package keys

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// PeerUID is the user of the process at the other end of a unix socket, as the kernel saw it (SO_PEERCRED).
func PeerUID(conn net.Conn) (uint32, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("peer user: not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("peer user: %w", err)
	}
	var cred *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("peer user: %w", err)
	}
	return cred.Uid, nil
}
