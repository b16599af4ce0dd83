package app_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference/configuration.md instead of comparing it")

const (
	referencePage = "../../docs/reference/configuration.md"
	referenceHead = `# holdfast.yaml

Every key of the configuration, made from ` + "`internal/app/config.go`" + ` (` + "`go test ./internal/app -run TestReference -update`" + `).
A key that is not listed here is refused. Relative paths are taken from the folder of the file. ` + "`${env:NAME}`" + ` and
` + "`${file:PATH}`" + ` inside a value are replaced by a variable of the environment or the content of a file. Durations are
written like ` + "`90s`, `5m` or `24h`" + `. ` + "`holdfast check`" + ` names every mistake with its line.
`
)

// TestReference keeps the reference of the configuration the same as its comments.
func TestReference(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	r := reference{structs: map[string]structDoc{}}
	r.read(file)
	r.out.WriteString(referenceHead)
	r.section("Config", "")
	if len(r.silent) > 0 {
		t.Errorf("these keys have no comment in config.go: %s", strings.Join(r.silent, ", "))
	}
	if *update {
		if err := os.WriteFile(referencePage, r.out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, r.out.Bytes()) {
		t.Errorf("%s is not what config.go says: run go test ./internal/app -run TestReference -update", referencePage)
	}
}

type structDoc struct {
	text   string
	fields *ast.StructType
}

type reference struct {
	structs map[string]structDoc
	out     bytes.Buffer
	silent  []string
}

func (r *reference) read(file *ast.File) {
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			spec := s.(*ast.TypeSpec)
			if st, ok := spec.Type.(*ast.StructType); ok {
				r.structs[spec.Name.Name] = structDoc{sentence(spec.Name.Name, g.Doc.Text()), st}
			}
		}
	}
}

// section writes the keys of a struct, then those of the structs inside it.
func (r *reference) section(name, path string) {
	s := r.structs[name]
	if path != "" {
		fmt.Fprintf(&r.out, "\n## %s\n\n%s.\n", path, upper(s.text))
	}
	fmt.Fprintf(&r.out, "\n| key | value | meaning |\n|---|---|---|\n")
	type inner struct{ name, path string }
	var below []inner
	for _, f := range s.fields.Fields.List {
		if f.Tag == nil {
			continue // not a key
		}
		key := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
		full := strings.TrimPrefix(path+"."+key, ".")
		kind, of, list := typeOf(f.Type)
		meaning := comment(f)
		if meaning == "" {
			meaning = plain[key]
		}
		if _, ok := r.structs[of]; ok {
			if list {
				full += "[]"
			}
			below = append(below, inner{of, full})
			kind = "see [below](#" + anchor(full) + ")"
			if meaning == "" {
				meaning = r.structs[of].text
			}
		}
		if meaning == "" {
			r.silent = append(r.silent, full)
		}
		fmt.Fprintf(&r.out, "| `%s` | %s | %s |\n", key, kind, strings.ReplaceAll(meaning, "|", `\|`))
	}
	for _, b := range below {
		r.section(b.name, b.path)
	}
}

// plain says of keys that config.go leaves without a comment what a reader of the code sees in their names.
var plain = map[string]string{
	"name": "what it is called in the log and by commands", "display_name": "what people read; default the name",
	"certificate": "PEM file of the certificate with its chain", "key": "PEM file of its private key",
	"from": "sender's address", "host": "host name of the relay", "port": "port of the relay", "username": "user name at the relay",
	"password_file": "file that holds the password", "cidr": "the network, like 10.0.0.0/8",
}

func comment(f *ast.Field) string {
	text := f.Doc.Text()
	if text == "" {
		text = f.Comment.Text()
	}
	return sentence(f.Names[0].Name, text)
}

// sentence drops the Go name that a comment begins with, for it is not the name of the key.
func sentence(name, text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, verb := range []string{" is ", " are ", ""} {
		rest, ok := strings.CutPrefix(text, name+verb)
		if ok {
			text = strings.TrimSpace(rest)
			break
		}
	}
	return strings.TrimSuffix(text, ".")
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// typeOf is the type of a key in words, the name of its element, and whether it is a list.
func typeOf(e ast.Expr) (words, of string, list bool) {
	switch t := e.(type) {
	case *ast.ArrayType:
		words, of, _ = typeOf(t.Elt)
		return "list of " + words, of, true
	case *ast.SelectorExpr:
		if t.Sel.Name == "Duration" {
			return "duration", "", false
		}
		return "network", "", false // netip.Prefix
	case *ast.Ident:
		switch t.Name {
		case "string":
			return "text", "", false
		case "int":
			return "number", "", false
		case "bool":
			return "true or false", "", false
		}
		return t.Name, t.Name, false
	}
	return "", "", false
}

func anchor(path string) string {
	return strings.NewReplacer(".", "", "[", "", "]", "").Replace(path)
}
