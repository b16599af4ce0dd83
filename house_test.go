// Package holdfast_test holds the rules of the house: which packages there are, who may import whom, which
// package is the one door to each third-party module, and how large things may grow. They are tests so that
// a rule is never a matter of memory.
package holdfast_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/holdfast-iam/holdfast"

type floor int

const (
	ground floor = iota // bytes and values in, values and errors out
	core                // shared decisions and memory; knows no endpoint
	room                // one thing a visitor comes for
	roof                // assembly
)

// house lists every package once, lowest first. A package may import packages above its own line only,
// and a room never imports a room.
var house = []struct {
	path  string
	floor floor
}{
	{"oauth", ground},
	{"jose", ground},
	{"jose/josetest/vectors", ground},
	{"dpop", ground},
	{"resource", ground},
	{"resource/resourcetest", ground},
	{"passkey", ground},
	{"passkey/passkeytest", ground},

	{"internal/store/migrate", core},
	{"internal/store", core},
	{"internal/store/storetest", core},
	{"internal/keys", core},
	{"internal/keys/signertest", core},
	{"internal/audit", core},
	{"internal/feed", core},
	{"internal/jobs", core},
	{"internal/limit", core},
	{"internal/fetch", core},
	{"internal/mail", core},
	{"internal/ca", core},
	{"internal/details", core},
	{"internal/objects", core},
	{"internal/web", core},
	{"internal/session", core},
	{"internal/appsession", core},
	{"internal/clients", core},
	{"internal/request", core},
	{"internal/consents", core},
	{"internal/flow", core},
	{"internal/authn", core},
	{"internal/authn/authntest", core},
	{"internal/tokens", core},

	{"internal/authorize", room},
	{"internal/login", room},
	{"internal/consent", room},
	{"internal/logout", room},
	{"internal/account", room},
	{"internal/grant", room},
	{"internal/tokeninfo", room},
	{"internal/discovery", room},
	{"internal/bff", room},
	{"internal/gateway", room},
	{"internal/admin", room},

	{"internal/app", roof},
	{"internal/dev/spa", roof},
	{"internal/dev/orders", roof},
	{"internal/dev/theft", roof},
	{"internal/dev", roof},
	{"holdfasttest", roof},
	{"cmd/holdfast", roof},
}

// doors names, for each third-party module, the only packages that may import it outside tests.
var doors = map[string][]string{
	"github.com/go-jose/go-jose/v4":        {"jose"},
	"github.com/go-json-experiment/json":   {"jose"},
	"github.com/go-webauthn/webauthn":      {"passkey"},
	"github.com/fxamacker/cbor/v2":         {"passkey", "passkey/passkeytest"},
	"modernc.org/sqlite":                   {"internal/store"},
	"github.com/jackc/pgx/v5":              {"internal/store"},
	"github.com/pressly/goose/v3":          {"internal/store"},
	"golang.org/x/crypto/chacha20poly1305": {"internal/keys"},
	"github.com/wneessen/go-mail":          {"internal/mail"},
	"github.com/emersion/go-smtp":          {"internal/dev"},
	"github.com/go-crypt/crypt":            {"internal/authn"},
	"github.com/maypok86/otter/v2":         {"internal/objects", "internal/tokens", "internal/limit", "internal/clients", "internal/gateway"},
	"golang.org/x/sync":                    {"internal/authn", "internal/fetch", "internal/objects", "internal/app", "internal/dev", "internal/clients", "internal/gateway"},
	"golang.org/x/time":                    {"internal/limit"},
	"go.yaml.in/yaml/v4":                   {"internal/app"},
	"github.com/alecthomas/kong":           {"cmd/holdfast"},
	"github.com/prometheus/client_golang":  {"internal/app"},
	"golang.org/x/net":                     {"internal/authn/authntest", "internal/dev/orders", "holdfasttest"},
	"github.com/google/jsonschema-go":      {"internal/details"},
	"github.com/google/go-cmp":             {"internal/store/storetest"},
	"pgregory.net/rapid":                   {"internal/store/storetest"},
}

// clocks may read the wall clock; everybody else is given one.
var clocks = []string{"internal/app", "internal/store", "internal/web", "internal/dev", "holdfasttest", "cmd/holdfast"}

// carriers may put a value into a context, each with its reason.
var carriers = map[string]string{
	"internal/web": "the event of the request",
	"resource":     "the caller of an API, for handlers of people who are not us and whose routers know no other way",
}

// longer lists functions and files over the limits, each with its reason.
var longer = map[string]string{}

const (
	maxFunction  = 70
	maxFile      = 500
	maxInterface = 5
	maxDepth     = 6
)

type pkg struct {
	path    string // inside the module, "" for the root
	files   []string
	imports map[string][]string // import path -> files, tests left out
	doc     bool
}

func TestEveryPackageIsListedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range house {
		if seen[h.path] {
			t.Errorf("%s is listed twice", h.path)
		}
		seen[h.path] = true
	}
	found := packages(t)
	for p := range found {
		if p != "" && !seen[p] {
			t.Errorf("%s is not in the table of the house: give it a floor and a place", p)
		}
	}
	for p := range seen {
		if _, ok := found[p]; !ok {
			t.Errorf("%s is in the table but has no Go files", p)
		}
	}
}

