package keys

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// ErrSigner says that the external signer did not sign: it is not there, is not who it should be, or refused.
var ErrSigner = errors.New("keys: the external signer did not sign")

const (
	remoteTimeout = 2 * time.Second
	maxFrame      = 16 << 10
)

// SignRequest asks an external signer for one signature. On the wire it is a length of 4 bytes, big endian, and as
// much JSON, binary values in base64.
//
// Digest is the SHA-256 of the JWS signing input (RFC 7515 §5.1). So EdDSA cannot be asked for: Ed25519 signs
// messages, not digests, and the variant that signs digests is none of RFC 8037.
type SignRequest struct {
	Key    string   `json:"key"` // the signer's own name for the key
	Alg    jose.Alg `json:"alg"` // ES256, PS256 or RS256
	Digest []byte   `json:"digest"`
}

// SignResponse is the answer: a signature in the form of RFC 7518 §3, or the reason why there is none.
type SignResponse struct {
	Signature []byte `json:"signature,omitempty"`
	Error     string `json:"error,omitempty"`
}

// RemoteSigner asks a process that holds keys, over its unix socket. Each signature is a connection of its own.
type RemoteSigner struct {
	path string
	uid  uint32
}

// DialSigner returns the signer behind a socket after a trial connection. uid is the user the signer runs as: a
// process of anybody else who got hold of the path is not spoken to.
func DialSigner(ctx context.Context, path string, uid uint32) (*RemoteSigner, error) {
	r := &RemoteSigner{path, uid}
	conn, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	return r, conn.Close()
}

func (r *RemoteSigner) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", r.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	uid, err := PeerUID(conn)
	if err == nil && uid != r.uid {
		err = fmt.Errorf("it runs as user %d instead of %d", uid, r.uid)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrSigner, err), conn.Close())
	}
	return conn, nil
}

// Sign returns the signature of one digest. Error: ErrSigner.
func (r *RemoteSigner) Sign(ctx context.Context, q SignRequest) (signature []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	conn, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var a SignResponse
	if err = WriteFrame(conn, q); err == nil {
		err = ReadFrame(conn, &a)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrSigner, errors.Join(err, ctx.Err()))
	case a.Error != "" || len(a.Signature) == 0:
		return nil, fmt.Errorf("%w: it says %q", ErrSigner, a.Error)
	}
	return a.Signature, nil
}

// WriteFrame writes one value of the protocol.
func WriteFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// ReadFrame reads one value of the protocol, of at most 16 KiB.
func ReadFrame(r io.Reader, v any) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxFrame {
		return errors.New("the frame is too long")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return jose.Unmarshal(body, v)
}
