package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed pages/*.html assets/* texts/*.json
var files embed.FS

// Theme is what an operator chooses of the look.
type Theme struct {
	Name string // shown in the head of every page
	Base string // path of the issuer, "" at the root of its host
}

// Pages renders HTML. All pages are parsed at start, so a broken one stops the boot and not a sign-in.
type Pages struct {
	theme  Theme
	pages  map[string]*template.Template
	texts  map[string]string
	assets map[string]asset
	hashed map[string]string // plain name -> name with the hash of its content
}

// ErrorView is the page behind every refusal.
type ErrorView struct {
	Status                  int
	Code, Detail, RequestID string
}

// LeaveView is the page that sends a browser on to the client.
type LeaveView struct {
	URL template.URL // checked by whoever made the redirect target
	App string
}

// imageOrigin is implemented by views that show a picture of another origin, such as a client's logo.
type imageOrigin interface{ ImageOrigin() string }

// NewPages parses every page, text and asset. Each of more may hold pages/ and assets/ beside our own.
func NewPages(theme Theme, more ...fs.FS) (*Pages, error) {
	p := &Pages{theme: theme, pages: map[string]*template.Template{}, assets: map[string]asset{}, hashed: map[string]string{}}
	if err := p.loadTexts(); err != nil {
		return nil, err
	}
	for _, folder := range append([]fs.FS{files}, more...) {
		if err := p.loadAssets(folder); err != nil {
			return nil, err
		}
		if err := p.loadPages(folder); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Pages) loadPages(folder fs.FS) error {
	names, err := fs.Glob(folder, "pages/*.html")
	if err != nil {
		return fmt.Errorf("list pages: %w", err)
	}
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		if page == "layout" {
			continue
		}
		t := template.New("layout.html").Funcs(p.functions(page)).Option("missingkey=error")
		if _, err := t.ParseFS(files, "pages/layout.html"); err != nil {
			return fmt.Errorf("parse layout: %w", err)
		}
		if _, err := t.ParseFS(folder, name); err != nil {
			return fmt.Errorf("parse page %s: %w", page, err)
		}
		if t.Lookup("title") == nil || t.Lookup("main") == nil {
			return fmt.Errorf("page %s does not define title and main", page)
		}
		p.pages[page] = t
	}
	return nil
}

func (p *Pages) loadTexts() error {
	data, err := files.ReadFile("texts/en.json")
	if err != nil {
		return fmt.Errorf("read texts: %w", err)
	}
	if err := json.Unmarshal(data, &p.texts); err != nil {
		return fmt.Errorf("parse texts: %w", err)
	}
	return nil
}

// Languages are those that the pages are written in (BCP 47).
func (p *Pages) Languages() []string { return []string{p.texts["lang"]} }

// functions are what templates may call: texts, addresses of our own, and nothing with effects.
func (p *Pages) functions(page string) template.FuncMap {
	return template.FuncMap{
		"page":  func() string { return page },
		"brand": func() string { return p.theme.Name },
		"base":  func() string { return p.theme.Base },
		"asset": func(name string) (string, error) {
			hashed, ok := p.hashed[name]
			if !ok {
				return "", fmt.Errorf("no asset %s", name)
			}
			return p.theme.Base + "/assets/" + hashed, nil
		},
		"t": func(key string, args ...any) (string, error) {
			text, ok := p.texts[key]
			if !ok {
				return "", fmt.Errorf("no text %s", key)
			}
			if len(args) > 0 {
				return fmt.Sprintf(text, args...), nil
			}
			return text, nil
		},
		// message is for texts whose key a view carries.
		"message": func(key string) (string, error) {
			text, ok := p.texts[key]
			if !ok {
				return "", fmt.Errorf("no text %s", key)
			}
			return text, nil
		},
		"sentence": sentence,
	}
}

// sentence makes of a refusal's detail, written for developers, what people are used to read.
func sentence(detail string) string {
	first, size := utf8.DecodeRuneInString(detail)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + detail[size:] + "."
}

// Render executes a page into a buffer and then writes it, so that a failure never leaves half a page.
func (p *Pages) Render(w http.ResponseWriter, r *http.Request, status int, page string, view any) error {
	t, ok := p.pages[page]
	if !ok {
		return fmt.Errorf("no page %s", page)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, view); err != nil {
		return fmt.Errorf("render %s: %w", page, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", policy(view))
	h.Set("Referrer-Policy", referrers(view))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "publickey-credentials-get=(self), publickey-credentials-create=(self)")
	NoStore(h)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes())
	}
	return nil
}

// policy is the content security policy of a page: nothing but our own files, the pictures a view needs, and the one
// origin that its form is for.
func policy(view any) string {
	images, forms := "'self' data:", "'self'"
	if v, ok := view.(imageOrigin); ok && isOrigin(v.ImageOrigin()) {
		images += " " + v.ImageOrigin()
	}
	if v, ok := view.(formOrigin); ok {
		forms = v.FormOrigin()
	}
	return "default-src 'none'; style-src 'self'; img-src " + images + "; script-src 'self'; connect-src 'self'; " +
		"form-action " + forms + "; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// referrers is the referrer policy of a page. With no-referrer a form post would say that its origin is null, and with
// same-origin it does so at others, which may be http on loopback and may want to know that it is ours.
func referrers(view any) string {
	if _, ok := view.(formOrigin); ok {
		return "origin"
	}
	return "same-origin"
}

// isOrigin says whether s is a scheme and a host and cannot bring in a directive of its own.
func isOrigin(s string) bool {
	host, ok := strings.CutPrefix(s, "https://")
	return ok && host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]") == ""
}

// Leave answers with our own page that sends the browser on by itself and shows the link: after a form, form-action
// 'self' would block a redirect to the client. target must come from a checked redirect URI.
func (p *Pages) Leave(w http.ResponseWriter, r *http.Request, target, app string) error {
	w.Header().Set("Refresh", "0;url="+target)
	return p.Render(w, r, http.StatusOK, "leave", LeaveView{URL: template.URL(target), App: app})
}
