package keys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/keys/signertest"
	"github.com/holdfast-iam/holdfast/jose"
)

var me = uint32(os.Getuid())

func newKey(t *testing.T, a jose.Alg) jose.Key {
	t.Helper()
	k, err := jose.GenerateKey(a)
	must(t, err)
	return k
}

func TestSignerPeers(t *testing.T) {
	k := newKey(t, jose.ES256)
	q := keys.SignRequest{Key: "a", Alg: jose.ES256, Digest: make([]byte, 32)}
	good := signertest.Signer{Keys: map[string]jose.Key{"a": k}, UID: me}

	if _, err := keys.DialSigner(t.Context(), good.Start(t), me+1); !errors.Is(err, keys.ErrSigner) {
		t.Errorf("a signer of another user is spoken to: %v", err)
	}
	if _, err := keys.DialSigner(t.Context(), filepath.Join(t.TempDir(), "none"), me); !errors.Is(err, keys.ErrSigner) {
		t.Errorf("no signer: %v", err)
	}
	stranger := signertest.Signer{Keys: good.Keys, UID: me + 1}
	r, err := keys.DialSigner(t.Context(), stranger.Start(t), me)
	must(t, err)
	if _, err := r.Sign(t.Context(), q); !errors.Is(err, keys.ErrSigner) {
		t.Errorf("a signer for another user signs: %v", err)
	}
	r, err = keys.DialSigner(t.Context(), good.Start(t), me)
	must(t, err)
	for name, bad := range map[string]keys.SignRequest{
		"unknown key": {Key: "b", Alg: jose.ES256, Digest: q.Digest},
		"other alg":   {Key: "a", Alg: jose.RS256, Digest: q.Digest},
		"no digest":   {Key: "a", Alg: jose.ES256},
		"too long":    {Key: strings.Repeat("a", 32<<10), Alg: jose.ES256, Digest: q.Digest},
	} {
		if _, err := r.Sign(t.Context(), bad); !errors.Is(err, keys.ErrSigner) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := signertest.Signer{Keys: good.Keys, UID: me, Alter: func(a *keys.SignResponse) { a.Signature = nil }}
	r, err = keys.DialSigner(t.Context(), empty.Start(t), me)
	must(t, err)
	if _, err := r.Sign(t.Context(), q); !errors.Is(err, keys.ErrSigner) {
		t.Errorf("an empty signature: %v", err)
	}
}

func TestSignerIsNotWaitedForLong(t *testing.T) {
	mute := signertest.Signer{UID: me, Mute: true}
	r, err := keys.DialSigner(t.Context(), mute.Start(t), me)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = r.Sign(ctx, keys.SignRequest{Key: "a", Alg: jose.ES256, Digest: make([]byte, 32)})
	if !errors.Is(err, keys.ErrSigner) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a mute signer: %v", err)
	}
}
