package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxRing is the largest ring file that is read.
const maxRing = 64 << 10

// LoadRing reads a ring file. It must belong to its owner alone (0600).
func LoadRing(path string) (*Ring, error) {
	_, r, err := readRing(path)
	return r, err
}

func readRing(path string) ([]fileKey, *Ring, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("key ring %s does not exist: restore it from its backup, or create one for a new installation with: holdfast key ring init %s", path, path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("key ring: %w", err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, nil, fmt.Errorf("key ring %s can be read by others (mode %04o): chmod 600 %s", path, perm, path)
	}
	if info.Size() > maxRing {
		return nil, nil, fmt.Errorf("key ring %s is too large to be one", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("key ring: %w", err)
	}
	files, r, err := parseRing(data)
	if err != nil {
		return nil, nil, fmt.Errorf("key ring %s %w", path, err)
	}
	return files, r, nil
}

// CreateRing writes a new ring with one key and returns its id. It never replaces a file.
func CreateRing(path string) (id string, err error) {
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("key ring %s exists already: it is never replaced, because what it sealed would be lost", path)
	}
	k := newFileKey()
	return k.ID, writeRing(path, []fileKey{k})
}

// AddKey adds a key, which from then on seals and hashes, and returns its id.
func AddKey(path string) (id string, err error) {
	files, _, err := readRing(path)
	if err != nil {
		return "", err
	}
	k := newFileKey()
	return k.ID, writeRing(path, append(files, k))
}

// DropKey removes a key. Whether anything still needs it is for the caller to find out first: see InUse.
func DropKey(path, id string) error {
	files, _, err := readRing(path)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(files, func(f fileKey) bool { return f.ID == id })
	switch {
	case i < 0:
		return fmt.Errorf("key ring %s has no key %s", path, id)
	case i == len(files)-1:
		return fmt.Errorf("key %s is the newest of the ring: add another first with holdfast key ring add", id)
	}
	return writeRing(path, slices.Delete(files, i, i+1))
}

// writeRing replaces the file in one step, so that a crash leaves the old or the new one, whole.
func writeRing(path string, files []fileKey) error {
	data, err := json.MarshalIndent(map[string]any{"keys": files}, "", "  ")
	if err != nil {
		return fmt.Errorf("key ring: %w", err)
	}
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, ".ring-*") // 0600
	if err != nil {
		return fmt.Errorf("key ring: cannot write to %s: %w", folder, err)
	}
	defer os.Remove(f.Name()) // does nothing once it has its name
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncFolder(folder)
	}
	if err != nil {
		return fmt.Errorf("key ring: %w", err)
	}
	return nil
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
