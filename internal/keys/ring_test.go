package keys_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

func TestSecretIsHidden(t *testing.T) {
	s := keys.NewSecret()
	var log bytes.Buffer
	out := fmt.Sprintf("%v %s %q %x %d %+v %#v %v", s, s, s, s, s, s, s, struct{ S keys.Secret }{s})
	marshalled, err := json.Marshal(map[string]any{"s": []keys.Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	log.WriteString(out)
	log.Write(marshalled)
	log.WriteString(s.LogValue().String())
	if strings.Contains(log.String(), s.Reveal()[:8]) || strings.Contains(log.String(), fmt.Sprintf("%x", s.Reveal()[:8])) {
		t.Errorf("a secret shows: %s", log.String())
	}
	if len(s.Reveal()) != 43 || s == keys.NewSecret() {
		t.Error("a secret is not 256 random bits")
	}
}

func TestHandle(t *testing.T) {
	s := keys.NewSecret()
	id, secret, ok := keys.SplitHandle(keys.Handle("abc_-9", s))
	if !ok || id != "abc_-9" || secret != s.Reveal() {
		t.Errorf("got %q %v", id, ok)
	}
	for _, bad := range []string{"", ".", "a.", ".b", "a", "a.b.c", "a b.c", "a.b\x00", "ä.b", "a.b=", strings.Repeat("a", 255) + ".b"} {
		if id, secret, ok := keys.SplitHandle(bad); ok || id != "" || secret != "" {
			t.Errorf("%q is taken for a handle", bad)
		}
	}
}

func TestSealIsBound(t *testing.T) {
	r, other := keys.NewRing(), keys.NewRing()
	sealed := r.Seal(keys.PurposeSeal, []byte("here"), []byte("text"))
	if got, err := r.Open(keys.PurposeSeal, []byte("here"), sealed); err != nil || string(got) != "text" {
		t.Fatalf("got %q, %v", got, err)
	}
	if keys.SealedBy(sealed) != r.ActiveID() {
		t.Error("the key id is not in front")
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, try := range map[string]func() ([]byte, error){
		"other place":   func() ([]byte, error) { return r.Open(keys.PurposeSeal, []byte("there"), sealed) },
		"other purpose": func() ([]byte, error) { return r.Open(keys.PurposeDecoy, []byte("here"), sealed) },
		"other ring":    func() ([]byte, error) { return other.Open(keys.PurposeSeal, []byte("here"), sealed) },
		"changed":       func() ([]byte, error) { return r.Open(keys.PurposeSeal, []byte("here"), changed) },
		"cut":           func() ([]byte, error) { return r.Open(keys.PurposeSeal, []byte("here"), sealed[:20]) },
		"nothing":       func() ([]byte, error) { return r.Open(keys.PurposeSeal, []byte("here"), nil) },
	} {
		if got, err := try(); !errors.Is(err, keys.ErrSealed) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if bytes.Equal(sealed, r.Seal(keys.PurposeSeal, []byte("here"), []byte("text"))) {
		t.Error("a nonce repeats")
	}
}

func TestSealText(t *testing.T) {
	r := keys.NewRing()
	text := r.SealText("name", []byte("v"))
	if got, err := r.OpenText("name", text); err != nil || string(got) != "v" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"", "!", text + "=", text + "A"} {
		if _, err := r.OpenText("name", bad); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := r.OpenText("other", text); !errors.Is(err, keys.ErrSealed) {
		t.Errorf("under another name: %v", err)
	}
}

func TestHash(t *testing.T) {
	r := keys.NewRing()
	stored := r.Hash("secret")
	if !r.Matches(stored, "secret") || keys.HashedBy(stored) != r.ActiveID() {
		t.Errorf("%s does not match", stored)
	}
	for _, bad := range []string{"", ":", stored[:20], stored + "A", strings.Replace(stored, ":", "", 1), keys.NewRing().Hash("secret")} {
		if r.Matches(bad, "secret") {
			t.Errorf("%q matches", bad)
		}
	}
	if r.Matches(stored, "Secret") || !keys.Equal("a", "a") || keys.Equal("a", "b") {
		t.Error("comparison is wrong")
	}
}

func TestPurposesDiffer(t *testing.T) {
	r, seen := keys.NewRing(), map[string]bool{}
	for _, p := range []keys.Purpose{keys.PurposeSeal, keys.PurposeCookie, keys.PurposeNonce, keys.PurposePepper, keys.PurposeDecoy} {
		seen[string(r.Derive(p))] = true
		seen[string(r.MAC(p, nil))] = true
	}
	if len(seen) != 10 {
		t.Errorf("%d different keys, want 10", len(seen))
	}
	if s := fmt.Sprintf("%v %+v %#v", r, r, r); strings.Contains(s, "macs") {
		t.Errorf("the ring shows itself: %s", s)
	}
}

func TestRingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	first, err := keys.CreateRing(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := keys.CreateRing(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a ring is overwritten: %v", err)
	}
	before := load(t, path)
	sealed, hash := before.Seal(keys.PurposeSeal, nil, []byte("x")), before.Hash("s")

	second, err := keys.AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if r := load(t, path); r.ActiveID() != first || !slices.Equal(r.IDs(), []string{first, second}) {
		t.Errorf("after add: %v, active %s", r, r.ActiveID())
	}
	if err := keys.ActivateKey(path, ""); err != nil {
		t.Fatal(err)
	}
	r := load(t, path)
	if _, err := r.Open(keys.PurposeSeal, nil, sealed); err != nil || r.ActiveID() != second || !r.Matches(hash, "s") {
		t.Errorf("the new ring does not know the old values: %v", err)
	}
	if !bytes.Equal(r.Derive(keys.PurposeNonce), before.Derive(keys.PurposeNonce)) {
		t.Error("a new key changes what is derived")
	}
	before.Replace(r)
	if before.ActiveID() != second {
		t.Error("Replace does not take over")
	}
	for _, id := range []string{second, "12345678"} {
		if err := keys.DropKey(path, id); err == nil {
			t.Errorf("%s is dropped", id)
		}
	}
	if err := keys.DropKey(path, first); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, path).Open(keys.PurposeSeal, nil, sealed); !errors.Is(err, keys.ErrSealed) {
		t.Errorf("a dropped key opens: %v", err)
	}
	if err := keys.ActivateKey(path, first); err == nil {
		t.Error("a dropped key is made active")
	}
}

func load(t *testing.T, path string) *keys.Ring {
	t.Helper()
	r, err := keys.LoadRing(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRingFileRefused(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	if _, err := keys.CreateRing(good); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		mode    fs.FileMode
		want    string // remedy
	}{
		"missing":        {"", 0, "holdfast key ring init"},
		"others read":    {string(data), 0o640, "chmod 600"},
		"not a ring":     {"hello", 0o600, "restore it"},
		"empty":          {"", 0o600, "restore it"},
		"no keys":        {`{"holdfast_key_ring":1,"active":"","keys":[]}`, 0o600, "restore it"},
		"newer version":  {strings.Replace(string(data), `ring": 1`, `ring": 2`, 1), 0o600, "version 2"},
		"short key":      {`{"holdfast_key_ring":1,"active":"00000000","keys":[{"id":"00000000","master":"AAAA"}]}`, 0o600, "restore it"},
		"unknown active": {strings.Replace(string(data), `"active": "`, `"active": "x`, 1), 0o600, "restore it"},
		"cut":            {string(data[:len(data)/2]), 0o600, "restore it"},
		"too large":      {strings.Repeat(" ", 70<<10), 0o600, "larger"},
	} {
		path := filepath.Join(t.TempDir(), "ring")
		if c.mode != 0 {
			if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
		}
		_, err := keys.LoadRing(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keys.LoadRing(t.TempDir()); err == nil {
		t.Error("a folder is taken for a ring")
	}
}
