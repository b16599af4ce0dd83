package keys_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

func FuzzSplitHandle(f *testing.F) {
	for _, seed := range []string{"", "a.b", "a.b.c", ".", "abc.\x00", keys.Handle("id", keys.NewSecret())} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, handle string) {
		id, secret, ok := keys.SplitHandle(handle)
		if ok && (keys.Handle(id, keys.Secret(secret)) != handle || id == "" || secret == "" || strings.Contains(secret, ".")) {
			t.Errorf("%q is split into %q and %q", handle, id, secret)
		}
	})
}

func FuzzOpen(f *testing.F) {
	r := keys.NewRing()
	f.Add(r.Seal(keys.PurposeSeal, nil, []byte("text"))[8:])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, tail []byte) {
		if _, err := r.Open(keys.PurposeSeal, []byte("place"), append([]byte(r.ActiveID()), tail...)); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%x opens", tail)
		}
		if r.Matches(string(tail), "secret") {
			t.Errorf("%q matches", tail)
		}
	})
}

func FuzzLoadRing(f *testing.F) {
	f.Add([]byte(`{"holdfast_key_ring":1,"active":"00000000","keys":[{"id":"00000000","master":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`))
	f.Add([]byte(`{}`))
	path := filepath.Join(f.TempDir(), "ring")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := keys.LoadRing(path)
		if err != nil {
			return
		}
		if _, err := r.Open(keys.PurposeSeal, nil, r.Seal(keys.PurposeSeal, nil, data)); err != nil || len(r.Derive(keys.PurposeNonce)) != 32 {
			t.Errorf("a ring that loads does not work: %v", err)
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var q keys.SignRequest
		if err := keys.ReadFrame(bytes.NewReader(data), &q); err != nil {
			return
		}
		var again bytes.Buffer
		if err := keys.WriteFrame(&again, q); err != nil {
			t.Fatal(err)
		}
	})
}
