package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/holdfast-iam/holdfast/oauth"
)

// asset is a file that pages refer to.
type asset struct {
	body []byte
	kind string
}

// Asset is one of our own files, such as holdfast.css, for a site that looks like ours and is not made of our pages.
func Asset(name string) ([]byte, error) {
	body, err := files.ReadFile("assets/" + name)
	if err != nil {
		return nil, fmt.Errorf("read asset: %w", err)
	}
	return body, nil
}

func (p *Pages) loadAssets(folder fs.FS) error {
	entries, err := fs.Glob(folder, "assets/*")
	if err != nil {
		return fmt.Errorf("list assets: %w", err)
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	for _, file := range entries {
		body, err := fs.ReadFile(folder, file)
		if err != nil {
			return fmt.Errorf("read asset: %w", err)
		}
		sum, plain := sha256.Sum256(body), path.Base(file)
		ext := path.Ext(plain)
		if kinds[ext] == "" {
			return fmt.Errorf("asset %s is of no known kind", plain)
		}
		name := strings.TrimSuffix(plain, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		p.hashed[plain] = name
		p.assets[name] = asset{body, kinds[ext]}
	}
	return nil
}

// Mount serves the assets. A name holds the hash of the content, so browsers may keep it for ever.
func (p *Pages) Mount(mux *http.ServeMux) {
	mux.Handle("GET /assets/{name}", Through(PageDoor(p), func(w http.ResponseWriter, r *http.Request) error {
		a, ok := p.assets[r.PathValue("name")]
		if !ok {
			return oauth.Refuse(oauth.InvalidRequest, "there is nothing at this address").WithStatus(http.StatusNotFound)
		}
		h := w.Header()
		h.Set("Content-Type", a.kind)
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(a.body) // a browser that has gone cannot be told
		return nil
	}))
}
