package keys

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-iam/holdfast/jose"
)

const (
	idLength    = 8 // hex characters
	ringVersion = 1
	maxRing     = 64 << 10
)

// file is the ring on disk.
type file struct {
	Version int       `json:"holdfast_key_ring"`
	Active  string    `json:"active"`
	Keys    []fileKey `json:"keys"` // oldest first
}

type fileKey struct {
	ID     string `json:"id"`
	Master []byte `json:"master"` // 32 bytes
}

func newFile() file {
	k := newFileKey()
	return file{Version: ringVersion, Active: k.ID, Keys: []fileKey{k}}
}

func newFileKey() fileKey {
	id, master := make([]byte, idLength/2), make([]byte, 32)
	rand.Read(id)
	rand.Read(master)
	return fileKey{ID: hex.EncodeToString(id), Master: master}
}

// parseRing reads and checks the file of a ring.
func parseRing(data []byte) (file, error) {
	var f file
	if err := jose.Unmarshal(data, &f); err != nil {
		return file{}, errors.New("it is not a key ring")
	}
	if f.Version != ringVersion {
		return file{}, fmt.Errorf("it has version %d, and this program reads version %d", f.Version, ringVersion)
	}
	seen := map[string]bool{}
	for _, k := range f.Keys {
		if _, err := hex.DecodeString(k.ID); err != nil || len(k.ID) != idLength || len(k.Master) != 32 || seen[k.ID] {
			return file{}, errors.New("one of its keys is damaged")
		}
		seen[k.ID] = true
	}
	if !seen[f.Active] {
		return file{}, errors.New("the active key is not in it")
	}
	return f, nil
}

func (f file) ring() *Ring {
	c := new(content)
	for _, k := range f.Keys {
		c.keys = append(c.keys, newRingKey(k.ID, k.Master))
	}
	c.active = c.find(f.Active)
	r := new(Ring)
	r.content.Store(c)
	return r
}

// LoadRing reads the master ring. Only its owner may be able to use the file. Errors name the file and the remedy.
func LoadRing(path string) (*Ring, error) {
	f, err := readRing(path)
	if err != nil {
		return nil, err
	}
	return f.ring(), nil
}

func readRing(path string) (file, error) {
	data, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, fmt.Errorf("the key ring %s does not exist: restore the one that belongs to the database, or for a new installation run: holdfast key ring init %s", path, path)
	}
	if err != nil {
		return file{}, fmt.Errorf("read the key ring: %w", err)
	}
	f, err := parseRing(data)
	if err != nil {
		return file{}, fmt.Errorf("the key ring %s cannot be used: %w: restore it from a copy", path, err)
	}
	return f, nil
}

func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&^0o600 != 0:
		return nil, fmt.Errorf("others may use %s (mode %04o): run: chmod 600 %s", path, info.Mode().Perm(), path)
	case info.Size() > maxRing:
		return nil, fmt.Errorf("%s is larger than a key ring can be", path)
	}
	return io.ReadAll(io.LimitReader(f, maxRing))
}

// CreateRing makes a new ring of one key and returns its id. It never replaces a file: error fs.ErrExist.
func CreateRing(path string) (id string, err error) {
	ring := newFile()
	data, err := ring.encode()
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("create the key ring: %w; it is never replaced, for what it has sealed would be lost", err)
	}
	if err != nil {
		return "", fmt.Errorf("create the key ring: %w", err)
	}
	if err := fill(f, data); err != nil {
		return "", errors.Join(fmt.Errorf("create the key ring: %w", err), os.Remove(path))
	}
	return ring.Active, syncFolder(filepath.Dir(path))
}

// AddKey adds a key and returns its id. It is not active yet: bring the file to all nodes before ActivateKey, so that
// none of them meets a value it cannot open.
func AddKey(path string) (id string, err error) {
	k := newFileKey()
	err = change(path, func(f *file) error {
		f.Keys = append(f.Keys, k)
		return nil
	})
	return k.ID, err
}

// ActivateKey makes a key of the ring the one that seals and hashes from now on; id "" is the newest.
func ActivateKey(path, id string) error {
	return change(path, func(f *file) error {
		if id == "" {
			id = f.Keys[len(f.Keys)-1].ID
		}
		if f.find(id) < 0 {
			return fmt.Errorf("it has no key %s", id)
		}
		f.Active = id
		return nil
	})
}

// DropKey takes a key out of the ring for good. What it has sealed or hashed is lost with it: ask CheckUnused first.
func DropKey(path, id string) error {
	return change(path, func(f *file) error {
		at := f.find(id)
		switch {
		case at < 0:
			return fmt.Errorf("it has no key %s", id)
		case id == f.Active:
			return fmt.Errorf("key %s is active: first add another and make it active", id)
		}
		f.Keys = slices.Delete(f.Keys, at, at+1)
		return nil
	})
}

func (f file) find(id string) int {
	return slices.IndexFunc(f.Keys, func(k fileKey) bool { return k.ID == id })
}

func (f file) encode() ([]byte, error) {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the key ring: %w", err)
	}
	return append(data, '\n'), nil
}

func change(path string, edit func(*file) error) error {
	f, err := readRing(path)
	if err != nil {
		return err
	}
	if err := edit(&f); err != nil {
		return fmt.Errorf("change the key ring %s: %w", path, err)
	}
	data, err := f.encode()
	if err != nil {
		return err
	}
	return WriteFile(path, data)
}

// WriteFile writes a file of secrets: mode 0600, and after a crash either as it was or as given.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = fill(f, data)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return syncFolder(filepath.Dir(path))
}

// fill writes, waits for the disk and closes.
func fill(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes a new name in a folder survive a crash.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write to %s: %w", path, err)
	}
	return errors.Join(d.Sync(), d.Close())
}
