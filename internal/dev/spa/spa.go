// Package spa is the demo application of the development landscape: static files, as somebody would put them on a
// content delivery network, that speak with the token handler and, through the gateway, with an API. It has no session,
// no cookie and no secret; files/handler.js is the part to take along into an application of one's own. It follows
// OAuth 2.0 for Browser-Based Applications (draft-ietf-oauth-browser-based-apps, the backend-for-frontend pattern).
package spa

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/web"
)

//go:embed files
var files embed.FS

// App says which application this is.
type App struct {
	Name         string
	TokenHandler string // its address at the token handler
	API          string // what it calls, at the gateway
	Links        []Link // at the foot of the page
}

// Link leads to another part of the landscape.
type Link struct{ URL, Text string }

// file is what is served at one path.
type file struct {
	body []byte
	kind string
	tag  string
}

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// New reads everything at once, so that a missing file stops the start.
func New(a App) (http.Handler, error) {
	mux := web.NewMux(web.ProblemDoor)
	policy, err := a.policy()
	if err != nil {
		return nil, err
	}
	page, err := a.page()
	if err != nil {
		return nil, err
	}
	// The redirect URI shows the same page: its script takes the answer of the authorization server from there.
	mux.Handle("GET /{$}", page.serve(policy))
	mux.Handle("GET /callback", page.serve(policy))
	for _, name := range []string{"app.css", "app.js", "handler.js", "thief.js"} {
		body, err := files.ReadFile("files/" + name)
		if err != nil {
			return nil, fmt.Errorf("read file of the demo app: %w", err)
		}
		mux.Handle("GET /"+name, newFile(name, body).serve(policy))
	}
	for _, name := range []string{"holdfast.css", "mark.svg"} {
		body, err := web.Asset(name)
		if err != nil {
			return nil, err
		}
		mux.Handle("GET /"+name, newFile(name, body).serve(policy))
	}
	return mux, nil
}

func (a App) page() (*file, error) {
	t, err := template.ParseFS(files, "files/index.html")
	if err != nil {
		return nil, fmt.Errorf("parse page of the demo app: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, a); err != nil {
		return nil, fmt.Errorf("render page of the demo app: %w", err)
	}
	return newFile("index.html", b.Bytes()), nil
}

// policy allows the app its own files and the origins of token handler and API, and nothing else: whatever gets into
// the page can send nothing elsewhere.
func (a App) policy() (string, error) {
	var connect []string
	for _, raw := range []string{a.TokenHandler, a.API} {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return "", fmt.Errorf("%q is no address of a token handler or an API", raw)
		}
		if origin := "https://" + u.Host; len(connect) == 0 || connect[0] != origin {
			connect = append(connect, origin)
		}
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src " + strings.Join(connect, " ") +
		"; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'", nil
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	return &file{body: body, kind: kinds[path.Ext(name)], tag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

func (f *file) serve(policy string) http.Handler {
	return web.Through(web.ProblemDoor, func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Content-Type", f.kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Referrer-Policy", "no-referrer") // the address may hold an authorization code
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cache-Control", "no-cache") // asked for each time, sent only when changed
		h.Set("ETag", f.tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
		return nil
	})
}