func TestImportsGoDown(t *testing.T) {
	place, floors := map[string]int{}, map[string]floor{}
	for i, h := range house {
		place[h.path], floors[h.path] = i, h.floor
	}
	for p, k := range packages(t) {
		for imp, files := range k.imports {
			inner, ours := strings.CutPrefix(imp, module+"/")
			switch {
			case !ours:
				continue
			case floors[p] == ground && strings.HasPrefix(inner, "internal/"):
				t.Errorf("%s: ground imports %s (%s)", p, inner, files[0])
			case floors[p] == room && floors[inner] == room:
				t.Errorf("%s: a room imports the room %s (%s)", p, inner, files[0])
			case place[inner] >= place[p]:
				t.Errorf("%s imports %s, which is not below it (%s)", p, inner, files[0])
			}
		}
		if floors[p] == room && k.imports["database/sql"] != nil {
			t.Errorf("%s: rooms never import database/sql", p)
		}
	}
}

func TestDoors(t *testing.T) {
	for p, k := range packages(t) {
		for imp, files := range k.imports {
			if !strings.Contains(strings.Split(imp, "/")[0], ".") || imp == module || strings.HasPrefix(imp, module+"/") {
				continue
			}
			if !slices.Contains(doors[doorOf(imp)], p) {
				t.Errorf("%s imports %s but is not its door (%s)", p, imp, files[0])
			}
		}
	}
}

// doorOf is the longest listed module path that imp belongs to.
func doorOf(imp string) string {
	for p := imp; p != "." && p != "/"; p = path.Dir(p) {
		if _, ok := doors[p]; ok {
			return p
		}
	}
	return imp
}

func TestDepth(t *testing.T) {
	found, memo := packages(t), map[string]int{}
	var depth func(p string) int
	depth = func(p string) int {
		if d, ok := memo[p]; ok {
			return d
		}
		d := 0
		for imp := range found[p].imports {
			if inner, ok := strings.CutPrefix(imp, module+"/"); ok {
				d = max(d, 1+depth(inner))
			}
		}
		memo[p] = d
		return d
	}
	for _, h := range house {
		// The roof sits on top of everything; the limit is for what people read.
		if d := depth(h.path); h.floor != roof && d > maxDepth {
			t.Errorf("%s: chain of imports is %d deep, at most %d", h.path, d, maxDepth)
		}
	}
}

func TestCustoms(t *testing.T) {
	for p, k := range packages(t) {
		if !k.doc && p != "" {
			t.Errorf("%s has no package comment", p)
		}
		for _, f := range k.files {
			checkFile(t, p, f)
		}
	}
}

func checkFile(t *testing.T, p, file string) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if n := fset.File(f.Pos()).LineCount(); n > maxFile && longer[file] == "" && !ast.IsGenerated(f) {
		t.Errorf("%s has %d lines, at most %d", file, n, maxFile)
	}
	test := strings.HasSuffix(file, "_test.go")
	for _, imp := range f.Imports {
		if imp.Name != nil && imp.Name.Name == "_" && p != "internal/store" && imp.Path.Value != `"embed"` {
			t.Errorf("%s: blank import of %s; only internal/store imports drivers", file, imp.Path.Value)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			lines := fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1
			if lines > maxFunction && longer[file+" "+n.Name.Name] == "" {
				t.Errorf("%s: %s has %d lines, at most %d", file, n.Name.Name, lines, maxFunction)
			}
			if n.Recv == nil && n.Name.Name == "init" {
				t.Errorf("%s: no init functions", file)
			}
		case *ast.InterfaceType:
			if len(n.Methods.List) > maxInterface {
				t.Errorf("%s: an interface has %d methods, at most %d", file, len(n.Methods.List), maxInterface)
			}
		case *ast.CallExpr:
			if !test {
				checkCall(t, p, file, n)
			}
		}
		return true
	})
}

func checkCall(t *testing.T, p, file string, call *ast.CallExpr) {
	switch fn := call.Fun.(type) {
	case *ast.Ident:
		if fn.Name == "panic" {
			t.Errorf("%s: never panic", file)
		}
	case *ast.SelectorExpr:
		x, ok := fn.X.(*ast.Ident)
		if !ok {
			return
		}
		switch x.Name + "." + fn.Sel.Name {
		case "time.Now":
			if !slices.Contains(clocks, p) {
				t.Errorf("%s reads the clock; take a Now instead", file)
			}
		case "context.WithValue":
			if carriers[p] == "" {
				t.Errorf("%s: only web puts a value into a context", file)
			}
		}
	}
}

// packages reads the imports of every package of the module. Nested modules and testdata are left out.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	found := map[string]*pkg{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(name, d.Name())
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		if dir == "." {
			dir = ""
		}
		if found[dir] == nil {
			found[dir] = &pkg{path: dir, imports: map[string][]string{}}
		}
		return found[dir].add(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	for p, k := range found { // a folder of tests only is not a package of the house
		if len(k.files) > 0 && !slices.ContainsFunc(k.files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") }) {
			if p != "" {
				t.Errorf("%s holds tests only", p)
			}
		}
	}
	return found
}

func skipDir(name, base string) error {
	if name == "." {
		return nil
	}
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (k *pkg) add(file string) error {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return err
	}
	k.files = append(k.files, file)
	if strings.HasSuffix(file, "_test.go") {
		return nil
	}
	k.doc = k.doc || f.Doc != nil
	for _, imp := range f.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			return err
		}
		k.imports[p] = append(k.imports[p], file)
	}
	return nil
}
