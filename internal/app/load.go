package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Problem is one mistake in a configuration: where, what, and what to do about it.
type Problem struct {
	File   string
	Line   int    // 0 when the place has no line, as for a key that is missing
	Path   string // e.g. tenants[0].issuer
	What   string
	Remedy string
}

func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	text := where + ": "
	if p.Path != "" {
		text += p.Path + ": "
	}
	text += p.What
	if p.Remedy != "" {
		text += "; " + p.Remedy
	}
	return text
}

// Problems is a configuration error that names every mistake at once.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// maxConfig is the largest holdfast.yaml that is read.
const maxConfig = 1 << 20

// LoadConfig reads holdfast.yaml, resolves ${env:NAME} and ${file:PATH}, fills defaults and checks every key and
// value. Relative paths are taken from the folder of the file. The error, if any, is Problems.
func LoadConfig(file string) (*Config, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, Problems{{File: file, What: "cannot be read: " + reason(err), Remedy: "name the configuration with -c"}}
	}
	if info.Size() > maxConfig {
		return nil, Problems{{File: file, What: "is larger than 1 MiB", Remedy: "objects belong in files for holdfast apply"}}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, Problems{{File: file, What: "cannot be read: " + reason(err)}}
	}
	return parseConfig(file, data)
}

func parseConfig(file string, data []byte) (*Config, error) {
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		return nil, yamlProblems(file, err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, Problems{{File: file, Line: doc.Line, What: "is not a mapping of settings", Remedy: "see docs/reference/configuration.md"}}
	}
	root := doc.Content[0]
	r := reader{file: file, lines: map[string]int{}}
	r.resolve(root, "")
	r.known(root, reflect.TypeFor[Config](), "")
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	c := &Config{file: file, values: r.values}
	if err := root.Decode(c); err != nil {
		return nil, yamlProblems(file, err)
	}
	c.withDefaults()
	c.anchor(filepath.Dir(file))
	problems := c.Validate()
	for i := range problems {
		problems[i].File = file
		problems[i].Line = r.line(problems[i].Path)
	}
	if len(problems) > 0 {
		return nil, Problems(problems)
	}
	return c, nil
}

// reader walks the document to find what a decoder would not say well: unknown keys, and the line of every path.
type reader struct {
	file     string
	lines    map[string]int
	values   []string // files whose content is a value
	problems Problems
}

var reference = regexp.MustCompile(`\$\{(env|file):([^}]*)\}`)

// resolve replaces references in every scalar and notes its line.
func (r *reader) resolve(n *yaml.Node, path string) {
	r.lines[path] = n.Line
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			r.resolve(n.Content[i+1], join(path, n.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			r.resolve(item, fmt.Sprintf("%s[%d]", path, i))
		}
	case yaml.ScalarNode:
		n.Value = reference.ReplaceAllStringFunc(n.Value, func(ref string) string {
			m := reference.FindStringSubmatch(ref)
			return r.lookup(n, path, m[1], m[2])
		})
	case yaml.AliasNode:
		r.report(n, path, "YAML aliases are not accepted", "write the value out")
	}
}

func (r *reader) lookup(n *yaml.Node, path, kind, name string) string {
	if kind == "env" {
		v, ok := os.LookupEnv(name)
		if !ok {
			r.report(n, path, "the environment has no "+name, "set it, or write the value")
		}
		return v
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(r.file), name)
	}
	r.values = append(r.values, name)
	data, err := os.ReadFile(name)
	if err != nil {
		r.report(n, path, "cannot read "+name+": "+reason(err), "create the file or correct the path")
	}
	return strings.TrimRight(string(data), "\r\n")
}

// known reports keys that the type does not have.
func (r *reader) known(n *yaml.Node, t reflect.Type, path string) {
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			r.known(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		keys := map[string]reflect.Type{}
		for f := range t.Fields() {
			if !f.IsExported() {
				continue
			}
			keys[f.Tag.Get("yaml")] = f.Type
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if ft, ok := keys[name]; ok {
				r.known(n.Content[i+1], ft, join(path, name))
				continue
			}
			r.report(n.Content[i], join(path, name), "there is no such setting", "known here: "+sortedKeys(keys))
		}
	}
}

func (r *reader) report(n *yaml.Node, path, what, remedy string) {
	r.problems = append(r.problems, Problem{File: r.file, Line: n.Line, Path: path, What: what, Remedy: remedy})
}

// line is that of the path, or of the nearest parent that is written.
func (r *reader) line(path string) int {
	for {
		if l, ok := r.lines[path]; ok {
			return l
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return 0
		}
		path = path[:cut]
	}
}

func yamlProblems(file string, err error) error {
	var several *yaml.LoadErrors
	if errors.As(err, &several) {
		var out Problems
		for _, e := range several.Errors {
			out = append(out, Problem{File: file, Line: e.Mark.Line, What: e.Message})
		}
		return out
	}
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		return Problems{{File: file, Line: one.Mark.Line, What: one.Message, Remedy: "correct the YAML"}}
	}
	return Problems{{File: file, What: err.Error(), Remedy: "correct the YAML"}}
}

// reason is the part of a file error that a person wants to read.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func sortedKeys(m map[string]reflect.Type) string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// anchor makes the paths of the file relative to its folder.
func (c *Config) anchor(folder string) {
	paths := append(c.paths(), &c.Admin.Socket, &c.Admin.TokenFile)
	for i := range c.Tenants {
		paths = append(paths, &c.Tenants[i].Keys.Signer.Socket)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
	for _, d := range c.databases() {
		if name, ok := strings.CutPrefix(d.URL, "sqlite:"); ok && name != "" && !filepath.IsAbs(name) {
			d.URL = "sqlite:" + filepath.Join(folder, name)
		}
	}
}

// files are those that a running process looks at: the configuration, and what it names.
func (c *Config) files() []string {
	names := append([]string{c.file}, c.values...)
	for _, p := range c.paths() {
		if *p != "" {
			names = append(names, *p)
		}
	}
	return names
}

// files are those that a tenant is made of.
func (t *TenantConfig) files() (names []string) {
	for _, p := range t.paths() {
		if *p != "" {
			names = append(names, *p)
		}
	}
	return names
}

// paths are the settings that name files to read.
func (c *Config) paths() []*string {
	paths := []*string{&c.KeyRing, &c.Mail.PasswordFile}
	for i := range c.Listeners {
		paths = append(paths, &c.Listeners[i].TLS.Certificate, &c.Listeners[i].TLS.Key)
	}
	for i := range c.Tenants {
		paths = append(paths, c.Tenants[i].paths()...)
	}
	for i := range c.Outbound.CAFiles {
		paths = append(paths, &c.Outbound.CAFiles[i])
	}
	return paths
}

func (t *TenantConfig) paths() []*string {
	g := &t.Gateway
	paths := []*string{&g.Certificate, &g.Key}
	for i := range t.Keys.Signer.Keys {
		paths = append(paths, &t.Keys.Signer.Keys[i].PublicKey)
	}
	for i := range t.ClientCAFiles {
		paths = append(paths, &t.ClientCAFiles[i])
	}
	for i := range g.UpstreamCAFiles {
		paths = append(paths, &g.UpstreamCAFiles[i])
	}
	return paths
}
