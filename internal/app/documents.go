package app

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

// maxDocuments is the largest file of objects that is read, bytes.
const maxDocuments = 8 << 20

// readFolder reads every .yaml, .yml and .json file of a folder, in order of their names. A YAML file may hold several
// documents, each with kind, name and the members of the object.
func readFolder(folder string) ([]objects.Document, error) {
	var docs []objects.Document
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch filepath.Ext(name) {
		case ".yaml", ".yml", ".json":
			if d.Type().IsRegular() {
				found, err := readDocuments(name)
				docs = append(docs, found...)
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", folder, err)
	}
	if len(docs) == 0 {
		return nil, fmt.Errorf("%s has no .yaml or .json file", folder)
	}
	return docs, nil
}

func readDocuments(name string) ([]objects.Document, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	var nodes []yaml.Node
	if err := yaml.Load(data, &nodes, yaml.WithAllDocuments()); err != nil {
		return nil, yamlProblems(name, err)
	}
	var docs []objects.Document
	for i := range nodes {
		doc, err := toDocument(name, &nodes[i])
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// toDocument splits kind and name from the members of an object; JSON is YAML, so one reader serves both.
func toDocument(name string, node *yaml.Node) (objects.Document, error) {
	var members map[string]any
	if err := node.Decode(&members); err != nil {
		return objects.Document{}, yamlProblems(name, err)
	}
	kind, _ := members["kind"].(string)
	if kind == "" {
		return objects.Document{}, Problems{{File: name, Line: node.Line, Path: "kind", What: "is missing", Remedy: "write one of " + strings.Join(append(objects.Kinds(), objects.KindUser), ", ")}}
	}
	delete(members, "kind")
	title := ""
	if kind == objects.KindClient || kind == objects.KindAPI { // scopes are called name themselves
		title, _ = members["object"].(string)
		delete(members, "object")
	}
	body, err := json.Marshal(members)
	if err != nil {
		return objects.Document{}, Problems{{File: name, Line: node.Line, What: "cannot be written as JSON: " + err.Error()}}
	}
	return objects.Document{Kind: kind, Name: title, Body: body, Source: fmt.Sprintf("%s:%d", name, node.Line)}, nil
}

// readList reads a JSON file that holds one object or an array of them, all of one kind.
func readList(name, kind string) ([]objects.Document, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	var bodies []json.RawMessage
	if trimmed := strings.TrimSpace(string(data)); !strings.HasPrefix(trimmed, "[") {
		bodies = []json.RawMessage{json.RawMessage(trimmed)}
	} else if err := json.Unmarshal(data, &bodies); err != nil {
		return nil, Problems{{File: name, What: "is not JSON: " + err.Error(), Remedy: "write one object, or an array of objects"}}
	}
	var docs []objects.Document
	for i, body := range bodies {
		var any any
		if err := jose.Unmarshal(body, &any); err != nil {
			return nil, Problems{{File: fmt.Sprintf("%s[%d]", name, i), What: "is not sound JSON: " + err.Error(), Remedy: "write one object, or an array of objects, no member twice"}}
		}
		docs = append(docs, objects.Document{Kind: kind, Body: body, Source: fmt.Sprintf("%s[%d]", name, i)})
	}
	return docs, nil
}

func readFile(name string) (data []byte, err error) {
	var r io.Reader = os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
		defer f.Close()
		r = f
	}
	data, err = io.ReadAll(io.LimitReader(r, maxDocuments+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxDocuments {
		return nil, fmt.Errorf("%s is larger than 8 MiB: split it", name)
	}
	return data, nil
}
