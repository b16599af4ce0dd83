// Package signertest is an external signer that a test starts: a process of its own in all but the process, speaking
// the protocol of keys.SignRequest on a unix socket.
//
// It is for tests only. It holds its keys in memory, signs digests as RFC 7518 §3 has it, and misbehaves on request.
package signertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
)

// Signer says what the signer is like.
type Signer struct {
	Keys  map[string]jose.Key // private keys by name
	UID   uint32              // the one user who may ask; the zero value is root
	Alter func(*keys.SignResponse)
	Mute  bool // takes requests and never answers
}

// Start runs the signer until the test ends and returns its socket.
func (s Signer) Start(t testing.TB) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sign") // short: the name of a socket has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var open sync.Map
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(conn, nil)
			running.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
		running.Wait()
		os.RemoveAll(dir)
	})
	return path
}

// serve answers requests until the other side is done. What cannot be answered ends the connection.
func (s Signer) serve(conn net.Conn) {
	if uid, err := keys.PeerUID(conn); err != nil || uid != s.UID {
		return
	}
	for {
		var q keys.SignRequest
		if err := keys.ReadFrame(conn, &q); err != nil {
			return
		}
		if s.Mute {
			continue
		}
		var a keys.SignResponse
		signature, err := s.sign(q)
		if a.Signature = signature; err != nil {
			a.Error = err.Error()
		}
		if s.Alter != nil {
			s.Alter(&a)
		}
		if err := keys.WriteFrame(conn, a); err != nil {
			return
		}
	}
}

func (s Signer) sign(q keys.SignRequest) ([]byte, error) {
	k, ok := s.Keys[q.Key]
	if !ok || k.Alg() != q.Alg || len(q.Digest) != crypto.SHA256.Size() {
		return nil, errors.New("no such key for this algorithm")
	}
	switch private := k.CryptoSigner().(type) {
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, private, q.Digest)
		if err != nil {
			return nil, err
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		v.FillBytes(signature[32:])
		return signature, nil
	case *rsa.PrivateKey:
		if q.Alg == jose.PS256 {
			return rsa.SignPSS(rand.Reader, private, crypto.SHA256, q.Digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, q.Digest)
	default:
		return nil, fmt.Errorf("%s signs no digests", q.Alg)
	}
}
